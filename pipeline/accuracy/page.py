"""The page of results: tables in the paper's layout, its own numbers apart; its text is in results.md.j2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from pipeline.accuracy import paper
from pipeline.accuracy.gains import BINDINGS, gains, orderings, worse_sequences
from pipeline.accuracy.gather import COLUMNS, INITIAL_ROW, MOTION, NOVEL_PICTURES, SIDE_PICTURES, TIME, mean_of
from pipeline.accuracy.settings import CONFIGURED, FULL, SIMULATED, Benchmark
from pipeline.accuracy.tables import (
    INITIAL_LABEL,
    PICTURE,
    POSE,
    by_sequence_table,
    markdown,
    means_table,
    number,
    rows_run,
)

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
    rows = rows_run(table, benchmark, SIMULATED, split)
    with_initial = [(INITIAL_ROW, INITIAL_LABEL), *rows]
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
        orderings=orderings(table, split, BINDINGS),
        table_1=_table_1(table, split, sources),
        table_2=by_sequence_table(table, SIMULATED, split, names, with_initial, POSE),
        table_3=_rendering(table, benchmark, names),
        table_4=means_table(table, SIMULATED, split, with_initial, (*PICTURE, *POSE)),
        side=means_table(table, SIMULATED, split, rows, (*SIDE_PICTURES, *NOVEL_PICTURES)),
        novel=", ".join(f"{name} does {s.novel}" for name, s in sequences.items() if s.novel) or "none were filmed",
        everything=means_table(table, SIMULATED, split, with_initial, (*MOTION, "psnr_crop", "ssim_crop", *TIME)),
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
    return markdown(["", "the paper gained", "here at least", "aim", "gained", "reached"], rows) if rows else ""


def _table_1(table: pd.DataFrame, split: str, sources: Mapping[str, str]) -> str:
    """Means of both kinds of estimators side by side, as the paper sets its two datasets."""
    kinds = [kind for kind in (SIMULATED, CONFIGURED) if kind in sources]
    titles = {SIMULATED: "simulated", CONFIGURED: "real"}
    header = ["Method"] + [f"{titles[kind]}: {COLUMNS[metric][0]}" for kind in kinds for metric in POSE]
    rows = []
    for row, label in ((INITIAL_ROW, INITIAL_LABEL), ("gart", "GART"), ("neuhmr", "NeuHMR"), (FULL, "ours")):
        cells = [number(mean_of(table, kind, split, row, m), m) for kind in kinds for m in POSE]
        if any(cells):
            rows.append([label, *cells])
    return markdown(header, rows)


def _rendering(table: pd.DataFrame, benchmark: Benchmark, names: list[str]) -> list[tuple[str, str]]:
    """For each split that was run its label and its table."""
    parts = []
    for split, overlay in benchmark.splits.items():
        rows = [(row, label) for row, label in rows_run(table, benchmark, SIMULATED, split) if row in ("gart", FULL)]
        if rows:
            parts.append((overlay.label, by_sequence_table(table, SIMULATED, split, names, rows, PICTURE)))
    return parts


def _table_1_of_paper() -> str:
    header = ["Method", "H36M: MPJPE", "PA-MPJPE", "3DPW: MPJPE", "PA-MPJPE", "V2V"]
    return markdown(header, [[name, *(f"{v:.2f}" for v in values)] for name, values in paper.TABLE_1.items()])


def _table_4_of_paper() -> str:
    header = ["Method", *paper.PICTURE, *paper.POSE]
    rows = [
        [name, *(format(value, digits) for value, digits in zip(values, (".2f", ".3f", ".4f", ".2f", ".2f", ".2f")))]
        for name, values in paper.TABLE_4.items()
    ]
    return markdown(header, rows)


def _triples(rows: Mapping[str, Sequence[Sequence[float]]], names: Sequence[str], metrics: Sequence[str]) -> str:
    """A table of the paper: three metrics of each sequence, and their means."""
    header = ["Method"] + [f"{name} {metric}" for name in [*names, "mean"] for metric in metrics]
    lines = []
    for label, values in rows.items():
        full = [*values, tuple(np.mean(values, axis=0))]
        lines.append([label, *(f"{v:.3f}" if abs(v) < 2 else f"{v:.2f}" for triple in full for v in triple)])
    return markdown(header, lines)
