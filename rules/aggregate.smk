rule aggregate:
    input:
        metrics=expand(rules.evaluate.output.metrics, video=VIDEOS),
        modules=modules("aggregate"),
    output:
        report(
            f"{RESULTS}/metrics.csv",
            caption="../pipeline/report/captions/metrics.rst",
            category="All videos",
            labels={"file": "metrics of all videos"},
        ),
    log:
        f"{RESULTS}/logs/aggregate.log",
    conda:
        "../envs/embedded.yaml"
    params:
        directories=expand(OUT, video=VIDEOS),
    shell:
        "python -m pipeline aggregate {output:q} {params.directories:q} --log {log:q}"
