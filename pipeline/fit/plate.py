"""The background behind the person: what a camera that stands still sees where the person is not.

Each pixel's colour is the median of the frames that show it, freed of each frame's exposure, and its noise is their
median absolute deviation (over 1.4826, the same of a Gaussian). What no frame shows is filled in from around, with the
spread of the colours there as its noise: what is little known has much noise, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.runtime.jit import inline, kernel
from pipeline.runtime.threads import run_parallel, split

f4 = np.float32
MOST_FRAMES = 24  # of the clip, evenly spread, that make the plate
FEWEST = 4  # frames that must show a pixel
_NOISE = 2.0  # of 255: no pixel is known better
_SPREAD_NOISE = 8.0  # of 255: nor one that is filled in
_MAD = 1.4826
HIDDEN = 255  # value of what shows no background; brightest of what does is 254
_DARK, _BRIGHT = 16, 235  # of 255: darker and brighter pixels tell no exposure
_ROUNDS, _SAME_GAIN = 2, 0.002  # of the search for them, which ends where they change by less
_EACH = 4  # px between those that tell the exposure
SHADE = 0.7  # a shadow leaves so much of the background's light, or more
_GAIN = 1.5  # a frame is no more than so many times as bright as the median one
_RADII = (4, 16, 64)  # px from which colours are filled in, the nearest first
_ENOUGH = 0.1  # share of a window that must be known
Crop = tuple[int, int, int, int]  # x0, y0, x1, y1 px of a frame
Size = tuple[int, int]  # width and height, px


@dataclass(frozen=True)
class Layer:
    """Colours and their noise in a picture, of 255."""

    colour: np.ndarray  # (h, w, 3) float32
    sigma: np.ndarray  # (h, w) float32


@dataclass(frozen=True)
class Plate:
    """The background of a whole clip, at a scale of its frames."""

    layer: Layer
    gains: np.ndarray  # (T, 3) of each frame's colours against the plate's
    known: np.ndarray  # (h, w) bool: shown by FEWEST frames or more; the rest is filled in

    def crop(self, frame: int, box: Crop, full: Size, size: Size) -> Layer:
        """A part of it as a frame sees it.

        Args:
            frame: index, for its exposure.
            box: of the full frame.
            full: of the full frame.
            size: of what comes back.
        """
        import cv2

        grid = in_plate(box, full, self.known.shape[::-1], size)[:2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        colour, sigma = (
            cv2.warpAffine(each, grid, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            for each in (self.layer.colour, self.layer.sigma)
        )
        return Layer(colour * self.gains[frame].astype(f4), sigma)

    def facts(self) -> dict[str, str]:
        """What the provenance tells of it."""
        gains = self.gains.mean(1)
        return {
            "background plate": f"{100 * self.known.mean():.0f}% of the picture was seen",
            "exposure against the plate": f"{gains.min():.2f} to {gains.max():.2f}",
        }


def in_plate(box: Crop, full: Size, plate: Size, size: Size) -> np.ndarray:
    """(3, 3) homography from the pixels of a crop, shrunk to a size, to those of a plate of the whole frame."""
    scale = np.array(plate) / full
    step = (np.array(box[2:]) - box[:2]) / size * scale
    first = box[:2] * scale + step / 2 - 0.5  # pixel centres
    return np.array([[step[0], 0, first[0]], [0, step[1], first[1]], [0, 0, 1]])


def find_plate(
    frames: Sequence[np.ndarray],
    people: Sequence[np.ndarray],
    chosen: np.ndarray,
    count: int,
) -> Plate:
    """The plate of a clip, from some of its frames.

    Args:
        frames: (F, h, w, 3) uint8.
        people: (F, h, w) bool, where a frame shows no background.
        chosen: (F,) which of the clip's frames they are. The exposure of those between is linear in time.
        count: of the clip's frames.
    """
    stack, hidden = np.stack(frames), np.stack(people)
    gains = np.ones((len(stack), 3))
    colour, spread, seen = _medians(stack, hidden, gains)
    for _ in range(_ROUNDS):
        found = np.stack([frame_gain(*pair, colour, seen >= FEWEST) for pair in zip(stack, hidden)])
        if np.abs(found - gains).max() < _SAME_GAIN:
            break
        gains = found
        colour, spread, seen = _medians(stack, hidden, gains)
    known = seen >= FEWEST
    layer = filled(colour, _smooth(np.maximum(_MAD * spread, _NOISE)), known)
    of_all = np.stack([np.interp(np.arange(count), chosen, channel) for channel in gains.T], axis=1)
    return Plate(layer, of_all, known)


def filled(
    colour: np.ndarray,  # (h, w, 3) float32
    sigma: np.ndarray,  # (h, w) float32
    known: np.ndarray,  # (h, w) bool
) -> Layer:
    """The same with what is not known taken from around: means there, with the spread of the colours as the noise."""
    import cv2

    colour, sigma, left = colour.copy(), sigma.copy(), ~known
    weight = known.astype(f4)
    sums = np.dstack([colour * weight[..., None], (colour**2).sum(2) * weight, weight])
    for radius in _RADII:
        if not left.any():
            break
        means = cv2.boxFilter(sums, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)
        here = left & (means[..., 4] > _ENOUGH)
        mean = means[here, :3] / means[here, 4:]
        variance = np.maximum(means[here, 3] / means[here, 4] - (mean**2).sum(1), 0) / 3
        colour[here], sigma[here] = mean, np.sqrt(variance + _SPREAD_NOISE**2)
        left = left & ~here
    colour[left], sigma[left] = 127.5, 127.5
    return Layer(colour, sigma)


def frame_gain(
    frame: np.ndarray,  # (h, w, 3) uint8
    hidden: np.ndarray,  # (h, w) bool
    colour: np.ndarray,  # (h, w, 3) of the plate
    known: np.ndarray,  # (h, w) bool
) -> np.ndarray:
    """(3,) how much brighter a frame is than the plate; 1 where nothing tells."""
    frame, hidden, colour, known = (each[::_EACH, ::_EACH] for each in (frame, hidden, colour, known))
    usable = ~hidden & known & (colour.min(2) > _DARK) & (frame.min(2) > _DARK)
    usable &= (colour.max(2) < _BRIGHT) & (frame.max(2) < _BRIGHT)
    if usable.sum() < usable.size // 50:
        return np.ones(3)
    ratio = np.median(frame[usable] / colour[usable], axis=0)
    return np.clip(ratio, 1 / _GAIN, _GAIN)


def _smooth(sigma: np.ndarray) -> np.ndarray:
    """The noise of a few frames says little of a pixel's own: its mean over neighbours, and no less than that."""
    import cv2

    return np.maximum(sigma, cv2.boxFilter(sigma.astype(f4), -1, (5, 5), borderType=cv2.BORDER_REFLECT))


