"""Kernels of `pipeline.losses.pixels`: what a crop and its rendering differ by, and the gradients put together.

Rows of images are independent, and sums are kept for each row, so that no result depends on the number of threads.
"""

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4 = np.float32
ZERO, ONE = f4(0), f4(1)
PER_LEVEL = f4(1 / 255)
OPAQUE = 127  # of a mask: above it a pixel is the person's
DEPTH = 3  # channel of the rendering

COLOUR, AREA, ALPHA, BOTH, MASK, DEPTHS, KNOWN = range(7)  # columns of the sums
SUMS = 7


@inline
def _sign(value):
    return ONE if value > ZERO else (-ONE if value < ZERO else ZERO)


@kernel()
def compare(start, end, pixels, alpha, image, mask, sure, depth, background, colours, target, sums):
    """Write rows start..end of the rendered colours and of the person of the frame over the background, and sum.

    pixels [H, W, 3 or 4] and alpha [H, W] as rendered; image [H, W, 3] and mask [H, W] uint8; sure [H, W] uint8, how
    much a pixel counts, or [0, 0] for all; depth [H, W] metres, 0 = unknown, or [0, 0] for none; background [3];
    colours, target out [H, W * 3], equal where a pixel does not count; sums out [H, SUMS]: of the absolute differences
    of colours, of alpha and mask, of alpha, of alpha times mask, of the mask, of the absolute differences of depth
    where it is known on the person, and the number of such pixels.
    """
    with_depth, with_sure = depth.shape[0] > 0, sure.shape[0] > 0
    for y in range(start, end):
        apart, area, covered, both, total, deep, known = (ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)
        for x in range(alpha.shape[1]):
            m = f4(mask[y, x]) * PER_LEVEL
            counts = f4(sure[y, x]) * PER_LEVEL if with_sure else ONE
            for channel in range(3):
                wanted = f4(image[y, x, channel]) * PER_LEVEL * m + background[channel] * (ONE - m)
                found = pixels[y, x, channel]
                if counts < ONE:
                    wanted = found + counts * (wanted - found)
                target[y, 3 * x + channel] = wanted
                colours[y, 3 * x + channel] = found
                apart += abs(found - wanted)
            a = alpha[y, x]
            area += counts * abs(a - m)
            covered += counts * a
            both += counts * counts * a * m
            total += counts * m
            if with_depth and depth[y, x] > ZERO and mask[y, x] > OPAQUE:
                deep += counts * abs(pixels[y, x, DEPTH] - depth[y, x])
                known += counts
        sums[y, COLOUR], sums[y, AREA], sums[y, ALPHA], sums[y, BOTH] = (apart, area, covered, both)
        sums[y, MASK], sums[y, DEPTHS], sums[y, KNOWN] = total, deep, known


@kernel()
def assemble(
    start,
    end,
    pixels,
    alpha,
    mask,
    sure,
    depth,
    colours,
    target,
    g_colours,  # [H, W * 3] by the colours, or [0, 0]: by their absolute differences
    by_colours,  # factor on g_colours
    by_colour,  # factor on the signs of the differences, without g_colours
    by_area,
    by_alpha,
    by_both,
    by_depth,
    g_pixels,  # out [H, W, 3 or 4]
    g_alpha,  # out [H, W]
):
    """Write rows start..end of the gradients. The other arguments are as in `compare`, and factors on its sums."""
    with_depth, with_sure, given = depth.shape[0] > 0, sure.shape[0] > 0, g_colours.shape[0] > 0
    for y in range(start, end):
        for x in range(alpha.shape[1]):
            share = f4(sure[y, x]) * PER_LEVEL if with_sure else ONE
            for channel in range(3):
                k = 3 * x + channel
                if given:
                    g_pixels[y, x, channel] = share * by_colours * g_colours[y, k]
                else:
                    g_pixels[y, x, channel] = share * by_colour * _sign(colours[y, k] - target[y, k])
            m = f4(mask[y, x]) * PER_LEVEL
            g_alpha[y, x] = share * (by_area * _sign(alpha[y, x] - m) + by_alpha + by_both * share * m)
            if pixels.shape[2] > DEPTH:
                counts = with_depth and depth[y, x] > ZERO and mask[y, x] > OPAQUE
                away = share * _sign(pixels[y, x, DEPTH] - depth[y, x])
                g_pixels[y, x, DEPTH] = by_depth * away if counts else ZERO
