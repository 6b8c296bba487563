"""The camera where no estimator tells it, and that of a clip whose camera moves."""

import math
from dataclasses import dataclass, replace

import numpy as np

from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.focal import LIKELY_MM, focal_pixels
from pipeline.runtime.errors import UserError

_TOLD_BY = {"motion": "the camera's motion", "lines": "the scene's straight lines"}


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
    focal_mm: float | None  # 35-mm equivalent
    focal_diagonals: float
    path: str | None  # import: folder of the user's depth maps
    unidepth: UnidepthSettings

    def __post_init__(self) -> None:
        for name, value in (("focal", self.focal), ("focal_diagonals", self.focal_diagonals)):
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"settings depth.{name}: expected a number above 0, found {value!r}")
        if self.focal_mm is not None and not LIKELY_MM[0] <= self.focal_mm <= LIKELY_MM[1]:
            raise UserError(
                f"settings depth.focal_mm: expected the 35-mm equivalent, {LIKELY_MM[0]} to {LIKELY_MM[1]} mm (a "
                f"phone's main camera has about 26, whatever its lens says), found {self.focal_mm:g}"
            )
        if self.focal is not None and self.focal_mm is not None:
            raise UserError("settings depth: focal and focal_mm both tell the focal length; leave one of them out")


def camera_from_settings(video: VideoInfo, settings: DepthSettings, provenance: Provenance) -> Camera:
    """The calibrated camera where decode had one; else one with square pixels and its centre in the middle, whose focal
    length is the user's, or the one in the file's metadata, or else guessed.

    The guess is `focal_diagonals` image diagonals. One person's image hardly tells it, so distances hold only up to it,
    and the user is warned.
    """
    width, height = video.width, video.height
    if video.K is not None:
        if settings.focal is not None or settings.focal_mm is not None:
            provenance.warn(f"depth.focal and focal_mm are not used: the camera is calibrated ({video.K_source})")
        return Camera(np.array(video.K), width, height, f"calibration: {video.K_source}", True, "calibration")
    if settings.focal is not None:
        focal, source, origin = settings.focal, "focal length given in the settings", "user"
    elif settings.focal_mm is not None:
        focal = focal_pixels(settings.focal_mm, width, height)
        source, origin = f"settings: {settings.focal_mm:g} mm as 35-mm equivalent", "user"
    elif video.focal_mm is not None:
        focal = focal_pixels(video.focal_mm, width, height)
        source, origin = f"the file's metadata: {video.focal_mm:g} mm as 35-mm equivalent", "metadata"
    else:
        focal = settings.focal_diagonals * math.hypot(width, height)
        source, origin = f"guess: focal length = {settings.focal_diagonals:g} x image diagonal", "guess"
        provenance.warn(
            f"the focal length is a guess ({focal:.0f} px, {settings.focal_diagonals:g} x the image diagonal), so "
            "distances from the camera are not metric; set depth.focal_mm, the 35-mm equivalent, if you know it"
        )
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=np.float64)
    return Camera(K, width, height, source, origin != "guess", origin)


def clip_camera(directory: VideoDir) -> Camera:
    """The camera of results/<video>/: camera.json's, with the focal length that camera_track has where that is a guess.

    Raises:
        UserError: camera.json is missing or wrong, or camera_track.npz is wrong.
    """
    camera = Camera.load(directory.camera)
    if camera.metric or not directory.camera_track.is_file():
        return camera
    track = CameraTrack.load(directory.camera_track)
    if track.focal is None:
        return camera
    source = f"{_TOLD_BY[track.focal_from]}; before, {camera.source}"
    return replace(camera, K=camera.with_focal(track.focal), source=source, metric=True, K_source=track.focal_from)


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
