# The benchmark: snakemake benchmark, snakemake benchmark_quick; config key `benchmark` names the file that says what is
# run. With the config key `datasets` it is of their sequences (benchmark_datasets.smk), with `measured` of real videos
# (benchmark_measured.smk), else of studio clips. Path scheme:
#   results/benchmark/clips/<sequence>.mp4, .truth/                      benchmark_clip
#   results/benchmark/prepared/<estimators>/<sequence>/                  decode, then simulate, or masks, landmarks, depth, camera_track and pose
#   results/benchmark/handed_over/<estimators>/<sequence>.npz            benchmark_hand_over: of simulated ones, for starts that import it
#   results/benchmark/runs/<estimators>/<split>/<row>/<sequence>/        fit, evaluate, score
#   results/benchmark/*.csv, figure.png, results.md; quick/ the same     benchmark_studio, benchmark_studio_quick
#   results/benchmark/studies/figures.csv, *.png, results.md             benchmark_studio_studies
# The targets themselves are in benchmark_targets.smk.
from pipeline.accuracy.settings import load_benchmark, pictured

BENCHMARK_FILE = Path(workflow.basedir) / config["benchmark"]
try:
    BENCHMARK = load_benchmark(BENCHMARK_FILE)
except UserError as error:
    raise WorkflowError(str(error)) from None
BENCHMARKS = f"{RESULTS}/benchmark"
CLIP = f"{BENCHMARKS}/clips/{{sequence}}"
PREPARED = f"{BENCHMARKS}/prepared/{{estimators}}/{{sequence}}"
WITH_TRUTH, WITH_CONFIG = (
    PREPARED.replace(
        "{estimators}", f"{{estimators,{'|'.join(map(re.escape, kinds))}}}"
    )
    for kinds in (BENCHMARK.simulated_kinds, BENCHMARK.configured_kinds)
)
WITHOUT_DEPTH = (
    BENCHMARK.configured_kinds if config["depth"]["backend"] == "none" else []
)
PREPARED_FILES = [
    f"{PREPARED}/video.json",
    f"{PREPARED}/frames",
    f"{PREPARED}/masks",
    f"{PREPARED}/camera.json",
    f"{PREPARED}/camera_track.npz",
    f"{PREPARED}/pose_init.npz",
    f"{PREPARED}/landmarks.npz",
    f"{PREPARED}/provenance/decode.json",
]
RUN = f"{BENCHMARKS}/runs/{{estimators}}/{{split}}/{{row}}/{{sequence}}"
if BENCHMARKING and not (SEQUENCES or MEASURED) and config["body_model"] != "free":
    raise WorkflowError(
        "config.body_model: the benchmark's people have the free body; leave it at 'free'"
    )
if (SEQUENCES or MEASURED) and "benchmark_quick" in sys.argv:
    raise WorkflowError(
        "benchmark_quick: is of studio clips alone; ask for benchmark, or leave out the config key "
        f"'{'datasets' if SEQUENCES else 'measured'}'"
    )


wildcard_constraints:
    estimators="|".join(map(re.escape, BENCHMARK.estimators)),
    sequence="|".join(map(re.escape, BENCHMARK.sequences)),
    split="|".join(map(re.escape, BENCHMARK.splits)),
    row="|".join(map(re.escape, BENCHMARK.rows)),


rule benchmark_clip:
    output:
        video=f"{CLIP}.mp4",
        truth=directory(f"{CLIP}.truth"),
    log:
        f"{BENCHMARKS}/logs/clip_{{sequence}}.log",
    conda:
        "../envs/embedded.yaml"
    threads: 2
    params:
        folder=folder_of,
        code=code("studio"),
        options=lambda wildcards: BENCHMARK.film_options(wildcards.sequence),
    shell:
        "python -m pipeline studio --out {params.folder:q} {params.options:q} --log {log:q}"


