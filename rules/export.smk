rule export:
    input:
        avatar=rules.fit.output.avatar,
        refined=rules.fit.output.pose,
        body=body_file(),
        modules=modules("export"),
    output:
        exports=directory(f"{OUT}/exports"),
        provenance=f"{OUT}/provenance/export.json",
    log:
        f"{OUT}/logs/export.log",
    conda:
        "../envs/embedded.yaml"
    threads: 2
    resources:
        **needs("export"),
    params:
        directory=results_of,
        settings=settings("export"),
        body=config["body_model"],
    shell:
        "python -m pipeline export {params.directory:q} --body-model {params.body:q} "
        "--settings {params.settings:q} --log {log:q}"
