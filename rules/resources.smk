# What a job takes: its conda environment, GPUs, memory and time.
from pipeline.setup.gpus import visible_gpus
from pipeline.workflow.needs import frames_of, megabytes, minutes


def environment(stage):
    """The conda environment of a stage: that of the paper's estimators, of gsplat, or the embedded one."""

    def chosen(own):
        if estimator(own, stage):
            return f"{workflow.basedir}/envs/estimators.yaml"
        gpu = stage == "fit" and own["fit"]["device"] == "cuda"
        return f"{workflow.basedir}/envs/{'gpu' if gpu else 'embedded'}.yaml"

    # Snakemake looks into a file that it is told once, and into what a function gives for each job anew.
    files = {chosen(own) for own in [config, *(c.config for c in FOUND.clips.values())]}
    return (
        files.pop()
        if len(files) == 1
        else lambda wildcards: chosen(config_of(wildcards))
    )


def gpus(stage):
    """How many GPUs a job of a stage takes: one where it must have one, or finds one here."""

    def number(wildcards):
        own = config_of(wildcards)
        chosen = estimator(own, stage) if stage != "fit" else own["fit"]
        device = chosen["device"] if chosen else "cpu"
        return int(device == "cuda" or (device == "auto" and len(GPUS) > 0))

    return number


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
            clip = FOUND.clips.get(name)
            frames = frames_of(Path(RESULTS) / name, clip.path if clip else None)
            heavy = estimator(config_of(wildcards), stage) is not None
            return amount(stage, frames, heavy, attempt)

        return number

    return {"mem_mb": asked(megabytes), "runtime": asked(minutes)}
