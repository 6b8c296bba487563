"""The camera where no estimator tells it."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UserError
from pipeline.formats.camera import Camera
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo


@dataclass(frozen=True)
class DepthSettings:
    """Section `depth` of config/config.yaml, which explains each."""

    backend: str
    focal: float | None  # px of the decoded frames
    focal_diagonals: float
    path: str | None  # import: folder of the user's depth maps

    def __post_init__(self) -> None:
        for name, value in (("focal", self.focal), ("focal_diagonals", self.focal_diagonals)):
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"settings depth.{name}: expected a number above 0, found {value!r}")


def camera_from_settings(video: VideoInfo, settings: DepthSettings, provenance: Provenance) -> Camera:
    """A camera with square pixels and its centre in the middle; its focal length is the user's, or else guessed.

    The guess is `focal_diagonals` image diagonals, the usual stand-in (SPEC, CLIFF: one diagonal); one person's
    image hardly tells it, so distances hold only up to it, and the user is warned.
    """
    if settings.focal is not None:
        focal, source = settings.focal, "focal length given in the settings"
    else:
        focal = settings.focal_diagonals * math.hypot(video.width, video.height)
        source = f"guess: focal length = {settings.focal_diagonals:g} x image diagonal"
        provenance.warn(
            f"the focal length is a guess ({focal:.0f} px, {settings.focal_diagonals:g} x the image diagonal), so "
            "distances from the camera are not metric; set depth.focal if you know it"
        )
    K = np.array([[focal, 0, video.width / 2], [0, focal, video.height / 2], [0, 0, 1]], dtype=np.float64)
    return Camera(K, video.width, video.height, source, metric=settings.focal is not None)
