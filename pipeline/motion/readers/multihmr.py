"""Multi-HMR's people (Baradel et al. 2024), one npz a frame and person, as docs/import.md tells to write them."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of
from pipeline.motion.readers.folders import Entry, all_frames
from pipeline.motion.readers.linking import Seen, linked
from pipeline.motion.readers.motion import MEAN_PELVIS, Clip, SourceMotion, Track
from pipeline.runtime.errors import UserError

LAYOUT = "Multi-HMR's people (rotvec, transl_pelvis, K), a file a frame and person"
_SHAPES = {"rotvec": (53, 3), "transl_pelvis": (3,), "K": (3, 3)}


def matches(content: Any) -> bool:
    return isinstance(content, dict) and {"rotvec", "transl_pelvis"} <= set(content)


def read(content: Any, path: Path, clip: Clip) -> SourceMotion:
    """One file is one frame."""
    raise UserError(f"{path}: is one person in one frame; set pose.path to its folder")


def read_files(entries: list[Entry], path: Path, clip: Clip) -> SourceMotion:
    """SMPL-X in the camera of the picture padded to a square, which K is of; people by nearness from frame to frame."""
    width, height = clip.file_size or (clip.width, clip.height)
    border = (max(width, height) - np.array([width, height])) / 2
    seen = []
    for entry in entries:
        flat = {key: np.squeeze(entry.content[key]) for key in _SHAPES if key in entry.content}
        arrays = arrays_of(entry.path, flat, _SHAPES)
        K = arrays["K"].astype(float)
        K[:2] *= max(width, height) / (2 * K[0, 2])
        K[:2, 2] -= border
        seen.append(Seen(entry.frame, arrays["transl_pelvis"], (arrays["rotvec"], K)))
    tracks = []
    for number, rows in enumerate(linked(seen)):
        rotations = np.zeros((len(rows), 24, 3))
        rotations[:, :22] = np.stack([row.data[0] for row in rows])[:, :22]
        tracks.append(
            Track(
                name=f"person {number}",
                frames=np.array([row.frame for row in rows]),
                rotations=rotations,
                transl=np.stack([row.place for row in rows]) - MEAN_PELVIS["smplx"],
                betas=np.zeros(10),
                body="smplx",
                K=np.stack([row.data[1] for row in rows]),
                size=(width, height),
            )
        )
    return SourceMotion("Multi-HMR", tuple(tracks), all_frames({entry.frame for entry in entries}))
