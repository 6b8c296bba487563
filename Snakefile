# From the raw videos in videos/ to refined motion, avatars and reports in results/.
#
# Path scheme, for each video videos/<video>.<suffix>:
#   results/<video>/video.json, frames/          decode
#   results/<video>/masks/, people.jpg           masks
#   results/<video>/camera.json, depth/          depth
#   results/<video>/landmarks.npz                landmarks
#   results/<video>/camera_track.npz             camera_track
#   results/<video>/pose_init.npz                pose
#   results/<video>/fit/, masks_refined/         fit
#   results/<video>/metrics.csv                  evaluate
#   results/<video>/renders/                     render
#   results/<video>/exports/                     export
#   results/<video>/{report.html, summary.json}  report
#   results/<video>/provenance/, logs/           every stage
# and results/metrics.csv over all videos        aggregate
# `snakemake benchmark` and `snakemake benchmark_quick` measure the method on studio clips: results/benchmark/;
# with --configfile config/datasets.yaml `snakemake benchmark` does so on sequences of public datasets, and with
# --configfile config/real.yaml on real videos whose joints were measured.
# `snakemake --cores 1 weights` fetches the weight files of the paper preset (config/paper.yaml) into models/.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


configfile: Path(workflow.basedir) / "config" / "config.yaml"


include: "rules/common.smk"
include: "rules/files.smk"
include: "rules/resources.smk"


container: config["container"]


include: "rules/refuse.smk"
include: "rules/dataset.smk"
include: "rules/decode.smk"
include: "rules/masks.smk"
include: "rules/landmarks.smk"
include: "rules/depth.smk"
include: "rules/camera_track.smk"
include: "rules/pose.smk"
include: "rules/fit.smk"
include: "rules/evaluate.smk"
include: "rules/render.smk"
include: "rules/export.smk"
include: "rules/report.smk"
include: "rules/aggregate.smk"
include: "rules/weights.smk"
include: "rules/benchmark.smk"
include: "rules/benchmark_datasets.smk"
include: "rules/benchmark_measured.smk"
include: "rules/benchmark_targets.smk"


report: "pipeline/report/captions/workflow.rst"


# Every file of every stage: what a failed job or the user took away is made again.
FILES = [
    "video.json",
    "frames",
    "masks",
    "landmarks.npz",
    "camera.json",
    "camera_track.npz",
    "pose_init.npz",
    "fit/avatar.npz",
    "fit/pose_refined.npz",
    "fit/history.csv",
    "masks_refined",
    "metrics.csv",
    "renders",
    "exports",
    "report.html",
    "summary.json",
]
STAGES = [
    "decode",
    "masks",
    "landmarks",
    "depth",
    "camera_track",
    "pose",
    "fit",
    "evaluate",
    "render",
    "export",
]


rule all:
    default_target: True
    input:
        expand(f"{OUT}/{{file}}", video=VIDEOS, file=FILES),
        expand(f"{OUT}/depth", video=filter(has_depth, VIDEOS)),
        expand(f"{OUT}/people.jpg", video=filter(looks_for_people, VIDEOS)),
        expand(f"{OUT}/provenance/{{stage}}.json", video=VIDEOS, stage=STAGES),
        f"{RESULTS}/metrics.csv",
        expand(f"{RESULTS}/logs/refused_{{n}}", n=range(len(FOUND.refused))),


onstart:
    begin()


onsuccess:
    end(log)


onerror:
    end(log)
