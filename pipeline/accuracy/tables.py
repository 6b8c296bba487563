"""Tables in the paper's layout, as Markdown, of the long table that `gather` makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.accuracy.gather import COLUMNS, by_sequence, mean_of
from pipeline.accuracy.settings import FULL, Benchmark

POSE = ("mpjpe", "pa_mpjpe", "v2v_surface")
PICTURE = ("psnr", "ssim", "lpips")
INITIAL_LABEL = "initial estimate"
PAPER = "paper: "  # begins the row of a method whose numbers are those that the paper prints

Rows = list[tuple[str, str]]  # rows of the long table, and what they are called


def rows_run(table: pd.DataFrame, benchmark: Benchmark, estimators: str, split: str) -> Rows:
    """Rows that were run with this split and their labels, the full method last, as in the paper."""
    run = set(table[(table["split"] == split) & (table["estimators"] == estimators)]["row"])
    names = [row for row in benchmark.rows if row in run and row != FULL] + [FULL] * (FULL in run)
    return [(row, benchmark.rows[row].label) for row in names]


def by_sequence_table(
    table: pd.DataFrame, estimators: str, split: str, names: Sequence[str], rows: Rows, metrics: Sequence[str]
) -> str:
    """A line a row, the metrics of each sequence side by side, and their mean.

    Args:
        table: of `gather`.
        estimators: the kind to show.
        split: likewise.
        names: the sequences.
        rows: the lines.
        metrics: those that nobody measured are left out.
    """
    metrics = _measured(table, metrics)
    header = ["Method"] + [f"{name} {COLUMNS[metric][0]}" for name in [*names, "mean"] for metric in metrics]
    values = []
    for row, _ in rows:
        found = {metric: by_sequence(table, estimators, split, row, metric) for metric in metrics}
        each = [found[metric].get(name, np.nan) for name in names for metric in metrics]
        values.append(each + [mean_of(table, estimators, split, row, metric) for metric in metrics])
    return markdown(header, _cells(rows, values, metrics * (len(names) + 1)))


def means_table(table: pd.DataFrame, estimators: str, split: str, rows: Rows, metrics: Sequence[str]) -> str:
    """A line a row, with means over the sequences; arguments as above."""
    metrics = _measured(table, metrics)
    values = [[mean_of(table, estimators, split, row, metric) for metric in metrics] for row, _ in rows]
    return markdown(["Method", *(COLUMNS[metric][0] for metric in metrics)], _cells(rows, values, metrics))


def number(value: float, metric: str) -> str:
    """The value as it is printed; nothing where there is none."""
    return "" if np.isnan(value) else format(value, COLUMNS[metric][1])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _measured(table: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    return [metric for metric in metrics if metric in set(table["metric"])]


def _cells(rows: Rows, values: list[list[float]], metrics: Sequence[str]) -> list[list[str]]:
    """The numbers as text, the best that was measured in each column in bold."""
    columns = np.array(values, float)
    measured = np.array([not row.startswith(PAPER) for row, _ in rows])
    lines = []
    for (_, label), mine, line in zip(rows, measured, columns):
        cells = []
        for value, column, metric in zip(line, columns[measured].T, metrics):
            text = number(value, metric)
            known = column[~np.isnan(column)]
            best = mine and len(set(known)) > 1 and value == (known.max() if COLUMNS[metric][2] else known.min())
            cells.append(f"**{text}**" if text and best else text)
        lines.append([label, *cells])
    return lines
