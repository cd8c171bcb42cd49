# Codes for the targets that are classes of a tokenizer (section 4.1.5); made once per scale, from its pre-training images.
rule tokenizer:
    input:
        unpack(inputs("tokenizer")),
    output:
        made("tokenizer", "tokenizer"),
    log:
        "logs/{scale}/tokenizers/{tokenizer}.log",
    benchmark:
        "logs/{scale}/benchmarks/tokenizer_{tokenizer}.tsv"
    priority: 110
    conda:
        "../envs/simmim.yaml"
    threads: 1
    resources:
        gpu=GPUS,
    params:
        hash=hash_of("tokenizer"),
        launch=launcher,
    shell:
        "OMP_NUM_THREADS={threads} python -m simmim.cluster.logged {log} {params.launch} tokenizer --scale {wildcards.scale} "
        "--tokenizer {wildcards.tokenizer} --expect {params.hash}"
