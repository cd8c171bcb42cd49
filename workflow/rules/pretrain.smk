# Checkpoints lie in an undeclared `state` folder beside the outputs: Snakemake deletes declared outputs before a retry.
rule pretrain:
    input:
        data=pretraining_data,
        start=own_first_stage,
        tokenizer=target_tokenizer,
    output:
        encoder="results/{scale}/pretrain/{run}/seed{seed}/encoder.safetensors",
        head="results/{scale}/pretrain/{run}/seed{seed}/head.safetensors",
        records="results/{scale}/pretrain/{run}/seed{seed}/train.parquet",
    log:
        "logs/{scale}/pretrain/{run}_seed{seed}.log",
    benchmark:
        "logs/{scale}/benchmarks/pretrain_{run}_seed{seed}.tsv"
    priority: 100
    conda:
        "../../environment.yml"
    threads: 1
    params:
        hash=pretraining_hash,
        launch=launcher,
    shell:
        "OMP_NUM_THREADS={threads} {params.launch} pretrain --scale {wildcards.scale} --run {wildcards.run} "
        "--seed {wildcards.seed} --expect {params.hash} > {log} 2>&1"


# Runs with the step schedule: up to the first milestone, where every longer run goes on too (Table 9).
rule first_stage:
    input:
        data=pretraining_data,
        start=shorter_first_stage,
        tokenizer=target_tokenizer,
    output:
        model="results/{scale}/pretrain/{run}/seed{seed}/first_stage/model.safetensors",
        optimizer="results/{scale}/pretrain/{run}/seed{seed}/first_stage/optimizer.safetensors",
        manifest="results/{scale}/pretrain/{run}/seed{seed}/first_stage/manifest.json",
    log:
        "logs/{scale}/first_stage/{run}_seed{seed}.log",
    benchmark:
        "logs/{scale}/benchmarks/first_stage_{run}_seed{seed}.tsv"
    priority: 100
    conda:
        "../../environment.yml"
    threads: 1
    params:
        hash=pretraining_hash,
        launch=launcher,
    shell:
        "OMP_NUM_THREADS={threads} {params.launch} first-stage --scale {wildcards.scale} --run {wildcards.run} "
        "--seed {wildcards.seed} --expect {params.hash} > {log} 2>&1"


# What a finished run makes of held-out images; drawing other masks (config/drawn_masks.tsv) trains nothing again.
rule recover:
    input:
        data=pretraining_data,
        encoder="results/{scale}/pretrain/{run}/seed{seed}/encoder.safetensors",
        head="results/{scale}/pretrain/{run}/seed{seed}/head.safetensors",
        tokenizer=target_tokenizer,
    output:
        "results/{scale}/pretrain/{run}/seed{seed}/reconstruction.parquet",
    log:
        "logs/{scale}/recover/{run}_seed{seed}.log",
    benchmark:
        "logs/{scale}/benchmarks/recover_{run}_seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        hash=pretraining_hash,
        drawn=drawn_hash,
    shell:
        "OMP_NUM_THREADS={threads} python -m simmim recover --scale {wildcards.scale} --run {wildcards.run} "
        "--seed {wildcards.seed} --expect {params.hash} > {log} 2>&1"
