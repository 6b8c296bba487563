rule evaluate:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        decode=rules.decode.output.provenance,
        masks=rules.masks.output.masks,
        camera=rules.depth.output.camera,
        track=rules.camera_track.output.track,
        initial=rules.pose.output.pose,
        landmarks=rules.landmarks.output.landmarks,
        avatar=rules.fit.output.avatar,
        refined=rules.fit.output.pose,
        masks_refined=rules.fit.output.masks,
        fit=rules.fit.output.provenance,
        truth=truth,
        body=those_there(body_file),
    output:
        metrics=f"{OUT}/metrics.csv",
        provenance=f"{OUT}/provenance/evaluate.json",
    log:
        f"{OUT}/logs/evaluate.log",
    priority: 7
    conda:
        "../envs/embedded.yaml"
    threads: 1  # nearly all of it is on one thread; export runs beside it
    resources:
        **needs("evaluate"),
    params:
        directory=folder_of,
        settings=settings("evaluate"),
        body=body_model,
        truth=lambda wildcards, input: (
            ["--truth", str(Path(input.truth[0]).parent)] if input.truth else []
        ),
        code=code("evaluate"),
        files=stamp(evaluate_files),
    shell:
        "python -m pipeline evaluate {params.directory:q} --body-model {params.body:q} {params.truth:q} "
        "--settings {params.settings:q} --log {log:q}"
