"""Where the studio's cameras stand: one that frames the whole motion, side views around it, a hand that trembles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TALL = 0.7  # of the image height: the tallest that the person may look
_MARGIN = 0.05  # of the image, left free on every side


@dataclass(frozen=True)
class ClipCamera:
    """A pinhole camera over T frames. OpenCV axes; the world is y-up, metres."""

    K: np.ndarray  # (3, 3) pixels
    width: int
    height: int
    viewmats: np.ndarray  # (T, 4, 4) world to camera

    @property
    def is_static(self) -> bool:
        return bool((self.viewmats == self.viewmats[:1]).all())


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4, 4) world to camera of an upright camera."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    viewmat = np.eye(4)
    viewmat[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    viewmat[:3, 3] = -viewmat[:3, :3] @ eye
    return viewmat


def place_cameras(
    points: np.ndarray,  # (T, N, 3) points on the person, all frames
    width: int,
    height: int,
    views: int,
    moving: bool,
    fps: float,
    seed: int,
) -> list[ClipCamera]:
    """The main camera first, then `views` static ones spread around the subject, all with one K.

    They stand as near as they can with the whole person in the image in every frame, plus a margin.
    """
    rng = np.random.default_rng([seed, 4])
    focal = rng.uniform(0.95, 1.2) * np.hypot(width, height)
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
        if moving and k == 0:
            viewmats = _handheld(viewmat, target, len(points), fps, rng)
        cameras.append(ClipCamera(K, width, height, viewmats))
    return cameras


def _framing(
    points: np.ndarray, K: np.ndarray, width: int, height: int, target: np.ndarray, direction: np.ndarray, eye: float
) -> np.ndarray:
    """The nearest camera in this direction that sees everything; bisection over the distance."""
    near, far = 1.2, 40.0
    margin = _MARGIN * np.array([width, height])
    for _ in range(30):
        distance = (near + far) / 2
        position = target + distance * direction
        viewmat = look_at(np.array([position[0], eye, position[2]]), target)
        camera = points @ viewmat[:3, :3].T + viewmat[:3, 3]
        pixel = camera[..., :2] / np.maximum(camera[..., 2:], 1e-6) * [K[0, 0], K[1, 1]] + K[:2, 2]
        inside = camera[..., 2].min() > 0.3 and (pixel > margin).all() and (pixel < [width, height] - margin).all()
        if inside and np.ptp(pixel[..., 1], axis=1).max() < _TALL * height:
            far = distance
        else:
            near = distance
    return (
        viewmat
        if distance == far
        else look_at(np.array([(target + far * direction)[0], eye, (target + far * direction)[2]]), target)
    )


def _handheld(viewmat: np.ndarray, target: np.ndarray, frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
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
