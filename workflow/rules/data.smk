rule demo_data:
    output:
        made("demo_data", "card"),
    log:
        "logs/{scale}/demo_data.log",
    benchmark:
        "logs/{scale}/benchmarks/demo_data.tsv"
    conda:
        "../../environment.yml"
    params:
        hash=hash_of("demo_data"),
    shell:
        "{LOGGED} {log} python -m simmim demo-data --scale {wildcards.scale} --expect {params.hash}"


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
        "../../environment.yml"
    params:
        hash=hash_of("pack"),
    shell:
        "{LOGGED} {log} python -m simmim pack --scale {wildcards.scale} --dataset {wildcards.dataset} --split {wildcards.split} "
        "--expect {params.hash}"
