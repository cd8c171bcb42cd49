rule check:
    output:
        "results/{scale}/checked.txt",
    log:
        "logs/{scale}/check.log",
    conda:
        "../../environment.yml"
    params:
        rows=lambda wildcards: config_hash(SHEETS.everything(wildcards.scale)),
    shell:
        "python -m simmim check --scale {wildcards.scale} {COMMON} > {log} 2>&1 && cp {log} {output}"


rule demo_data:
    input:
        ancient("results/{scale}/checked.txt"),
    output:
        "results/{scale}/source/data_card.json",
    log:
        "logs/{scale}/demo_data.log",
    benchmark:
        "logs/{scale}/benchmarks/demo_data.tsv"
    conda:
        "../../environment.yml"
    params:
        settings=demo_hash,
    shell:
        "python -m simmim demo-data --scale {wildcards.scale} {COMMON} > {log} 2>&1"


rule pack:
    input:
        ancient("results/{scale}/checked.txt"),
        source_of,
    output:
        "results/{scale}/data/{dataset}/{split}/index.json",
    log:
        "logs/{scale}/pack/{dataset}_{split}.log",
    benchmark:
        "logs/{scale}/benchmarks/pack_{dataset}_{split}.tsv"
    conda:
        "../../environment.yml"
    params:
        hash=pack_hash,
    shell:
        "python -m simmim pack --scale {wildcards.scale} --dataset {wildcards.dataset} --split {wildcards.split} "
        "--expect {params.hash} {COMMON} > {log} 2>&1"
