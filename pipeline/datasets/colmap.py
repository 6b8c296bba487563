"""COLMAP's reconstruction as text: cameras.txt, images.txt and points3D.txt (https://colmap.github.io/format.html)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.datasets.files import require
from pipeline.runtime.errors import UserError

# Positions of fx, fy, cx, cy among a model's parameters; the lens distortion of the last two is left out, as by all
# code that reads NeuMan: its images were undistorted by COLMAP.
_MODELS = {
    "SIMPLE_PINHOLE": (0, 0, 1, 2),
    "PINHOLE": (0, 1, 2, 3),
    "SIMPLE_RADIAL": (0, 0, 1, 2),
    "OPENCV": (0, 1, 2, 3),
}


@dataclass(frozen=True)
class View:
    """One registered image."""

    name: str
    rotation: np.ndarray  # (3, 3) world to camera
    translation: np.ndarray  # (3,) world to camera, COLMAP's unit
    xy: np.ndarray  # (N, 2) px of the features that see a point
    points: np.ndarray  # (N, 3) those points in the world


@dataclass(frozen=True)
class Reconstruction:
    """Views in the order of their names, under one camera."""

    K: np.ndarray  # (3, 3) px; COLMAP's pixel centres lie at +0.5
    views: tuple[View, ...]


def read_reconstruction(folder: Path) -> Reconstruction:
    """Read sparse/.

    Raises:
        UserError: a file is missing or is not COLMAP's text; or the views are of several cameras.
    """
    try:
        cameras = _cameras(require(folder / "cameras.txt", "COLMAP's cameras as text"))
        points = _points(require(folder / "points3D.txt", "COLMAP's points as text"))
        views = _views(require(folder / "images.txt", "COLMAP's images as text"), points)
    except (ValueError, IndexError) as error:
        raise UserError(f"{folder}: expected COLMAP's text files ({error}); unpack the dataset again") from error
    if not views:
        raise UserError(f"{folder / 'images.txt'}: names no image; unpack the dataset again")
    found = np.array([cameras[camera] for camera, _ in views.values() if camera in cameras])
    if len(found) < len(views) or np.abs(found - found[0]).max() > 0.01:
        raise UserError(f"{folder}: expected one camera for all images, found several or none")
    return Reconstruction(found[0], tuple(views[name][1] for name in sorted(views)))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def _cameras(path: Path) -> dict[int, np.ndarray]:
    """K (3, 3) by the camera's number."""
    cameras = {}
    for number, model, _width, _height, *values in map(str.split, filter(None, _lines(path))):
        if model not in _MODELS:
            raise UserError(f"{path}: camera model {model} is not read; expected one of {', '.join(_MODELS)}")
        fx, fy, cx, cy = (float(values[place]) for place in _MODELS[model])
        cameras[int(number)] = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return cameras


def _points(path: Path) -> dict[int, np.ndarray]:
    rows = map(str.split, filter(None, _lines(path)))
    return {int(row[0]): np.array(row[1:4], dtype=float) for row in rows}


def _views(path: Path, points: dict[int, np.ndarray]) -> dict[str, tuple[int, View]]:
    """The camera's number and the view, by the image's name. Each image has two lines, the second may be empty."""
    lines, views = _lines(path), {}
    for first, second in zip(lines[0::2], [*lines[1::2], ""]):
        if not first:
            continue
        _number, qw, qx, qy, qz, tx, ty, tz, camera, name = first.split(maxsplit=9)
        features = np.array(second.split(), dtype=float).reshape(-1, 3)
        features = features[[int(number) in points for number in features[:, 2]]] if len(features) else features
        view = View(
            name=name,
            rotation=Rotation.from_quat([float(q) for q in (qx, qy, qz, qw)]).as_matrix(),
            translation=np.array([tx, ty, tz], dtype=float),
            xy=features[:, :2],
            points=np.array([points[int(number)] for number in features[:, 2]]).reshape(-1, 3),
        )
        views[name] = (int(camera), view)
    return views
