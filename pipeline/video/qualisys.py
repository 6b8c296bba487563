"""Qualisys' calibration, .qca.txt: its video cameras under Pose2Sim's keys."""

from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np

_SUBPIXELS = 64.0  # it counts in these
_MODELS = ("video", "none")  # of cameras that film; the others see markers alone
_TURN = np.diag([1.0, -1.0, -1.0])  # its cameras look along -z, with y up


def parse_qca(text: str) -> dict[str, dict[str, Any]]:
    """For each video camera, by serial number: matrix, distortions, size, rotation, translation (metres).

    Raises:
        ValueError: it is damaged, or of another layout.
    """
    if "<!" in text.replace("<!--", ""):
        raise ValueError("it declares entities, which no calibration does")
    try:
        root = ElementTree.fromstring(text)
        found = root.iterfind("cameras/camera")
        filming = [each for each in found if any(model in each.get("model", "").lower() for model in _MODELS)]
        return {str(camera.get("serial")): _camera(camera) for camera in filming}
    except (ElementTree.ParseError, AttributeError, TypeError) as error:
        raise ValueError(f"not Qualisys' layout: {error}") from error


def _camera(camera: ElementTree.Element) -> dict[str, Any]:
    def number(tag: str, key: str) -> float:
        return float(camera.find(tag).get(key))

    left, right, top, bottom = (number("fov_video", side) for side in ("left", "right", "top", "bottom"))
    focal = [number("intrinsic", f"focalLength{axis}") / _SUBPIXELS for axis in "UV"]
    centre = [number("intrinsic", f"centerPoint{axis}") / _SUBPIXELS for axis in "UV"]
    # Pose2Sim divides them by 64, too: its own files then hold lenses that are all but straight.
    lens = [number("intrinsic", f"{kind}Distortion{k}") for kind in ("radial", "tangental") for k in (1, 2)]
    rotation = np.array([[number("transform", f"r{row}{column}") for column in "123"] for row in "123"])
    place = np.array([number("transform", axis) for axis in "xyz"]) / 1000
    return {
        "matrix": [[focal[0], 0, centre[0] - left], [0, focal[1], centre[1] - top], [0, 0, 1]],
        "distortions": lens,
        "size": [right - left + 1, bottom - top + 1],
        "rotation": cv2.Rodrigues(_TURN @ rotation)[0].ravel().tolist(),
        "translation": (_TURN @ -rotation @ place).tolist(),
    }
