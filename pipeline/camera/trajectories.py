"""Paths of cameras in other tools' files: COLMAP's models, TUM's and KITTI's text, npz of DROID-SLAM and VGGT.

Which it is, the content tells. All have OpenCV's axes. COLMAP: https://colmap.github.io/format.html; TUM: a line a
pose, stamp tx ty tz qx qy qz qw; KITTI: a line a frame, 12 numbers, the upper three rows of the matrix.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.formats.arrays import check_arrays, read_npz
from pipeline.runtime.errors import UserError

_FROM_CAMERA = ("world_from_camera", "cam_c2w", "c2w", "camera_to_world")  # (T, 4, 4) or (T, 3, 4)
_TO_CAMERA = ("extrinsic", "extrinsics", "w2c", "viewmats", "world_to_camera")  # VGGT writes the first
_VECTORS = "poses"  # (T, 7) DROID-SLAM: tx ty tz qx qy qz qw, world to camera
_STAMPS = ("tstamps", "timestamps", "frame_ids")
_OFF = 0.02  # of R^T R from the identity: what is farther is no rotation
_EXPECTED = "a COLMAP model (a folder), TUM or KITTI text, or an npz"


@dataclass(frozen=True)
class Trajectory:
    """Poses, and which frames they are of."""

    tool: str
    poses: np.ndarray  # (n, 4, 4) world from camera
    stamps: np.ndarray | None  # (n,) rising; None: one a frame
    unit: Literal["frames", "seconds"] = "frames"  # of the stamps
    metric: bool = True  # False: the unit of length is arbitrary
    focal: tuple[float, int] | None = None  # focal length and width of the pictures, px, where the file tells them


def read_trajectory(path: Path) -> Trajectory:
    """Read a camera's path. Raises UserError naming the file and what is wrong in it."""
    if path.name in ("images.txt", "images.bin"):
        path = path.parent
    if path.is_dir():
        return _colmap(path)
    return _npz(path) if path.suffix.lower() == ".npz" else _text(path)


def _colmap(folder: Path) -> Trajectory:
    places = [folder, folder / "sparse" / "0", folder / "sparse"]
    found = [place / f"images.{kind}" for place in places for kind in ("bin", "txt")]
    images = next((file for file in found if file.is_file()), None)
    if images is None:
        raise UserError(
            f"{folder}: expected a COLMAP model, images.bin or images.txt in it or in sparse/0; found neither"
        )
    binary = images.suffix == ".bin"
    try:
        views = _binary_views(images.read_bytes()) if binary else _text_views(images.read_text(encoding="utf-8"))
    except (struct.error, ValueError, IndexError) as error:
        raise UserError(f"{images}: expected COLMAP's images, could not read it ({error})") from error
    if not views:
        raise UserError(f"{images}: names no image; expected the model of this video's frames")
    numbers = {}
    for name, turn, shift in views:
        digits = re.findall(r"\d+", Path(name).stem)
        if not digits:
            raise UserError(
                f"{images}: image {name!r} has no number in its name; expected the frames' names, 000012.jpg"
            )
        numbers[int(digits[-1])] = (turn, shift)
    if len(numbers) < len(views):
        raise UserError(
            f"{images}: {len(views)} images have {len(numbers)} numbers; expected one camera, a number a frame"
        )
    stamps = np.array(sorted(numbers))
    turns, shifts = (np.array([numbers[n][k] for n in stamps]) for k in (0, 1))
    if not np.linalg.norm(turns, axis=1).all() or not np.isfinite(turns).all() or not np.isfinite(shifts).all():
        raise UserError(f"{images}: holds a rotation that is no quaternion, or a number that is not finite")
    poses = np.linalg.inv(_matrices(turns, shifts))
    return Trajectory("COLMAP", poses, stamps, metric=False, focal=_focal(images.with_stem("cameras")))


def _text_views(text: str) -> list[tuple[str, list[float], list[float]]]:
    """Name, quaternion xyzw and shift, world to camera. Each image has two lines, the second may be empty."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    views = []
    for line in lines[0::2]:
        if line.strip():
            _, *numbers, _, name = line.split(maxsplit=9)
            w, x, y, z, *shift = map(float, numbers)
            views.append((name, [x, y, z, w], shift))
    return views


def _binary_views(data: bytes) -> list[tuple[str, list[float], list[float]]]:
    (count,), at, views = struct.unpack_from("<Q", data), 8, []
    for _ in range(count):
        _, w, x, y, z, *shift, _ = struct.unpack_from("<I7dI", data, at)
        end = data.index(b"\0", at + 64)
        views.append((data[at + 64 : end].decode(), [x, y, z, w], shift))
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
    return views


def _focal(cameras: Path) -> tuple[float, int] | None:
    """Of the first camera; it is the first parameter of all of COLMAP's models."""
    if not cameras.is_file():
        return None
    try:
        if cameras.suffix == ".bin":
            _, _, _, width, _, focal = struct.unpack_from("<QIiQQd", cameras.read_bytes())
            return focal, width
        lines = [line.split() for line in cameras.read_text(encoding="utf-8").splitlines()]
        first = next(line for line in lines if line and not line[0].startswith("#"))
        return float(first[4]), int(first[2])
    except (struct.error, ValueError, IndexError, StopIteration) as error:
        raise UserError(f"{cameras}: expected COLMAP's cameras, could not read it ({error!r})") from error


