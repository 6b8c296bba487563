rule landmarks:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        decoded=rules.decode.output.provenance,
        masks=rules.masks.output.masks,
        files=those_there(landmarks_files),
    output:
        landmarks=f"{OUT}/landmarks.npz",
        provenance=f"{OUT}/provenance/landmarks.json",
    log:
        f"{OUT}/logs/landmarks.log",
    priority: 3
    conda:
        environment("landmarks")
    threads: 1  # two detectors side by side where there is room; camera_track runs beside them
    resources:
        **needs("landmarks"),
        gpu=gpus("landmarks"),
    params:
        directory=folder_of,
        settings=settings("landmarks"),
        code=code("landmarks", backend=True),
        files=stamp(landmarks_files),
    shell:
        "python -m pipeline landmarks {params.directory:q} --settings {params.settings:q} --log {log:q}"
