"""Which frame of a motion belongs to which decoded frame."""

from pathlib import Path

import numpy as np

from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.motion.readers.motion import Clip, SourceMotion
from pipeline.runtime.errors import UserError

_FEW = 2  # rows that a motion may have too few or too many: tools count the frames of a file in different ways


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
    seconds, packets = (None if times is None else np.array(times) for times in (video.seconds, video.packets))
    return Clip(video.width, video.height, fps, numbers, in_file, size, seconds, packets)


def frame_numbers(path: Path, motion: SourceMotion, clip: Clip) -> tuple[np.ndarray, str | None]:
    """(T,) the row of the motion that each decoded frame is, -1 where it has none; and what the user should know.

    A motion that tells times is paired by them, others as `matching_frames` does. Where the rate varies, decoding
    repeats and drops frames: a motion of the frames before that is known by their number, or counts them without
    telling how many there were. One with a row or two too few or too many is paired from the first frame on.

    Raises:
        UserError: it is of another length.
    """
    if motion.seconds is not None:
        return _by_time(motion.seconds, clip), None
    decoded = len(clip.numbers)
    last = max(int(track.frames.max(initial=-1)) for track in motion.tracks)
    lengths = [(np.arange(decoded), decoded), (clip.numbers, clip.in_file)]
    if motion.frames != decoded and clip.seconds is not None:
        # An older file tells the times of the decoded frames alone: all of them, where none was cut away or dropped.
        packets = np.unique(clip.seconds) if clip.packets is None else clip.packets
        nearest = np.searchsorted((packets[1:] + packets[:-1]) / 2, clip.seconds, side="right")
        if motion.frames == len(packets):
            return nearest, f"{path}: has a row for each of the {len(packets)} frames before the rate was made constant"
        if clip.packets is not None:
            if motion.frames is None and last < len(packets):
                return nearest, f"{path}: taken to number the {len(packets)} frames before the rate was made constant"
            seen = motion.frames or last + 1
            lengths = sorted([(nearest, len(packets)), *lengths], key=lambda each: abs(seen - each[1]))
    if motion.frames not in (None, decoded, clip.in_file):
        for numbers, count in lengths:
            if abs(motion.frames - count) <= _FEW:
                paired = np.where(numbers < motion.frames, numbers, -1)
                return paired, f"{path}: has {motion.frames} rows for {count} frames; paired from the first frame on"
    return matching_frames(path, motion.tool, motion.frames, last, clip), None


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


def _by_time(seconds: np.ndarray, clip: Clip) -> np.ndarray:
    """The row nearest in time, where one is within half of the usual distance between rows or between frames."""
    at = clip.numbers / float(clip.fps) if clip.seconds is None else clip.seconds
    after = np.clip(np.searchsorted(seconds, at), 0, len(seconds) - 1)
    before = np.maximum(after - 1, 0)
    near = np.where(np.abs(at - seconds[before]) <= np.abs(seconds[after] - at), before, after)
    reach = 0.51 * max(np.median(np.diff(seconds)) if len(seconds) > 1 else 0, 1 / float(clip.fps))
    return np.where(np.abs(seconds[near] - at) <= reach, near, -1)
