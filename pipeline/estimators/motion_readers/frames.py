"""Which frame of a motion belongs to which decoded frame."""

from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.estimators.motion_readers.motion import Clip, SourceMotion
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo


def decoded_clip(directory: VideoDir, video: VideoInfo) -> Clip:
    """Which frames of the video file were decoded, by what the decode stage tells of itself."""
    record = directory.provenance("decode")
    if not record.is_file():  # frames that the user put there
        return Clip(video.width, video.height, video.fps, np.arange(video.frames), video.frames)
    told = read_provenance(record)
    try:
        fps = video.fps * told["settings"]["step"]
        in_file = int(told["facts"]["frames in the file"])
        numbers = video.source_frames(told["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{record}: does not tell which frames were decoded ({error!r}); decode again") from error
    return Clip(video.width, video.height, fps, numbers, in_file)


def frame_numbers(path: Path, motion: SourceMotion, clip: Clip) -> np.ndarray:
    """(T,) the frame of the motion that each decoded frame is.

    A motion as long as the decoded video is of those frames; one as long as the video file, or one that counts its
    frames without telling how many there were, is of the file's.

    Raises:
        UserError: it is of another length.
    """
    decoded = len(clip.numbers)
    if motion.frames == decoded:
        return np.arange(decoded)
    last = max(int(track.frames.max(initial=-1)) for track in motion.tracks)
    if motion.frames == clip.in_file or (motion.frames is None and last < clip.in_file):
        return clip.numbers
    found = f"{motion.frames} frames" if motion.frames is not None else f"a frame {last}"
    raise UserError(
        f"{path}: {motion.tool} has {found}, but {decoded} frames were decoded of the {clip.in_file} in the video "
        "file; run the tool on this very video, or decode what it saw (video.start, video.stop, video.step)"
    )
