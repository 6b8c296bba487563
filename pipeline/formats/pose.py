"""A person's motion as SMPL parameters: pose_init.npz, fit/pose_refined.npz, and the studio's truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.formats.arrays import check_arrays, read_npz, read_text, write_npz
from pipeline.runtime.errors import UserError

_SHAPES = {
    "global_orient": ("T", 3),
    "body_pose": ("T", 69),
    "betas": (10,),
    "transl": ("T", 3),
    "valid": ("T",),
    "bbox": ("T", 4),
    "K": (3, 3),
    "fps": (),
}
_OPTIONAL = {"sigma": ("T", 24, 2)}
BODY_MODELS = ("free", "smpl")


@dataclass(frozen=True)
class Pose:
    """SMPL motion in the camera frame (OpenCV axes, metres, radians). Checked when made."""

    global_orient: np.ndarray  # (T, 3) axis-angle of the root
    body_pose: np.ndarray  # (T, 69) axis-angle of the joints 1..23
    betas: np.ndarray  # (10,) one shape for the clip
    transl: np.ndarray  # (T, 3) metres, added after the model's own root offset, as smplx does
    valid: np.ndarray  # (T,) bool, False where the pose was not seen but interpolated
    bbox: np.ndarray  # (T, 4) xyxy px of the person
    K: np.ndarray  # (3, 3) px
    fps: float
    body_model: str  # "free" or "smpl"
    source: str  # what made it, for people
    # Standard deviation of each joint's place against the hips' middle, across the line of sight (along any axis there)
    # and along it; None where nothing is known of it.
    sigma: np.ndarray | None = None  # (T, 24, 2) metres

    def __post_init__(self) -> None:
        _check(f"pose from {self.source}", vars(self))

    def __len__(self) -> int:
        return len(self.global_orient)

    def save(self, path: str | Path) -> None:
        write_npz(path, {key: value for key, value in vars(self).items() if value is not None})

    @staticmethod
    def load(path: str | Path) -> "Pose":
        """Read a pose file. Raises UserError naming the file and the key that is wrong."""
        arrays = read_npz(path)
        texts = {key: read_text(path, arrays, key) for key in ("body_model", "source")}
        _check(path, arrays | texts)
        found = {key: arrays[key] for key in (*_SHAPES, *_OPTIONAL) if key in arrays}
        return Pose(**found | texts | {"fps": float(arrays["fps"])})


def _check(where: str | Path, values: Mapping[str, Any]) -> None:
    """Raise a UserError naming `where`, the key and the shape or value found, if anything of a pose is wrong."""
    known = {key: shape for key, shape in _OPTIONAL.items() if values.get(key) is not None}
    sizes = check_arrays(where, values, _SHAPES | known)
    if sizes["T"] == 0:
        raise UserError(f"{where}: holds no frame")
    if values["valid"].dtype != bool:
        raise UserError(f"{where}: key 'valid' should be bool, found {values['valid'].dtype}")
    if values["body_model"] not in BODY_MODELS:
        raise UserError(f"{where}: body_model should be one of {BODY_MODELS}, found {values['body_model']!r}")
    if known and (values["sigma"] <= 0).any():
        raise UserError(f"{where}: key 'sigma' should be above 0, found {np.min(values['sigma'])}")
    if values["fps"] <= 0:
        raise UserError(f"{where}: fps should be above 0, found {values['fps']}")
