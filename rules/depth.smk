# Two rules, for a rule's outputs are the same for all its videos: with depth maps, and the camera alone.
rule depth:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        files=those_there(stage_files("depth")),
    output:
        camera=f"{OUT}/camera.json",
        depth=directory(f"{OUT}/depth"),
        provenance=f"{OUT}/provenance/depth.json",
    log:
        f"{OUT}/logs/depth.log",
    wildcard_constraints:
        video=made_by("depth", filter(has_depth, VIDEOS)),
    priority: 3
    conda:
        environment("depth")
    resources:
        gpu=gpus("depth"),
    params:
        directory=folder_of,
        settings=settings("depth"),
        code=code("depth", backend=True),
        files=stamp(stage_files("depth")),
    shell:
        "python -m pipeline depth {params.directory:q} --settings {params.settings:q} --log {log:q}"


use rule depth as camera with:
    output:
        camera=f"{OUT}/camera.json",
        provenance=f"{OUT}/provenance/depth.json",
    wildcard_constraints:
        video=made_by("depth", [video for video in VIDEOS if not has_depth(video)]),
