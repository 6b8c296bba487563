"""The avatar's pictures of real clips with measured joints, as a table of the benchmark's section on them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pipeline.accuracy.gains import FULL
from pipeline.accuracy.settings import Run
from pipeline.accuracy.tables import markdown
from pipeline.evaluation.table import ALL, HELD_OUT, TRAIN, read_metrics

# Metric, split, title and format of each column.
_COLUMNS = (
    ("psnr_crop", HELD_OUT, "PSNR", ".1f"),
    ("psnr_crop_refined", HELD_OUT, "refined masks", ".1f"),
    ("psnr_crop_known", HELD_OUT, "what is known", ".1f"),
    ("psnr_crop_refined", TRAIN, "trained on, refined masks", ".1f"),
    ("ssim_crop", HELD_OUT, "SSIM", ".3f"),
    ("ssim_crop_refined", HELD_OUT, "refined masks", ".3f"),
    ("psnr_head", HELD_OUT, "PSNR, head", ".1f"),
    ("psnr_hands", HELD_OUT, "hands", ".1f"),
    ("iou_avatar_refined", ALL, "outline, IoU", ".3f"),
)


def pictured(runs: Iterable[Run]) -> list[Run]:
    """Those of the full method, by the first split."""
    full = [run for run in runs if run.row == FULL]
    return [run for run in full if run.split == full[0].split]


def pictures_table(root: Path, runs: Iterable[Run]) -> str:
    """Markdown: a line a clip and their means; "" without a run of the full method.

    Args:
        root: results/benchmark.
        runs: of the benchmark; those that are `pictured` were evaluated.

    Raises:
        UserError: a clip was not evaluated.
    """
    lines = {run.sequence: _figures(read_metrics(run.folder(root) / "metrics.csv")) for run in pictured(runs)}
    if not lines:
        return ""
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.loc["mean"] = table.mean()
    cells = [
        [clip, *("" if pd.isna(value) else format(value, form) for value, (*_, form) in zip(line, _COLUMNS))]
        for clip, line in zip(table.index, table.to_numpy())
    ]
    return markdown(["Clip", *(title for _, _, title, _ in _COLUMNS)], cells)


def _figures(metrics: pd.DataFrame) -> list[float]:
    whole = metrics[metrics["scope"] == "all"]
    values = dict(zip(zip(whole["metric"], whole["split"]), whole["value"]))
    return [values.get((metric, split), float("nan")) for metric, split, *_ in _COLUMNS]
