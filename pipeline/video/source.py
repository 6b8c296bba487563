"""A video before it is decoded."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.video.interlace import FieldOrder
from pipeline.video.rates import Gaps


@dataclass(frozen=True)
class VideoSource:
    """A video file, or a folder of images, before it is decoded."""

    path: Path
    fps: Fraction  # exact; where the rate varies, the constant one that it is turned into
    constant: bool  # False: frames must be repeated or dropped to reach `fps`
    frames: int  # that the file holds, at `fps`
    width: int  # px, upright, pixels made square; 0 where not known
    height: int
    promised: int | None = None  # frames that its header tells of: more than `frames` when the file was cut short
    gaps: Gaps | None = None  # None: there is none
    rotation: int = 0  # degrees clockwise that turn the stored picture upright
    fields: FieldOrder | None = None  # None: not interlaced
    hdr: bool = False  # PQ or HLG: must be tone-mapped to look right on disk
    images: tuple[Path, ...] = ()  # of a folder of images, in order; of a file none
    focal_mm: float | None = None  # 35-mm equivalent that the camera wrote; None: it did not
    # (N,) seconds of each frame in the file, from the first on; None where it does not tell them
    times: np.ndarray | None = field(default=None, compare=False)


def what_is_changed(source: VideoSource) -> list[str]:
    """What decoding changes that the user should know, a line each."""
    told = []
    if source.gaps:
        told.append(
            f"{source.path}: {source.gaps.count} times more than {source.gaps.longer_than:g} s pass between two "
            f"frames; closed, which takes {source.gaps.closed:.1f} s away; the motion jumps there: choose a part with "
            "video.start and video.stop"
        )
    if not source.constant:
        told.append(
            f"{source.path}: its frame rate varies; made constant at {float(source.fps):.6g} frames a second, "
            "so some frames are repeated or dropped"
        )
    if source.fields:
        first = "top" if source.fields == "tff" else "bottom"
        told.append(f"{source.path}: interlaced, {first} field first; deinterlaced, a frame for each frame")
    return told
