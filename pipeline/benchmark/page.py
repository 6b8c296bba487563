"""The page of results: tables in the paper's layout, its own numbers apart; its text is in results.md.j2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from pipeline.benchmark import paper
from pipeline.benchmark.gains import FULL, gains, orderings, worse_sequences
from pipeline.benchmark.gather import (
    COLUMNS,
    INITIAL_ROW,
    MOTION,
    SIDE_PICTURES,
    TIME,
    by_sequence,
    mean_of,
)
from pipeline.benchmark.settings import CONFIGURED, SIMULATED, Benchmark

_POSE = ("mpjpe", "pa_mpjpe", "v2v_surface")
_PICTURE = ("psnr", "ssim", "lpips")
_INITIAL_LABEL = "initial estimate"
_PROTOCOL_MOTION = (
    "All frames, those held out too; joints and vertices pelvis-aligned, PA-MPJPE Procrustes-aligned per frame, mm."
)
_PROTOCOL_PICTURES = (
    "Held-out frames; test poses are fitted with the avatar frozen, but for the row without pose optimisation. Person "
    "over white, cut out by the true mask, which no method sees; full image."
)


def write_page(
    table: pd.DataFrame,
    benchmark: Benchmark,
    sources: Mapping[str, str],
    figure: str,
    missing: Sequence[str],
    command: str,
    crop_padding: float,
) -> str:
    """The page as Markdown.

    Args:
        table: of `gather`.
        benchmark: what was run.
        sources: what made the initial poses, for each kind of estimators.
        figure: address of the figure, from the page.
        missing: what of the benchmark was left out, for the reader.
        command: that makes it all.
        crop_padding: of the crops, share of the box's longer side.
    """
    split = next(iter(benchmark.splits))
    names = list(dict.fromkeys(table["sequence"]))
    sequences = {name: benchmark.sequences[name] for name in names}
    rows = _rows(table, benchmark, split)
    with_initial = [(INITIAL_ROW, _INITIAL_LABEL), *rows]
    table_3 = {f"{s}, {m}": values for (s, m), values in paper.TABLE_3.items()}
    text = Path(__file__).with_name("results.md.j2").read_text(encoding="utf-8")
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return template.render(
        command=command,
        studio=benchmark.studio,
        simulated=benchmark.simulated,
        clips=", ".join(
            f"{name} ({s.motion}, {s.outfit}, {s.camera} camera, {s.frames} frames)" for name, s in sequences.items()
        ),
        real=sources.get(CONFIGURED),
        missing=missing,
        figure=figure,
        uniform=benchmark.splits[split].label,
        padding=crop_padding,
        like=", ".join(f"{name} as {s.errors.like}" for name, s in sequences.items()),
        gart="gart" in set(table["row"]),
        protocol_motion=_PROTOCOL_MOTION,
        protocol_pictures=_PROTOCOL_PICTURES,
        goals=_goals(table, split),
        worse=worse_sequences(table, split),
        orderings=orderings(table, split),
        table_1=_table_1(table, split, sources),
        table_2=_by_sequence(table, split, names, with_initial, _POSE),
        table_3=_rendering(table, benchmark, names),
        table_4=_means(table, split, with_initial, (*_PICTURE, *_POSE)),
        side=_means(table, split, rows, tuple(SIDE_PICTURES)),
        everything=_means(table, split, with_initial, (*MOTION, "psnr_crop", "ssim_crop", *TIME)),
        paper_1=_table_1_of_paper(),
        paper_2=_triples(paper.TABLE_2, paper.NEUMAN, paper.POSE),
        paper_3=_triples(table_3, paper.NEUMAN, paper.PICTURE),
        paper_4=_table_4_of_paper(),
    )


def _goals(table: pd.DataFrame, split: str) -> str:
    rows = []
    for goal in gains(table, split).itertuples():
        show = "{:.0%}".format if goal.relative else "{:.1f} dB".format
        theirs = "" if goal.paper is None or np.isnan(goal.paper) else show(goal.paper)
        rows.append([goal.goal, theirs, show(goal.least), show(goal.aim), f"**{show(goal.gained)}**", goal.reached])
    return _markdown(["", "the paper gained", "here at least", "aim", "gained", "reached"], rows) if rows else ""


def _table_1(table: pd.DataFrame, split: str, sources: Mapping[str, str]) -> str:
    """Means of both kinds of estimators side by side, as the paper sets its two datasets."""
    kinds = [kind for kind in (SIMULATED, CONFIGURED) if kind in sources]
    titles = {SIMULATED: "simulated", CONFIGURED: "real"}
    header = ["Method"] + [f"{titles[kind]}: {COLUMNS[metric][0]}" for kind in kinds for metric in _POSE]
    rows = []
    for row, label in ((INITIAL_ROW, _INITIAL_LABEL), ("gart", "GART"), (FULL, "ours")):
        cells = [_number(mean_of(table, kind, split, row, m), m) for kind in kinds for m in _POSE]
        if any(cells):
            rows.append([label, *cells])
    return _markdown(header, rows)


def _rendering(table: pd.DataFrame, benchmark: Benchmark, names: list[str]) -> list[tuple[str, str]]:
    """For each split that was run its label and its table."""
    parts = []
    for split, overlay in benchmark.splits.items():
        rows = [(row, label) for row, label in _rows(table, benchmark, split) if row in ("gart", FULL)]
        if rows:
            parts.append((overlay.label, _by_sequence(table, split, names, rows, _PICTURE)))
    return parts


def _by_sequence(
    table: pd.DataFrame, split: str, names: list[str], rows: list[tuple[str, str]], metrics: Sequence[str]
) -> str:
    """A line a row, the metrics of each sequence side by side, and their mean."""
    metrics = [metric for metric in metrics if metric in set(table["metric"])]
    header = ["Method"] + [f"{name} {COLUMNS[metric][0]}" for name in [*names, "mean"] for metric in metrics]
    values = []
    for row, _ in rows:
        found = {metric: by_sequence(table, SIMULATED, split, row, metric) for metric in metrics}
        each = [found[metric].get(name, np.nan) for name in names for metric in metrics]
        values.append(each + [mean_of(table, SIMULATED, split, row, metric) for metric in metrics])
    return _markdown(header, _cells(rows, values, list(metrics) * (len(names) + 1)))


def _means(table: pd.DataFrame, split: str, rows: list[tuple[str, str]], metrics: Sequence[str]) -> str:
    metrics = [metric for metric in metrics if metric in set(table["metric"])]
    values = [[mean_of(table, SIMULATED, split, row, metric) for metric in metrics] for row, _ in rows]
    return _markdown(["Method", *(COLUMNS[metric][0] for metric in metrics)], _cells(rows, values, metrics))


def _cells(rows: list[tuple[str, str]], values: list[list[float]], metrics: Sequence[str]) -> list[list[str]]:
    """The numbers as text, the best of each column in bold."""
    columns = np.array(values, float)
    lines = []
    for (_, label), line in zip(rows, columns):
        cells = []
        for value, column, metric in zip(line, columns.T, metrics):
            text = _number(value, metric)
            known = column[~np.isnan(column)]
            best = len(set(known)) > 1 and value == (known.max() if COLUMNS[metric][2] else known.min())
            cells.append(f"**{text}**" if text and best else text)
        lines.append([label, *cells])
    return lines


def _rows(table: pd.DataFrame, benchmark: Benchmark, split: str) -> list[tuple[str, str]]:
    """Rows that were run with this split and their labels, the full method last, as in the paper."""
    run = set(table[(table["split"] == split) & (table["estimators"] == SIMULATED)]["row"])
    names = [row for row in benchmark.rows if row in run and row != FULL] + [FULL] * (FULL in run)
    return [(row, benchmark.rows[row].label) for row in names]


def _table_1_of_paper() -> str:
    header = ["Method", "H36M: MPJPE", "PA-MPJPE", "3DPW: MPJPE", "PA-MPJPE", "V2V"]
    return _markdown(header, [[name, *(f"{v:.2f}" for v in values)] for name, values in paper.TABLE_1.items()])


def _table_4_of_paper() -> str:
    header = ["Method", *paper.PICTURE, *paper.POSE]
    rows = [
        [name, *(format(value, digits) for value, digits in zip(values, (".2f", ".3f", ".4f", ".2f", ".2f", ".2f")))]
        for name, values in paper.TABLE_4.items()
    ]
    return _markdown(header, rows)


def _triples(rows: Mapping[str, Sequence[Sequence[float]]], names: Sequence[str], metrics: Sequence[str]) -> str:
    """A table of the paper: three metrics of each sequence, and their means."""
    header = ["Method"] + [f"{name} {metric}" for name in [*names, "mean"] for metric in metrics]
    lines = []
    for label, values in rows.items():
        full = [*values, tuple(np.mean(values, axis=0))]
        lines.append([label, *(f"{v:.3f}" if abs(v) < 2 else f"{v:.2f}" for triple in full for v in triple)])
    return _markdown(header, lines)


def _number(value: float, metric: str) -> str:
    return "" if np.isnan(value) else format(value, COLUMNS[metric][1])


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
