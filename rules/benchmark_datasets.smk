# The benchmark over sequences of datasets, or real videos with measured joints, where the config names some. What comes
# before the fit is the workflow's own: each fit is a branch of results/<video>/. Path scheme:
#   results/benchmark/runs/<dataset>/<split>/<row>/<video>/              fit, evaluate
#   results/benchmark/datasets/*.csv, figure.png, results.md             benchmark_datasets
DATASET_OF = {name: clip.dataset for name, clip in SEQUENCES.items()}
DATASET_OF |= dict.fromkeys(MEASURED, "measured")
try:
    DATASET_RUNS = (
        BENCHMARK.dataset_runs(DATASET_OF, BENCHMARK_FILE) if DATASET_OF else []
    )
except UserError as error:
    raise WorkflowError(str(error)) from None
DATASET_RUN = f"{BENCHMARKS}/runs/{{dataset}}/{{split}}/{{row}}/{{video}}"


wildcard_constraints:
    dataset="|".join(map(re.escape, BENCHMARK.datasets)) or "-",


use rule benchmark_fit as benchmark_dataset_fit with:
    input:
        prepared=[
            *rules.decode.output,
            rules.masks.output.masks,
            rules.landmarks.output.landmarks,
            rules.depth.output.camera,
            rules.camera_track.output.track,
            *rules.pose.output,
        ],
        depth=rules.fit.input.depth,
        features=those_there(benchmark_features),
        body=those_there(body_file),
    output:
        avatar=f"{DATASET_RUN}/fit/avatar.npz",
        pose=f"{DATASET_RUN}/fit/pose_refined.npz",
        history=f"{DATASET_RUN}/fit/history.csv",
        masks=directory(f"{DATASET_RUN}/masks_refined"),
        provenance=f"{DATASET_RUN}/provenance/fit.json",
    log:
        f"{DATASET_RUN}/logs/fit.log",
    params:
        code=code("fit"),
        branch=code("branch"),
        files=stamp(
            lambda wildcards: body_file(wildcards) + benchmark_features(wildcards)
        ),
        source=lambda wildcards, input: str(Path(input.prepared[0]).parent),
        directory=fitted_folder,
        settings=lambda wildcards: json.dumps(
            BENCHMARK.fit_settings(config["fit"], wildcards.split, wildcards.row),
            sort_keys=True,
        ),
        body=body_model,


use rule evaluate as benchmark_dataset_evaluate with:
    input:
        prepared=rules.benchmark_dataset_fit.input.prepared,
        fit=rules.benchmark_dataset_fit.output,
        truth=truth,
        body=those_there(body_file),
    output:
        metrics=f"{DATASET_RUN}/metrics.csv",
        provenance=f"{DATASET_RUN}/provenance/evaluate.json",
    log:
        f"{DATASET_RUN}/logs/evaluate.log",
    params:
        code=code("evaluate"),
        files=stamp(evaluate_files),
        directory=folder_of,
        settings=settings("evaluate"),
        body=body_model,
        truth=lambda wildcards, input: (
            ["--truth", str(Path(input.truth[0]).parent)] if input.truth else []
        ),


rule benchmark_datasets:
    input:
        metrics=[f"{run.folder(BENCHMARKS)}/metrics.csv" for run in DATASET_RUNS],
        benchmark=left_in_place([BENCHMARK_FILE]),
    output:
        multiext(
            f"{BENCHMARKS}/datasets/",
            "figures.csv",
            "motion.csv",
            "rendering.csv",
            "figure.png",
            "results.md",
        ),
    log:
        f"{BENCHMARKS}/logs/benchmark_datasets.log",
    conda:
        "../envs/embedded.yaml"
    params:
        code=code("benchmark"),
        folder=lambda wildcards, output: str(Path(output[0]).parent.parent),
        page=["--page", BENCHMARK.datasets_page] if BENCHMARK.datasets_page else [],
        sequences=[
            part
            for video, dataset in DATASET_OF.items()
            for part in ("--sequence", dataset, video)
        ],
    shell:
        "python -m pipeline benchmark {params.folder:q} --benchmark {input.benchmark:q} {params.page:q} "
        "{params.sequences:q} --log {log:q}"
