# What the rules share: the clips found, and what a job's parameters say of settings, code and the user's files.
import gc
import json
import os
import re
import sys

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

sys.path.insert(0, workflow.basedir)
from pipeline.runtime.errors import UserError
from pipeline.setup.lpips_weights import package_files
from pipeline.setup.preflight import check_backends, estimator
from pipeline.runtime.settings import check_config
from pipeline.setup.sources import code_digest
from pipeline.setup.weights import needed
from pipeline.workflow import fingerprints, terminal
from pipeline.workflow.clips import Clips, find_clips, found_measured, shown
from pipeline.workflow.sheet import name_of

# `snakemake weights` needs neither videos nor what it is about to fetch. What is asked for is known to Snakemake only
# after this file is read; "weights:" is how it names the job to the process that runs it.
FETCHING = bool({"weights", "weights:"} & set(sys.argv))
# The benchmark films its own videos: the folder of the user's may be empty.
BENCHMARKING = any(
    re.fullmatch(r"benchmark\w*", argument.partition(":")[0]) for argument in sys.argv
)
DEPLOYED = set(map(str, workflow.deployment_settings.deployment_method))
# A hundred videos are a hundred thousand objects that all stay: looking for garbage among them took a fifth of `snakemake -n`.
gc.set_threshold(200_000, 50, 100)
RESULTS = config["results"]
OUT = f"{RESULTS}/{{video}}"

# The jobs run the Python that runs Snakemake, whether or not its environment is activated;
# with --sdm conda the rule's own environment comes before it, and a container has a PATH of its own.
for name, first in (
    ("PATH", str(Path(sys.executable).parent)),
    ("PYTHONPATH", workflow.basedir),
):
    paths = [first, os.environ.get(name)]
    os.environ |= {name: os.pathsep.join(filter(None, paths))}


def check(config):
    """Raise a UserError where no job could run with a configuration."""
    check_config(config)
    if not FETCHING:
        check_backends(config, packages=not DEPLOYED & {"conda", "apptainer"})


SEQUENCES = {}  # of datasets, in place of videos
MEASURED = {}  # real videos with measured joints, in place of those of the folder
FOUND = Clips()
try:
    check(config)
    if config.get("datasets") and config.get("measured"):
        raise UserError(
            "config: datasets and measured each take the place of videos; leave one out"
        )
    if config.get("datasets"):
        from pipeline.datasets.catalog import dataset_clips  # loads torch

        SEQUENCES = dataset_clips(config)
    elif config.get("measured"):
        from pipeline.datasets.measured import measured_clips

        MEASURED = measured_clips(config)
        FOUND = found_measured(MEASURED.values(), config, check)
        MEASURED = {name: MEASURED[name] for name in FOUND.clips}
    elif not (FETCHING or BENCHMARKING or "--unlock" in sys.argv):
        FOUND = find_clips(config, check)
except UserError as error:
    raise WorkflowError(str(error)) from None
STORAGE = workflow.storage_settings.default_storage_provider
if STORAGE and Path(RESULTS).is_absolute():
    raise WorkflowError(
        f"config.results: {RESULTS}: with --default-storage-provider a path inside of the storage is expected: 'results'"
    )
if STORAGE == "s3":
    from pipeline.workflow import s3

    s3.keep_constraints()
    for name in [name for name in FOUND.clips if s3.UNSAFE in name]:
        path = FOUND.clips.pop(name).path
        FOUND.refused.append(f"{shown(path)}: S3 takes no {s3.UNSAFE}; rename it")
VIDEOS = {**SEQUENCES, **FOUND.clips}
if "apptainer" in DEPLOYED:
    from pipeline.workflow import containers

    try:
        containers.enter(
            config["container"],
            workflow.basedir,
            [clip.path for clip in FOUND.clips.values()],
            RESULTS,
        )
    except UserError as error:
        raise WorkflowError(str(error)) from None

if workflow.is_main_process:
    output = workflow.output_settings
    if not (output.dryrun or output.verbose or output.printshellcmds):
        terminal.attach(logger, workflow)
    for line in FOUND.skipped:
        logger.warning(f"warning: {line}")


wildcard_constraints:
    video="|".join(map(re.escape, VIDEOS)) or "-",


def settings_of(video):
    """The configuration of a video: the sheet of videos may say something of it."""
    clip = FOUND.clips.get(video)
    return clip.config if clip else config


def config_of(wildcards):
    """The configuration of a job: that of its video, where it has one."""
    return settings_of(wildcards.get("video"))


def settings(section, *keys):
    """A section of the config, or some of its keys, as the text that --settings takes: a job's parameters hold no other."""

    def text(wildcards):
        values = config_of(wildcards)[section]
        return json.dumps({key: values[key] for key in keys or values}, sort_keys=True)

    return text


def has_depth(video):
    """Whether a video gets depth maps: from a backend, or from the dataset that it is of."""
    if video in SEQUENCES and "depth" in SEQUENCES[video].stages:
        return "depth" in SEQUENCES[video].parts
    return settings_of(video)["depth"]["backend"] != "none"


def looks_for_people(video):
    """Whether the masks of a video come from a backend that shows who is in the clip."""
    given = video in SEQUENCES and "masks" in SEQUENCES[video].stages
    return not given and settings_of(video)["masks"]["backend"] != "import"


def made_by(stage, videos=VIDEOS):
    """Pattern of the videos for which a stage runs: not for a sequence that ships what the stage makes."""
    names = [
        name
        for name in videos
        if name not in SEQUENCES or stage not in SEQUENCES[name].stages
    ]
    return "|".join(map(re.escape, names)) or "-"


def folder_of(wildcards, output):
    """results/<video>/ of a job, wherever the storage of its outputs puts it: beside its first output."""
    return str(Path(output[0]).parent)


def fitted_folder(wildcards, output):
    """results/<video>/ of a fit, whose first output is one folder deeper than those of other stages."""
    return str(Path(output.avatar).parent.parent)


def code(stage, backend=False):
    """Fingerprint of the source files that a stage runs, with those of the backend that its section chooses."""

    def digest(wildcards):
        names = [f"pipeline.stages.{stage}"]
        if backend:
            chosen = config_of(wildcards)[stage]["backend"]
            names.append(f"pipeline.estimators.{stage}_{chosen}")
        return code_digest(*names)

    return digest


def begin():
    """Before the first job: logs of earlier runs go, so that those at the end are of this one."""
    for job in workflow.dag.needrun_jobs():
        for log in job.log:
            Path(log).unlink(missing_ok=True)


def end(logs):
    """The last words of a run: a line a video, those that failed at the end."""
    from pipeline.workflow import closing, results  # loads pandas

    jobs = closing.endings(workflow.dag)
    there = results.Results(RESULTS, workflow.inputfile)
    closing.gather(jobs, there)
    for line in [f"log: {' '.join(logs)}", *closing.last_words(jobs, there)]:
        logger.info(line)
    there.close()
