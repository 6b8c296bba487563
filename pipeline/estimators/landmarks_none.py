"""No landmarks: nothing is looked for."""

from pipeline.estimators.settings import LandmarksSettings, refuse_facing
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo


def check(settings: LandmarksSettings) -> None:
    """Nothing is needed. Raise a UserError where it is set which way the person looks."""
    refuse_facing(settings, "none")


def estimate(directory: VideoDir, settings: LandmarksSettings, provenance: Provenance) -> Landmarks:
    """No landmark a frame."""
    return Landmarks.none(VideoInfo.load(directory.video).frames)
