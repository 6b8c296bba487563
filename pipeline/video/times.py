"""When each decoded frame is shown in its file."""

import numpy as np

from pipeline.video.decode import DecodeSettings, selected_frames
from pipeline.video.source import VideoSource


def frame_times(source: VideoSource, settings: DecodeSettings, chosen: range) -> np.ndarray:
    """Seconds from the file's first frame on, (T,).

    A frame at a constant rate is one of the file's, which may have been shown a little earlier or later; where gaps
    were closed, later times jump.

    Args:
        chosen: which of the frames that `read_frames` gives.
    """
    numbers = selected_frames(source, settings)[0] + settings.step * np.asarray(chosen)
    if source.times is None:
        return numbers / float(source.fps)
    if source.constant:
        shown = np.minimum(numbers, len(source.times) - 1)
        return source.times[shown] + (numbers - shown) / float(source.fps)
    # As ffmpeg's filter fps does it: the last frame whose time, rounded to the rate, has come.
    rounded = np.floor(_without_gaps(source) * float(source.fps) + 0.5)
    return source.times[np.maximum(np.searchsorted(rounded, numbers, side="right") - 1, 0)]


def packet_times(source: VideoSource) -> np.ndarray | None:
    """Seconds of all frames of the file, from its first on, (N,); None where its rate is constant: they are `numbers`.

    Tools that read the file itself see these, not those at a constant rate.
    """
    return None if source.constant else source.times


def _without_gaps(source: VideoSource) -> np.ndarray:
    if source.gaps is None:
        return source.times
    steps = np.diff(source.times)
    closed = np.where(steps > source.gaps.longer_than, source.gaps.become, steps)
    return np.concatenate([[0.0], np.cumsum(closed)])
