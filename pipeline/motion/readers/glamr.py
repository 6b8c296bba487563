"""GLAMR's grecon/<video>_seed<n>.pkl (Yuan et al. 2022)."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.motion import MEAN_PELVIS, Clip, SourceMotion, Track
from pipeline.runtime.errors import UserError

LAYOUT = "GLAMR's grecon pkl (person_data)"
_SHAPES = {
    "smpl_pose": ("N", 69), "smpl_beta": ("N", 10), "smpl_orient_cam": ("N", 3), "root_trans_cam": ("N", 3),
    "cam_K": ("N", 3, 3),
}  # fmt: skip


def matches(content: Any) -> bool:
    return isinstance(content, dict) and "person_data" in content


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """SMPL in the camera frame, in the frames where the person was seen: GLAMR's infilling is of the world's motion.

    `root_trans_cam` is the pelvis. The principal point is the image centre.
    """
    people = content["person_data"]
    if not isinstance(people, dict) or not people:
        raise UserError(f"{path}: key 'person_data' should hold a dict with a person at least")
    tracks = []
    for number, person in people.items():
        arrays = arrays_of(f"{path}: person {number}", person, _SHAPES)
        count = len(arrays["smpl_pose"])
        seen = arrays_of(f"{path}: person {number}", {"vis_frames": person.get("vis_frames")}, {"vis_frames": (count,)})
        rows = np.flatnonzero(as_array(seen["vis_frames"]))
        pose = np.concatenate([arrays["smpl_orient_cam"], arrays["smpl_pose"]], axis=1)
        K = arrays["cam_K"][rows]
        tracks.append(
            Track(
                name=f"person {number}",
                frames=rows,
                rotations=pose.reshape(count, 24, 3)[rows],
                transl=arrays["root_trans_cam"][rows] - MEAN_PELVIS["smpl"],
                betas=arrays["smpl_beta"].mean(axis=0),
                body="smpl",
                K=K,
                size=tuple(np.round(2 * K[0, :2, 2]).astype(int).tolist()) if len(rows) else None,
            )
        )
    return SourceMotion("GLAMR", tuple(tracks), count)
