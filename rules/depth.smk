rule depth:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        user_files=user_files("depth"),
        weights=weight_files("depth"),
        modules=modules("depth", backend=True),
    output:
        **(
            {}
            if config["depth"]["backend"] == "none"
            else {"depth": directory(f"{OUT}/depth")}
        ),
        camera=f"{OUT}/camera.json",
        provenance=f"{OUT}/provenance/depth.json",
    log:
        f"{OUT}/logs/depth.log",
    wildcard_constraints:
        video=made_by("depth"),
    conda:
        environment("depth")
    resources:
        **needs("depth"),
        gpu=gpus("depth"),
    params:
        directory=results_of,
        settings=settings("depth"),
    shell:
        "python -m pipeline depth {params.directory:q} --settings {params.settings:q} --log {log:q}"
