rule render:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        initial=rules.pose.output.pose,
        avatar=rules.fit.output.avatar,
        refined=rules.fit.output.pose,
        body=body_file(),
        modules=modules("render"),
    output:
        renders=report(
            directory(f"{OUT}/renders"),
            patterns=["{name}.mp4"],
            caption="../pipeline/report/captions/renders.rst",
            category="{video}",
            subcategory="Pictures",
            labels={"video": "{video}", "file": "{name}"},
        ),
        provenance=f"{OUT}/provenance/render.json",
    log:
        f"{OUT}/logs/render.log",
    conda:
        "../envs/embedded.yaml"
    threads: 2
    resources:
        **needs("render"),
    params:
        directory=results_of,
        settings=settings("render"),
        body=config["body_model"],
    shell:
        "python -m pipeline render {params.directory:q} --body-model {params.body:q} "
        "--settings {params.settings:q} --log {log:q}"
