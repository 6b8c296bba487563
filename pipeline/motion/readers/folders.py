"""Results that a tool writes as one file a frame."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.motion.readers.content import read_content
from pipeline.runtime.errors import UserError

_SUFFIXES = (".npz", ".json")


@dataclass(frozen=True)
class Entry:
    """One file."""

    frame: int
    person: str  # what follows the frame's number in the name: "1" of 00042_1.npz; "" where nothing does
    path: Path
    content: Any


def read_entries(folder: Path) -> list[Entry]:
    """The files of a folder in the order of the frames' numbers, the first ones in their names.

    Numbers are those of the frames from 0 on where there is a file of number 0, else from 1 on. Files with no number in
    their names (ROMP's video_results.npz) are left alone.

    Raises:
        UserError: it holds no such files.
    """
    for suffix in _SUFFIXES:
        found = [(re.search(r"(\d+)(?:_(\d+))?$", path.stem), path) for path in sorted(folder.glob(f"*{suffix}"))]
        numbered = [(int(match[1]), match[2] or "", path) for match, path in found if match]
        if numbered:
            first = 0 if any(number == 0 for number, _, _ in numbered) else 1
            return [Entry(number - first, person, path, read_content(path)) for number, person, path in numbered]
    raise UserError(
        f"{folder}: expected the file of a motion, TRAM's folder with hps_track_*.npy, or files .npz or .json with the "
        "frames' numbers in their names; found none of them"
    )


def all_frames(frames: set[int]) -> int | None:
    """How many there are, where none is left out."""
    return len(frames) if frames == set(range(len(frames))) else None
