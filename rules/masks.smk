rule masks:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        user_files=user_files("masks"),
        weights=weight_files("masks"),
        modules=modules("masks", backend=True),
    output:
        masks=directory(f"{OUT}/masks"),
        provenance=f"{OUT}/provenance/masks.json",
    log:
        f"{OUT}/logs/masks.log",
    wildcard_constraints:
        video=made_by("masks"),
    conda:
        environment("masks")
    threads: 2
    resources:
        **needs("masks"),
        gpu=gpus("masks"),
    params:
        directory=results_of,
        settings=settings("masks"),
    shell:
        "python -m pipeline masks {params.directory:q} --settings {params.settings:q} --log {log:q}"
