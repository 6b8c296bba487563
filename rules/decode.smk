rule decode:
    input:
        video=video_file,
    output:
        video=f"{OUT}/video.json",
        frames=directory(f"{OUT}/frames"),
        provenance=f"{OUT}/provenance/decode.json",
    log:
        f"{OUT}/logs/decode.log",
    wildcard_constraints:
        video=made_by("decode"),
    priority: 1
    conda:
        "../envs/embedded.yaml"
    params:
        directory=folder_of,
        settings=settings("video"),
        code=code("decode"),
        files=stamp(decode_files),
    shell:
        "python -m pipeline decode {input.video:q} {params.directory:q} --settings {params.settings:q} --log {log:q}"
