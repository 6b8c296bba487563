rule pose:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        masks=rules.masks.output.masks,
        camera=rules.depth.output.camera,
        body=body_file(),
        user_files=user_files("pose"),
        weights=weight_files("pose"),
        modules=modules("pose", backend=True),
    output:
        pose=f"{OUT}/pose_init.npz",
        landmarks=f"{OUT}/landmarks.npz",
        provenance=f"{OUT}/provenance/pose.json",
    log:
        f"{OUT}/logs/pose.log",
    wildcard_constraints:
        video=made_by("pose"),
    conda:
        environment("pose")
    threads: 2
    resources:
        **needs("pose"),
        gpu=gpus("pose"),
    params:
        directory=results_of,
        settings=settings("pose"),
        body=config["body_model"],
    shell:
        "python -m pipeline pose {params.directory:q} --body-model {params.body:q} "
        "--settings {params.settings:q} --log {log:q}"
