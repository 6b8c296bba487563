"""GVHMR's hmr4d_results.pt (Shen et al. 2024)."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of
from pipeline.motion.readers.motion import Clip, SourceMotion, Track
from pipeline.runtime.errors import UserError

LAYOUT = "GVHMR's hmr4d_results.pt"
_SHAPES = {"global_orient": ("F", 3), "body_pose": ("F", 63), "betas": ("F", 10), "transl": ("F", 3)}
_HANDS = 2  # SMPL's last joints, which SMPL-X has fingers for


def matches(content: Any) -> bool:
    return isinstance(content, dict) and "smpl_params_incam" in content


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """One person in every frame, SMPL-X in the camera frame; SMPL's two hand joints, which it lacks, are straight."""
    params = content["smpl_params_incam"]
    if not isinstance(params, dict):
        raise UserError(f"{path}: key 'smpl_params_incam' should hold a dict, found {type(params).__name__}")
    arrays = arrays_of(f"{path}: smpl_params_incam", params, _SHAPES)
    count = len(arrays["transl"])
    K = arrays_of(path, content, {"K_fullimg": (count, 3, 3)})["K_fullimg"]
    joints = np.concatenate([arrays["global_orient"], arrays["body_pose"]], axis=1).reshape(count, 22, 3)
    track = Track(
        name="the person",
        frames=np.arange(count),
        rotations=np.concatenate([joints, np.zeros((count, _HANDS, 3))], axis=1),
        transl=arrays["transl"],
        betas=arrays["betas"].mean(axis=0),
        body="smplx",
        K=K,
        size=(round(2 * K[0, 0, 2]), round(2 * K[0, 1, 2])),  # it takes the image centre as the principal point
    )
    return SourceMotion("GVHMR", (track,), count)
