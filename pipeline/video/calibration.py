"""A calibrated camera: its file, and the distortion of its lens taken out of frames.

Read are Pose2Sim's .toml (a section a camera: matrix, distortions, size, and rotation, translation), OpenCV's and ROS's
.yaml and .yml (camera_matrix, distortion_coefficients, image_width, image_height), .json with either's names, Qualisys'
.qca.txt, and K and dist of measured joints (.npz: pipeline/formats/joint_truth.py). OpenCV counts pixels from the
centre of the first one; K here, as everywhere in the project, from its corner.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from pipeline.formats.arrays import read_npz
from pipeline.runtime.errors import UserError
from pipeline.video.qualisys import parse_qca

_MATRIX = ("matrix", "camera_matrix", "K", "mtx", "intrinsics", "cameraMatrix")
_DISTORTION = ("distortions", "distortion_coefficients", "dist_coeffs", "dist_coeff", "dist", "distCoeffs")
_SIZE = ("size", "image_size", "resolution", "imageSize")
_SIDES = (("width", "height"), ("image_width", "image_height"))
_COUNTS = (0, 4, 5, 8, 12, 14)  # of distortion coefficients that OpenCV knows
_CORNER = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # what K gains where pixels count from the corner
_BLOCK = 16  # px a side of the blocks in which H.264 stores pictures
_ROUNDING = 1.5  # px by which the sides of a scaled frame may miss the calibration's aspect


@dataclass(frozen=True)
class Calibration:
    """A camera as its file tells it."""

    source: str  # file, and section where there are several
    K: np.ndarray  # (3, 3) px, from the corner of the first pixel
    distortion: np.ndarray  # (N,) as OpenCV has them; of no length where the lens has none
    width: int  # px, of the pictures that it was calibrated on
    height: int
    world_to_camera: np.ndarray | None = None  # (3, 4) metres, rotation and translation, where the file tells them

    def scaled(self, width: int, height: int) -> np.ndarray:
        """K of the same pictures at another size, (3, 3) px.

        H.264 stores whole blocks, 1080 lines as 1088: a calibration that counts them fits pictures without them.

        Raises:
            UserError: that size has another aspect.
        """
        across, down = width / self.width, height / self.height
        if _is_padded(self.width, width / down):
            across = down
        elif _is_padded(self.height, height / across):
            down = across
        elif abs(across * self.height - height) > _ROUNDING and abs(down * self.width - width) > _ROUNDING:
            raise UserError(
                f"{self.source}: calibrated on {self.width}x{self.height} px, but the video's frames are "
                f"{width}x{height}, upright and scaled; a turned or cropped video needs a calibration of its own"
            )
        return np.diag([across, down, 1.0]) @ self.K


def _is_padded(side: int, shown: float) -> bool:
    """Whether a side, in px, is one of pictures this long rounded up to whole blocks."""
    return side % _BLOCK == 0 and 1 <= side - shown < _BLOCK


class Undistortion:
    """Frames of a calibrated lens made those of a pinhole camera of the same K; what it did not see is black."""

    def __init__(self, calibration: Calibration, width: int, height: int) -> None:
        """
        Args:
            width: of the frames, px.
            height: of the frames, px.
        """
        self.K = calibration.scaled(width, height)  # (3, 3) px of the frames
        self._maps = None
        if calibration.distortion.any():
            centred = self.K - _CORNER
            size = (width, height)
            self._maps = cv2.initUndistortRectifyMap(centred, calibration.distortion, None, centred, size, cv2.CV_32FC1)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3), resampled."""
        return frame if self._maps is None else cv2.remap(frame, *self._maps, cv2.INTER_CUBIC)


def camera_names(path: str | Path) -> list[str]:
    """The sections of the cameras in a file, in its order. Raises a UserError where it is missing or damaged."""
    path = Path(path)
    return list(_sections(path, _parse(path)))


