rule evaluate:
    input:
        encoders=encoders,
        data=evaluation_data,
        features=evaluation_features,
    output:
        "results/{scale}/evaluate/{run}/{evaluation}.parquet",
    log:
        "logs/{scale}/evaluate/{run}_{evaluation}.log",
    benchmark:
        "logs/{scale}/benchmarks/evaluate_{run}_{evaluation}.tsv"
    wildcard_constraints:
        evaluation="|".join(sorted(OTHER_EVALUATIONS)),
    priority: 50
    conda:
        "../../environment.yml"
    threads: 1
    params:
        hash=evaluation_hash,
        launch=launcher,
    shell:
        "OMP_NUM_THREADS={threads} {params.launch} evaluate --scale {wildcards.scale} --run {wildcards.run} "
        "--evaluation {wildcards.evaluation} --expect {params.hash} > {log} 2>&1"


# A fine-tuning leaves its encoders too, from which other evaluations may start (`start` in config/evaluate.tsv). Where only
# its records are asked for, lost encoders are not made again.
use rule evaluate as finetune with:
    output:
        "results/{scale}/evaluate/{run}/{evaluation}.parquet",
        directory("results/{scale}/evaluate/{run}/{evaluation}.encoders"),
    wildcard_constraints:
        evaluation="|".join(sorted(FINE_TUNINGS)),
