"""A person's motion as SMPL parameters: pose_init.npz, fit/pose_refined.npz, and the studio's truth."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.formats.arrays import check_arrays, read_npz, read_text, write_npz

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

    def __post_init__(self) -> None:
        self.check(f"pose from {self.source}")

    def __len__(self) -> int:
        return len(self.global_orient)

    def check(self, where: str | Path) -> None:
        """Raise a UserError naming `where`, the key and the shape or value found, if anything is wrong."""
        sizes = check_arrays(where, asdict(self), _SHAPES)
        if sizes["T"] == 0:
            raise UserError(f"{where}: holds no frame")
        if self.valid.dtype != bool:
            raise UserError(f"{where}: key 'valid' should be bool, found {self.valid.dtype}")
        if self.body_model not in BODY_MODELS:
            raise UserError(f"{where}: body_model should be one of {BODY_MODELS}, found {self.body_model!r}")
        if self.fps <= 0:
            raise UserError(f"{where}: fps should be above 0, found {self.fps}")

    def save(self, path: str | Path) -> None:
        write_npz(path, asdict(self))

    @staticmethod
    def load(path: str | Path) -> "Pose":
        """Read a pose file. Raises UserError naming the file and the key that is wrong."""
        arrays = read_npz(path)
        check_arrays(path, arrays, _SHAPES)
        texts = {key: read_text(path, arrays, key) for key in ("body_model", "source")}
        pose = Pose(**{f.name: arrays[f.name] for f in fields(Pose)} | texts | {"fps": float(arrays["fps"])})
        pose.check(path)
        return pose
