rule render:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        initial=rules.pose.output.pose,
        avatar=rules.fit.output.avatar,
        refined=rules.fit.output.pose,
        masks=[rules.masks.output.masks, rules.fit.output.masks],
        files=those_there(render_files),
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
    priority: 6
    conda:
        "../envs/embedded.yaml"
    threads: 2
    resources:
        **needs("render"),
    params:
        directory=folder_of,
        settings=settings("render"),
        body=body_model,
        code=code("render"),
        files=stamp(render_files),
    shell:
        "python -m pipeline render {params.directory:q} --body-model {params.body:q} "
        "--settings {params.settings:q} --log {log:q}"
