"""What was gained and what to distrust, in plain words, for the first screen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.formats.camera import Camera
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.report import sections

# Figures before and after, by metric: where they went the right way they were gained, else they are to be distrusted.
# Where the truth is known and has such a figure itself, more may be better: the cards below tell that. How the bare
# body's outline overlaps with the mask is none of them: the fit finds the shape under the clothes.
_CHANGES = {
    "mpjpe": "distance of the joints from where they truly are",
    "reprojection": "distance of the joints from where the detector saw them",
    "jitter": "jitter of the joints",
    "foot_sliding": "sliding of standing feet",
}
_CM = 100.0


def gist(paths: VideoDir, summary: pd.DataFrame, camera: Camera) -> tuple[list[str], list[str]]:
    """What was gained, and what to distrust: sentences.

    Args:
        summary: of `summarise`.
    """
    changes = [(words, sections.change(summary, name)) for name, words in _CHANGES.items()]
    told = [
        (row.verdict, f"{words}: {row.before} → {row.after} {row.unit}".strip())
        for words, row in changes
        if row and not any(note.startswith("the truth") for note in row.notes)
    ]
    told += _outline(paths)
    gained = [f"{line[0].upper()}{line[1:]}." for verdict, line in told if verdict == "better"]
    worse = [f"Worse than before: {line}." for verdict, line in told if verdict == "worse"]
    return gained + _avatar(paths, summary), worse + _sureness(paths) + _camera(camera) + _footage(paths)


def _outline(paths: VideoDir) -> list[tuple[str, str]]:
    """Of the body with its clothes, the same for both motions: whether it is better, and a line."""
    found = _fact(paths, "fit", "verdict") or {}
    if not found.get("better"):  # the initial motion was kept: "after" is of the one that was not
        return []
    before, after = (found.get(f"outline {when} mm") for when in ("before", "after"))
    if before is None or after is None or before == after:
        return []
    line = f"distance of the outline, clothes and all, from the mask's: {before:.1f} → {after:.1f} mm"
    return [("better" if after < before else "worse", line)]


def _avatar(paths: VideoDir, summary: pd.DataFrame) -> list[str]:
    card = sections.picture_card(summary, "psnr_crop")
    if card is None:
        return []
    return [f"An avatar to turn and to pose. Its pictures of {card.frames} are {card.after} dB from the video."]


def _sureness(paths: VideoDir) -> list[str]:
    sigma = Pose.load(paths.pose_refined).sigma if paths.pose_refined.is_file() else None
    if sigma is None:
        return []
    across, along = _CM * np.median(sigma[:, 1:], axis=(0, 1))
    return [
        f"How near or far a joint is, to about {along:.0f} cm; where it is in the picture, to {across:.0f} cm (one "
        "standard deviation). From other sides than the camera's a pose may look wrong."
    ]


def _camera(camera: Camera) -> list[str]:
    if camera.K_source == "lines":
        return ["Distance and path on the ground: the focal length is from the scene's lines; a tenth off is possible."]
    if camera.metric:
        return []
    return ["Distance and path on the ground: the focal length is a guess, so they may be off by a fifth."]


def _footage(paths: VideoDir) -> list[str]:
    lines = []
    unseen, lost = (_fact(paths, *key) for key in (("export", "never filmed, %"), ("render", "frames interpolated")))
    if unseen:
        lines.append(f"Colours of {unseen:.0f}% of the avatar, which was never filmed: they are a guess.")
    if lost:
        lines.append(f"{lost} frames in which the person was not found: the motion there is interpolated.")
    return lines


def _fact(paths: VideoDir, stage: str, name: str) -> Any:
    record = paths.provenance(stage)
    return read_provenance(record)["facts"].get(name) if record.is_file() else None
