"""camera_track.npz: how the camera moved through the clip."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pipeline.formats.arrays import check_arrays, check_rigid, read_npz, read_text, write_npz
from pipeline.runtime.errors import UserError

Kind = Literal["static", "turning", "travelling"]
FocalFrom = Literal["motion", "lines"]

_SAME = 1e-6  # what poses of a camera that does not move differ by: rounding
_SHAPES = {"world_from_camera": ("T", 4, 4), "sigma": ("T", 2)}
_OPTIONAL = {"focal": (), "focal_sigma": ()}


@dataclass(frozen=True)
class CameraTrack:
    """The camera's place and direction in each frame. Its world has the axes of the first frame's camera (OpenCV)."""

    world_from_camera: np.ndarray  # (T, 4, 4) rigid; metres
    kind: Kind
    sigma: np.ndarray  # (T, 2) standard deviations: radians of its direction, metres of its place
    source: str  # what made it, for people
    focal: float | None = None  # px, focal length that is found where camera.json holds a guess
    focal_sigma: float | None = None  # relative; None in older files
    focal_from: FocalFrom = "motion"  # what tells it: the camera's motion, or straight lines of the scene

    def __post_init__(self) -> None:
        _check(f"camera track from {self.source}", vars(self))

    def __len__(self) -> int:
        return len(self.world_from_camera)

    @staticmethod
    def static(frames: int, source: str) -> "CameraTrack":
        """A camera that stands still, for certain."""
        return CameraTrack(np.tile(np.eye(4), (frames, 1, 1)), "static", np.zeros((frames, 2)), source)

    @staticmethod
    def known(world_from_camera: np.ndarray, source: str) -> "CameraTrack":
        """A camera whose motion (T, 4, 4), in any world, is known for certain."""
        poses = np.linalg.inv(world_from_camera[0]) @ world_from_camera
        poses[:, 3] = [0, 0, 0, 1]
        if np.abs(poses - np.eye(4)).max() < _SAME:
            return CameraTrack.static(len(poses), source)
        kind = "turning" if np.abs(poses[:, :3, 3]).max() < _SAME else "travelling"
        return CameraTrack(poses, kind, np.zeros((len(poses), 2)), source)

    def save(self, path: str | Path) -> None:
        write_npz(path, {key: value for key, value in vars(self).items() if value is not None})

    @staticmethod
    def load(path: str | Path) -> "CameraTrack":
        """Read a track. Raises UserError naming the file and the key that is wrong."""
        arrays = read_npz(path)
        texts = {key: read_text(path, arrays, key) for key in ("kind", "source")}
        focal, sigma = (float(arrays[key]) if key in arrays else None for key in _OPTIONAL)
        told = read_text(path, arrays, "focal_from") if "focal_from" in arrays else "motion"
        _check(path, arrays | texts | {"focal_from": told})
        return CameraTrack(
            arrays["world_from_camera"], texts["kind"], arrays["sigma"], texts["source"], focal, sigma, told
        )


def _check(where: str | Path, values: Mapping[str, Any]) -> None:
    known = {key: shape for key, shape in _OPTIONAL.items() if values.get(key) is not None}
    sizes = check_arrays(where, values, _SHAPES | known)
    if sizes["T"] == 0:
        raise UserError(f"{where}: holds no frame")
    if values["kind"] not in get_args(Kind):
        raise UserError(f"{where}: key 'kind' should be one of {', '.join(get_args(Kind))}, found {values['kind']!r}")
    check_rigid(where, "world_from_camera", values["world_from_camera"])
    for key in known:
        if values[key] <= 0:
            raise UserError(f"{where}: key {key!r} should be above 0, found {values[key]}")
    if values["focal_from"] not in get_args(FocalFrom):
        raise UserError(
            f"{where}: key 'focal_from' should be one of {', '.join(get_args(FocalFrom))}, found "
            f"{values['focal_from']!r}"
        )
    if (values["sigma"] < 0).any():
        raise UserError(f"{where}: key 'sigma' should be 0 or more, found {np.min(values['sigma'])}")
