"""CLIFF's <video>_cliff_<backbone>.npz (Li et al. 2022; demo.py with --save_results)."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.matrices import to_axis_angle
from pipeline.motion.readers.motion import Clip, SourceMotion, Track, centred_camera

LAYOUT = "CLIFF's npz (pose, global_t, focal_l)"


def matches(content: Any) -> bool:
    return isinstance(content, dict) and {"pose", "global_t", "focal_l"} <= set(content)


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """SMPL in the camera frame, axis-angle or matrices. The focal length is the diagonal of the images that CLIFF saw.

    The first and the last column of `detection_all` tell the frame and the person.
    """
    rows = len(as_array(content["pose"]))
    pose = as_array(content["pose"])
    shape = (rows, 24, 3, 3) if pose.ndim == 4 else (rows, 72)
    shapes = {"pose": shape, "shape": (rows, 10), "global_t": (rows, 3), "focal_l": (rows,), "detection_all": (rows, 8)}
    arrays = arrays_of(path, content, shapes)
    rotations = to_axis_angle(str(path), pose) if pose.ndim == 4 else pose.reshape(rows, 24, 3)
    tracks = []
    for person in np.unique(arrays["detection_all"][:, -1]).astype(int):
        own = np.flatnonzero(arrays["detection_all"][:, -1] == person)
        focal = arrays["focal_l"][own]
        scale = focal[0] / math.hypot(clip.width, clip.height)
        size = round(clip.width * scale), round(clip.height * scale)
        tracks.append(
            Track(
                name=f"person {person}",
                frames=arrays["detection_all"][own, 0].astype(int),
                rotations=rotations[own],
                transl=arrays["global_t"][own],
                betas=arrays["shape"][own].mean(axis=0),
                body="smpl",
                K=centred_camera(focal, (size[0] / 2, size[1] / 2), len(own)),
                size=size,
            )
        )
    names = content.get("imgname")
    return SourceMotion("CLIFF", tuple(tracks), None if names is None else np.size(names))
