"""Whether a video is interlaced: each frame holds two moments, one in its even lines and one in its odd ones."""

import re
import subprocess
from pathlib import Path
from typing import Literal

from pipeline.video.tool import ffmpeg_binary, open_file

FieldOrder = Literal["tff", "bff"]  # the moment in the top line, or the one below it, comes first; as bwdif has it
_HEIGHTS = (480, 486, 576, 1080, 1088)  # lines of television's interlaced pictures
_FRAMES = 16  # looked at
_LEAST = 6  # of them that must show it
_HEADER: dict[str, FieldOrder] = {
    "top first": "tff",
    "bottom first": "bff",
    "top coded first (swapped)": "bff",  # it is shown second
    "bottom coded first (swapped)": "tff",
}


def order_in_header(stream: str) -> FieldOrder | None:
    """The field order that ffmpeg prints of a stream, "yuv420p(tv, top first)"; None where it names none."""
    return next((order for text, order in _HEADER.items() if re.search(rf"[(,] ?{re.escape(text)}\)", stream)), None)


def order_in_pictures(path: Path, height: int, seconds: float) -> FieldOrder | None:
    """The field order that some frames show; None where they show none, or the height is not one of television's.

    Args:
        height: lines of the stored picture.
        seconds: length of the video, 0 where it is not known.
    """
    if height not in _HEIGHTS:
        return None
    counts = _count(path, seconds / 2)
    if not any(counts) and seconds:  # nothing moves there
        counts = _count(path, 0.0)
    top, bottom, progressive = counts
    most, fewest = max(top, bottom), min(top, bottom)
    if most < _LEAST or most < 2 * progressive or most < 10 * fewest:
        return None
    return "tff" if top > bottom else "bff"


def _count(path: Path, seconds: float) -> list[int]:
    """How many of the frames after a time look interlaced with the top field first, with the bottom first, or not."""
    # From the key frame before that time on: to decode up to it may take longer than all the rest.
    seek = {"ss": round(seconds, 3), "noaccurate_seek": None} if seconds else {}  # a raw stream cannot be sought in
    source = open_file(path, **seek, noautorotate=None)
    frames = source["V:0"].filter("idet").output("pipe:", format="null", vframes=_FRAMES)
    done = subprocess.run(
        frames.global_args("-nostdin", "-hide_banner").compile(ffmpeg_binary()), capture_output=True, check=False
    )
    told = done.stderr.decode(errors="replace")
    found = re.findall(r"Multi frame detection: TFF: *(\d+) BFF: *(\d+) Progressive: *(\d+)", told)
    return [sum(int(group[i]) for group in found) for i in range(3)]
