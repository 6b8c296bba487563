"""Where the studio's cameras stand: framing the whole motion, around it, in a trembling hand, or held at an angle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.runtime.errors import UserError
from pipeline.studio.camera_moves import MOVES
from pipeline.studio.look import look_at

CAMERAS = ("static", "moving", *MOVES)  # moving: held by hand, a few centimetres
_TALL = 0.7  # of the image height: the tallest that the person may look
_MARGIN = 0.05  # of the image, left free on every side
_LOWEST_EYE = 0.15  # metres above the ground


@dataclass(frozen=True)
class ClipCamera:
    """A pinhole camera over T frames. OpenCV axes; the world is y-up, metres."""

    K: np.ndarray  # (3, 3) pixels
    width: int
    height: int
    viewmats: np.ndarray  # (T, 4, 4) world to camera
    exposure: float = 0.0  # seconds; whatever the person moves meanwhile is smeared

    @property
    def is_static(self) -> bool:
        return bool((self.viewmats == self.viewmats[:1]).all())


@dataclass(frozen=True)
class Stance:
    """How a static camera is held."""

    azimuth: float = 0.0  # degrees around the person; 0 looks along -z
    pitch: float = 0.0  # degrees; negative looks down
    roll: float = 0.0  # degrees; positive turns the picture clockwise
    focal: float = 1.0  # diagonals of the image
    tall: float = _TALL  # of the image height: the tallest that the person may look

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) world to camera."""
        azimuth, pitch, roll = np.radians([self.azimuth, self.pitch, self.roll])
        forward = np.array([-np.cos(pitch) * np.sin(azimuth), np.sin(pitch), -np.cos(pitch) * np.cos(azimuth)])
        turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        return turn @ look_at(np.zeros(3), forward)[:3, :3]


def random_stance(rng: np.random.Generator) -> Stance:
    """A camera as people hold one: mostly level, but also from above and from below, turned, near with a short lens."""
    level = rng.uniform() < 0.4
    return Stance(
        azimuth=rng.uniform(0, 360),
        pitch=float(np.clip(rng.normal(-3, 5), -35, 20)) if level else rng.uniform(-35, 20),
        roll=rng.normal(0, 5) if rng.uniform() < 0.7 else rng.uniform(-18, 18),
        focal=float(np.exp(rng.uniform(np.log(0.55), np.log(1.2)))),
        tall=rng.uniform(0.45, 0.85),
    )


def held_camera(points: np.ndarray, width: int, height: int, stance: Stance) -> ClipCamera:
    """A static camera held so, as near as it can be with the whole person in the image in every frame.

    One that looks up from the ground stays above it, and shows the person lower in the picture.

    Args:
        points: on the person, all frames (T, N, 3), y up, metres.
        width: of the image, px.
        height: of the image, px.
        stance: how it is held.

    Raises:
        UserError: it looks up so steeply that a person on the ground is not in its picture.
    """
    focal = stance.focal * np.hypot(width, height)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    target = (points.min((0, 1)) + points.max((0, 1))) / 2
    viewmat = np.eye(4)
    viewmat[:3, :3] = stance.rotation

    def at(distance: float) -> np.ndarray:
        eye = target - distance * stance.rotation[2]
        eye[1] = max(eye[1], _LOWEST_EYE)
        viewmat[:3, 3] = -stance.rotation @ eye
        return viewmat.copy()

    viewmat = _nearest(at, points, K, width, height, stance.tall)
    if not _sees_all(viewmat, points, K, width, height)[0]:
        raise UserError(
            f"studio: a camera pitched by {stance.pitch:g} degrees, {stance.focal:g} diagonals, {width}x{height}, does "
            "not see a person on the ground; expected the whole person in the image: pitch it less, or take a shorter "
            "focal length"
        )
    return ClipCamera(K, width, height, np.repeat(viewmat[None], len(points), 0))


