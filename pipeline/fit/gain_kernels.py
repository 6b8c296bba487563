"""Kernels of the gains of frames: a frame divided by its gain, and the sums that a gain is the answer to."""

import numpy as np

from pipeline.runtime.jit import kernel

f4 = np.float32
PER_LEVEL = f4(1 / 255)


@kernel()
def expose(image, levels, out):
    """Write levels [256, 3] of each value of an image [H, W, 3] uint8."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for channel in range(3):
                out[y, x, channel] = levels[image[y, x, channel], channel]


@kernel()
def gain_sums(image, mask, pixels, alpha, before, every, sure_mask, sure_alpha, far, both, squares):
    """Add to both [3] sum w r t, and to squares [3] sum w r^2, float64, and return sum w, of every so many rows and
    columns: the equation of `pipeline.fit.gains`.

    image [H, W, 3] uint8 and mask [H, W] uint8 of the frame divided by its gain `before` [3]; pixels [H, W, 3 or more]
    and alpha [H, W] as rendered. A pixel counts where mask and alpha are above `sure_mask` and `sure_alpha`, and the
    less (Geman-McClure) the more it differs, against `far`.
    """
    total, squared_far = 0.0, far * far
    filmed, found = np.empty(3, f4), np.empty(3, f4)
    for y in range(0, image.shape[0], every):
        for x in range(0, image.shape[1], every):
            if mask[y, x] <= sure_mask or alpha[y, x] <= sure_alpha:
                continue
            apart = f4(0)
            for channel in range(3):
                filmed[channel] = f4(image[y, x, channel]) * PER_LEVEL * before[channel]
                found[channel] = pixels[y, x, channel]
                difference = before[channel] * found[channel] - filmed[channel]
                apart += difference * difference
            share = squared_far / (apart + squared_far)
            weight = share * share
            total += weight
            for channel in range(3):
                both[channel] += weight * found[channel] * filmed[channel]
                squares[channel] += weight * found[channel] * found[channel]
    return total
