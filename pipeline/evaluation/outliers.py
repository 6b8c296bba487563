"""Frames in which something went wrong: the avatar's picture there is far worse than in the rest of the clip."""

from __future__ import annotations

import pandas as pd

_FAR = {"psnr_crop": 6.0, "iou_avatar": 0.2}  # from the median of all frames: 6 dB is an error twice as large
_WORDS = {"psnr_crop": "{:.1f} dB", "iou_avatar": "overlap {:.2f}"}
_NAMED = 8  # of the frames


def stand_out(table: pd.DataFrame) -> str | None:
    """A line that names them, the worst first; None where there is none.

    Args:
        table: of `MetricTable.frame`.
    """
    figures = table[(table["scope"] == "frame") & (table["when"] == "avatar")]
    found: dict[int, tuple[float, str]] = {}  # how far off in units of _FAR, and what to say
    for metric, far in _FAR.items():
        of_one = figures[figures["metric"] == metric].dropna(subset="value")
        usual = of_one["value"].median()
        for frame, value in zip(of_one["key"].astype(int), of_one["value"]):
            off = (usual - value) / far
            if off > max(1.0, found.get(frame, (0.0, ""))[0]):
                said = _WORDS[metric].format
                found[frame] = off, f"{frame} ({said(value)}, half of all frames have {said(usual)})"
    if not found:
        return None
    worst = sorted(found.values(), reverse=True)
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    return (
        f"the avatar is far from the video in {len(worst)} frame(s): {', '.join(said for _, said in worst[:_NAMED])}"
        f"{more}; look at their masks and pose in renders/overlay.mp4"
    )