def place_cameras(
    points: np.ndarray,  # (T, N, 3) points on the person, all frames
    width: int,
    height: int,
    views: int,
    move: str,  # one of CAMERAS
    fps: float,
    seed: int,
    focal: float | None = None,  # diagonals of the image; None: a long lens, by the seed
) -> list[ClipCamera]:
    """The main camera first, then `views` static ones spread around the subject, all with one K.

    They stand as near as they can with the whole person in the image in every frame, plus a margin.
    """
    rng = np.random.default_rng([seed, 4])
    long = rng.uniform(0.95, 1.2)
    focal = (focal or long) * np.hypot(width, height)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    low, high = points.min((0, 1)), points.max((0, 1))
    target = (low + high) / 2
    azimuth = rng.uniform(-0.25, 0.25)
    eye_height = rng.uniform(1.15, 1.5)
    cameras = []
    for k in range(views + 1):
        angle = azimuth + 2 * np.pi * k / (views + 1)
        direction = np.array([np.sin(angle), 0, np.cos(angle)])
        viewmat = _framing(points, K, width, height, target, direction, eye_height)
        viewmats = np.repeat(viewmat[None], len(points), 0)
        if move == "moving" and k == 0:
            viewmats = _wandering(viewmat, target, len(points), fps, rng)
        elif move in MOVES and k == 0:
            path = MOVES[move](points, direction, eye_height, fps, np.random.default_rng([seed, 5]))
            viewmats = _nearest(path, points, K, width, height, _TALL)
        cameras.append(ClipCamera(K, width, height, viewmats))
    return cameras


def _framing(
    points: np.ndarray, K: np.ndarray, width: int, height: int, target: np.ndarray, direction: np.ndarray, eye: float
) -> np.ndarray:
    """The nearest camera in this direction that sees everything."""

    def at(distance: float) -> np.ndarray:
        position = target + distance * direction
        return look_at(np.array([position[0], eye, position[2]]), target)

    return _nearest(at, points, K, width, height, _TALL)


def _nearest(
    at: Callable[[float], np.ndarray], points: np.ndarray, K: np.ndarray, width: int, height: int, tall: float
) -> np.ndarray:
    """`at` the least distance, (4, 4) or (T, 4, 4), from which everything is seen, and no taller; bisection."""
    near, far = 1.2, 40.0
    for _ in range(30):
        distance = (near + far) / 2
        inside, tallest = _sees_all(at(distance), points, K, width, height)
        if inside and tallest < tall * height:
            far = distance
        else:
            near = distance
    return at(far)


def _sees_all(viewmat: np.ndarray, points: np.ndarray, K: np.ndarray, width: int, height: int) -> tuple[bool, float]:
    """Whether all points are in the image, margins left free, in all frames; how tall they are there at most, px."""
    margin = _MARGIN * np.array([width, height])
    camera = points @ np.swapaxes(viewmat[..., :3, :3], -1, -2) + viewmat[..., None, :3, 3]
    pixel = camera[..., :2] / np.maximum(camera[..., 2:], 1e-6) * [K[0, 0], K[1, 1]] + K[:2, 2]
    inside = camera[..., 2].min() > 0.3 and (pixel > margin).all() and (pixel < [width, height] - margin).all()
    return bool(inside), float(np.ptp(pixel[..., 1], axis=1).max())


def _wandering(
    viewmat: np.ndarray, target: np.ndarray, frames: int, fps: float, rng: np.random.Generator
) -> np.ndarray:
    """Slow drift of a few centimetres and a slow arc, the aim trembling a little."""
    time = np.arange(frames) / fps
    eye = -viewmat[:3, :3].T @ viewmat[:3, 3]

    def wander(size: float) -> np.ndarray:
        rate, phase = rng.uniform(0.15, 0.6, (2, 3)), rng.uniform(0, 7, (2, 3))
        return size * np.sin(2 * np.pi * rate[:, None] * time[:, None] + phase[:, None]).sum(0)

    arc = rng.choice([-1, 1]) * 0.1 * np.sin(2 * np.pi * 0.12 * time)
    offset = eye - target
    turned = np.stack(
        [offset[0] * np.cos(arc) + offset[2] * np.sin(arc), np.full(frames, offset[1]),
         offset[2] * np.cos(arc) - offset[0] * np.sin(arc)], 1
    )  # fmt: skip
    eyes, targets = target + turned + wander(0.02), target + wander(0.012)
    return np.stack([look_at(e, t) for e, t in zip(eyes, targets)])
