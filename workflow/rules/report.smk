# Parameters and multiply-adds of a run's networks, counted from the code without data or GPU (Tables 2, 7 and 8).
rule size:
    output:
        "results/{scale}/size/{run}.parquet",
    log:
        "logs/{scale}/size/{run}.log",
    conda:
        "../../environment.yml"
    params:
        hash=size_hash,
    shell:
        "python -m simmim size --scale {wildcards.scale} --run {wildcards.run} --expect {params.hash} > {log} 2>&1"


# What masks are like needs no training: AvgDist of every run, and images under each kind of mask.
rule avg_dist:
    output:
        "results/{scale}/avg_dist.parquet",
    log:
        "logs/{scale}/avg_dist.log",
    conda:
        "../../environment.yml"
    params:
        hash=masks_hash,
    shell:
        "python -m simmim avg-dist --scale {wildcards.scale} > {log} 2>&1"


rule mask_samples:
    input:
        reference_images,
    output:
        "results/{scale}/mask_samples.parquet",
    log:
        "logs/{scale}/mask_samples.log",
    conda:
        "../../environment.yml"
    params:
        hash=reference_hash,
    shell:
        "python -m simmim mask-samples --scale {wildcards.scale} > {log} 2>&1"


rule table:
    input:
        table_inputs,
    output:
        parquet="results/{scale}/tables/{name}.parquet",
        markdown="results/{scale}/tables/{name}.md",
        html=report(
            "results/{scale}/tables/{name}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{name}", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/tables/{name}.log",
    conda:
        "../../environment.yml"
    params:
        facts=report_hash,
    shell:
        "python -m simmim table --scale {wildcards.scale} --name {wildcards.name} > {log} 2>&1"


rule figure:
    input:
        figure_inputs,
    output:
        report(
            "results/{scale}/figures/{name}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/figures/{name}.log",
    conda:
        "../../environment.yml"
    params:
        facts=report_hash,
        description=lambda wildcards: catalogue.figure_description(wildcards.name),
    shell:
        "python -m simmim figure --scale {wildcards.scale} --name {wildcards.name} > {log} 2>&1"


rule page:
    input:
        tables=page_tables,
        figures=page_figures,
        card=page_card,
    output:
        report(
            "results/{scale}/report.html",
            caption="../report/page.rst",
            category="Report page",
            labels={"page": "report", "scale": "{scale}"},
        ),
    log:
        "logs/{scale}/page.log",
    conda:
        "../../environment.yml"
    params:
        facts=report_hash,
    shell:
        "python -m simmim page --scale {wildcards.scale} > {log} 2>&1"
