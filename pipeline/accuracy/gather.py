"""The figures of all runs of a benchmark in one long table, and what is read off it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.accuracy.score import COLUMNS as SCORE_COLUMNS
from pipeline.accuracy.score import HELD_OUT, INITIAL, NOVEL, REFINED, SIDE
from pipeline.accuracy.settings import Run
from pipeline.evaluation.table import ALL, REAL, STUDIO, read_metrics
from pipeline.evaluation.table import HELD_OUT as HELD_OUT_SPLIT
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.runtime.errors import UserError

KEYS = ("estimators", "split", "row", "sequence")
INITIAL_ROW = "initial"
MEAN = "mean"

# Of each column of the tables: what it is called, how it is printed, and whether more is better.
MOTION = {
    "mpjpe": ("MPJPE", ".1f", False),
    "pa_mpjpe": ("PA-MPJPE", ".1f", False),
    "mpjpe_h36m17": ("MPJPE, 17 joints", ".1f", False),
    "pa_mpjpe_h36m17": ("PA-MPJPE, 17 joints", ".1f", False),
    "mpjpe_h36m14": ("MPJPE, 14 joints", ".1f", False),
    "pa_mpjpe_h36m14": ("PA-MPJPE, 14 joints", ".1f", False),
    "v2v_surface": ("V2V", ".1f", False),
    "v2v": ("V2V, all vertices alike", ".1f", False),
    "v2v_surface_global": ("V2V, global", ".1f", False),
    "translation_error": ("Translation", ".0f", False),
    "iou_body_truth": ("Mask IoU", ".3f", True),
    "acceleration_error": ("Acceleration", ".1f", False),
}
PICTURES = {
    "psnr": ("PSNR", ".2f", True),
    "ssim": ("SSIM", ".3f", True),
    "lpips": ("LPIPS", ".4f", False),
    "psnr_crop": ("PSNR, crop", ".2f", True),
    "ssim_crop": ("SSIM, crop", ".3f", True),
    "lpips_crop": ("LPIPS, crop", ".4f", False),
}
SIDE_PICTURES = {f"side_{name}": (f"{label}, side", form, up) for name, (label, form, up) in PICTURES.items()}
NOVEL_PICTURES = {f"novel_{name}": (f"{label}, novel", form, up) for name, (label, form, up) in PICTURES.items()}
TIME = {
    "seconds": ("Seconds", ".0f", False),
    "seconds_per_frame": ("s a frame", ".2f", False),
    "steps_per_second": ("Iterations/s", ".1f", True),
}
COLUMNS = MOTION | PICTURES | SIDE_PICTURES | NOVEL_PICTURES | TIME
_BY_SURFACE = {"v2v": "v2v_surface", "v2v_global": "v2v_surface_global"}


def gather(root: Path, runs: Iterable[Run], footage: str = STUDIO) -> pd.DataFrame:
    """One row a run and metric: KEYS, metric (a key of COLUMNS), value. The poses before any fit are the row "initial".

    Args:
        root: results/benchmark.
        runs: fitted, evaluated and, those of studio clips, scored.
        footage: STUDIO or REAL, for sequences of datasets.

    Raises:
        UserError: a file is missing or wrong.
    """
    rows: list[tuple] = []
    begun: set[tuple] = set()
    for run in runs:
        folder = run.folder(root)
        motion, pictures = _studio(folder) if footage == STUDIO else _real(folder)
        values = motion[REFINED] | pictures | _time(folder)
        rows += [(run.estimators, run.split, run.row, run.sequence, name, value) for name, value in values.items()]
        start = (run.estimators, run.split, INITIAL_ROW, run.sequence)
        if start not in begun:
            begun.add(start)
            rows += [(*start, name, value) for name, value in motion[INITIAL].items()]
    return pd.DataFrame(rows, columns=[*KEYS, "metric", "value"])


def _studio(folder: Path) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Motion metrics of both poses over all frames, and those of the pictures, of a studio clip."""
    table, scored = _read_metrics(folder, STUDIO), _read_score(folder)
    table = table[(table["scope"] == "all") & (table["split"] == ALL) & table["metric"].isin(list(MOTION))]
    found = {}
    for when in (INITIAL, REFINED):
        values = table[table["when"] == when].set_index("metric")["value"]
        surface = scored[scored["where"] == when].set_index("metric")["value"]
        found[when] = {name: float(value) for name, value in [*values.items(), *surface.items()]}
    named = {HELD_OUT: "", SIDE: "side_", NOVEL: "novel_"}
    shown = scored[scored["where"].isin(list(named))]
    return found, {f"{named[row.where]}{row.metric}": float(row.value) for row in shown.itertuples()}