def read_calibration(path: str | Path, camera: str | None, size: tuple[int, int] | None = None) -> Calibration:
    """Read a camera from a file.

    Args:
        path: the file.
        camera: its section, or its "name" there; needed where there are several.
        size: width and height of the whole picture, px, for a file that does not tell them.

    Raises:
        UserError: the file is missing or damaged, or does not say which camera, or holds something else.
    """
    path = Path(path)
    sections = _sections(path, _parse(path))
    names = ", ".join(sections)
    if camera is None and len(sections) > 1:
        raise UserError(f"{path}: holds several cameras ({names}); say which with video.camera")
    chosen = [key for key, values in sections.items() if camera in (None, key, values.get("name"))]
    if not chosen:
        raise UserError(f"{path}: no camera {camera!r} in it; video.camera should be one of {names}")
    values = sections[chosen[0]]
    source = str(path) if len(sections) == 1 else f"{path}, camera {chosen[0]}"
    if values.get("fisheye") or "fisheye" in str(values.get("distortion_model", "")):
        raise UserError(f"{source}: a fisheye lens is not supported; calibrate it with OpenCV's ordinary model")
    K = _numbers(source, values, _MATRIX, "camera matrix")
    if K.shape != (9,) or not np.allclose(K[[1, 3, 6, 7, 8]], [0, 0, 0, 0, 1]) or min(K[0], K[4]) <= 0:
        raise UserError(f"{source}: expected a camera matrix fx 0 cx, 0 fy cy, 0 0 1, found {K.tolist()}")
    distortion = _numbers(source, values, _DISTORTION, "distortion coefficients")
    if len(distortion) not in _COUNTS:
        raise UserError(f"{source}: expected 4, 5, 8, 12 or 14 distortion coefficients, found {len(distortion)}")
    width, height = _size(source, values, size)
    return Calibration(source, K.reshape(3, 3) + _CORNER, distortion, width, height, _placed(source, values))


class _Loader(yaml.SafeLoader):
    """YAML as OpenCV writes it."""


_Loader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, deep=True)
)


def _parse(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: not found; check video.calibration")
    if path.suffix.lower() == ".npz":
        arrays = read_npz(path)
        return {"K": arrays["K"].tolist(), "dist": arrays.get("dist", np.empty(0)).tolist()} if "K" in arrays else {}
    try:
        text = path.read_text(encoding="utf-8")
        if path.name.lower().endswith((".qca.txt", ".qca")):
            return parse_qca(text)
        if path.suffix.lower() == ".toml":
            return tomllib.loads(text)
        if path.suffix.lower() == ".json":
            return json.loads(text)
        if path.suffix.lower() in (".yaml", ".yml"):
            return yaml.load(text.replace("%YAML:1.0", "", 1), _Loader)
    except (ValueError, yaml.YAMLError) as error:  # those of tomllib, json and our own, and of text that is none
        raise UserError(f"{path}: damaged ({' '.join(str(error).split())}); export the calibration again") from error
    raise UserError(
        f"{path}: expected a calibration as .toml, .json, .yaml, .yml, .npz or .qca.txt; export it as one of them"
    )


def _sections(path: Path, values: Any) -> dict[str, Mapping[str, Any]]:
    """The cameras in a file by section; one that is the file itself is called "camera"."""
    if isinstance(values, Mapping):
        if any(key in values for key in _MATRIX):
            return {"camera": values}
        inner = {str(key): each for key, each in values.items() if isinstance(each, Mapping)}
        found = {key: each for key, each in inner.items() if any(name in each for name in _MATRIX)}
        if found:
            return found
    raise UserError(
        f"{path}: found no camera in it; expected {', '.join(_MATRIX[:3])} and {', '.join(_DISTORTION[:3])}"
    )


def _numbers(source: str, values: Mapping[str, Any], names: tuple[str, ...], what: str) -> np.ndarray:
    """The numbers under one of several names, flat, (N,)."""
    found = next((values[name] for name in names if name in values), None)
    if isinstance(found, Mapping):
        found = found.get("data")
    try:
        numbers = np.array(found, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise UserError(f"{source}: expected {what} ({', '.join(names[:3])}) as numbers, found {found!r}")
    return numbers


def _placed(source: str, values: Mapping[str, Any]) -> np.ndarray | None:
    """World to camera (3, 4), of Pose2Sim's keys; None where neither is there."""
    if "rotation" not in values and "translation" not in values:
        return None
    parts = [_numbers(source, values, (key,), key) for key in ("rotation", "translation")]
    if [len(part) for part in parts] != [3, 3]:
        raise UserError(f"{source}: expected rotation and translation of three numbers each, as Pose2Sim has them")
    return np.column_stack([cv2.Rodrigues(parts[0])[0], parts[1]])


def _size(source: str, values: Mapping[str, Any], default: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height, px."""
    if default is not None and not any(key in values for key in (*_SIZE, *(side[0] for side in _SIDES))):
        return default
    sides = next(((values[w], values[h]) for w, h in _SIDES if w in values and h in values), None)
    numbers = _numbers(source, {"size": sides} if sides else values, _SIZE, "the size of the pictures")
    if numbers.shape != (2,) or numbers.min() < 1:
        raise UserError(f"{source}: expected the size of the pictures as width and height, found {numbers.tolist()}")
    return round(float(numbers[0])), round(float(numbers[1]))