def _text(path: Path) -> Trajectory:
    try:
        lines = [(n, line.split()) for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)]
        lines = [(n, cells) for n, cells in lines if cells and not cells[0].startswith("#")]
        rows = [[float(cell) for cell in cells] for _, cells in lines]
    except (UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{path}: expected {_EXPECTED}; found other text ({error})") from error
    wrong = next((n for (n, _), row in zip(lines, rows) if len(row) not in (8, 12) or len(row) != len(rows[0])), None)
    if not rows or wrong is not None:
        where = f"line {wrong} is another" if wrong else "found no line"
        raise UserError(f"{path}: expected lines of 8 numbers (TUM) or of 12 (KITTI); {where}")
    table = np.array(rows)
    if not np.isfinite(table).all():
        raise UserError(f"{path}: line {lines[int(np.argwhere(~np.isfinite(table))[0][0])][0]} holds no finite number")
    if table.shape[1] == 12:
        return Trajectory("KITTI", _rigid(path, "the matrices", table.reshape(-1, 3, 4)), None)
    stamps, shifts, turns = table[:, 0], table[:, 1:4], table[:, 4:]
    if (np.diff(stamps) <= 0).any() or not np.linalg.norm(turns, axis=1).all():
        raise UserError(f"{path}: expected rising stamps, and quaternions that are not 0")
    return Trajectory("TUM", _matrices(turns, shifts), stamps, _unit(stamps))


def _npz(path: Path) -> Trajectory:
    arrays = read_npz(path)
    key = next((name for name in (*_FROM_CAMERA, *_TO_CAMERA, _VECTORS) if name in arrays), None)
    if key is None:
        raise UserError(
            f"{path}: expected one of the keys {', '.join(_FROM_CAMERA)} (camera to world), {', '.join(_TO_CAMERA)} "
            f"(world to camera), {_VECTORS} (DROID-SLAM); found {', '.join(sorted(arrays)) or 'nothing'}"
        )
    values = arrays[key][0] if arrays[key].ndim == 4 and len(arrays[key]) == 1 else arrays[key]
    if key == _VECTORS:
        check_arrays(path, {key: values}, {key: ("T", 7)})
        if not np.linalg.norm(values[:, 3:], axis=1).all():
            raise UserError(f"{path}: key {key!r} holds a quaternion that is 0")
        poses = np.linalg.inv(_matrices(values[:, 3:], values[:, :3]))
    else:
        check_arrays(path, {key: values}, {key: ("T", 4 if values.ndim == 3 and values.shape[1] == 4 else 3, 4)})
        poses = _rigid(path, f"key {key!r}", values[:, :3])
        poses = np.linalg.inv(poses) if key in _TO_CAMERA else poses
    stamps = _stamps(path, arrays, len(poses))
    unit = "frames" if stamps is None else _unit(stamps)
    return Trajectory("npz", poses, stamps, unit, metric=key in _FROM_CAMERA[:1])


def _stamps(path: Path, arrays: Mapping[str, np.ndarray], count: int) -> np.ndarray | None:
    key = next((name for name in _STAMPS if name in arrays), None)
    if key is None:
        return None
    check_arrays(path, arrays, {key: (count,)})
    if (np.diff(arrays[key]) <= 0).any():
        raise UserError(f"{path}: key {key!r} should rise")
    return arrays[key].astype(float)


def _unit(stamps: np.ndarray) -> Literal["frames", "seconds"]:
    """Numbers of frames are whole; a second a pose is no video."""
    return "frames" if (stamps == np.round(stamps)).all() and len(stamps) > 1 else "seconds"


def _matrices(quaternions: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(n, 4, 4) from quaternions xyzw (n, 4)."""
    poses = np.tile(np.eye(4), (len(shifts), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(quaternions).as_matrix()
    poses[:, :3, 3] = shifts
    return poses


def _rigid(path: Path, what: str, matrices: np.ndarray) -> np.ndarray:
    """(n, 4, 4) from matrices (n, 3, 4) whose rotations are rotations."""
    turns = matrices[:, :, :3].astype(float)
    if np.abs(turns.transpose(0, 2, 1) @ turns - np.eye(3)).max() > _OFF or (np.linalg.det(turns) < 0).any():
        raise UserError(f"{path}: {what} should hold rotations and shifts (OpenCV's axes), found a matrix that is none")
    return _matrices(Rotation.from_matrix(turns).as_quat(), matrices[:, :, 3])
