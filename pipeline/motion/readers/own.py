"""This project's own pose files: pose_init.npz, pose_refined.npz, and the studio's truth."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.formats.pose import Pose
from pipeline.motion.readers.motion import Clip, SourceMotion, Track

LAYOUT = "a pose file of this project (.npz)"


def matches(content: Any) -> bool:
    return isinstance(content, dict) and {"global_orient", "body_pose", "transl"} <= set(content)


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """The frames that are valid; the others are interpolated anew."""
    pose = Pose.load(path)
    rows = np.flatnonzero(pose.valid)
    rotvecs = np.concatenate([pose.global_orient, pose.body_pose], axis=1).reshape(-1, 24, 3)
    track = Track(
        name="the person",
        frames=rows,
        rotations=rotvecs[rows],
        transl=pose.transl[rows],
        betas=pose.betas,
        body=pose.body_model,
        K=np.broadcast_to(pose.K, (len(rows), 3, 3)),
        size=_size(pose.K, clip),
    )
    return SourceMotion(f"this project ({pose.source})", (track,), len(pose))


def _size(K: np.ndarray, clip: Clip) -> tuple[int, int] | None:
    """Of the images that K is for: those of the clip, unless its principal point is the centre of scaled ones."""
    scale = 2 * K[:2, 2] / [clip.width, clip.height]
    if abs(scale[0] / scale[1] - 1) > 0.01 or abs(scale[0] - 1) < 0.05:
        return None
    return round(2 * K[0, 2]), round(2 * K[1, 2])
