"""Real clips with measured joints, against their own pictures and landmarks: tables of the benchmark's section."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from pipeline.accuracy.score import INITIAL, REFINED
from pipeline.accuracy.settings import Run, pictured
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
_LANDMARKS = {"all": [""], "wrists": ["left_wrist", "right_wrist"], "ankles": ["left_ankle", "right_ankle"]}


def pictures_table(root: Path, runs: Iterable[Run]) -> str:
    """Markdown: a line a clip and their means; "" without a run of the full method.

    Args:
        root: results/benchmark.
        runs: of the benchmark; those that are `pictured` were evaluated.

    Raises:
        UserError: a clip was not evaluated.
    """

    def figures(metrics: pd.DataFrame) -> list[float]:
        whole = metrics[metrics["scope"] == "all"]
        values = dict(zip(zip(whole["metric"], whole["split"]), whole["value"]))
        # Of all frames that were rendered: a clip with frames in which nobody was seen has no figure of all.
        each = metrics[(metrics["scope"] == "frame") & (metrics["when"] == "avatar")]
        values |= {(metric, ALL): value for metric, value in each.groupby("metric")["value"].mean().items()}
        return [values.get((metric, split), float("nan")) for metric, split, *_ in _COLUMNS]

    return _table(root, runs, figures, [(title, form) for _, _, title, form in _COLUMNS])


def landmarks_table(root: Path, runs: Iterable[Run]) -> str:
    """Markdown of how far joints are from the detector's landmarks in the picture; else as `pictures_table`."""

    def figures(metrics: pd.DataFrame) -> list[float]:
        distances = metrics[(metrics["metric"] == "reprojection") & (metrics["split"] == ALL)]
        chosen = [distances[distances["key"].isin(keys)] for keys in _LANDMARKS.values()]
        return [part[part["when"] == when]["value"].mean() for part in chosen for when in (INITIAL, REFINED)]

    titles = [(title, ".1f") for name in _LANDMARKS for title in (f"{name}, before the fit", f"{name}, after")]
    return _table(root, runs, figures, titles)


def _table(
    root: Path, runs: Iterable[Run], figures: Callable[[pd.DataFrame], list[float]], titles: list[tuple[str, str]]
) -> str:
    """A line a clip and their means; `titles` with the format of each figure."""
    lines = {run.sequence: figures(read_metrics(run.folder(root) / "metrics.csv")) for run in pictured(runs)}
    if not lines:
        return ""
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.loc["mean"] = table.mean()
    cells = [
        [clip, *("" if pd.isna(value) else format(value, form) for value, (_, form) in zip(line, titles))]
        for clip, line in zip(table.index, table.to_numpy())
    ]
    return markdown(["Clip", *(title for title, _ in titles)], cells)
