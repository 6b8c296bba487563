# What the rules share: the videos found, the settings and the source files of a stage.
import json
import os
import re
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)
from pipeline.errors import UserError
from pipeline.gpus import visible_gpus
from pipeline.preflight import check_backends, estimator
from pipeline.settings import check_config
from pipeline.sources import sources
from pipeline.weights import needed
from pipeline.workflow.needs import frames_of, megabytes, minutes

# `snakemake weights` needs neither videos nor what it is about to fetch. What is asked for is known to Snakemake only
# after this file is read; "weights:" is how it names the job to the process that runs it.
FETCHING = bool({"weights", "weights:"} & set(sys.argv))
# The benchmark films its own videos: the folder of the user's may be empty.
BENCHMARKING = any(
    re.fullmatch(r"benchmark\w*", argument.partition(":")[0]) for argument in sys.argv
)

try:
    check_config(config)
    if not FETCHING:
        methods = workflow.deployment_settings.deployment_method
        with_conda = any(str(method) == "conda" for method in methods)
        check_backends(config, packages=not with_conda)
except UserError as error:
    raise WorkflowError(str(error)) from None

SUFFIXES = (
    ".mp4",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".3gp",
    ".wmv",
)
RESULTS = config["results"]
OUT = f"{RESULTS}/{{video}}"

# The jobs run the Python that runs Snakemake, whether or not its environment is activated;
# with --sdm conda the rule's own environment comes before it.
for name, first in (
    ("PATH", str(Path(sys.executable).parent)),
    ("PYTHONPATH", workflow.basedir),
):
    paths = [first, os.environ.get(name)]
    os.environ |= {name: os.pathsep.join(filter(None, paths))}


def find_videos(folder):
    """Path of each video in the folder, by its name without the suffix."""
    found = {}
    if not Path(folder).is_dir():
        raise WorkflowError(
            f"{folder}: no such folder; make it and put your videos there (config key 'videos')"
        )
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if re.search(r"[{}*?\[\]\n]", path.stem):
            raise WorkflowError(
                f"{path}: a video's name may not hold any of {{}}*?[]; rename it"
            )
        if path.stem in found:
            raise WorkflowError(
                f"{path} and {found[path.stem]} would both write {RESULTS}/{path.stem}/; rename one"
            )
        found[path.stem] = str(path)
    if not found:
        raise WorkflowError(
            f"{folder}: no video found; put one there, with one of the suffixes {', '.join(SUFFIXES)}"
        )
    return found


# Sequences of datasets take the place of videos; looking for them loads torch, so only where they are asked for.
CLIPS = {}
if config.get("datasets"):
    from pipeline.datasets.catalog import dataset_clips

    try:
        CLIPS = dataset_clips(config)
    except UserError as error:
        raise WorkflowError(str(error)) from None
VIDEOS = CLIPS or ({} if FETCHING or BENCHMARKING else find_videos(config["videos"]))


wildcard_constraints:
    video="|".join(map(re.escape, VIDEOS)) or "-",


def made_by(stage):
    """Pattern of the videos for which a stage runs: not for a sequence that ships what the stage makes."""
    names = [
        name for name in VIDEOS if name not in CLIPS or stage not in CLIPS[name].stages
    ]
    return "|".join(map(re.escape, names)) or "-"


def results_of(wildcards):
    """results/<video>/ of a job."""
    return OUT.format(**wildcards)


def modules(stage, backend=None):
    """Source files that a stage runs, and those of the backend that its section of the config chooses."""
    names = [f"pipeline.stages.{stage}"]
    if backend:
        names.append(f"pipeline.estimators.{stage}_{config[stage]['backend']}")
    return [os.path.relpath(path) for path in sources(*names)]


def settings(section):
    """A section of the config as the text that --settings takes: a job's parameters hold no other key."""
    return json.dumps(config[section], sort_keys=True)


def truth(wildcards):
    """The truth beside a studio clip, where there is one: what the evaluation reads of it."""
    if wildcards.video in CLIPS:
        return [f"{RESULTS}/{wildcards.video}/truth/pose.npz"]
    folder = Path(config["videos"]) / f"{wildcards.video}.truth"
    return [str(folder / "pose.npz"), str(folder / "masks")] if folder.is_dir() else []


def user_files(section):
    """What the user brought for a stage's import backend: files of this video, as inputs."""
    path = config[section]["path"] if config[section]["backend"] == "import" else None
    return lambda wildcards: [path.format(video=wildcards.video)] if path else []


def body_file():
    """The body model's file, as an input, where the user brought one."""
    return [] if config["body_model"] == "free" else [config["body_model"]]


def weight_files(stage):
    """The weights of a stage's backend, as inputs: other weights, other results."""
    weights = needed(stage, config[stage])
    return [str(file) for weight in weights for file in weight.files]


def neuhmr_features(fit):
    """The weights of NeuHMR's features, as inputs, where they are: without them it takes others."""
    path = fit["neuhmr"]["features"]
    return [path] if fit["refiner"] == "neuhmr" and Path(path).is_file() else []


def environment(stage):
    """The conda environment of a stage: that of the paper's estimators, of gsplat, or the embedded one."""
    if estimator(config, stage):
        return "../envs/estimators.yaml"
    gpu = stage == "fit" and config["fit"]["device"] == "cuda"
    return "../envs/gpu.yaml" if gpu else "../envs/embedded.yaml"


def gpus(stage):
    """How many GPUs a job of a stage takes: one where it must have one, or finds one here."""
    chosen = estimator(config, stage) if stage != "fit" else config["fit"]
    device = chosen["device"] if chosen else "cpu"
    return int(device == "cuda" or (device == "auto" and len(GPUS) > 0))


# As many jobs with a GPU run here at a time as there are GPUs. A cluster counts its own: "local" is for each job there.
GPUS = visible_gpus()
workflow.global_resources.setdefault("gpu", max(1, len(GPUS)))


resource_scopes:
    gpu="local",


# The default profile is laid over --profile profiles/slurm, too: its `cores: all` is of this machine, and would hold the
# threads of a cluster's jobs down to it. Where there is a number of jobs, they run elsewhere.
if workflow.resource_settings.nodes is not None:
    workflow.global_resources["_cores"] = None


def needs(stage):
    """Memory and time of a stage's job, for a cluster: they grow with the frames, and when it is tried again."""

    def asked(amount):
        def number(wildcards, attempt):
            name = wildcards.get("video", "")  # the benchmark's clips are short
            video = VIDEOS.get(name)
            frames = frames_of(
                Path(RESULTS) / name, Path(video) if isinstance(video, str) else None
            )
            return amount(stage, frames, bool(estimator(config, stage)), attempt)

        return number

    return {"mem_mb": asked(megabytes), "runtime": asked(minutes)}
