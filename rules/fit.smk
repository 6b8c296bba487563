# fit/checkpoint.pt is no declared output: Snakemake would delete it before the rerun that resumes from it.
rule fit:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        masks=rules.masks.output.masks,
        depth=getattr(rules.depth.output, "depth", []),
        camera=rules.depth.output.camera,
        pose=rules.pose.output.pose,
        body=body_file(),
        features=neuhmr_features(config["fit"]),
        modules=modules("fit"),
    output:
        avatar=f"{OUT}/fit/avatar.npz",
        pose=f"{OUT}/fit/pose_refined.npz",
        history=f"{OUT}/fit/history.csv",
        provenance=f"{OUT}/provenance/fit.json",
    log:
        f"{OUT}/logs/fit.log",
    conda:
        environment("fit")
    threads: 4
    resources:
        **needs("fit"),
        gpu=gpus("fit"),
    params:
        directory=results_of,
        settings=settings("fit"),
        body=config["body_model"],
    shell:
        "python -m pipeline fit {params.directory:q} --body-model {params.body:q} --threads {threads} "
        "--settings {params.settings:q} --log {log:q}"
