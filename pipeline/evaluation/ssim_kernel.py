"""Kernel of the structural similarity (Wang et al. 2004, "Image quality assessment", eq. 13) as a figure.

In float64: over plain white, which fills most of a picture here, a variance is the difference of two numbers near 1,
and float32 leaves an error of some 3e-5 there that the loss (`pipeline.losses.ssim_kernels`) can bear and a figure not.
"""

import numpy as np

from pipeline.runtime.jit import kernel

CHANNELS = 3
WINDOW = 11  # px a side
_weights = np.exp(-((np.arange(WINDOW) - 5.0) ** 2) / (2 * 1.5**2))
WEIGHTS = _weights / _weights.sum()
C1, C2 = 0.01**2, 0.03**2


@kernel(nan_safe=False)
def similarity_sum(image, target):
    """Sum of SSIM over all values whose window lies in the images, float64 [H, W * CHANNELS] of interleaved colours."""
    height, width = image.shape
    means_a, means_b = np.empty(width), np.empty(width)  # of columns: the window along y
    squares, products = np.empty(width), np.empty(width)  # of a^2 + b^2, for SSIM asks for no variance on its own
    total = 0.0
    for top in range(height - WINDOW + 1):
        for x in range(width):
            a_sum, b_sum, square, product = 0.0, 0.0, 0.0, 0.0
            for k in range(WINDOW):
                a, b, weight = image[top + k, x], target[top + k, x], WEIGHTS[k]
                a_sum += weight * a
                b_sum += weight * b
                square += weight * (a * a + b * b)
                product += weight * a * b
            means_a[x], means_b[x], squares[x], products[x] = a_sum, b_sum, square, product
        for x in range(width - (WINDOW - 1) * CHANNELS):
            a, b, square, product = 0.0, 0.0, 0.0, 0.0
            for k in range(WINDOW):
                weight, at = WEIGHTS[k], x + k * CHANNELS
                a += weight * means_a[at]
                b += weight * means_b[at]
                square += weight * squares[at]
                product += weight * products[at]
            covariance, variances = product - a * b, square - a * a - b * b
            means = (2 * a * b + C1) / (a * a + b * b + C1)
            total += means * (2 * covariance + C2) / (variances + C2)
    return total
