# Sequences of public datasets in place of videos: config key `datasets`, see config/datasets.yaml.
# A sequence may ship masks, camera, depth or an initial motion: then this rule makes what those stages would. A rule's
# outputs are the same for all its jobs, so there is a rule for each set of parts that sequences give.
GIVEN = {
    "camera": [f"{OUT}/camera.json"],
    "depth": [directory(f"{OUT}/depth")],
    "masks": [directory(f"{OUT}/masks")],
    "pose": [f"{OUT}/pose_init.npz"],
}

for parts in sorted({clip.parts for clip in SEQUENCES.values()}):
    alike = {name: clip for name, clip in SEQUENCES.items() if clip.parts == parts}
    stages = sorted(next(iter(alike.values())).stages)

    rule:
        name:
            "_".join(["dataset", *parts])
        input:
            sequence=lambda wildcards: left_in_place(SEQUENCES[wildcards.video].inputs),
            body=those_there(body_file),
        output:
            video=f"{OUT}/video.json",
            frames=directory(f"{OUT}/frames"),
            truth=f"{OUT}/truth/pose.npz",
            given=[path for part in parts for path in GIVEN[part]],
            provenance=[f"{OUT}/provenance/{stage}.json" for stage in stages],
        log:
            f"{OUT}/logs/dataset.log",
        wildcard_constraints:
            video="|".join(map(re.escape, alike)),
        conda:
            "../envs/embedded.yaml"
        params:
            sequence=lambda wildcards: SEQUENCES[wildcards.video].arguments,
            options=lambda wildcards: SEQUENCES[wildcards.video].options,
            directory=folder_of,
            body=body_model,
            code=code("dataset"),
            files=stamp(
                lambda wildcards: [
                    *SEQUENCES[wildcards.video].inputs,
                    *body_file(wildcards),
                ]
            ),
        shell:
            "python -m pipeline dataset {params.sequence:q} {params.directory:q} --body-model {params.body:q} "
            "{params.options:q} --log {log:q}"