use rule decode as benchmark_decode with:
    input:
        video=f"{CLIP}.mp4",
    output:
        video=f"{PREPARED}/video.json",
        frames=directory(f"{PREPARED}/frames"),
        provenance=f"{PREPARED}/provenance/decode.json",
    log:
        f"{PREPARED}/logs/decode.log",
    params:
        code=code("decode"),
        files="",
        directory=folder_of,
        settings=json.dumps(
            config["video"]
            | {
                "start": 0,
                "stop": None,
                "step": 1,
                "longest_side": None,
                "shot": "all",
                "capture_fps": None,
                "calibration": None,
                "camera": None,
            }
        ),


# What a simulated estimator found, as a file of a tool whose body is another one: for starts that import it.
rule benchmark_hand_over:
    input:
        f"{PREPARED}/pose_init.npz",
    output:
        f"{BENCHMARKS}/handed_over/{{estimators}}/{{sequence}}.npz",
    log:
        f"{BENCHMARKS}/logs/handed_over_{{estimators}}_{{sequence}}.log",
    wildcard_constraints:
        estimators="|".join(map(re.escape, BENCHMARK.simulated_kinds)),
    conda:
        "../envs/embedded.yaml"
    params:
        code=code("hand_over"),
    shell:
        "python -m pipeline hand-over {input:q} {output:q} --log {log:q}"


rule benchmark_simulate:
    input:
        video=f"{PREPARED}/video.json",
        truth=f"{CLIP}.truth",
        benchmark=ancient(left_in_place([BENCHMARK_FILE])),
    output:
        masks=directory(f"{WITH_TRUTH}/masks"),
        depth=directory(f"{WITH_TRUTH}/depth"),
        camera=f"{WITH_TRUTH}/camera.json",
        track=f"{WITH_TRUTH}/camera_track.npz",
        pose=f"{WITH_TRUTH}/pose_init.npz",
        landmarks=f"{WITH_TRUTH}/landmarks.npz",
        provenance=f"{WITH_TRUTH}/provenance/simulate.json",
    log:
        f"{WITH_TRUTH}/logs/simulate.log",
    conda:
        "../envs/embedded.yaml"
    params:
        code=code("simulate"),
        directory=folder_of,
        reruns_when_changed=lambda wildcards: str(
            (
                BENCHMARK.sequences[wildcards.sequence],
                BENCHMARK.errors(wildcards.sequence, wildcards.estimators),
                BENCHMARK.simulated,
            )
        ),
    shell:
        "python -m pipeline simulate {params.directory:q} --truth {input.truth:q} --benchmark {input.benchmark:q} "
        "--estimators {wildcards.estimators:q} --sequence {wildcards.sequence:q} --log {log:q}"


use rule masks as benchmark_masks with:
    input:
        frames=f"{PREPARED}/frames",
        video=f"{PREPARED}/video.json",
    output:
        masks=directory(f"{WITH_CONFIG}/masks"),
        provenance=f"{WITH_CONFIG}/provenance/masks.json",
    log:
        f"{WITH_CONFIG}/logs/masks.log",
    params:
        code=code("masks", backend=True),
        files=stamp(stage_files("masks")),
        directory=folder_of,
        settings=settings("masks"),


use rule landmarks as benchmark_landmarks with:
    input:
        frames=f"{PREPARED}/frames",
        video=f"{PREPARED}/video.json",
        decoded=f"{PREPARED}/provenance/decode.json",
        masks=f"{PREPARED}/masks",
    output:
        landmarks=f"{WITH_CONFIG}/landmarks.npz",
        provenance=f"{WITH_CONFIG}/provenance/landmarks.json",
    log:
        f"{WITH_CONFIG}/logs/landmarks.log",
    params:
        code=code("landmarks", backend=True),
        files=stamp(stage_files("landmarks")),
        directory=folder_of,
        settings=settings("landmarks"),


use rule depth as benchmark_depth with:
    input:
        frames=f"{PREPARED}/frames",
        video=f"{PREPARED}/video.json",
    output:
        **(
            {}
            if config["depth"]["backend"] == "none"
            else {"depth": directory(f"{WITH_CONFIG}/depth")}
        ),
        camera=f"{WITH_CONFIG}/camera.json",
        provenance=f"{WITH_CONFIG}/provenance/depth.json",
    log:
        f"{WITH_CONFIG}/logs/depth.log",
    params:
        code=code("depth", backend=True),
        files=stamp(stage_files("depth")),
        directory=folder_of,
        settings=settings("depth"),


