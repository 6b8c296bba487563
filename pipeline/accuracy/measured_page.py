"""The section of results on real video with measured joints; its text is in measured.md.j2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from pipeline.accuracy.measured import AFTER, BEFORE, OWN
from pipeline.accuracy.measured import COLUMNS as SCORED
from pipeline.accuracy.settings import FULL, Benchmark, Run
from pipeline.accuracy.tables import markdown
from pipeline.camera.intrinsics import clip_camera
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.runtime.errors import UserError

KEYS = ("split", "row", "clip")
# Title and format of each figure.
METRICS = {
    "mpjpe": ("MPJPE", ".1f"),
    "pa_mpjpe": ("PA-MPJPE", ".1f"),
    "along": ("along the ray", ".1f"),
    "across": ("across", ".1f"),
    "place": ("place, m", ".2f"),
    "turned": ("turned round, % of frames", ".0f"),
    "knee": ("knee, deg", ".1f"),
    "hip": ("hip, deg", ".1f"),
    "elbow": ("elbow, deg", ".1f"),
    "shoulder": ("shoulder, deg", ".1f"),
    "within_across": ("within one sigma across, %", ".0f"),
    "within_along": ("along, %", ".0f"),
}
BEGIN, END = "<!-- real video -->", "<!-- end of real video -->"  # of the section, in a page


@dataclass(frozen=True)
class ClipRun:
    """A clip that was run, for people."""

    name: str
    frames: int
    step: int  # every so many frames of the file one was taken
    measured: int  # frames of them in which joints were measured
    initial: str  # what made the initial motion
    camera: str  # where our camera is from


def gather_measured(root: Path, runs: Iterable[Run]) -> pd.DataFrame:
    """One row a run, method and metric: KEYS, method, metric, frames, value.

    Args:
        root: results/benchmark.
        runs: fitted and scored.

    Raises:
        UserError: a score is missing or of another layout.
    """
    parts = []
    for run in runs:
        path = run.folder(root) / "joints.csv"
        if not path.is_file():
            raise UserError(f"{path}: not found; run the stage score first")
        table = pd.read_csv(path)
        if tuple(table.columns) != SCORED:
            raise UserError(f"{path}: expected the columns {', '.join(SCORED)}; run the stage score again")
        parts.append(table.assign(split=run.split, row=run.row, clip=run.sequence))
    return pd.concat(parts, ignore_index=True)[[*KEYS, *SCORED]]


def describe_measured(root: Path, runs: Iterable[Run], table: pd.DataFrame) -> list[ClipRun]:
    """What was run, as the files of each clip's first run tell; `table` is of `gather_measured`."""
    first = {run.sequence: run for run in reversed(list(runs))}
    found = []
    for clip in dict.fromkeys(table["clip"]):
        directory = VideoDir(first[clip].folder(root))
        initial = Pose.load(directory.pose_init)
        measured = int(table[table["clip"] == clip]["frames"].iloc[0])
        step = read_provenance(directory.provenance("decode"))["settings"]["step"]
        found.append(ClipRun(clip, len(initial), step, measured, initial.source, clip_camera(directory).source))
    return found


def write_measured(
    table: pd.DataFrame, benchmark: Benchmark, clips: Sequence[ClipRun], pictures: str, landmarks: str
) -> str:
    """The section as Markdown, between BEGIN and END.

    Args:
        table: of `gather_measured`.
        benchmark: what was run.
        clips: of `describe_measured`.
        pictures, landmarks: of `pictures_table` and `landmarks_table`.
    """
    split = table["split"].iloc[0]
    rows = list(dict.fromkeys(table[table["split"] == split]["row"]))
    main = FULL if FULL in rows else rows[0]
    values = _values(table, split, main)
    ours = (BEFORE, AFTER, *OWN.values())
    methods = [name for name in dict.fromkeys(values.columns.get_level_values(0)) if name not in ours]
    lines = []
    for clip in values.index:
        there = [name for name in (BEFORE, AFTER, *methods) if (name, "mpjpe") in values and _has(values, clip, name)]
        lines += [[clip, _label(name), *_cells(values.loc[clip, name])] for name in there]
    means = [["all", *line] for line in _mean_lines(values, ours)]
    for method in methods:
        with_it = values[values[method]["mpjpe"].notna()]
        if len(with_it) < len(values):
            names = ", ".join(with_it.index)
            means += [[names, *line] for line in _mean_lines(with_it, (BEFORE, AFTER, method))]
        else:
            means += [["all", *line] for line in _mean_lines(values, (method,))]
    header = ["Clip", "Motion", *(title for title, _ in METRICS.values())]
    ablations = [
        [benchmark.rows[row].label, *_cells(_values(table, split, row)[AFTER].mean())] for row in rows if row != main
    ]
    if ablations:
        ablations.append([benchmark.rows[main].label, *_cells(values[AFTER].mean())])
    text = Path(__file__).with_name("measured.md.j2").read_text(encoding="utf-8")
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    section = template.render(
        clips=clips,
        means=markdown(header, _unique(means)),
        each=markdown(header, lines),
        pictures=pictures,
        landmarks=landmarks,
        ablations=markdown(["Row", *header[2:]], ablations) if ablations else "",
        gained={name: _gain(values, name) for name in ("mpjpe", "pa_mpjpe")},
        worse=[
            clip for clip in values.index if values.loc[clip, (AFTER, "mpjpe")] > values.loc[clip, (BEFORE, "mpjpe")]
        ],
    )
    return f"{BEGIN}\n{section.strip()}\n{END}"


def _values(table: pd.DataFrame, split: str, row: str) -> pd.DataFrame:
    """A line a clip, columns (method, metric)."""
    chosen = table[(table["split"] == split) & (table["row"] == row)]
    flat = chosen.pivot(index="clip", columns=["method", "metric"], values="value")
    order = pd.MultiIndex.from_product([dict.fromkeys(chosen["method"]), METRICS])
    return flat.reindex(index=list(dict.fromkeys(chosen["clip"])), columns=order)


def _has(values: pd.DataFrame, clip: str, method: str) -> bool:
    return bool(values.loc[clip, method].notna().any())


def _cells(figures: pd.Series) -> list[str]:
    return ["" if np.isnan(figures[name]) else format(figures[name], form) for name, (_, form) in METRICS.items()]


def _mean_lines(values: pd.DataFrame, methods: Sequence[str]) -> list[list[str]]:
    return [[_label(name), *_cells(values[name].mean())] for name in methods if name in values]


def _label(method: str) -> str:
    return {BEFORE: "before the fit", AFTER: "**after the fit**"}.get(method, method)


def _gain(values: pd.DataFrame, metric: str) -> float:
    before, after = (values[when][metric].mean() for when in (BEFORE, AFTER))
    return float(1 - after / before)


def _unique(lines: list[list[str]]) -> list[list[str]]:
    """Lines once each: methods that share their clips share ours there."""
    return [list(line) for line in dict.fromkeys(map(tuple, lines))]
