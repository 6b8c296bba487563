"""Figures of several clips side by side, and the few that matter as text."""

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from pipeline.evaluation.table import ALL, HELD_OUT, METRICS, REAL, STUDIO, TRAIN, UNSEEN, read_metrics
from pipeline.formats.atomic import atomic_path
from pipeline.runtime.errors import UserError

WHENS = ("initial", "refined", "avatar", "input", "truth")
KEYS = ["footage", "video", "metric", "unit", "split", "protocol"]
_WIDTH = 100  # of the text, characters
# What a person wants to see first, in this order, where it was measured.
HEADLINES = (
    "mpjpe",
    "pa_mpjpe",
    "v2v",
    "translation_error",
    "iou_body_truth",
    "iou_body",
    "reprojection",
    "jitter",
    "w_mpjpe",
    "foot_height_p90",
    "foot_sliding",
    "psnr",
    "psnr_crop",
    "ssim_crop",
    "psnr_head",
    "psnr_hands",
    "lpips",
    "iou_avatar",
)


def summarise(table: pd.DataFrame, video: str) -> pd.DataFrame:
    """One row a metric and split: KEYS, a column for each of WHENS, and the change from initial to refined.

    Args:
        table: of `read_metrics`.
        video: the clip's name.
    """
    overall = table[table["scope"] == "all"].assign(video=video)
    order = {name: index for index, name in enumerate(METRICS)} | {ALL: 0, TRAIN: 1, HELD_OUT: 2, UNSEEN: 3}
    wide = overall.pivot(index=KEYS, columns="when", values="value").reindex(columns=WHENS).reset_index()
    wide.columns.name = None
    wide["change"] = wide["refined"] - wide["initial"]
    return wide.sort_values(["metric", "split"], key=lambda column: column.map(order), ignore_index=True)


def aggregate(directories: Iterable[Path]) -> pd.DataFrame:
    """The summaries of all clips, studio clips and real videos apart, each by name.

    Args:
        directories: results/<video> of each clip.
    """
    parts = [summarise(read_metrics(folder / "metrics.csv"), folder.resolve().name) for folder in directories]
    if not parts:
        raise UserError("aggregate: no video was given; name the folders results/<video>")
    return pd.concat(parts, ignore_index=True).sort_values(["footage", "video"], kind="stable", ignore_index=True)


def write_summary(path: str | Path, summary: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        summary.to_csv(temporary, index=False, float_format="%.6g")


def read_summary(path: str | Path) -> pd.DataFrame:
    """Read what `write_summary` wrote. Raises UserError naming the file and the column that is missing."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found; run snakemake, or name the folders results/<video> to gather")
    try:
        # A video may be named 001 or None: its name is text, and only an empty figure is an absent one.
        summary = pd.read_csv(
            path,
            dtype={"video": str, "unit": str},
            keep_default_na=False,
            na_values={name: [""] for name in (*WHENS, "change")},
        )
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a table of metrics, could not read it ({error})") from error
    for name in (*KEYS, *WHENS, "change"):
        if name not in summary.columns:
            raise UserError(f"{path}: column {name!r} is missing; delete it and run snakemake again")
    return summary


def headlines(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of one clip that matter, in the order of HEADLINES: motion in all frames, pictures in held-out ones."""
    rows = []
    for metric in HEADLINES:
        found = summary[summary["metric"] == metric]
        of_avatar = found["avatar"].notna().any()
        for split in (HELD_OUT, TRAIN) if of_avatar else (ALL, HELD_OUT, TRAIN):
            if (found["split"] == split).any():
                rows.append(found[found["split"] == split].iloc[0])
                break
    return pd.DataFrame(rows, columns=summary.columns)


def summary_text(summary: pd.DataFrame, reports: Mapping[str, Path] | None = None) -> str:
    """The figures that matter of each clip as plain text; studio clips and real videos apart, never averaged together.

    Args:
        summary: of `aggregate` or `read_summary`.
        reports: where the report of a clip is, by its name.
    """
    blocks = []
    for footage in (STUDIO, REAL):
        clips = summary[summary["footage"] == footage]
        for video, rows in clips.groupby("video", sort=False):
            where = f"  report: {reports[video]}" if reports and video in reports else None
            blocks.append(_block(f"{video} · {footage}", headlines(rows), where))
        if clips["video"].nunique() > 1:
            blocks.append(
                _block(f"mean of {clips['video'].nunique()} clips · {footage}", headlines(_mean(clips)), None)
            )
    return "\n\n".join(blocks)


def _mean(clips: pd.DataFrame) -> pd.DataFrame:
    """Mean over clips of each metric and split; a metric that some clip lacks has none."""
    grouped = clips.groupby(["metric", "unit", "split"], sort=False)
    whole = grouped["video"].transform("nunique") == clips["video"].nunique()
    mean = clips[whole].groupby(["metric", "unit", "split"], sort=False)[list(WHENS)].mean().reset_index()
    return mean.assign(protocol="mean over clips, each by its own protocol")


def _block(title: str, rows: pd.DataFrame, last: str | None) -> str:
    truth = f"{'truth':>9}" if rows["truth"].notna().any() else ""  # what the truth itself scores
    lines = [title, f"  {'':34}{'before':>9}{'after':>9}{'change':>8}{truth}   frames, protocol"]
    protocols = list(dict.fromkeys(rows["protocol"]))
    for row in rows.itertuples():
        metric = METRICS[row.metric]
        label = f"{metric.label}, {row.unit}" if row.unit else metric.label
        before = row.initial
        after = row.avatar if pd.isna(row.refined) else row.refined
        change, mark = change_text(row.metric, before, after), protocols.index(row.protocol) + 1
        own = f"{number(row.truth):>9}" if truth else ""
        lines.append(f"  {label:34}{number(before):>9}{number(after):>9}{change:>8}{own}   {row.split} [{mark}]")
    lines += [
        textwrap.fill(text, _WIDTH, initial_indent=f"  [{index}] ", subsequent_indent="      ")
        for index, text in enumerate(protocols, 1)
    ]
    return "\n".join([*lines, *([last] if last else [])])


def change_text(metric: str, before: float, after: float) -> str:
    """The change in percent, or as a difference where the metric has no unit; empty where one of both is missing."""
    if pd.isna(before) or pd.isna(after):
        return ""
    if not METRICS[metric].unit:
        return f"{after - before:+.3f}"
    return f"{(after - before) / before:+.0%}" if before else ""


def number(value: float) -> str:
    """A figure with three or four significant digits; empty where there is none."""
    if pd.isna(value):
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) < 1.5 else f"{value:.2f}"
