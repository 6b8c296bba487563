# The studio benchmark: snakemake benchmark, snakemake benchmark_quick; config key `benchmark` names the file that says
# what is run. Path scheme:
#   results/benchmark/clips/<sequence>.mp4, .truth/                      benchmark_clip
#   results/benchmark/prepared/<estimators>/<sequence>/                  decode, then simulate, or masks, depth and pose
#   results/benchmark/runs/<estimators>/<split>/<row>/<sequence>/        fit, evaluate, score
#   results/benchmark/*.csv, figure.png, results.md; quick/ the same     benchmark, benchmark_quick
from pipeline.benchmark.settings import CONFIGURED, SIMULATED, load_benchmark
from pipeline.settings import merged

BENCHMARK_FILE = Path(workflow.basedir) / config["benchmark"]
try:
    BENCHMARK = load_benchmark(BENCHMARK_FILE)
except UserError as error:
    raise WorkflowError(str(error)) from None
BENCHMARKS = f"{RESULTS}/benchmark"
CLIP = f"{BENCHMARKS}/clips/{{sequence}}"
PREPARED = f"{BENCHMARKS}/prepared/{{estimators}}/{{sequence}}"
WITH_TRUTH = PREPARED.replace("{estimators}", SIMULATED)
WITH_CONFIG = PREPARED.replace("{estimators}", CONFIGURED)
RUN = f"{BENCHMARKS}/runs/{{estimators}}/{{split}}/{{row}}/{{sequence}}"
if "benchmark" in VIDEOS:
    raise WorkflowError(
        f"{VIDEOS['benchmark']}: {BENCHMARKS}/ is taken by the benchmark; rename the video"
    )
if BENCHMARKING and config["body_model"] != "free":
    raise WorkflowError(
        "config.body_model: the benchmark's people have the free body; leave it at 'free'"
    )


wildcard_constraints:
    estimators=f"{SIMULATED}|{CONFIGURED}",
    sequence="|".join(map(re.escape, BENCHMARK.sequences)),
    split="|".join(map(re.escape, BENCHMARK.splits)),
    row="|".join(map(re.escape, BENCHMARK.rows)),


def filming(wildcards):
    """The studio's options for a sequence."""
    wanted, studio = BENCHMARK.sequences[wildcards.sequence], BENCHMARK.studio
    options = {
        "name": wildcards.sequence,
        "seed": wanted.seed,
        "frames": wanted.frames,
        "size": f"{studio.width}x{studio.height}",
        "fps": studio.fps,
        "motion": wanted.motion,
        "outfit": wanted.outfit,
        "camera": wanted.camera,
        "views": studio.views,
    }
    return [f"--{name}={value}" for name, value in options.items()]


def fit_settings(wildcards):
    """Settings of the fit with those of the split and of the row laid over them."""
    split, row = BENCHMARK.splits[wildcards.split], BENCHMARK.rows[wildcards.row]
    return json.dumps(merged(merged(config["fit"], split.fit), row.fit), sort_keys=True)


def prepared(wildcards):
    """What a fit reads."""
    depth = wildcards.estimators == SIMULATED or config["depth"]["backend"] != "none"
    names = ["video.json", "frames", "masks", "camera.json", "pose_init.npz"]
    names += ["landmarks.npz", "provenance/decode.json"] + ["depth"] * depth
    return [f"{PREPARED}/{name}".format(**wildcards) for name in names]


def run_files(name, quick=False):
    """A file of every run."""
    return [
        str(run.folder(Path(BENCHMARKS)) / name) for run in BENCHMARK.all_runs(quick)
    ]


rule benchmark_clip:
    input:
        modules=modules("studio"),
    output:
        video=f"{CLIP}.mp4",
        truth=directory(f"{CLIP}.truth"),
    log:
        f"{BENCHMARKS}/logs/clip_{{sequence}}.log",
    conda:
        "../envs/embedded.yaml"
    threads: 2
    params:
        folder=f"{BENCHMARKS}/clips",
        options=filming,
    shell:
        "python -m pipeline studio --out {params.folder:q} {params.options:q} --log {log:q}"


use rule decode as benchmark_decode with:
    input:
        video=f"{CLIP}.mp4",
        modules=modules("decode"),
    output:
        video=f"{PREPARED}/video.json",
        frames=directory(f"{PREPARED}/frames"),
        provenance=f"{PREPARED}/provenance/decode.json",
    log:
        f"{PREPARED}/logs/decode.log",
    params:
        directory=PREPARED,
        settings=json.dumps(
            config["video"]
            | {"start": 0, "stop": None, "step": 1, "longest_side": None}
        ),


rule benchmark_simulate:
    input:
        video=f"{WITH_TRUTH}/video.json",
        truth=f"{CLIP}.truth",
        benchmark=ancient(BENCHMARK_FILE),
        modules=modules("simulate"),
    output:
        masks=directory(f"{WITH_TRUTH}/masks"),
        depth=directory(f"{WITH_TRUTH}/depth"),
        camera=f"{WITH_TRUTH}/camera.json",
        pose=f"{WITH_TRUTH}/pose_init.npz",
        landmarks=f"{WITH_TRUTH}/landmarks.npz",
        provenance=f"{WITH_TRUTH}/provenance/simulate.json",
    log:
        f"{WITH_TRUTH}/logs/simulate.log",
    conda:
        "../envs/embedded.yaml"
    params:
        directory=WITH_TRUTH,
        reruns_when_changed=lambda wildcards: str(
            (BENCHMARK.sequences[wildcards.sequence], BENCHMARK.simulated)
        ),
    shell:
        "python -m pipeline simulate {params.directory:q} --truth {input.truth:q} --benchmark {input.benchmark:q} "
        "--sequence {wildcards.sequence:q} --log {log:q}"


