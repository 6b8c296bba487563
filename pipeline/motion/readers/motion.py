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
    seconds: np.ndarray | None = None  # (T,) when each decoded frame is shown, from the file's first; None: not known
    # (N,) when each frame of the file is shown, where its rate varies, rising; None: constant, or not known
    packets: np.ndarray | None = None


@dataclass(frozen=True)
class Track:
    """One person."""

    name: str  # "person 2", for people
    frames: np.ndarray  # (N,) int, rising: which frames of the video the rows are
    rotations: np.ndarray  # (N, 24, 3) axis-angle: the root's in the camera or world frame, then SMPL's joints 1..23
    transl: np.ndarray  # (N, 3) metres, added after the root offset of `body`
    betas: np.ndarray  # (10,) of `body`
    body: str  # "smpl", "smplh", "smplx" or "free"
    K: np.ndarray | None  # (N, 3, 3) px; None: not told
    size: tuple[int, int] | None  # width and height of the images that K is for; None: the decoded ones
    # (3,) the world's up axis, of a motion in a world. None without K: in the camera's axes, the place is not told
    up: np.ndarray | None = None
    # (N, 4, 4), or (4, 4) of a camera that stands still: of a motion in a world, where the camera's place is known
    world_from_camera: np.ndarray | None = None
    residual: float | None = None  # metres that the body's places are off those that the file tells, on average
    skin: float | None = None  # metres that the file's vertices are off the body's skin, on average


@dataclass(frozen=True)
class PointTrack:
    """One person of whom places on the body are told, not rotations: `pipeline.motion.fit_points` takes them."""

    name: str
    frames: np.ndarray  # (N,) int, rising
    points: np.ndarray  # (N, P, 3) metres; NaN where one is not known
    names: tuple[str, ...]  # of the places, as fit_points has them
    K: np.ndarray | None  # these as of Track
    size: tuple[int, int] | None = None
    up: np.ndarray | None = None
    vertices: np.ndarray | None = None  # (N, V, 3) metres, of any mesh on the skin, the same ones in every row


@dataclass(frozen=True)
class SourceMotion:
    """All that a file tells. Its tracks hold rotations once `read_motion` has given it back."""

    tool: str  # "WHAM"
    tracks: tuple[Track | PointTrack, ...]
    frames: int | None  # of the video that the tool saw; None: it counts those of the video file but not how many
    seconds: np.ndarray | None = None  # (frames,) time of each in the video file; None: not told


# Rest pelvis of the neutral mean shapes, J_regressor @ v_template, metres, as other projects' source tells it.
MEAN_PELVIS = {
    "smpl": np.array([-0.00179506, -0.22333382, 0.02821918]),
    "smplh": np.array([-0.00179506, -0.22333382, 0.02821918]),
    "smplx": np.array([0.0031, -0.3514, 0.0120]),
}


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


def mean_up(ups: np.ndarray) -> np.ndarray:
    """(3,) the world's axis nearest to where the person's up axis (N, 3) points on average: z in AMASS, y in others."""
    mean = ups.mean(axis=0)
    axis = int(np.argmax(np.abs(mean)))
    return np.eye(3)[axis] * np.sign(mean[axis])


_FAR = 5000.0  # px: any focal length that is long beside the image shows the same


def weak_perspective(
    scale: np.ndarray,  # (N,) sides of the crop that a half metre takes: u = center + side / 2 * scale * (x + shift)
    shift: np.ndarray,  # (N, 2) metres
    center: np.ndarray,  # (N, 2) px
    side: np.ndarray,  # (N,) px
) -> tuple[np.ndarray, np.ndarray]:
    """K (N, 3, 3) and translations (N, 3) of a far camera that shows what a weak-perspective one on crops does."""
    depth = 2 * _FAR / (side * scale)
    return centred_camera(_FAR, center, len(scale)), np.concatenate([shift, depth[:, None]], axis=1)
