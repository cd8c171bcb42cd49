rule demo_data:
    output:
        made("demo_data", "card"),
    log:
        "logs/{scale}/demo_data.log",
    benchmark:
        "logs/{scale}/benchmarks/demo_data.tsv"
    conda:
        "../envs/simmim.yaml"
    params:
        hash=hash_of("demo_data"),
    shell:
        "python -m simmim.cluster.logged {log} python -m simmim demo-data --scale {wildcards.scale} --expect {params.hash}"


# As many processes as it has CPUs: `cpus_per_task` of a cluster's profile, elsewhere `threads` (--set-threads pack=8).
# The journal beside the shards is no declared output: Snakemake deletes these before a retry.
rule pack:
    input:
        unpack(inputs("pack")),
    output:
        made("pack", "index"),
    log:
        "logs/{scale}/pack/{dataset}_{split}.log",
    benchmark:
        "logs/{scale}/benchmarks/pack_{dataset}_{split}.tsv"
    conda:
        "../envs/simmim.yaml"
    threads: 1
    params:
        hash=hash_of("pack"),
        processes=processes,
        granted=granted,
    shell:
        "python -m simmim.cluster.logged {log} env {params.granted}python -m simmim.cluster.again python -m simmim pack --scale {wildcards.scale} --dataset {wildcards.dataset} "
        "--split {wildcards.split} --processes {params.processes} --expect {params.hash}"
