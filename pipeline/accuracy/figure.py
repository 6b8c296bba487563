"""The benchmark's figure: what each sequence gained, and how the rows compare in geometry and appearance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.accuracy.gather import INITIAL_ROW, by_sequence, mean_of
from pipeline.accuracy.settings import Benchmark
from pipeline.formats.atomic import atomic_path

_INK, _GREY, _LINE = "#22272e", "#8a929c", "#d8dde3"
_FULL, _RIVAL = "full", "gart"
_COLOURS = {_FULL: "#1f6fb4", _RIVAL: "#c8553d"}
_OTHER = "#5b7083"
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # behind numbers
_COMPARED = {  # what rows are compared by, and what it is called
    "v2v_surface": "V2V, mm (lower is better)",
    "psnr": "PSNR of held-out frames, dB",
    "side_psnr": "PSNR of side cameras, dB",
}


def draw_figure(
    path: Path, table: pd.DataFrame, benchmark: Benchmark, split: str, kinds: Mapping[str, str], title: str
) -> None:
    """Write the figure as PNG.

    Args:
        path: of the picture.
        table: of `gather`.
        benchmark: for the labels.
        split: the uniform one.
        kinds: of estimators, or datasets, and what they are called. Rows are compared on the first alone, for means
            need the same sequences.
        title: what was measured.
    """
    names = [(kind, name) for kind in kinds for name in by_sequence(table, kind, split, INITIAL_ROW, "mpjpe")]
    first = next(iter(kinds))
    means = {metric: {row: mean_of(table, first, split, row, metric) for row in benchmark.rows} for metric in _COMPARED}
    means = {metric: found for metric, found in means.items() if not np.isnan(list(found.values())).all()}
    rows = [row for row in benchmark.rows if any(not np.isnan(found[row]) for found in means.values())]
    height = max(4.8, 1.2 + 0.25 * max(len(names), len(rows)))
    figure = Figure(figsize=(13, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, *panels = figure.subplots(1, 1 + len(means), width_ratios=[1.6] + [1] * len(means))
    _sequences(left, table, split, names, kinds)
    for axes, (metric, found) in zip(panels, means.items()):
        before = mean_of(table, first, split, INITIAL_ROW, metric)
        _compare(axes, _COMPARED[metric], [found[row] for row in rows], rows, before)
        axes.set_yticks(range(len(rows)), [benchmark.rows[row].label for row in rows] if axes is panels[0] else [])
    for axes in (left, *panels):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_GREY)
        axes.tick_params(colors=_INK, length=0)
        axes.grid(color=_LINE, linewidth=0.7)
        axes.set_axisbelow(True)
    if panels and len(kinds) > 1:
        panels[0].set_title(f"means over {kinds[first]}", color=_INK, fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=12)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _sequences(axes, table: pd.DataFrame, split: str, names: list[tuple[str, str]], kinds: Mapping[str, str]) -> None:
    """MPJPE before and after, of sequences that are named by their kind and their own name."""
    places = np.arange(len(names))[::-1]
    shown = (
        (INITIAL_ROW, "initial estimate", _GREY, 46),
        (_RIVAL, "GART", _COLOURS[_RIVAL], 30),
        (_FULL, "full", _COLOURS[_FULL], 60),
    )
    ends = []
    for row, label, colour, size in shown:
        found = {kind: by_sequence(table, kind, split, row, "mpjpe") for kind in kinds}
        if any(found.values()):
            values = [found[kind].get(name, np.nan) for kind, name in names]
            ends.append(values)
            axes.scatter(values, places, color=colour, s=size, label=label, zorder=3, edgecolor="white", linewidth=0.8)
    for place, values in zip(places, zip(*ends)):
        axes.plot([np.nanmin(values), np.nanmax(values)], [place, place], color=_LINE, linewidth=3, zorder=1)
    axes.set_yticks(places, [f"{kinds[kind]}: {name}" if len(kinds) > 1 else name for kind, name in names])
    axes.set_xlim(left=0)
    axes.set_xlabel("MPJPE, mm (lower is better)", color=_INK)
    axes.legend(frameon=False, loc="lower left", fontsize=9)


def _compare(axes, label: str, values: list[float], rows: list[str], before: float) -> None:
    """A mean of each row as a point and a number, from top to bottom; a line where it was before (NaN: none)."""
    colours = [_COLOURS.get(row, _OTHER) for row in rows]
    axes.scatter(values, range(len(rows)), s=46, color=colours, zorder=3, edgecolor="white", linewidth=0.8)
    for place, (value, colour) in enumerate(zip(values, colours)):
        if not np.isnan(value):
            axes.annotate(f"{value:.1f}", (value, place), xytext=(6, 0), textcoords="offset points", va="center",
                          fontsize=8, color=colour, bbox=_PAPER)  # fmt: skip
    if not np.isnan(before):
        axes.axvline(before, color=_GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("initial", (before, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom",
                      fontsize=8, color=_GREY)  # fmt: skip
    low, high = np.nanmin([*values, before]), np.nanmax([*values, before])
    span = max(high - low, 0.05 * abs(high))
    axes.set_xlim(low - 0.1 * span, high + 0.3 * span)  # numbers stand to the right of their points
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(label, color=_INK)
