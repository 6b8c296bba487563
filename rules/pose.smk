rule pose:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        masks=rules.masks.output.masks,
        landmarks=rules.landmarks.output.landmarks,
        camera=rules.depth.output.camera,
        track=rules.camera_track.output.track,
        body=those_there(body_file),
        files=those_there(stage_files("pose")),
    output:
        pose=f"{OUT}/pose_init.npz",
        provenance=f"{OUT}/provenance/pose.json",
    log:
        f"{OUT}/logs/pose.log",
    wildcard_constraints:
        video=made_by("pose"),
    priority: 4
    conda:
        environment("pose")
    threads: 2
    resources:
        **needs("pose"),
        gpu=gpus("pose"),
    params:
        directory=folder_of,
        settings=settings("pose"),
        body=body_model,
        camera=settings("camera", "pitch", "roll"),
        code=code("pose", backend=True),
        files=stamp(
            lambda wildcards: body_file(wildcards) + stage_files("pose")(wildcards)
        ),
    shell:
        "python -m pipeline pose {params.directory:q} --body-model {params.body:q} "
        "--camera {params.camera:q} --settings {params.settings:q} --log {log:q}"
