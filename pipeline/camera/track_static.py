"""A camera that stands still because the user says so."""

from pipeline.camera.settings import CameraSettings
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo

PACKAGES = ("numpy",)


def check(settings: CameraSettings) -> None:
    """Nothing is needed."""


def estimate(directory: VideoDir, settings: CameraSettings, provenance: Provenance) -> CameraTrack:
    """Identities for all frames."""
    return CameraTrack.static(VideoInfo.load(directory.video).frames, "settings: camera.backend is static")
