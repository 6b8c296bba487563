"""What the page says: each section's contents, read from a clip's results folder."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.evaluation.summary import change_text, number
from pipeline.evaluation.table import ALL, HELD_OUT, METRICS, TRAIN
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.runtime.errors import UserError

STAGES = ("decode", "masks", "landmarks", "depth", "camera_track", "pose", "fit", "evaluate", "render", "export")
CARDS = ("mpjpe", "pa_mpjpe", "v2v", "iou_body", "reprojection", "jitter", "psnr_crop", "ssim_crop")
_CARDS_SHOWN = 6
_GROUPS = (
    (
        "Pose, against the truth",
        (
            *("mpjpe", "pa_mpjpe", "v2v", "mpjpe_global", "v2v_global", "translation_error", "acceleration_error"),
            *("mpjpe_h36m17", "pa_mpjpe_h36m17", "mpjpe_h36m14", "pa_mpjpe_h36m14"),
        ),
    ),
    ("Body over the video", ("iou_body", "iou_body_refined", "iou_body_truth", "reprojection", "reprojection_percent")),
    (
        "In the world",
        ("foot_height_p50", "foot_height_p90", "foot_sinking", "foot_sliding", "w_mpjpe", "wa_mpjpe", "path_error"),
    ),
    ("Smoothness", ("jitter", "jitter_world", "acceleration")),
)
_PICTURES = (
    *("psnr", "psnr_crop", "psnr_crop_refined", "psnr_crop_known", "psnr_head", "psnr_hands"),
    *("ssim", "ssim_crop", "ssim_crop_refined", "ssim_head", "ssim_hands"),
    *("lpips", "lpips_crop", "iou_avatar", "iou_avatar_refined", "iou_avatar_truth"),
)
_SAME = 0.005  # a relative change below it is shown as none


@dataclass(frozen=True)
class Change:
    """One metric before and after, ready to print."""

    metric: str
    label: str
    unit: str
    before: str
    after: str
    change: str
    verdict: str  # "better", "worse" or "same"
    before_share: float  # of the bar's length, 0 to 1
    after_share: float
    frames: str
    protocol: str
    notes: tuple[str, ...]  # the splits, and the truth's own value


@dataclass(frozen=True)
class PictureRow:
    label: str
    unit: str
    train: str
    held_out: str
    protocol: str


@dataclass(frozen=True)
class StageRun:
    name: str
    seconds: float
    share: float  # of the longest stage, 0 to 1
    settings: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PartRow:
    """What is kept of one part of the body, and why."""

    name: str
    outline: str  # mm, with its initial motion → with the fit's
    landmarks: str
    kept: str


@dataclass(frozen=True)
class Verdict:
    """Whether the fit explains the video better than the initial motion (pipeline/fit/verdict.py)."""

    words: str
    good: bool  # everywhere
    parts: list[PartRow]


def cards(summary: pd.DataFrame) -> list[Change]:
    """The few figures for the top of the page."""
    found = [picture_card(summary, name) if name in _PICTURES else change(summary, name) for name in CARDS]
    return [card for card in found if card is not None][:_CARDS_SHOWN]


def comparisons(summary: pd.DataFrame) -> list[tuple[str, list[Change]]]:
    """Groups of metrics before and after; a group of which nothing was measured is left out."""
    groups = [(title, [change(summary, name) for name in names]) for title, names in _GROUPS]
    groups = [(title, [row for row in rows if row is not None]) for title, rows in groups]
    return [(title, rows) for title, rows in groups if rows]


def pictures(summary: pd.DataFrame) -> list[PictureRow]:
    """How near the avatar's pictures are to the frames, for training and held-out frames."""
    rows = []
    for name in _PICTURES:
        found = summary[(summary["metric"] == name) & summary["split"].isin([TRAIN, HELD_OUT])]
        if len(found):
            values = {row.split: number(row.avatar) for row in found.itertuples()}
            protocol = "; ".join(dict.fromkeys(part for text in found["protocol"] for part in text.split("; ")))
            metric = METRICS[name]
            rows.append(
                PictureRow(metric.label, metric.unit, values.get(TRAIN, ""), values.get(HELD_OUT, ""), protocol)
            )
        elif name == "lpips":
            rows.append(
                PictureRow(METRICS[name].label, "", "", "", "not measured: its weights are not on this machine")
            )
    return rows


