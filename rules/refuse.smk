# What stands in videos/ or in the sheet and cannot be done: a job that fails with its line, so that the run does.
localrules:
    refuse,


rule refuse:
    output:
        f"{RESULTS}/logs/refused_{{number}}",
    log:
        f"{RESULTS}/logs/refused_{{number}}.log",
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../envs/embedded.yaml"
    container:
        None
    params:
        line=lambda wildcards: f"error: {FOUND.refused[int(wildcards.number)]}",
    shell:
        "echo {params.line:q} > {log:q}; exit 1"
