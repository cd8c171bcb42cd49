rule evaluate:
    input:
        unpack(inputs("evaluate")),
    output:
        made("evaluate", "records"),
    log:
        "logs/{scale}/evaluate/{run}_{evaluation}.log",
    benchmark:
        "logs/{scale}/benchmarks/evaluate_{run}_{evaluation}.tsv"
    wildcard_constraints:
        evaluation=OTHERS,
    priority: 50
    conda:
        "../envs/simmim.yaml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        hash=hash_of("evaluate"),
        launch=launcher,
    shell:
        "OMP_NUM_THREADS={threads} python -m simmim.cluster.logged {log} {params.launch} evaluate --scale {wildcards.scale} --run {wildcards.run} "
        "--evaluation {wildcards.evaluation} --expect {params.hash}"


# A fine-tuning leaves its encoders too, from which other evaluations may start (`init` in config/evaluate.tsv). Where only
# its records are asked for, lost encoders are not made again.
use rule evaluate as finetune with:
    output:
        made("finetune", "records"),
        directory(made("finetune", "encoders")),
    wildcard_constraints:
        evaluation="|".join(sorted(FINE_TUNINGS)),
        run=SMALLER,


use rule finetune as finetune_large with:
    wildcard_constraints:
        evaluation="|".join(sorted(FINE_TUNINGS)),
        run=LARGE,
