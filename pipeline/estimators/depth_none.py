"""No depth maps: only the camera, from the settings."""

from pathlib import Path

from pipeline.camera.intrinsics import DepthSettings, camera_from_settings
from pipeline.formats.camera import Camera
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo


def check(settings: DepthSettings) -> None:
    """Needs nothing."""


def estimate(directory: VideoDir, settings: DepthSettings, out: Path, provenance: Provenance) -> Camera:
    """The camera; writes nothing to `out`."""
    return camera_from_settings(VideoInfo.load(directory.video), settings, provenance)