def change(summary: pd.DataFrame, name: str) -> Change | None:
    """A metric measured before and after, over all frames; None if it was not."""
    rows = summary[(summary["metric"] == name) & summary["initial"].notna() & summary["refined"].notna()]
    whole = rows[rows["split"] == ALL]
    if whole.empty:
        return None
    row = whole.iloc[0]
    notes = [
        f"{other.split} {number(other.initial)} → {number(other.refined)}"
        for other in rows.itertuples()
        if other.split != ALL
    ]
    if pd.notna(row.truth):
        notes.append(f"the truth itself {number(row.truth)}")
    longest = max(row.initial, row.refined) or 1.0
    return Change(
        metric=name,
        label=METRICS[name].label,
        unit=METRICS[name].unit,
        before=number(row.initial),
        after=number(row.refined),
        change=change_text(name, row.initial, row.refined),
        verdict=_verdict(name, row.initial, row.refined, row.truth),
        before_share=row.initial / longest,
        after_share=row.refined / longest,
        frames="all frames",
        protocol=row.protocol,
        notes=tuple(notes),
    )


def picture_card(summary: pd.DataFrame, name: str) -> Change | None:
    """A figure of the avatar's pictures in held-out frames, else in training frames; it has no before."""
    for split in (HELD_OUT, TRAIN):
        rows = summary[(summary["metric"] == name) & (summary["split"] == split) & summary["avatar"].notna()]
        if len(rows):
            row, metric = rows.iloc[0], METRICS[name]
            value = number(row.avatar)
            frames = f"{split} frames"
            return Change(name, metric.label, metric.unit, "", value, "", "same", 0, 0, frames, row.protocol, ())
    return None


def within_sigma(summary: pd.DataFrame) -> tuple[str, ...]:
    """Shares of the errors within one sigma, across and along the line of sight, %; nothing without truth."""
    whole = summary[summary["split"] == ALL].set_index("metric")["refined"]
    names = ("within_across", "within_along")
    return tuple(number(whole[name]) for name in names) if set(names) <= set(whole.index) else ()


def _verdict(name: str, before: float, after: float, truth: float) -> str:
    """Whether the change is an improvement; where the truth has a value of its own, whether it is nearer to that."""
    if truth > 0:
        before, after = abs(math.log(before / truth)), abs(math.log(after / truth))
    if abs(after - before) <= _SAME * abs(before):
        return "same"
    return "better" if (after > before) == METRICS[name].higher_is_better else "worse"


def glossary(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Label, unit and meaning of the metrics that the page shows."""
    measured = set(table["metric"])
    return [(m.label, m.unit, m.meaning) for name, m in METRICS.items() if name in measured]


def stage_runs(paths: VideoDir) -> list[StageRun]:
    """What each stage ran with, of those that left a record."""
    records = [read_provenance(path) for path in map(paths.provenance, STAGES) if path.is_file()]
    longest = max((record["seconds"] for record in records), default=0) or 1.0
    return [
        StageRun(
            name=record["stage"],
            seconds=record["seconds"],
            share=record["seconds"] / longest,
            settings=tuple(flat(record["settings"])),
            facts=tuple(flat({key: value for key, value in record["facts"].items() if key != "verdict"})),
            versions=tuple(flat(record["versions"])),
            warnings=tuple(record["warnings"]),
        )
        for record in records
    ]


def verdict(paths: VideoDir) -> Verdict | None:
    """What the fit says of itself; None where it does not (its poses were held, or an old version made it)."""
    record = paths.provenance("fit")
    found = read_provenance(record)["facts"].get("verdict") if record.is_file() else None
    if found is None:
        return None
    parts = [
        PartRow(name, _pair(part, "outline"), _pair(part, "landmarks"), f"{part['kept']:.0%}")
        for name, part in found["parts"].items()
    ]
    return Verdict(found["words"], all(part["kept"] == 1 for part in found["parts"].values()), parts)


def _pair(sizes: Mapping[str, float], name: str) -> str:
    values = [sizes.get(f"{name} {when} mm") for when in ("before", "after")]
    return "not seen" if None in values else " → ".join(f"{value:.1f}" for value in values)


def several_people(paths: VideoDir) -> bool:
    """Whether the masks stage found more than one person, and left a picture of them."""
    record = paths.provenance("masks")
    return paths.people.is_file() and record.is_file() and read_provenance(record)["facts"].get("people", 0) > 1


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as "section.key", value."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def read_history(path: Path) -> pd.DataFrame:
    """fit/history.csv. Raises UserError if it is missing or is no table with the column `step`."""
    if not path.is_file():
        raise UserError(f"{path}: not found; run the stage fit first")
    try:
        history = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a table, could not read it ({error})") from error
    if "step" not in history.columns:
        raise UserError(f"{path}: column 'step' is missing; run the stage fit again")
    return history
