rule evaluate:
    input:
        encoders=encoders,
        data=evaluation_data,
    output:
        "results/{scale}/evaluate/{run}/{evaluation}.parquet",
    log:
        "logs/{scale}/evaluate/{run}_{evaluation}.log",
    benchmark:
        "logs/{scale}/benchmarks/evaluate_{run}_{evaluation}.tsv"
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
