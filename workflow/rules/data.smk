rule demo_data:
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
        "python -m simmim demo-data --scale {wildcards.scale} > {log} 2>&1"


rule pack:
    input:
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
        "--expect {params.hash} > {log} 2>&1"
