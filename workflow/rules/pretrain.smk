# Checkpoints lie in an undeclared `state` folder beside the outputs: Snakemake deletes declared outputs before a retry.
rule pretrain:
    input:
        unpack(inputs("pretrain")),
    output:
        encoder=made("pretrain", "encoder"),
        head=made("pretrain", "head"),
        records=made("pretrain", "records"),
    log:
        "logs/{scale}/pretrain/{run}_seed{seed}.log",
    benchmark:
        "logs/{scale}/benchmarks/pretrain_{run}_seed{seed}.tsv"
    wildcard_constraints:
        run=SMALLER,
    priority: 100
    conda:
        "../envs/simmim.yaml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        hash=hash_of("pretrain"),
        launch=launcher,
    shell:
        "OMP_NUM_THREADS={threads} python -m simmim.cluster.logged {log} {params.launch} pretrain --scale {wildcards.scale} --run {wildcards.run} "
        "--seed {wildcards.seed} --expect {params.hash}"


# Runs with the step schedule: up to the first milestone, where every longer run goes on too (Table 9).
rule first_stage:
    input:
        unpack(inputs("first_stage")),
    output:
        manifest=made("first_stage", "manifest"),
    log:
        "logs/{scale}/first_stage/{run}_seed{seed}.log",
    benchmark:
        "logs/{scale}/benchmarks/first_stage_{run}_seed{seed}.tsv"
    wildcard_constraints:
        run=SMALLER,
    priority: 100
    conda:
        "../envs/simmim.yaml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        hash=hash_of("first_stage"),
        launch=launcher,
    shell:
        "OMP_NUM_THREADS={threads} python -m simmim.cluster.logged {log} {params.launch} first-stage --scale {wildcards.scale} --run {wildcards.run} "
        "--seed {wildcards.seed} --expect {params.hash}"


use rule pretrain as pretrain_large with:
    wildcard_constraints:
        run=LARGE,


use rule first_stage as first_stage_large with:
    wildcard_constraints:
        run=LARGE,


# What a finished run makes of validation images; drawing other masks (config/drawn_masks.tsv) trains nothing again.
rule reconstruct:
    input:
        unpack(inputs("reconstruct")),
    output:
        made("reconstruct", "pictures"),
    log:
        "logs/{scale}/reconstruct/{run}_seed{seed}.log",
    benchmark:
        "logs/{scale}/benchmarks/reconstruct_{run}_seed{seed}.tsv"
    conda:
        "../envs/simmim.yaml"
    threads: 1
    params:
        hash=hash_of("reconstruct"),
    shell:
        "OMP_NUM_THREADS={threads} python -m simmim.cluster.logged {log} python -m simmim reconstruct --scale {wildcards.scale} --run {wildcards.run} "
        "--seed {wildcards.seed} --expect {params.hash}"