use rule masks as benchmark_masks with:
    input:
        frames=f"{WITH_CONFIG}/frames",
        video=f"{WITH_CONFIG}/video.json",
        modules=modules("masks", backend=True),
    output:
        masks=directory(f"{WITH_CONFIG}/masks"),
        provenance=f"{WITH_CONFIG}/provenance/masks.json",
    log:
        f"{WITH_CONFIG}/logs/masks.log",
    params:
        directory=WITH_CONFIG,
        settings=settings("masks"),


use rule depth as benchmark_depth with:
    input:
        frames=f"{WITH_CONFIG}/frames",
        video=f"{WITH_CONFIG}/video.json",
        modules=modules("depth", backend=True),
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
        directory=WITH_CONFIG,
        settings=settings("depth"),


use rule pose as benchmark_pose with:
    input:
        frames=f"{WITH_CONFIG}/frames",
        video=f"{WITH_CONFIG}/video.json",
        masks=f"{WITH_CONFIG}/masks",
        camera=f"{WITH_CONFIG}/camera.json",
        modules=modules("pose", backend=True),
    output:
        pose=f"{WITH_CONFIG}/pose_init.npz",
        landmarks=f"{WITH_CONFIG}/landmarks.npz",
        provenance=f"{WITH_CONFIG}/provenance/pose.json",
    log:
        f"{WITH_CONFIG}/logs/pose.log",
    params:
        directory=WITH_CONFIG,
        settings=settings("pose"),
        body=config["body_model"],


# One thread a fit: many fits at once do more than one fit on many threads.
rule benchmark_fit:
    input:
        prepared=prepared,
        modules=modules("fit"),
        branch=modules("branch"),
    output:
        avatar=f"{RUN}/fit/avatar.npz",
        pose=f"{RUN}/fit/pose_refined.npz",
        history=f"{RUN}/fit/history.csv",
        provenance=f"{RUN}/provenance/fit.json",
    log:
        f"{RUN}/logs/fit.log",
    conda:
        environment("fit")
    threads: 1
    resources:
        gpu=gpus("fit"),
    params:
        source=PREPARED,
        directory=RUN,
        settings=fit_settings,
    shell:
        "python -m pipeline branch {params.source:q} {params.directory:q} && "
        "OMP_NUM_THREADS={threads} python -m pipeline fit {params.directory:q} --threads {threads} "
        "--settings {params.settings:q} --log {log:q}"


rule benchmark_evaluate:
    input:
        prepared=prepared,
        fit=rules.benchmark_fit.output,
        truth=f"{CLIP}.truth",
        modules=modules("evaluate"),
    output:
        metrics=f"{RUN}/metrics.csv",
        provenance=f"{RUN}/provenance/evaluate.json",
    log:
        f"{RUN}/logs/evaluate.log",
    conda:
        "../envs/embedded.yaml"
    threads: 1
    params:
        directory=RUN,
        settings=settings("evaluate"),
    shell:
        "OMP_NUM_THREADS={threads} python -m pipeline evaluate {params.directory:q} --truth {input.truth:q} "
        "--settings {params.settings:q} --log {log:q}"


rule benchmark_score:
    input:
        prepared=prepared,
        fit=rules.benchmark_fit.output,
        truth=f"{CLIP}.truth",
        modules=modules("score"),
    output:
        f"{RUN}/score.csv",
    log:
        f"{RUN}/logs/score.log",
    conda:
        "../envs/embedded.yaml"
    threads: 1
    params:
        directory=RUN,
        settings=settings("evaluate"),
        view_frames=BENCHMARK.studio.view_frames,
    shell:
        "OMP_NUM_THREADS={threads} python -m pipeline score {params.directory:q} --truth {input.truth:q} "
        "--view-frames {params.view_frames} --settings {params.settings:q} --log {log:q}"


rule benchmark:
    input:
        metrics=run_files("metrics.csv"),
        scores=run_files("score.csv"),
        benchmark=BENCHMARK_FILE,
        modules=modules("benchmark"),
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
        folder=BENCHMARKS,
        page=BENCHMARK.page,
    shell:
        "python -m pipeline benchmark {params.folder:q} --benchmark {input.benchmark:q} --page {params.page:q} "
        "--log {log:q}"


rule benchmark_quick:
    input:
        metrics=run_files("metrics.csv", quick=True),
        scores=run_files("score.csv", quick=True),
        benchmark=BENCHMARK_FILE,
        modules=modules("benchmark"),
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
        folder=BENCHMARKS,
    shell:
        "python -m pipeline benchmark {params.folder:q} --benchmark {input.benchmark:q} --quick --log {log:q}"
