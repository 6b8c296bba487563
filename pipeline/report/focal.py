"""The focal length in plain words: how long, who says so, and what that means for distances."""

import math

from pipeline.formats.camera import Camera, Origin
from pipeline.geometry.focal import equivalent_mm

_WORDS: dict[Origin, str] = {
    "calibration": "calibrated",
    "user": "given in the settings",
    "metadata": "read from the file's metadata",
    "network": "estimated by the depth network",
    "import": "given with the depth maps",
    "dataset": "given by the dataset",
    "motion": "told by the camera's motion",
    "lines": "found from the scene's straight lines",
    "guess": "guessed",
}
_NAMED = ("calibration", "network", "import", "dataset")  # whose source says more than the words
_DOUBTS: dict[Origin, str] = {
    "metadata": "where the camera stabilised the video, it may be up to a sixth longer, and the distance with it",
    "lines": "a few per cent off where the lines lie at right angles, as those of rooms and streets do",
    "guess": "most cameras are within a fifth of it, and the distance may be off by as much",
}


def focal_text(camera: Camera) -> str:
    """For example: guessed: 26 mm as 35-mm equivalent, 955 px; most cameras ... An old file has its source alone."""
    pixels = math.sqrt(camera.K[0, 0] * camera.K[1, 1])
    long = f"{equivalent_mm(pixels, camera.width, camera.height):.0f} mm as 35-mm equivalent, {pixels:.0f} px"
    if camera.K_source is None:
        return f"{long} ({camera.source}{'' if camera.metric else '; the distance may be off as much as it is'})"
    said = f"{_WORDS[camera.K_source]}: {long}"
    if camera.K_source in _NAMED:
        return f"{said} ({camera.source})"
    doubt = _DOUBTS.get(camera.K_source)
    return f"{said}; {doubt}" if doubt else said
