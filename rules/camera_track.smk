rule camera_track:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        masks=rules.masks.output.masks,
        camera=rules.depth.output.camera,
        files=those_there(stage_files("camera")),
    output:
        track=f"{OUT}/camera_track.npz",
        provenance=f"{OUT}/provenance/camera_track.json",
    log:
        f"{OUT}/logs/camera_track.log",
    priority: 4
    conda:
        "../envs/embedded.yaml"
    resources:
        **needs("camera_track"),
    params:
        directory=folder_of,
        settings=settings("camera", "backend", "path"),
        code=code("camera_track"),
        files=stamp(stage_files("camera")),
    shell:
        "python -m pipeline camera_track {params.directory:q} --settings {params.settings:q} --log {log:q}"
