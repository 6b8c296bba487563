# The benchmark over sequences of datasets, where the config names some. What comes before the fit is the workflow's own:
# each fit is a branch of results/<video>/. Path scheme:
#   results/benchmark/runs/<dataset>/<split>/<row>/<video>/              fit, evaluate
#   results/benchmark/datasets/*.csv, figure.png, results.md             benchmark_datasets
DATASET_OF = {name: clip.dataset for name, clip in CLIPS.items()}
try:
    DATASET_RUNS = BENCHMARK.dataset_runs(DATASET_OF, BENCHMARK_FILE) if CLIPS else []
except UserError as error:
    raise WorkflowError(str(error)) from None
DATASET_RUN = f"{BENCHMARKS}/runs/{{dataset}}/{{split}}/{{row}}/{{video}}"


wildcard_constraints:
    dataset="|".join(map(re.escape, BENCHMARK.datasets)) or "-",


use rule benchmark_fit as benchmark_dataset_fit with:
    input:
        prepared=[
            *rules.decode.output,
            *rules.masks.output,
            *rules.depth.output,
            *rules.pose.output,
        ],
        body=body_file(),
        modules=modules("fit"),
        branch=modules("branch"),
    output:
        avatar=f"{DATASET_RUN}/fit/avatar.npz",
        pose=f"{DATASET_RUN}/fit/pose_refined.npz",
        history=f"{DATASET_RUN}/fit/history.csv",
        provenance=f"{DATASET_RUN}/provenance/fit.json",
    log:
        f"{DATASET_RUN}/logs/fit.log",
    params:
        source=results_of,
        directory=lambda wildcards: DATASET_RUN.format(**wildcards),
        settings=lambda wildcards: json.dumps(
            BENCHMARK.fit_settings(config["fit"], wildcards.split, wildcards.row),
            sort_keys=True,
        ),
        body=config["body_model"],


use rule evaluate as benchmark_dataset_evaluate with:
    input:
        prepared=rules.benchmark_dataset_fit.input.prepared,
        fit=rules.benchmark_dataset_fit.output,
        truth=truth,
        body=body_file(),
        modules=modules("evaluate"),
    output:
        metrics=f"{DATASET_RUN}/metrics.csv",
        provenance=f"{DATASET_RUN}/provenance/evaluate.json",
    log:
        f"{DATASET_RUN}/logs/evaluate.log",
    params:
        directory=lambda wildcards: DATASET_RUN.format(**wildcards),
        settings=settings("evaluate"),
        body=config["body_model"],
        truth=lambda wildcards, input: ["--truth", str(Path(input.truth[0]).parent)],


rule benchmark_datasets:
    input:
        metrics=[f"{run.folder(BENCHMARKS)}/metrics.csv" for run in DATASET_RUNS],
        benchmark=BENCHMARK_FILE,
        modules=modules("benchmark"),
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
        folder=lambda wildcards: BENCHMARKS,
        page=["--page", BENCHMARK.datasets_page] if BENCHMARK.datasets_page else [],
        sequences=[
            part
            for video, dataset in DATASET_OF.items()
            for part in ("--sequence", dataset, video)
        ],
    shell:
        "python -m pipeline benchmark {params.folder:q} --benchmark {input.benchmark:q} {params.page:q} "
        "{params.sequences:q} --log {log:q}"


localrules:
    benchmark,


rule benchmark:
    input:
        rules.benchmark_datasets.output if CLIPS else rules.benchmark_studio.output,
