rule report:
    input:
        video=rules.decode.output.video,
        camera=rules.depth.output.camera,
        track=rules.camera_track.output.track,
        people=branch(
            lambda wildcards: looks_for_people(wildcards.video),
            then=rules.masks.output.people,
            otherwise=[],
        ),
        metrics=rules.evaluate.output.metrics,
        initial=rules.pose.output.pose,
        refined=rules.fit.output.pose,
        history=rules.fit.output.history,
        renders=rules.render.output.renders,
        exports=rules.export.output.exports,
        body=those_there(body_file),
        provenance=[
            rules.decode.output.provenance,
            rules.masks.output.provenance,
            rules.landmarks.output.provenance,
            rules.depth.output.provenance,
            rules.camera_track.output.provenance,
            rules.pose.output.provenance,
            rules.fit.output.provenance,
            rules.evaluate.output.provenance,
            rules.render.output.provenance,
            rules.export.output.provenance,
        ],
    output:
        page=report(
            f"{OUT}/report.html",
            caption="../pipeline/report/captions/report.rst",
            category="{video}",
            subcategory="Report",
            labels={"video": "{video}", "file": "report"},
        ),
        summary=f"{OUT}/summary.json",
    log:
        f"{OUT}/logs/report.log",
    priority: 9
    conda:
        "../envs/embedded.yaml"
    resources:
        **needs("report"),
    params:
        directory=folder_of,
        settings=settings("report"),
        body=body_model,
        code=code("report"),
    shell:
        "python -m pipeline report {params.directory:q} --body-model {params.body:q} "
        "--settings {params.settings:q} --log {log:q}"
