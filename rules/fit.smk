# fit/checkpoint.pt is no declared output: Snakemake would delete it before the rerun that resumes from it.
rule fit:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        masks=rules.masks.output.masks,
        depth=branch(
            lambda wildcards: has_depth(wildcards.video),
            then=rules.depth.output.depth,
            otherwise=[],
        ),
        camera=rules.depth.output.camera,
        track=rules.camera_track.output.track,
        pose=rules.pose.output.pose,
        landmarks=rules.landmarks.output.landmarks,
        files=those_there(fit_files),
    output:
        avatar=f"{OUT}/fit/avatar.npz",
        pose=f"{OUT}/fit/pose_refined.npz",
        history=f"{OUT}/fit/history.csv",
        masks=directory(f"{OUT}/masks_refined"),
        provenance=f"{OUT}/provenance/fit.json",
    log:
        f"{OUT}/logs/fit.log",
    priority: 5
    conda:
        environment("fit")
    threads: 4
    resources:
        **needs("fit"),
        gpu=gpus("fit"),
    params:
        directory=fitted_folder,
        settings=settings("fit"),
        body=body_model,
        camera=settings("camera", "pitch", "roll"),
        code=code("fit"),
        files=stamp(fit_files),
    shell:
        "python -m pipeline fit {params.directory:q} --body-model {params.body:q} --threads {threads} "
        "--camera {params.camera:q} --settings {params.settings:q} --log {log:q}"
