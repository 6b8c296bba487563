rule decode:
    input:
        video=lambda wildcards: VIDEOS[wildcards.video],
        modules=modules("decode"),
    output:
        video=f"{OUT}/video.json",
        frames=directory(f"{OUT}/frames"),
        provenance=f"{OUT}/provenance/decode.json",
    log:
        f"{OUT}/logs/decode.log",
    wildcard_constraints:
        video=made_by("decode"),
    conda:
        "../envs/embedded.yaml"
    resources:
        **needs("decode"),
    params:
        directory=results_of,
        settings=settings("video"),
    shell:
        "python -m pipeline decode {input.video:q} {params.directory:q} --settings {params.settings:q} --log {log:q}"
