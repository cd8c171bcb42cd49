# What a frozen encoder makes of the images that a probe or a k-NN reads. It is large, so it goes when that is done (`--notemp` keeps
# it), and it is planned only where that is to run.
rule features:
    input:
        unpack(inputs("features")),
    output:
        temp(directory(made("features", "folder"))),
    log:
        "logs/{scale}/features/{run}_seed{seed}_{features}.log",
    benchmark:
        "logs/{scale}/benchmarks/features_{run}_seed{seed}_{features}.tsv"
    priority: 50
    conda:
        "../envs/simmim.yaml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        launch=launcher,
    shell:
        "OMP_NUM_THREADS={threads} python -m simmim.cluster.logged {log} {params.launch} features --scale {wildcards.scale} --run {wildcards.run} "
        "--seed {wildcards.seed} --name {wildcards.features}"
