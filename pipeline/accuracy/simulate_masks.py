"""A simulated person detector: true masks with ragged edges, hands lost for a while, and leaks at the outline."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from pipeline.accuracy.errors import MaskErrors
from pipeline.accuracy.simulate_pose import smooth_noise
from pipeline.formats.images import MaskFolder

_HAND = 0.11  # metres: radius of what is lost with a hand
_LIMB = 0.06  # metres: half the breadth of what can be lost, so that a hand before the trunk leaves no hole
_GRAIN = (0.006, 0.03)  # body heights: sizes of the fine and the coarse unevenness of the edge
_LEAK = (0.05, 0.12)  # metres: half axes of a leak, least and most
_SPELL = 0.3  # seconds that a loss or a leak lasts, about


def simulate_masks(
    truth: MaskFolder,
    hands: np.ndarray,
    places: np.ndarray,
    pixels_per_metre: np.ndarray,
    fps: float,
    settings: MaskErrors,
    seed: int,
) -> Iterator[np.ndarray]:
    """The masks that the simulated detector finds, uint8 (H, W), 0 or 255 as SAM 2's.

    Args:
        truth: true coverage of T frames.
        hands: where the hands are in the image, px. (T, 2, 2)
        places: points of the body at whose image a leak may sit, px. (T, P, 2)
        pixels_per_metre: at the person's distance. (T,)
        fps: frames a second.
        settings: how large and how frequent the errors are.
        seed: the same seed gives the same errors.
    """
    rng = np.random.default_rng([seed, 22])
    frames, spell = len(truth), _SPELL * fps
    lost = _spells(frames, 2, settings.lost_hands, spell, rng)
    leaking = _spells(frames, 1, settings.leaks, spell, rng)[:, 0]
    place, axes, shape = 0, (1.0, 1.0), np.zeros((9, 9))
    for index in range(frames):
        mask = truth[index]
        if leaking[index] and not (index and leaking[index - 1]):
            place, axes, shape = int(rng.integers(places.shape[1])), rng.uniform(*_LEAK, 2), rng.standard_normal((9, 9))
        scale = pixels_per_metre[index]
        found = _ragged(mask, settings.ragged * scale, 1.7 * scale, rng)
        for hand in range(2):
            if lost[index, hand]:
                near = _distance(mask.shape, hands[index, hand]) < _HAND * scale
                found &= ~(near & _thin(mask > 127, _LIMB * scale))
        if leaking[index]:
            found |= _blob(mask.shape, places[index, place], np.asarray(axes) * scale, shape)
        yield found.astype(np.uint8) * 255


def _spells(frames: int, count: int, share: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """(T, count) bool, true for about `share` of the frames in spells of about `length` frames."""
    noise = smooth_noise((frames, count), length, rng)
    return noise > np.quantile(noise, 1 - share, axis=0)


def _ragged(mask: np.ndarray, size: float, height: float, rng: np.random.Generator) -> np.ndarray:
    """The mask cut at one half, its edge moved to and fro by about `size` px."""
    inside = mask > 127
    # To pixels' centres; the outline is half a pixel nearer.
    signed = np.where(inside, distance_transform_edt(inside) - 0.5, 0.5 - distance_transform_edt(~inside))
    moved = sum(_unit(gaussian_filter(rng.standard_normal(mask.shape), max(0.7, grain * height))) for grain in _GRAIN)
    return signed + size / np.sqrt(2) * moved > 0


def _thin(mask: np.ndarray, radius: float) -> np.ndarray:
    """What of a mask no disc of this radius within it covers."""
    inner = distance_transform_edt(mask) > radius
    return mask & (distance_transform_edt(~inner) > radius)


def _unit(noise: np.ndarray) -> np.ndarray:
    return noise / noise.std()


def _distance(shape: tuple[int, int], point: np.ndarray) -> np.ndarray:
    """Distance of each pixel's centre from a point, px."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(columns + 0.5 - point[0], rows + 0.5 - point[1])


def _blob(shape: tuple[int, int], point: np.ndarray, axes: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """An uneven ellipse: its border is a wave whose coefficients the noise `waves` gives."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    x, y = (columns + 0.5 - point[0]) / axes[0], (rows + 0.5 - point[1]) / axes[1]
    angle = np.arctan2(y, x)
    border = 1 + 0.15 * sum(
        a * np.cos((k + 2) * angle) + b * np.sin((k + 2) * angle) for k, (a, b) in enumerate(waves[:3, :2])
    )
    return np.hypot(x, y) < border
