"""What every reader gives: the motions of the people in a video, each in the frame of the camera that its tool used."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Clip:
    """The decoded video that a motion is wanted for."""

    width: int  # px of the decoded frames
    height: int
    fps: Fraction  # of the video file, whatever video.step keeps of it
    numbers: np.ndarray  # (T,) the frame of the video file that each decoded frame is
    in_file: int  # frames of the video file
    file_size: tuple[int, int] | None = None  # width and height of the video file, px upright; None: not known


@dataclass(frozen=True)
class Track:
    """One person."""

    name: str  # "person 2", for people
    frames: np.ndarray  # (N,) int, rising: which frames of the video the rows are
    rotations: np.ndarray  # (N, 24, 3) axis-angle: the root's in the camera or world frame, then SMPL's joints 1..23
    transl: np.ndarray  # (N, 3) metres, added after the root offset of `body`
    betas: np.ndarray  # (10,) of `body`
    body: str  # "smpl", "smplh", "smplx" or "free"
    K: np.ndarray | None  # (N, 3, 3) px; None: a motion in a world, not in a camera's frame
    size: tuple[int, int] | None  # width and height of the images that K is for; None: the decoded ones
    up: np.ndarray | None = None  # (3,) the world's up axis, where K is None
    # (N, 4, 4), or (4, 4) of a camera that stands still, where K is None and the camera's place is known nonetheless
    world_from_camera: np.ndarray | None = None


@dataclass(frozen=True)
class SourceMotion:
    """All that a file tells."""

    tool: str  # "WHAM"
    tracks: tuple[Track, ...]
    frames: int | None  # of the video that the tool saw; None: it counts those of the video file but not how many


def centred_camera(focal: np.ndarray | float, center: np.ndarray | tuple[float, float], count: int) -> np.ndarray:
    """K (count, 3, 3) of square pixels.

    Args:
        focal: px, one for all frames or one a frame. () or (count,)
        center: principal point, px. (2,) or (count, 2)
        count: of frames.
    """
    K = np.zeros((count, 3, 3))
    K[:, 0, 0] = K[:, 1, 1] = focal
    K[:, :2, 2] = center
    K[:, 2, 2] = 1
    return K