def _medians(stack: np.ndarray, hidden: np.ndarray, gains: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median colours, the mean over channels of the median deviations from them, and how many frames show a pixel."""
    frames, height, width, _ = stack.shape
    values = np.empty((frames, height, 3 * width), np.uint8)
    for row, frame, out, gain in zip(values, stack, hidden, gains):
        levels = np.minimum(np.rint(np.arange(256)[:, None] / gain), HIDDEN - 1).astype(np.uint8)
        own = levels[frame, np.arange(3)]
        own[out] = HIDDEN
        row[:] = own.reshape(height, -1)
    seen = (~hidden).sum(0)
    ranks = np.repeat(np.maximum(seen - 1, 0) // 2, 3, axis=1).astype(np.uint8)
    colour, spread = np.zeros((2, height, 3 * width), np.uint8)
    run_parallel(lambda *w: _median_rows(*split(height, *w, 1), values, ranks, colour, spread))
    return colour.reshape(height, width, 3).astype(f4), spread.reshape(height, width, 3).mean(2, dtype=f4), seen


@inline
def _select(values, ranks, out):
    """The value [C] of a rank [C] among values [F, C] uint8, a bit at a time: all columns at once, unlike sorting."""
    below, trial = np.empty(values.shape[1], np.uint8), np.empty(values.shape[1], np.uint8)
    out[:] = 0
    for bit in range(7, -1, -1):
        below[:] = 0
        for x in range(values.shape[1]):
            trial[x] = out[x] | np.uint8(1 << bit)
        for frame in range(values.shape[0]):
            for x in range(values.shape[1]):
                below[x] += np.uint8(values[frame, x] < trial[x])
        for x in range(values.shape[1]):
            if below[x] <= ranks[x]:
                out[x] = trial[x]


@kernel()
def _median_rows(start, end, values, ranks, colour, spread):
    """Rows start..end of the medians of values [F, H, C] uint8, and of the deviations from them; out [H, C] uint8.

    ranks [H, C]: the median's place among the sorted values, of which those that do not count, HIDDEN, are last.
    """
    own = np.empty((values.shape[0], values.shape[2]), np.uint8)
    for y in range(start, end):
        own[:] = values[:, y]
        _select(own, ranks[y], colour[y])
        for frame in range(own.shape[0]):
            for x in range(own.shape[1]):
                value, middle = own[frame, x], colour[y, x]
                away = np.uint8(value - middle) if value > middle else np.uint8(middle - value)
                own[frame, x] = value if value == HIDDEN else away
        _select(own, ranks[y], spread[y])
