# Parameters and multiply-adds of a run's networks, counted from the code without data or GPU (Tables 2, 7 and 8).
rule size:
    output:
        made("size", "records"),
    log:
        "logs/{scale}/size/{run}.log",
    conda:
        "../envs/simmim.yaml"
    params:
        hash=hash_of("size"),
    shell:
        "python -m simmim.cluster.logged {log} python -m simmim size --scale {wildcards.scale} --run {wildcards.run} --expect {params.hash}"


# What masks are like needs no training: AvgDist of every run, and images under each kind of mask.
rule avg_dist:
    output:
        made("avg_dist", "records"),
    log:
        "logs/{scale}/avg_dist.log",
    conda:
        "../envs/simmim.yaml"
    params:
        hash=hash_of("avg_dist"),
    shell:
        "python -m simmim.cluster.logged {log} python -m simmim avg-dist --scale {wildcards.scale}"


rule mask_samples:
    input:
        unpack(inputs("mask_samples")),
    output:
        made("mask_samples", "pictures"),
    log:
        "logs/{scale}/mask_samples.log",
    conda:
        "../envs/simmim.yaml"
    params:
        hash=hash_of("mask_samples"),
    shell:
        "python -m simmim.cluster.logged {log} python -m simmim mask-samples --scale {wildcards.scale}"


rule table:
    input:
        unpack(inputs("table")),
    output:
        parquet=made("table", "parquet"),
        markdown=made("table", "md"),
        html=report(
            made("table", "html"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{name}", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/tables/{name}.log",
    conda:
        "../envs/simmim.yaml"
    params:
        hash=hash_of("table"),
    shell:
        "python -m simmim.cluster.logged {log} python -m simmim table --scale {wildcards.scale} --name {wildcards.name}"


rule figure:
    input:
        unpack(inputs("figure")),
    output:
        report(
            made("figure", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/figures/{name}.log",
    conda:
        "../envs/simmim.yaml"
    params:
        hash=hash_of("figure"),
        description=lambda wildcards: catalogue.figure_description(wildcards.name),
    shell:
        "python -m simmim.cluster.logged {log} python -m simmim figure --scale {wildcards.scale} --name {wildcards.name}"


rule page:
    input:
        unpack(inputs("page")),
    output:
        report(
            made("page", "html"),
            caption="../report/page.rst",
            category="Report page",
            labels={"page": "report", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/page.log",
    conda:
        "../envs/simmim.yaml"
    params:
        hash=hash_of("page"),
    shell:
        "python -m simmim.cluster.logged {log} python -m simmim page --scale {wildcards.scale}"
