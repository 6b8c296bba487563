rule aggregate:
    input:
        metrics=[f"{RESULTS}/{video}/metrics.csv" for video in VIDEOS],
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
        directories=lambda wildcards, input: [
            str(Path(table).parent) for table in input.metrics
        ],
        code=code("aggregate"),
    shell:
        "python -m pipeline aggregate {output:q} {params.directories:q} --log {log:q}"