def _real(folder: Path) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The same of a sequence of a dataset, by the stage evaluate alone.

    Motion is of the frames whose reference is valid. V2V by surface is V2V there: vertices of SMPL all count alike.
    """
    table = _read_metrics(folder, REAL)
    frames = table[(table["scope"] == "frame") & table["metric"].isin([*MOTION, *_BY_SURFACE])]
    frames = frames.assign(metric=frames["metric"].replace(_BY_SURFACE))
    means = frames.groupby(["when", "metric"], sort=False)["value"].mean()
    for when in (INITIAL, REFINED):
        if (when, "mpjpe") not in means:
            raise UserError(f"{folder / 'metrics.csv'}: expected errors of the poses; evaluate with --truth")
    shown = table[(table["scope"] == "all") & (table["split"] == HELD_OUT_SPLIT) & table["metric"].isin(list(PICTURES))]
    pictures = {row.metric: float(row.value) for row in shown.itertuples()}
    return {when: means[when].to_dict() for when in (INITIAL, REFINED)}, pictures


def _read_metrics(folder: Path, footage: str) -> pd.DataFrame:
    """metrics.csv of one kind of footage alone: figures of studio clips and of real ones never meet in a table."""
    table = read_metrics(folder / "metrics.csv")
    if set(table["footage"]) != {footage}:
        found = ", ".join(sorted(set(table["footage"])))
        raise UserError(
            f"{folder / 'metrics.csv'}: expected figures of {footage}, found {found}; evaluate with --truth"
        )
    return table


def _read_score(folder: Path) -> pd.DataFrame:
    path = folder / "score.csv"
    if not path.is_file():
        raise UserError(f"{path}: not found; run the stage score first")
    table = pd.read_csv(path)
    if tuple(table.columns) != SCORE_COLUMNS:
        raise UserError(f"{path}: expected the columns {', '.join(SCORE_COLUMNS)}; run the stage score again")
    return table


def _time(folder: Path) -> dict[str, float]:
    """Seconds of the stage fit, in all and a frame, and steps of the joint optimisation a second of its own time."""
    directory = VideoDir(folder)
    seconds = float(read_provenance(directory.provenance("fit"))["seconds"])
    values = {"seconds": seconds, "seconds_per_frame": seconds / len(Pose.load(directory.pose_refined))}
    with directory.history.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and float(rows[-1]["seconds"]) > 0:
        values["steps_per_second"] = float(rows[-1]["step"]) / float(rows[-1]["seconds"])
    return values


def sources(root: Path, runs: Iterable[Run]) -> dict[str, str]:
    """What made the initial poses of each kind of estimators, as their files say."""
    folders = {run.estimators: run.folder(root) for run in runs}
    found = {kind: Pose.load(VideoDir(folder).pose_init).source for kind, folder in folders.items()}
    return {kind: source.split(", seed")[0] for kind, source in found.items()}


def has_lpips(table: pd.DataFrame) -> bool:
    return bool((table["metric"] == "lpips").any())


def wide(table: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """One line a run, and one a mean over its sequences (sequence "mean"; NaN where one lacks the metric): KEYS and a
    column for each of the metrics."""
    chosen = table[table["metric"].isin(list(metrics))]
    flat = chosen.pivot(index=list(KEYS), columns="metric", values="value")
    flat = flat.reindex(columns=list(metrics))
    mean = flat.groupby(level=[0, 1, 2], sort=False).agg(lambda column: column.mean(skipna=False))
    mean.index = pd.MultiIndex.from_tuples([(*key, MEAN) for key in mean.index], names=list(KEYS))
    order = {name: k for k, name in enumerate(dict.fromkeys([*table["row"]]))}
    both = pd.concat([flat, mean]).reset_index()
    both.columns.name = None
    return both.sort_values(
        list(KEYS), key=lambda column: column.map(order) if column.name == "row" else column, ignore_index=True
    )


def mean_of(table: pd.DataFrame, estimators: str, split: str, row: str, metric: str) -> float:
    """Mean over the sequences; NaN where it was not run."""
    return float(np.mean(list(by_sequence(table, estimators, split, row, metric).values()) or [np.nan]))


def by_sequence(table: pd.DataFrame, estimators: str, split: str, row: str, metric: str) -> dict[str, float]:
    """Value of each sequence."""
    chosen = table[
        (table["estimators"] == estimators)
        & (table["split"] == split)
        & (table["row"] == row)
        & (table["metric"] == metric)
    ]
    return dict(zip(chosen["sequence"], chosen["value"]))
