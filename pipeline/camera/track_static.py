"""A camera that stands still because the user says so."""

from pipeline.camera.settings import CameraSettings
from pipeline.camera.track_focal import with_focal
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo

PACKAGES = ("opencv-contrib-python", "numpy", "scipy")


def check(settings: CameraSettings) -> None:
    """Nothing is needed."""


def estimate(directory: VideoDir, settings: CameraSettings, provenance: Provenance) -> CameraTrack:
    """Identities for all frames."""
    frames = VideoInfo.load(directory.video).frames
    return with_focal(CameraTrack.static(frames, "settings: camera.backend is static"), directory, provenance)
