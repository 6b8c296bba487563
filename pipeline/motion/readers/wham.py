"""WHAM's wham_output.pkl (Shin et al. 2024; demo.py with --save_pkl)."""

import math
from pathlib import Path
from typing import Any

from pipeline.motion.readers.content import arrays_of
from pipeline.motion.readers.motion import Clip, SourceMotion, Track, centred_camera

LAYOUT = "WHAM's wham_output.pkl"
_SHAPES = {"pose": ("N", 72), "trans": ("N", 3), "betas": ("N", 10), "frame_ids": ("N",)}


def matches(content: Any) -> bool:
    """A dict of people by number, each a dict with SMPL's pose and the frames it is for."""
    people = list(content.values()) if isinstance(content, dict) else []
    return bool(people) and all(isinstance(person, dict) and {"pose", "trans"} <= set(person) for person in people)


def read(content: dict[Any, Any], path: Path, clip: Clip) -> SourceMotion:
    """`pose` and `trans` are SMPL's in the camera frame.

    The file does not tell the camera: WHAM takes one image diagonal as the focal length and the image centre
    (lib/utils/imutils.py, compute_cam_intrinsics), and uses a calibration for its world trajectory only.
    """
    tracks = []
    for number, person in content.items():
        arrays = arrays_of(f"{path}: person {number}", person, _SHAPES)
        count = len(arrays["pose"])
        center = (clip.width / 2, clip.height / 2)
        tracks.append(
            Track(
                name=f"person {number}",
                frames=arrays["frame_ids"].astype(int),
                rotations=arrays["pose"].reshape(count, 24, 3),
                transl=arrays["trans"],
                betas=arrays["betas"].mean(axis=0),
                body="smpl",
                K=centred_camera(math.hypot(clip.width, clip.height), center, count),
                size=None,
            )
        )
    return SourceMotion("WHAM", tuple(tracks), None)