use rule camera_track as benchmark_camera_track with:
    input:
        frames=f"{PREPARED}/frames",
        video=f"{PREPARED}/video.json",
        masks=f"{PREPARED}/masks",
        camera=f"{PREPARED}/camera.json",
    output:
        track=f"{WITH_CONFIG}/camera_track.npz",
        provenance=f"{WITH_CONFIG}/provenance/camera_track.json",
    log:
        f"{WITH_CONFIG}/logs/camera_track.log",
    params:
        code=code("camera_track"),
        files=stamp(stage_files("camera")),
        directory=folder_of,
        settings=settings("camera", "backend", "path"),


use rule pose as benchmark_pose with:
    input:
        frames=f"{PREPARED}/frames",
        video=f"{PREPARED}/video.json",
        masks=f"{PREPARED}/masks",
        landmarks=f"{PREPARED}/landmarks.npz",
        camera=f"{PREPARED}/camera.json",
        track=f"{PREPARED}/camera_track.npz",
        imported=imported_file,
    output:
        pose=f"{WITH_CONFIG}/pose_init.npz",
        provenance=f"{WITH_CONFIG}/provenance/pose.json",
    log:
        f"{WITH_CONFIG}/logs/pose.log",
    params:
        code=lambda wildcards: code_digest(
            "pipeline.stages.pose",
            f"pipeline.estimators.pose_{pose_of(wildcards.estimators)['backend']}",
        ),
        files=stamp(stage_files("pose")),
        directory=folder_of,
        settings=lambda wildcards: json.dumps(
            pose_of(wildcards.estimators),
            sort_keys=True,
        ),
        body=body_model,


# One thread a fit: many fits at once do more than one fit on many threads.
rule benchmark_fit:
    input:
        prepared=PREPARED_FILES,
        depth=branch(
            lambda wildcards: wildcards.estimators in WITHOUT_DEPTH,
            then=[],
            otherwise=f"{PREPARED}/depth",
        ),
        features=those_there(benchmark_features),
    output:
        avatar=f"{RUN}/fit/avatar.npz",
        pose=f"{RUN}/fit/pose_refined.npz",
        history=f"{RUN}/fit/history.csv",
        masks=directory(f"{RUN}/masks_refined"),
        provenance=f"{RUN}/provenance/fit.json",
    log:
        f"{RUN}/logs/fit.log",
    conda:
        environment("fit")
    threads: 1
    resources:
        gpu=gpus("fit"),
    params:
        code=code("fit"),
        branch=code("branch"),
        features=lambda wildcards: fingerprints.stamp(benchmark_features(wildcards)),
        source=lambda wildcards, input: str(Path(input.prepared[0]).parent),
        directory=fitted_folder,
        settings=lambda wildcards: json.dumps(
            BENCHMARK.fit_settings(config["fit"], wildcards.split, wildcards.row),
            sort_keys=True,
        ),
        body=config["body_model"],
    shell:
        "python -m pipeline branch {params.source:q} {params.directory:q} && "
        "OMP_NUM_THREADS={threads} python -m pipeline fit {params.directory:q} --threads {threads} "
        "--body-model {params.body:q} --settings {params.settings:q} --log {log:q}"


rule benchmark_evaluate:
    input:
        prepared=PREPARED_FILES,
        fit=rules.benchmark_fit.output,
        truth=f"{CLIP}.truth",
    output:
        metrics=f"{RUN}/metrics.csv",
        provenance=f"{RUN}/provenance/evaluate.json",
    log:
        f"{RUN}/logs/evaluate.log",
    conda:
        "../envs/embedded.yaml"
    threads: 1
    params:
        code=code("evaluate"),
        files=fingerprints.stamp(lpips_files(config["evaluate"])),
        directory=folder_of,
        settings=settings("evaluate"),
    shell:
        "OMP_NUM_THREADS={threads} python -m pipeline evaluate {params.directory:q} --truth {input.truth:q} "
        "--settings {params.settings:q} --log {log:q}"


