"""The section of results on the studies: further tables on few sequences, pictures; its text is in studies.md.j2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from pipeline.accuracy import paper
from pipeline.accuracy.gains import BINDINGS, BINDINGS_BY_ADAM, orderings
from pipeline.accuracy.gather import COLUMNS, INITIAL_ROW, mean_of
from pipeline.accuracy.settings import BY_START, FULL, Benchmark, Study
from pipeline.accuracy.tables import INITIAL_LABEL, POSE, Rows, markdown, means_table, number

MARKS = "<!-- studies -->", "<!-- end of the studies -->"  # of the section, in a page
_METRICS = (*POSE, "psnr", "ssim", "lpips", "side_psnr", "side_ssim", "novel_psnr", "novel_ssim", "seconds_per_frame")
_NO_POSE = "no_pose"
# Rows of bindings that the paper holds to cost the pose something, and what they are.
_LOOSER = {"lsw_camel": "CAMEL with learnable weights", "field": "a deformation field"}
_LOOSER_BY_ADAM = {f"{row}_adam": words for row, words in _LOOSER.items()}


def write_studies(
    table: pd.DataFrame,
    benchmark: Benchmark,
    pictures: str,
    matching: str,
    matched: Mapping[str, np.ndarray],
    registering: tuple[float, float],
) -> str:
    """The section as Markdown, between the MARKS.

    Args:
        table: of `gather`, of the studies' runs.
        benchmark: what was run.
        pictures: address of the pictures of methods, from the page.
        matching: of that of the joint matching.
        matched: distances from the true joints, px, of what each way finds (`Matches.errors`).
        registering: seconds a frame of NeuHMR's registration and of its refinement.
    """
    split = next(iter(benchmark.splits))
    text = Path(__file__).with_name("studies.md.j2").read_text(encoding="utf-8")
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    section = template.render(
        studio=benchmark.studio,
        studies=[_study(table, benchmark, split, study) for study in benchmark.studies.values()],
        pictures=pictures,
        matching=matching,
        matched=_matched(matched),
        registering=[f"{seconds:.2f}" for seconds in registering],
        neuhmr=[(paper.NEUHMR_SOURCE[name], _pairs(rows)) for name, rows in paper.NEUHMR.items()],
        neuhmr_seconds=markdown(["Method", "s a frame"], [[k, f"{v:.1f}"] for k, v in paper.NEUHMR_SECONDS.items()]),
        neuhmr_ablations=_pairs(paper.NEUHMR_ABLATIONS),
    )
    return f"{MARKS[0]}\n{section.strip()}\n{MARKS[1]}"


def _study(table: pd.DataFrame, benchmark: Benchmark, split: str, study: Study) -> dict:
    """What the template shows of a study."""
    chosen = table[table["sequence"].isin(study.sequences)]
    rows = [(row, benchmark.rows[row].label) for row in study.rows]
    shown = {"title": study.title, "about": study.about, "sequences": ", ".join(study.sequences), "tables": []}
    if study.by == BY_START:
        shown["tables"] = [("", _by_start(chosen, benchmark, split, study, rows))]
        alike = [kind for kind in study.estimators if kind in benchmark.simulated_kinds]
        shown["claims"] = [
            (where, [_gain_claim(chosen, split, kinds)])
            for where, kinds in (
                ("simulated starts, of which nothing but the errors differs", alike),
                ("all starts, whose masks, depth and focal length differ, too", study.estimators),
            )
            if FULL in study.rows and alike and len(kinds) > 1
        ]
        return shown
    shown["tables"] = [
        (benchmark.estimators[kind], means_table(chosen, kind, split, [(INITIAL_ROW, INITIAL_LABEL), *rows], _METRICS))
        for kind in study.estimators
    ]
    ways = (("", BINDINGS, _LOOSER, "none"), (", poses by Adam alone", BINDINGS_BY_ADAM, _LOOSER_BY_ADAM, "none_adam"))
    shown["claims"] = [
        (f"{benchmark.estimators[kind]}{how}", claims)
        for kind in study.estimators
        for how, bindings, looser, free in ways
        if set(bindings) <= set(study.rows)
        and (
            claims := _spread(chosen, split, kind, (*bindings, *looser, free))
            + orderings(chosen, split, bindings, kind)
            + _holds_better(chosen, split, kind, bindings[0], looser)
        )
    ]
    return shown


def _spread(table: pd.DataFrame, split: str, kind: str, rows: Sequence[str]) -> list[tuple[str, None]]:
    """How much the bindings differ at all; no claim."""
    spans = [np.ptp([mean_of(table, kind, split, row, metric) for row in rows]) for metric in ("mpjpe", "psnr")]
    if np.isnan(spans).any():
        return []
    return [(f"all {len(rows)} bindings lie within {spans[0]:.1f} mm of MPJPE and {spans[1]:.1f} dB of PSNR", None)]


def _holds_better(
    table: pd.DataFrame, split: str, kind: str, camel: str, looser: Mapping[str, str]
) -> list[tuple[str, bool]]:
    """Whether the pose is nearer with CAMEL than where Gaussians may also leave the body in another way."""
    ours = mean_of(table, kind, split, camel, "mpjpe")
    theirs = {words: mean_of(table, kind, split, row, "mpjpe") for row, words in looser.items()}
    return [
        (f"MPJPE: CAMEL < {words} ({ours:.2f}, {value:.2f})", ours < value)
        for words, value in theirs.items()
        if not np.isnan([ours, value]).any()
    ]


def _by_start(table: pd.DataFrame, benchmark: Benchmark, split: str, study: Study, rows: Rows) -> str:
    """A line a start: its own error, then each method's, and PSNR of held-out frames."""
    refining = [(row, label) for row, label in rows if row != _NO_POSE]
    header = ["Start", f"{COLUMNS['mpjpe'][0]}, not refined"]
    header += [f"{label}" for _, label in refining] + [f"PSNR, {label}" for _, label in rows]
    lines = []
    for kind in study.estimators:
        before = mean_of(table, kind, split, INITIAL_ROW, "mpjpe")
        cells = [number(before, "mpjpe")]
        for row, _ in refining:
            after = mean_of(table, kind, split, row, "mpjpe")
            cells.append(f"{number(after, 'mpjpe')} ({after / before - 1:+.0%})")
        cells += [number(mean_of(table, kind, split, row, "psnr"), "psnr") for row, _ in rows]
        lines.append([benchmark.estimators[kind], *cells])
    return markdown(header, lines)


def _gain_claim(table: pd.DataFrame, split: str, kinds: Sequence[str]) -> tuple[str, bool]:
    """Whether worse starts gain more, in millimetres, by the full method."""
    pairs = [[mean_of(table, kind, split, row, "mpjpe") for row in (INITIAL_ROW, FULL)] for kind in kinds]
    ordered = sorted(pairs)
    gained = [before - after for before, after in ordered]
    text = "the worse the start, the more the full method gains: " + ", ".join(
        f"{before:.0f} mm gains {gain:.1f}" for (before, _), gain in zip(ordered, gained)
    )
    return text, all(np.diff(gained) > 0)


def _matched(errors: Mapping[str, np.ndarray]) -> str:
    header = ["What", "mean, px", "median, px", "nine of ten within, px", "joints"]
    lines = [
        [name, f"{v.mean():.2f}", f"{np.median(v):.2f}", f"{np.quantile(v, 0.9):.2f}", str(len(v))]
        for name, v in errors.items()
    ]
    return markdown(header, lines)


def _pairs(rows: Mapping[str, Sequence[float]]) -> str:
    return markdown(["Method", "MPJPE", "PVE"], [[name, *(f"{v:.1f}" for v in pair)] for name, pair in rows.items()])
