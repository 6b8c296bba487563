"""The camera where no estimator tells it."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UserError
from pipeline.formats.camera import Camera
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo


@dataclass(frozen=True)
class UnidepthSettings:
    """Subsection `depth.unidepth`."""

    weights: str  # folder with config.json and model.safetensors
    device: str  # auto | cpu | cuda
    resolution_level: int  # 0 to 9
    batch: int  # frames
    camera_frames: int  # from which K is found
    discard: float  # share of each map, where its estimated error is largest, that is left unknown


@dataclass(frozen=True)
class DepthSettings:
    """Section `depth` of config/config.yaml, which explains each."""

    backend: str
    focal: float | None  # px of the decoded frames
    focal_diagonals: float
    path: str | None  # import: folder of the user's depth maps
    unidepth: UnidepthSettings

    def __post_init__(self) -> None:
        for name, value in (("focal", self.focal), ("focal_diagonals", self.focal_diagonals)):
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"settings depth.{name}: expected a number above 0, found {value!r}")


def camera_from_settings(video: VideoInfo, settings: DepthSettings, provenance: Provenance) -> Camera:
    """The calibrated camera where decode had one; else one with square pixels and its centre in the middle, whose focal
    length is the user's, or else guessed.

    The guess is `focal_diagonals` image diagonals, the usual stand-in (SPEC, CLIFF: one diagonal); one person's
    image hardly tells it, so distances hold only up to it, and the user is warned.
    """
    if video.K is not None:
        if settings.focal is not None:
            provenance.warn(f"depth.focal is not used: the camera is calibrated ({video.K_source})")
        return Camera(np.array(video.K), video.width, video.height, f"calibration: {video.K_source}", metric=True)
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


def intrinsics_from_rays(rays: np.ndarray) -> np.ndarray:
    """The pinhole camera whose rays through the pixels' centres are nearest to these, by linear least squares.

    A pinhole camera has x/z = (u - cx) / fx and y/z = (v - cy) / fy for the ray (x, y, z) through (u, v). The errors
    are in the rays: a fit of u to x/z instead would find too small a focal length.

    Args:
        rays: (3, H, W), of any length, z > 0; OpenCV axes.

    Returns:
        K (3, 3) px; the first pixel's centre is at (0.5, 0.5).
    """
    x, y, z = rays.astype(np.float64)
    height, width = z.shape
    u = np.broadcast_to(np.arange(width) + 0.5, z.shape)
    v = np.broadcast_to(np.arange(height)[:, None] + 0.5, z.shape)
    K = np.eye(3)
    for row, slopes, pixels in ((0, x / z, u), (1, y / z, v)):
        design = np.stack([pixels.ravel(), np.ones(pixels.size)], axis=1)
        slope, offset = np.linalg.lstsq(design, slopes.ravel(), rcond=None)[0]
        K[row, row], K[row, 2] = 1 / slope, -offset / slope
    return K
