"""Initial pose of the user's own: another estimator's result, motion capture, or a pose file of this project."""

from __future__ import annotations

from pipeline.body import load_body
from pipeline.estimators.on_person import on_person
from pipeline.estimators.settings import PoseSettings, refuse_height
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.formats.user_files import check_path, user_path
from pipeline.formats.video import VideoInfo
from pipeline.motion.readers import read_motion
from pipeline.motion.readers.frames import decoded_clip, frame_numbers


def check(settings: PoseSettings) -> None:
    """Raise a UserError where pose.path is not set."""
    refuse_height(settings, "import")
    check_path("pose.path", settings.path)


def estimate(directory: VideoDir, settings: PoseSettings, body_model: str, provenance: Provenance) -> Pose:
    """The motion of the person on the masks, from what pose.path names; docs/import.md tells the layouts.

    Raises:
        UserError: the file is not readable, of no known layout, not of this video's frames, or has too few of them.
    """
    body = load_body(body_model)
    path = user_path("pose.path", settings.path, directory.name)
    clip = decoded_clip(directory, VideoInfo.load(directory.video))
    motion = read_motion(path, clip, body)
    numbers, note = frame_numbers(path, motion, clip)
    if note:
        provenance.warn(note)
    provenance.facts["motion"] = str(path)
    source = f"imported from {motion.tool}: {path.name}"
    return on_person(motion, path, numbers, source, directory, settings, body, provenance)
