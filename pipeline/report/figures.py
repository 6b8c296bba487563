"""Charts as SVG that follows the page: its font, and its colours in light and in dark.

matplotlib draws in the stand-in colours below; in the SVG they become the page's CSS variables.
"""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.evaluation.table import HELD_OUT, METRICS

BEFORE, AFTER, INK, MUTED, GRID, SURFACE = "#e69f01", "#56b4e8", "#010203", "#040506", "#070809", "#0a0b0c"
SERIES = ("#a10001", "#a20002", "#a30003", "#a40004", "#a50005", "#a60006", "#a70007", "#a80008")
_SMALLEST_TERM = 1e-5  # of the largest term of the loss; what is below moves nothing
_FROM_THE_TOP = (
    "head", "nose", "eye", "ear", "neck", "collar", "shoulder", "elbow", "wrist", "hand", "thumb", "index", "pinky",
    "spine3", "spine2", "spine1", "pelvis", "hip", "knee", "ankle", "heel", "foot",
)  # fmt: skip
_VARIABLES = {
    BEFORE: "--before",
    AFTER: "--after",
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    SURFACE: "--surface",
} | {colour: f"--series-{index}" for index, colour in enumerate(SERIES, 1)}
_STYLE = {
    "svg.fonttype": "none",  # text stays text: selectable, and in the page's font
    "svg.hashsalt": "report",  # the same chart gives the same file
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}


def frame_chart(table: pd.DataFrame, metric: str) -> str | None:
    """A metric over the frames, before and after; held-out frames are ticked. None if it was not measured by frame.

    Args:
        table: of `read_metrics`.
        metric: a key of METRICS.
    """
    rows = table[(table["metric"] == metric) & (table["scope"] == "frame")]
    rows = rows.assign(frame=pd.to_numeric(rows["key"])).sort_values("frame")
    curves = {when: rows[rows["when"] == when] for when in ("initial", "refined", "truth")}
    if curves["initial"].empty or curves["refined"].empty:
        return None
    with _figure(4.2, 1.9, font=10.5) as (figure, axes):
        for when, colour, width, z in (
            ("truth", MUTED, 1.0, 1),
            ("initial", BEFORE, 1.6, 2),
            ("refined", AFTER, 1.9, 3),
        ):
            curve = curves[when]
            marker = "o" if len(curve) < 3 else None
            axes.plot(
                curve["frame"], curve["value"], color=colour, linewidth=width, zorder=z, marker=marker, markersize=3
            )
        held_out = rows[rows["split"] == HELD_OUT]["frame"].unique()
        axes.plot(held_out, np.zeros(len(held_out)), "|", color=MUTED, markersize=5, clip_on=False,
                  transform=axes.get_xaxis_transform(), markeredgewidth=0.8)  # fmt: skip
        _limits(axes, metric, pd.concat([curves["initial"]["value"], curves["refined"]["value"]]))
        axes.set_xlabel("frame")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=(1, 2, 5, 10)))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.margins(x=0.01)
        return _svg(figure, f"{METRICS[metric].label} over the frames, before and after")


def band_chart(initial: np.ndarray, refined: np.ndarray, sigma: np.ndarray, label: str) -> str:
    """A value over the frames before and after, and one standard deviation to either side of the latter; (T,) each."""
    frames = np.arange(len(refined))
    with _figure(5.2, 1.7) as (figure, axes):
        axes.fill_between(frames, refined - sigma, refined + sigma, color=AFTER, alpha=0.25, linewidth=0, zorder=1)
        axes.plot(frames, initial, color=BEFORE, linewidth=1.2, zorder=2)
        axes.plot(frames, refined, color=AFTER, linewidth=1.9, zorder=3)
        axes.set_xlabel("frame")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=(1, 2, 5, 10)))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.margins(x=0.01)
        return _svg(figure, label)


