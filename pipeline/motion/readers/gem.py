"""GEM's results (NVIDIA 2026): GEM-X's hpe_results.pt, whose body is SOMA, and GEM-SMPL's smpl_params.pt."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.motion import MEAN_PELVIS, Clip, SourceMotion, Track
from pipeline.runtime.errors import UserError

LAYOUT = "GEM's hpe_results.pt or smpl_params.pt (body_params_incam)"
_SMPLX, _SOMA = 63, 228  # columns of body_pose: SMPL-X's 21 joints, or SOMA's 77 but for the hips
# Of SMPL's first 22 joints, the one of SOMA's, whose hips are 0, shins 68 and 73; of its two in the neck the lower.
_OF_SMPL = (0, 67, 72, 1, 68, 73, 2, 69, 74, 3, 70, 75, 4, 11, 39, 6, 12, 40, 13, 41, 14, 42)
_NECK, _UPPER_NECK = 12, 5  # SMPL's, SOMA's


def matches(content: Any) -> bool:
    return isinstance(content, dict) and "body_params_incam" in content


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """One person in every frame, in the camera frame.

    SOMA's rotations are told as SMPL's are: against a body that stands with its arms out, in that body's axes. Its
    `transl` is where the hips are.
    """
    params, where = content["body_params_incam"], f"{path}: body_params_incam"
    if not isinstance(params, dict):
        raise UserError(f"{path}: key 'body_params_incam' should hold a dict, found {type(params).__name__}")
    flat = {key: as_array(params[key]) for key in ("global_orient", "body_pose", "transl") if key in params}
    pose = flat.get("body_pose", np.zeros((1, _SOMA)))
    flat |= {"body_pose": pose.reshape(len(pose), -1)} if "body_pose" in flat else {}
    width = pose[0].size if pose.ndim > 1 else 1
    if width not in (_SMPLX, _SOMA):
        raise UserError(f"{where}: key 'body_pose' should have {_SOMA} numbers a frame, or {_SMPLX}, found {width}")
    arrays = arrays_of(where, flat, {"global_orient": ("F", 3), "body_pose": ("F", width), "transl": ("F", 3)})
    count = len(arrays["transl"])
    K = arrays_of(path, content, {"K_fullimg": (count, 3, 3)})["K_fullimg"]
    told = np.concatenate([arrays["global_orient"], arrays["body_pose"]], axis=1).reshape(count, -1, 3)
    of_soma = width == _SOMA
    rotations = np.zeros((count, 24, 3))
    rotations[:, :22] = _as_smpl(told) if of_soma else told
    track = Track(
        name="the person",
        frames=np.arange(count),
        rotations=rotations,
        transl=arrays["transl"] - (MEAN_PELVIS["smplx"] if of_soma else 0),
        betas=np.zeros(10),
        body="smplx",
        K=K,
        size=(round(2 * K[0, 0, 2]), round(2 * K[0, 1, 2])),  # it takes the image centre as the principal point
    )
    return SourceMotion("GEM-X" if of_soma else "GEM-SMPL", (track,), count)


def _as_smpl(told: np.ndarray) -> np.ndarray:
    """Of SOMA's 77 rotations (F, 77, 3) those of SMPL's first 22 joints; its neck bends as SOMA's two do together."""
    rotations = told[:, _OF_SMPL]
    lower, upper = (Rotation.from_rotvec(told[:, joint]) for joint in (_OF_SMPL[_NECK], _UPPER_NECK))
    rotations[:, _NECK] = (lower * upper).as_rotvec()
    return rotations
