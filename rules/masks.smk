# Two rules, for a rule's outputs are the same for all its videos: who is in the clip is shown where a backend looks for it.
rule masks:
    input:
        frames=rules.decode.output.frames,
        video=rules.decode.output.video,
        files=those_there(stage_files("masks")),
    output:
        masks=directory(f"{OUT}/masks"),
        people=f"{OUT}/people.jpg",
        provenance=f"{OUT}/provenance/masks.json",
    log:
        f"{OUT}/logs/masks.log",
    wildcard_constraints:
        video=made_by("masks", filter(looks_for_people, VIDEOS)),
    priority: 2
    conda:
        environment("masks")
    threads: 2
    resources:
        gpu=gpus("masks"),
    params:
        directory=folder_of,
        settings=settings("masks"),
        code=code("masks", backend=True),
        files=stamp(stage_files("masks")),
    shell:
        "python -m pipeline masks {params.directory:q} --settings {params.settings:q} --log {log:q}"


use rule masks as masks_import with:
    output:
        masks=directory(f"{OUT}/masks"),
        provenance=f"{OUT}/provenance/masks.json",
    wildcard_constraints:
        video=made_by("masks", [name for name in VIDEOS if not looks_for_people(name)]),