def point_chart(table: pd.DataFrame, metric: str) -> str | None:
    """Each joint's or landmark's value before and after, joined by a line. None if it was not measured by point."""
    rows = table[(table["metric"] == metric) & (table["scope"] == "joint")]
    wide = rows.pivot_table(index="key", columns="when", values="value", sort=False)
    wide = wide.sort_index(key=lambda names: [_place(name) for name in names], kind="stable")
    if wide.empty or not {"initial", "refined"} <= set(wide.columns):
        return None
    with _figure(5.2, 0.5 + 0.2 * len(wide)) as (figure, axes):
        places = np.arange(len(wide))[::-1]
        axes.hlines(places, wide["initial"], wide["refined"], color=GRID, linewidth=2.6, zorder=1)
        axes.plot(wide["initial"], places, "o", color=BEFORE, markersize=5.5, zorder=2)
        axes.plot(wide["refined"], places, "o", color=AFTER, markersize=6.5, zorder=3)
        axes.set_yticks(places, [name.replace("_", " ") for name in wide.index])
        axes.set_ylim(-0.7, len(wide) - 0.3)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.set_xlabel(METRICS[metric].unit)
        return _svg(figure, f"{METRICS[metric].label} of each point, before and after")


def _place(name: str) -> int:
    """Where a joint or landmark is on the body, counted from the head down."""
    name = name.replace("foot_index", "foot")
    return next((place for place, part in enumerate(_FROM_THE_TOP) if part in name), len(_FROM_THE_TOP))


def history_chart(history: pd.DataFrame, column: str, phases: Mapping[str, int], label: str, log: bool) -> str:
    """One column of fit/history.csv over the steps, the phases of the fit marked.

    Args:
        history: with the column `step`.
        column: what to draw.
        phases: steps of each phase of the fit, in order.
        label: what the chart shows, for screen readers.
        log: logarithmic axis.
    """
    with _figure(4.2, 1.9, font=10.5) as (figure, axes):
        axes.plot(history["step"], history[column], color=AFTER)
        if log and (history[column] > 0).all():
            _log_axis(axes)
        _phases(axes, phases, history["step"].max())
        return _svg(figure, label)


def terms_chart(history: pd.DataFrame, terms: Sequence[str], phases: Mapping[str, int]) -> str:
    """The terms of the loss over the steps, on a logarithmic axis, in the order of `SERIES` colours."""
    with _figure(10.8, 2.4) as (figure, axes):
        for term, colour in zip(terms, SERIES):
            known = history[history[term] > 0]
            axes.plot(known["step"], known[term], color=colour, linewidth=1.4)
        largest = float(history[list(terms)].max().max())
        axes.set_ylim(_SMALLEST_TERM * largest, 1.5 * largest)
        _log_axis(axes)
        _phases(axes, phases, history["step"].max())
        return _svg(figure, "the terms of the loss over the steps")


def _phases(axes: Axes, phases: Mapping[str, int], last: float) -> None:
    axes.set_xlim(0, last)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=(1, 2, 5, 10)))
    start = 0
    for name, steps in phases.items():
        if steps <= 0 or start >= last:
            continue
        if start:
            axes.axvline(start, color=GRID, linewidth=1)
        if steps > 0.08 * last:
            axes.text(start, 1.02, name, transform=axes.get_xaxis_transform(), color=MUTED, fontsize="small",
                      va="bottom", ha="left")  # fmt: skip
        start += steps


def _log_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,), numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _limits(axes: Axes, metric: str, values: pd.Series) -> None:
    """Errors start at zero; shares, whose interesting part is near 1, do not."""
    if not METRICS[metric].higher_is_better:
        axes.set_ylim(0, 1.08 * max(values.max(), 1e-6))


@contextmanager
def _figure(width: float, height: float, font: float = 9):
    """A figure of this size in inches. A small one is shown smaller on the page, so its font must be larger."""
    with plt.rc_context(_STYLE | {"font.size": font}):
        figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
        try:
            yield figure, axes
        finally:
            plt.close(figure)


def _svg(figure: Figure, label: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # A style element would reach the whole page; names of groups are many and nobody refers to them.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r"font-family: [^;]*; ", "", text)
    text = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg role="img" aria-label="{label}" viewBox="\1">', text, count=1
    )
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
