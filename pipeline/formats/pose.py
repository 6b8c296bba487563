"""A person's motion as SMPL parameters: pose_init.npz, fit/pose_refined.npz, and the studio's truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.formats.arrays import check_arrays, check_rigid, read_npz, read_text, write_npz
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
WORLD = {"world_from_camera": ("T", 4, 4), "global_orient_world": ("T", 3), "transl_world": ("T", 3)}
_OPTIONAL = {
    "sigma": ("T", 24, 2),
    **WORLD,
    "body_pose_world": ("T", 69),
    "contact": ("T", 4),
    "hand_pose": ("T", 30, 3),
    "hands_seen": ("T", 2),
    "fitted_in_3d": (),
    "told_height": (),
}
BODY_MODELS = ("free", "smpl")


@dataclass(frozen=True)
class Pose:
    """SMPL motion in the camera frame (OpenCV axes, metres, radians), and perhaps in a world. Checked when made.

    The world has y up, is right-handed, and its ground is y = 0; in the first frame the pelvis is above the origin and
    the person faces +z (docs/world.md). Its motion is that of the camera frame moved by `world_from_camera`, but for a
    shift of the root a frame that puts the feet on the ground, and legs that keep them where they rest.
    """

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
    # All three or none: where the camera is in the world, and the root's motion there.
    world_from_camera: np.ndarray | None = None  # (T, 4, 4) rigid
    global_orient_world: np.ndarray | None = None  # (T, 3) axis-angle of the root
    transl_world: np.ndarray | None = None  # (T, 3) metres, added after the model's own root offset
    # Body pose in the world, where legs are bent so that feet which rest do not slide; None: it is body_pose.
    body_pose_world: np.ndarray | None = None  # (T, 69)
    # How likely a part of a foot stands: left heel, left toes, right heel, right toes.
    contact: np.ndarray | None = None  # (T, 4) in [0, 1]
    # SMPL-H's finger joints, axis-angle relative to its flat hand: left, then right, 15 each (body/hand.py). A hand
    # that was never seen is flat. None where no hand was looked for.
    hand_pose: np.ndarray | None = None  # (T, 30, 3)
    hands_seen: np.ndarray | None = None  # (T, 2) in [0, 1]: left, right; below 1 the fingers are partly those at rest
    # Whether it was fitted to landmarks that have a depth: it errs in other ways than a network's
    fitted_in_3d: bool = False
    # The person's height as the user told it (setting pose.height), metres; the betas may give another. None: not told.
    told_height: float | None = None

    def __post_init__(self) -> None:
        _check(f"pose from {self.source}", vars(self))

    def __len__(self) -> int:
        return len(self.global_orient)

    @property
    def has_world(self) -> bool:
        return self.world_from_camera is not None

    def save(self, path: str | Path) -> None:
        write_npz(path, {key: value for key, value in vars(self).items() if value is not None})

    @staticmethod
    def load(path: str | Path) -> "Pose":
        """Read a pose file. Raises UserError naming the file and the key that is wrong."""
        arrays = read_npz(path)
        texts = {key: read_text(path, arrays, key) for key in ("body_model", "source")}
        _check(path, arrays | texts)
        found = {key: arrays[key] for key in (*_SHAPES, *_OPTIONAL) if key in arrays}
        numbers = {"fps": float(arrays["fps"]), "fitted_in_3d": bool(arrays.get("fitted_in_3d", False))}
        if "told_height" in arrays:
            numbers["told_height"] = float(arrays["told_height"])
        return Pose(**found | texts | numbers)


def _check(where: str | Path, values: Mapping[str, Any]) -> None:
    """Raise a UserError naming `where`, the key and the shape or value found, if anything of a pose is wrong."""
    known = {key: shape for key, shape in _OPTIONAL.items() if values.get(key) is not None}
    sizes = check_arrays(where, values, _SHAPES | known)
    if sizes["T"] == 0:
        raise UserError(f"{where}: holds no frame")
    for key in ("valid", "fitted_in_3d"):
        if (found := np.asarray(values.get(key, False)).dtype).kind != "b":
            raise UserError(f"{where}: key {key!r} should be bool, found {found}")
    if values["body_model"] not in BODY_MODELS:
        raise UserError(f"{where}: body_model should be one of {BODY_MODELS}, found {values['body_model']!r}")
    if 0 < len(set(WORLD) & set(known)) < len(WORLD):
        lacking = next(key for key in WORLD if key not in known)
        raise UserError(f"{where}: key {lacking!r} is missing; the world's keys are {', '.join(WORLD)}, all or none")
    if "world_from_camera" in known:
        check_rigid(where, "world_from_camera", values["world_from_camera"])
    if "contact" in known and not ((values["contact"] >= 0) & (values["contact"] <= 1)).all():
        found = f"{np.min(values['contact']):g} to {np.max(values['contact']):g}"
        raise UserError(f"{where}: key 'contact' should be from 0 to 1, found {found}")
    if ("hand_pose" in known) != ("hands_seen" in known):
        raise UserError(f"{where}: keys 'hand_pose' and 'hands_seen' should be there together, found one of them")
    if "hands_seen" in known and ((values["hands_seen"] < 0) | (values["hands_seen"] > 1)).any():
        raise UserError(f"{where}: key 'hands_seen' should be in [0, 1], found {np.max(np.abs(values['hands_seen']))}")
    if "sigma" in known and (values["sigma"] <= 0).any():
        raise UserError(f"{where}: key 'sigma' should be above 0, found {np.min(values['sigma'])}")
    if "told_height" in known and values["told_height"] <= 0:
        raise UserError(f"{where}: key 'told_height' should be above 0, found {values['told_height']}")
    if values["fps"] <= 0:
        raise UserError(f"{where}: fps should be above 0, found {values['fps']}")
