"""Which frame of a motion belongs to which decoded frame."""

from pathlib import Path

import numpy as np

from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.motion.readers.motion import Clip, SourceMotion
from pipeline.runtime.errors import UserError


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
        size = told["facts"].get("size in the file")
        size = None if size is None else (int(size[0]), int(size[1]))
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{record}: does not tell which frames were decoded ({error!r}); decode again") from error
    return Clip(video.width, video.height, fps, numbers, in_file, size)


def frame_numbers(path: Path, motion: SourceMotion, clip: Clip) -> np.ndarray:
    """(T,) the frame of the motion that each decoded frame is. Raises as `matching_frames`."""
    last = max(int(track.frames.max(initial=-1)) for track in motion.tracks)
    return matching_frames(path, motion.tool, motion.frames, last, clip)


def matching_frames(path: Path, tool: str, frames: int | None, last: int, clip: Clip) -> np.ndarray:
    """(T,) the frame of a tool's result that each decoded frame is.

    A result as long as the decoded video is of those frames; one as long as the video file, or one that counts its
    frames without telling how many there were, is of the file's.

    Args:
        path: the result, for the error.
        tool: what made it.
        frames: how many it saw; None: it does not tell.
        last: the last frame of which it tells, from 0.

    Raises:
        UserError: it is of another length.
    """
    decoded = len(clip.numbers)
    if frames == decoded:
        return np.arange(decoded)
    if frames == clip.in_file or (frames is None and last < clip.in_file):
        return clip.numbers
    found = f"{frames} frames" if frames is not None else f"a frame {last}"
    raise UserError(
        f"{path}: {tool} has {found}, but {decoded} frames were decoded of the {clip.in_file} in the video "
        "file; run the tool on this very video, or decode what it saw (video.start, video.stop, video.step)"
    )
