"""A simulated depth network: true depth off in scale and, smoothly, over the image; edges bleed; a wrong focal length.

What such a network confuses first is focal length and distance: a part of the error of the one is in the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from pipeline.accuracy.errors import DepthErrors
from pipeline.accuracy.simulate_pose import SOURCE, smooth_noise
from pipeline.formats.camera import Camera
from pipeline.formats.images import DepthFolder

_KNOTS = (5, 5)  # of the smooth error over the image
_DRIFT = 1.0  # seconds over which it changes
_FOCAL_SHARE = 0.5  # of the focal length's relative error that is in the depth, too


def simulate_camera(truth: Camera, settings: DepthErrors, seed: int) -> Camera:
    """The camera that the network believes in: its focal length is too long or too short."""
    rng = np.random.default_rng([seed, 23])
    factor = np.exp(_one_sided(settings.focal, rng))
    K = np.diag([factor, factor, 1.0]) @ np.asarray(truth.K)
    K[:2, 2] = truth.K[:2, 2]
    return Camera(K, truth.width, truth.height, f"{SOURCE}, seed {seed}", True, "network")


def simulate_depth(
    truth: DepthFolder, camera: Camera, true_camera: Camera, fps: float, settings: DepthErrors, seed: int
) -> Iterator[np.ndarray]:
    """The depth maps that the simulated network gives, float (H, W) metres, 0 = unknown.

    Args:
        truth: true depth of T frames.
        camera: of `simulate_camera`.
        true_camera: of the truth.
        fps: frames a second.
        settings: how large the errors are.
        seed: the same seed gives the same errors.
    """
    rng = np.random.default_rng([seed, 24])
    frames, drift = len(truth), _DRIFT * fps
    focal = np.log(camera.K[0, 0] / true_camera.K[0, 0])
    scale = _FOCAL_SHARE * focal + _one_sided(settings.scale, rng)
    flicker = settings.flicker * smooth_noise((frames,), 0.1 * drift, rng)
    field = settings.smooth * smooth_noise((frames, *_KNOTS), drift, rng)
    for index in range(frames):
        depth = truth[index].astype(np.float64)
        error = scale + flicker[index] + _stretched(field[index], depth.shape)
        yield _bled(depth, settings.bleeding * depth.shape[0]) * np.exp(error)


def _one_sided(size: float, rng: np.random.Generator) -> float:
    """Between half of `size` and one and a half times, of either sign: never lucky."""
    return float(rng.choice([-1, 1]) * size * rng.uniform(0.5, 1.5))


def _stretched(knots: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A coarse grid smoothly interpolated over an image."""
    places = [np.linspace(0, count - 1, size) for count, size in zip(knots.shape, shape)]
    return map_coordinates(knots, np.meshgrid(*places, indexing="ij"), order=3, mode="nearest")


def _bled(depth: np.ndarray, blur: float) -> np.ndarray:
    """Near and far mixed across edges, as the network's low resolution does; unknown pixels stay so."""
    known = (depth > 0).astype(np.float64)
    total = gaussian_filter(known, blur)
    mixed = gaussian_filter(depth * known, blur) / np.maximum(total, 1e-9)
    return np.where(known > 0, mixed, 0)
