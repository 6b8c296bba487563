# The targets benchmark, benchmark_quick and benchmark_studies. Each names every file of its fits and scores: what a failed job
# or the user took away is made again, though tables that were made of it are there.
STUDIO_FILES = [
    *PREPARED_FILES,
    *rules.benchmark_fit.output,
    *rules.benchmark_evaluate.output,
    *rules.benchmark_score.output,
]
DATASET_FILES = [
    *rules.benchmark_dataset_fit.input.prepared,
    *rules.benchmark_dataset_fit.output,
]


localrules:
    benchmark,
    benchmark_quick,
    benchmark_studies,


if SEQUENCES:

    rule benchmark:
        input:
            made_for(
                DATASET_RUNS,
                DATASET_FILES + rules.benchmark_dataset_evaluate.output,
            ),
            rules.benchmark_datasets.output,

elif MEASURED:

    rule benchmark:
        input:
            made_for(
                DATASET_RUNS,
                DATASET_FILES + rules.benchmark_measured_score.output,
            ),
            made_for(
                pictured(DATASET_RUNS),
                rules.benchmark_dataset_evaluate.output,
            ),
            rules.benchmark_measured.output,

else:

    rule benchmark:
        input:
            made_for(BENCHMARK.all_runs() + BENCHMARK.study_runs(), STUDIO_FILES),
            rules.benchmark_studio.output,
            rules.benchmark_studio_studies.output if BENCHMARK.studies else [],


rule benchmark_quick:
    input:
        made_for(BENCHMARK.all_runs(quick=True), STUDIO_FILES),
        rules.benchmark_studio_quick.output,


rule benchmark_studies:
    input:
        made_for(BENCHMARK.study_runs(), STUDIO_FILES),
        rules.benchmark_studio_studies.output,
