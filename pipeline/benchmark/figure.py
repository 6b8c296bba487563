"""The benchmark's figure: what each sequence gained, and what each row trades between geometry and appearance."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.benchmark.gather import INITIAL_ROW, by_sequence, mean_of
from pipeline.benchmark.settings import Benchmark
from pipeline.formats.atomic import atomic_path

_INK, _GREY, _LINE = "#22272e", "#8a929c", "#d8dde3"
_FULL, _RIVAL = "full", "gart"
_COLOURS = {_FULL: "#1f6fb4", _RIVAL: "#c8553d"}
_OTHERS = ("#2f8f6b", "#8d5fb0", "#c08a1e", "#5b7083", "#b0487f", "#3d9fb0", "#7a6a3a", "#a3b84c")
# Points: height of labels, breadth of a letter, from a place to its label, radius of a place
_LINE_HEIGHT, _LETTER, _BESIDE, _DOT = 11.0, 5.0, 14.0, 5.0


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
    figure = Figure(figsize=(11, max(4.8, 1.2 + 0.25 * len(names))), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    _sequences(left, table, split, names, kinds)
    first = next(iter(kinds))
    points = _trade(right, table, benchmark, split, first)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_GREY)
        axes.tick_params(colors=_INK, length=0)
        axes.grid(color=_LINE, linewidth=0.7)
        axes.set_axisbelow(True)
    if len(kinds) > 1:
        right.set_title(f"means over {kinds[first]}", color=_INK, fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=12)
    figure.draw_without_rendering()  # where labels would meet is known once the layout is
    _name_points(right, points)
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


def _trade(axes, table: pd.DataFrame, benchmark: Benchmark, split: str, kind: str) -> list[tuple[str, float, float]]:
    """Mean V2V against mean PSNR of held-out frames: towards the upper left both are better. Returns what to name."""
    points = []
    for row, overlay in benchmark.rows.items():
        place = [mean_of(table, kind, split, row, metric) for metric in ("v2v_surface", "psnr")]
        if not np.isnan(place).any():
            points.append((row, overlay.label, *place))
    others = cycle(_OTHERS)
    for row, _, x, y in points:
        colour = _COLOURS.get(row) or next(others)
        axes.scatter(x, y, s=90 if row == _FULL else 50, color=colour, zorder=3, edgecolor="white", linewidth=0.8)
    before = mean_of(table, kind, split, INITIAL_ROW, "v2v_surface")
    if not np.isnan(before):
        axes.axvline(before, color=_GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("initial", (before, 0.02), xycoords=("data", "axes fraction"), xytext=(3, 0),
                      textcoords="offset points", fontsize=8.5, color=_GREY)  # fmt: skip
    axes.margins(0.18)
    left, right = axes.get_xlim()
    axes.set_xlim(left, right + 0.2 * (right - left))  # names stand to the right of their points
    axes.set_xlabel("V2V, mm (lower is better)", color=_INK)
    axes.set_ylabel("PSNR of held-out frames, dB", color=_INK)
    return [(label, x, y) for _, label, x, y in points]


def _name_points(axes, points: list[tuple[str, float, float]]) -> None:
    """Write names beside the points, lower where they would meet a name or a point."""
    places = axes.transData.transform([point[1:] for point in points]) * 72 / axes.figure.dpi
    taken = [(across - _DOT, across + _DOT, level) for across, level in places]  # left, right, level
    for (label, x, y), (across, level) in sorted(zip(points, places), key=lambda pair: -pair[0][2]):
        left, free = across + _BESIDE, level
        right = left + _LETTER * len(label)
        while any(begin < right and left < end and abs(other - free) < _LINE_HEIGHT for begin, end, other in taken):
            free -= 1
        taken.append((left, right, free))
        line = {"arrowstyle": "-", "color": _GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": (0, 0.5)}
        away = (_BESIDE, free - level)
        axes.annotate(label, (x, y), xytext=away, textcoords="offset points", va="center", fontsize=8.5, color=_INK,
                      arrowprops=line)  # fmt: skip