rule benchmark_score:
    input:
        prepared=PREPARED_FILES,
        fit=rules.benchmark_fit.output,
        truth=f"{CLIP}.truth",
    output:
        f"{RUN}/score.csv",
    log:
        f"{RUN}/logs/score.log",
    conda:
        "../envs/embedded.yaml"
    threads: 1
    params:
        code=code("score"),
        files=fingerprints.stamp(lpips_files(config["evaluate"])),
        directory=folder_of,
        settings=settings("evaluate"),
        view_frames=BENCHMARK.studio.view_frames,
    shell:
        "OMP_NUM_THREADS={threads} python -m pipeline score {params.directory:q} --truth {input.truth:q} "
        "--view-frames {params.view_frames} --settings {params.settings:q} --log {log:q}"


rule benchmark_studio:
    input:
        metrics=[
            f"{run.folder(BENCHMARKS)}/metrics.csv" for run in BENCHMARK.all_runs()
        ],
        scores=[f"{run.folder(BENCHMARKS)}/score.csv" for run in BENCHMARK.all_runs()],
        benchmark=left_in_place([BENCHMARK_FILE]),
    output:
        multiext(
            f"{BENCHMARKS}/",
            "figures.csv",
            "motion.csv",
            "rendering.csv",
            "gains.csv",
            "figure.png",
            "results.md",
        ),
    log:
        f"{BENCHMARKS}/logs/benchmark.log",
    conda:
        "../envs/embedded.yaml"
    params:
        code=code("benchmark"),
        folder=folder_of,
        page=BENCHMARK.page,
    shell:
        "python -m pipeline benchmark {params.folder:q} --benchmark {input.benchmark:q} --page {params.page:q} "
        "--log {log:q}"


rule benchmark_studio_quick:
    input:
        metrics=[
            f"{run.folder(BENCHMARKS)}/metrics.csv"
            for run in BENCHMARK.all_runs(quick=True)
        ],
        scores=[
            f"{run.folder(BENCHMARKS)}/score.csv"
            for run in BENCHMARK.all_runs(quick=True)
        ],
        benchmark=left_in_place([BENCHMARK_FILE]),
    output:
        multiext(
            f"{BENCHMARKS}/quick/",
            "figures.csv",
            "motion.csv",
            "rendering.csv",
            "gains.csv",
            "figure.png",
            "results.md",
        ),
    log:
        f"{BENCHMARKS}/logs/benchmark_quick.log",
    conda:
        "../envs/embedded.yaml"
    params:
        code=code("benchmark"),
        folder=lambda wildcards, output: str(Path(output[0]).parent.parent),
    shell:
        "python -m pipeline benchmark {params.folder:q} --benchmark {input.benchmark:q} --quick --log {log:q}"


# Further tables, each of some sequences. The page that they are put into may be the benchmark's own: of both at once it is
# written first.
rule benchmark_studio_studies:
    input:
        metrics=[
            f"{run.folder(BENCHMARKS)}/metrics.csv" for run in BENCHMARK.study_runs()
        ],
        scores=[f"{run.folder(BENCHMARKS)}/score.csv" for run in BENCHMARK.study_runs()],
        truths=[
            CLIP.format(sequence=name) + ".truth"
            for name in dict.fromkeys(run.sequence for run in BENCHMARK.study_runs())
        ],
        benchmark=left_in_place([BENCHMARK_FILE]),
        first=rules.benchmark_studio.output if "benchmark" in sys.argv else [],
    output:
        multiext(
            f"{BENCHMARKS}/studies/",
            "figures.csv",
            "pictures.png",
            "matching.png",
            "results.md",
        ),
    log:
        f"{BENCHMARKS}/logs/benchmark_studies.log",
    conda:
        "../envs/embedded.yaml"
    params:
        code=code("benchmark"),
        folder=lambda wildcards, output: str(Path(output[0]).parent.parent),
        page=["--page", BENCHMARK.studies_page] if BENCHMARK.studies_page else [],
    shell:
        "python -m pipeline benchmark {params.folder:q} --benchmark {input.benchmark:q} {params.page:q} --studies "
        "--log {log:q}"
