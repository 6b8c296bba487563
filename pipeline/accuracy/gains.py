"""What the full method gained over its rivals, against what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.accuracy.gather import INITIAL_ROW, by_sequence, mean_of
from pipeline.accuracy.settings import CONFIGURED, FULL, SIMULATED

# Rows that differ in the binding alone: CAMEL, Gaussians on mesh, learnable skinning weights
BINDINGS = (FULL, "gom", "lsw")
BINDINGS_BY_ADAM = ("no_align", "gom_adam", "lsw_adam")


@dataclass(frozen=True)
class Goal:
    """A gain of the row `full`, in the mean over the sequences, simulated estimators, uniform split."""

    label: str
    metric: str  # a key of gather.COLUMNS
    rival: str  # row
    relative: bool  # by what share it is lower; else by how much it is higher
    paper: float | None  # what the paper gained
    least: float
    aim: float


GOALS = (
    Goal("MPJPE lower than the initial estimate", "mpjpe", INITIAL_ROW, True, 0.04, 0.30, 0.50),
    Goal("V2V lower than the initial estimate", "v2v_surface", INITIAL_ROW, True, 0.12, 0.30, 0.50),
    Goal("PA-MPJPE lower than the initial estimate", "pa_mpjpe", INITIAL_ROW, True, 0.04, 0.20, 0.40),
    Goal("Translation error lower than the initial estimate", "translation_error", INITIAL_ROW, True, None, 0.40, 0.70),
    Goal("PSNR over GART", "psnr", "gart", False, 1.9, 1.9, 4.0),
    Goal("PSNR over no pose optimisation", "psnr", "no_pose", False, 2.7, 2.7, 5.0),
    Goal("PSNR over GART, side cameras, true poses", "side_psnr", "gart", False, None, 2.0, 4.0),
    Goal("MPJPE lower than with learnable skinning weights", "mpjpe", "lsw", True, 0.05, 0.03, 0.10),
)


def gains(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """One line a goal whose rows were run: label, paper, least, aim, gained, reached ("aim", "least" or "no").

    Args:
        table: of `gather`.
        split: the uniform one.
    """
    rows = []
    for goal in GOALS:
        full, rival = (mean_of(table, SIMULATED, split, row, goal.metric) for row in (FULL, goal.rival))
        gained = 1 - full / rival if goal.relative else full - rival
        if np.isnan(gained):
            continue
        reached = "aim" if gained >= goal.aim else "least" if gained >= goal.least else "no"
        rows.append((goal.label, goal.relative, goal.paper, goal.least, goal.aim, gained, reached))
    return pd.DataFrame(rows, columns=["goal", "relative", "paper", "least", "aim", "gained", "reached"])


def worse_sequences(table: pd.DataFrame, split: str) -> list[str]:
    """Sequences that end worse than they began, in MPJPE or V2V: "walk, simulated: MPJPE 70.1, was 69.2"."""
    return [
        f"{name}, {title}: {label} {after:.1f} mm, was {before[name]:.1f}"
        for kind, title in ((SIMULATED, "simulated"), (CONFIGURED, "real"))
        for metric, label in (("mpjpe", "MPJPE"), ("v2v_surface", "V2V"))
        for before in [by_sequence(table, kind, split, INITIAL_ROW, metric)]
        for name, after in by_sequence(table, kind, split, FULL, metric).items()
        if after > before[name]
    ]


def orderings(
    table: pd.DataFrame, split: str, rows: tuple[str, str, str], estimators: str = SIMULATED
) -> list[tuple[str, bool]]:
    """The orderings of the paper's table 4, and whether they hold here; those whose rows were all run.

    Args:
        table: of `gather`.
        split: the uniform one.
        rows: with CAMEL, Gaussians on mesh and learnable skinning weights: `BINDINGS` or `BINDINGS_BY_ADAM`.
        estimators: whose starts.
    """
    camel, gom, lsw = rows
    values = {
        (row, metric): mean_of(table, estimators, split, row, metric) for row in rows for metric in ("mpjpe", "psnr")
    }
    claims = (
        ("MPJPE: CAMEL <= Gaussians on mesh", (camel, gom, "mpjpe")),
        ("MPJPE: Gaussians on mesh < learnable skinning weights", (gom, lsw, "mpjpe")),
        ("PSNR: CAMEL >= learnable skinning weights", (lsw, camel, "psnr")),
        ("PSNR: learnable skinning weights > Gaussians on mesh", (gom, lsw, "psnr")),
    )
    pairs = [(text, values[low, metric], values[high, metric], "=" in text) for text, (low, high, metric) in claims]
    return [
        (f"{text} ({low:.2f}, {high:.2f})", low <= high if ties else low < high)
        for text, low, high, ties in pairs
        if not np.isnan([low, high]).any()
    ]
