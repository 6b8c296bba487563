# The benchmark over real videos whose joints were measured: config key `measured`. Their fits are those of
# benchmark_datasets.smk. Path scheme:
#   results/benchmark/runs/measured/<split>/<row>/<video>/               fit, score, evaluate
#   results/benchmark/real/figures.csv, results.md                       benchmark_measured


rule benchmark_measured_score:
    input:
        prepared=[rules.decode.output.video, rules.pose.output.pose],
        fit=rules.benchmark_dataset_fit.output,
        truth=lambda wildcards: left_in_place(measured_files(wildcards)),
        body=those_there(body_file),
    output:
        f"{DATASET_RUN}/joints.csv",
    log:
        f"{DATASET_RUN}/logs/score.log",
    wildcard_constraints:
        video="|".join(map(re.escape, MEASURED)) or "-",
    conda:
        "../envs/embedded.yaml"
    threads: 1
    params:
        code=code("score"),
        files=stamp(measured_files),
        directory=folder_of,
        options=lambda wildcards: MEASURED[wildcards.video].options,
        body=body_model,
    shell:
        "OMP_NUM_THREADS={threads} python -m pipeline score {params.directory:q} {params.options:q} "
        "--body-model {params.body:q} --log {log:q}"


rule benchmark_measured:
    input:
        scores=[f"{run.folder(BENCHMARKS)}/joints.csv" for run in DATASET_RUNS],
        metrics=[
            f"{run.folder(BENCHMARKS)}/metrics.csv" for run in pictured(DATASET_RUNS)
        ],
        benchmark=left_in_place([BENCHMARK_FILE]),
    output:
        multiext(f"{BENCHMARKS}/real/", "figures.csv", "results.md"),
    log:
        f"{BENCHMARKS}/logs/benchmark_measured.log",
    conda:
        "../envs/embedded.yaml"
    params:
        code=code("benchmark"),
        folder=lambda wildcards, output: str(Path(output[0]).parent.parent),
        page=["--page", BENCHMARK.measured_page] if BENCHMARK.measured_page else [],
        clips=[part for video in MEASURED for part in ("--measured", video)],
    shell:
        "python -m pipeline benchmark {params.folder:q} --benchmark {input.benchmark:q} {params.page:q} "
        "{params.clips:q} --log {log:q}"
