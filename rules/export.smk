rule export:
    input:
        avatar=rules.fit.output.avatar,
        refined=rules.fit.output.pose,
        initial=rules.pose.output.pose,
        frames=rules.decode.output.frames,
        body=those_there(body_file),
    output:
        exports=directory(f"{OUT}/exports"),
        provenance=f"{OUT}/provenance/export.json",
    log:
        f"{OUT}/logs/export.log",
    priority: 8
    conda:
        "../envs/embedded.yaml"
    threads: 1  # see evaluate
    resources:
        **needs("export"),
    params:
        directory=folder_of,
        settings=settings("export"),
        body=body_model,
        code=code("export"),
        files=stamp(body_file),
    shell:
        "python -m pipeline export {params.directory:q} --body-model {params.body:q} "
        "--settings {params.settings:q} --log {log:q}"
