"""Kernels of the structural similarity (Wang et al. 2004, "Image quality assessment", eq. 13) and its gradient.

Images are float32 [H, W * CHANNELS]: a row of interleaved colours. The window is a Gaussian of 11 x 11 pixels, sigma
1.5, weights 1 in all, at each place where it fits (the "valid" region: outputs have 10 rows and 10 columns less). With
window means m, variances v and the covariance c of images a and b,

    SSIM = (2 m_a m_b + C1) (2 c + C2) / ((m_a^2 + m_b^2 + C1) (v_a + v_b + C2)),   C1 = 0.01^2, C2 = 0.03^2

How: the window is separable. Each row is filtered along x into a ring of 11 rows, and a row of the result is a weighted
sum of the ring; all of it stays in the cache, in one scratch array in which every row has a constant offset, so that
the compiler can tell rows apart and use vector registers. Wide images go in strips. Traps, each worth a factor of two
to five: signed indices that the compiler cannot see to be positive (hence `u8`, and slices indexed from 0), and loops
that read and write several arrays (hence the copies to and from scratch).

Where two images are equal, SSIM is 1 and its derivatives are 0: a person before a plain background fills a third of
a crop. So rows go in bands, and of a band only the columns are looked at between which the images differ (`active`).
"""

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4, u8 = np.float32, np.uint64
ZERO, ONE, TWO = f4(0), f4(1), f4(2)

CHANNELS = 3
WINDOW = 11
HALO = 10 * CHANNELS  # values by which a filtered row is shorter
_weights = np.exp(-((np.arange(WINDOW) - 5.0) ** 2) / (2 * 1.5**2))
WEIGHTS = (_weights / _weights.sum()).astype(f4)
C1, C2 = f4(0.01**2), f4(0.03**2)

STRIP = 960  # values of a strip that are written
STRIDE = 1008  # between scratch rows: at least STRIP + HALO; in a multiple of a page, rows would share cache sets
RING_A, RING_B, RING_C = u8(0), u8(WINDOW * STRIDE), u8(2 * WINDOW * STRIDE)
_rows = [u8((3 * WINDOW + k) * STRIDE) for k in range(10)]
ROW_A, ROW_B, ROW_P, ROW_Q, OUT_A, OUT_B, OUT_C, ROW_M, ROW_V, ROW_G = _rows
SCRATCH = (3 * WINDOW + len(_rows)) * STRIDE
BAND = 48  # rows: fewer, and the 10 rows above that a band begins with weigh more than the columns it leaves out


@inline
def _along_x(scratch, source, to, count):
    """scratch[to : to + count] = window along x over scratch[source : source + count + HALO]."""
    for k in range(count):
        x = source + u8(k)
        scratch[to + u8(k)] = (
            WEIGHTS[0] * (scratch[x] + scratch[x + u8(10 * CHANNELS)])
            + WEIGHTS[1] * (scratch[x + u8(CHANNELS)] + scratch[x + u8(9 * CHANNELS)])
            + WEIGHTS[2] * (scratch[x + u8(2 * CHANNELS)] + scratch[x + u8(8 * CHANNELS)])
            + WEIGHTS[3] * (scratch[x + u8(3 * CHANNELS)] + scratch[x + u8(7 * CHANNELS)])
            + WEIGHTS[4] * (scratch[x + u8(4 * CHANNELS)] + scratch[x + u8(6 * CHANNELS)])
            + WEIGHTS[5] * scratch[x + u8(5 * CHANNELS)]
        )


@inline
def _along_y(scratch, ring, turned, to, count):
    """scratch[to : to + count] = window along y over the ring. Its rows stay where they are; the weights turn."""
    w0, w1, w2, w3, w4, w5 = turned[0], turned[1], turned[2], turned[3], turned[4], turned[5]
    w6, w7, w8, w9, w10 = turned[6], turned[7], turned[8], turned[9], turned[10]
    for k in range(count):
        x = ring + u8(k)
        scratch[to + u8(k)] = (
            w0 * scratch[x]
            + w1 * scratch[x + u8(STRIDE)]
            + w2 * scratch[x + u8(2 * STRIDE)]
            + w3 * scratch[x + u8(3 * STRIDE)]
            + w4 * scratch[x + u8(4 * STRIDE)]
            + w5 * scratch[x + u8(5 * STRIDE)]
            + w6 * scratch[x + u8(6 * STRIDE)]
            + w7 * scratch[x + u8(7 * STRIDE)]
            + w8 * scratch[x + u8(8 * STRIDE)]
            + w9 * scratch[x + u8(9 * STRIDE)]
            + w10 * scratch[x + u8(10 * STRIDE)]
        )


@inline
def _turn(turned, first_row):
    """Weights by slot of the ring, in which row y has slot y % 11, for a window that begins at `first_row`."""
    for slot in range(WINDOW):
        turned[slot] = WEIGHTS[(slot - first_row) % WINDOW]


@inline
def _load(scratch, to, row):
    for k in range(row.shape[0]):
        scratch[to + u8(k)] = row[k]


@inline
def _store(row, scratch, source):
    for k in range(row.shape[0]):
        row[k] = scratch[source + u8(k)]


@inline
def _multiply(scratch, to, a, b, count):
    for k in range(count):
        u = u8(k)
        scratch[to + u] = scratch[a + u] * scratch[b + u]


@kernel()
def active(image, target):
    """Where images [H, W * 3] differ: for each band of windows, and for each band of pixels that such windows reach,
    first and end of its columns [bands, 2]; the end is not beyond the first where there are none."""
    height, width = image.shape
    rows, columns = height - WINDOW + 1, width - HALO
    windows = np.empty(((rows + BAND - 1) // BAND, 2), np.int64)
    pixels = np.empty(((height + BAND - 1) // BAND, 2), np.int64)
    windows[:, 0], windows[:, 1], pixels[:, 0], pixels[:, 1] = width, 0, width, 0
    for y in range(height):
        first, end = 0, width
        while first < width and image[y, first] == target[y, first]:
            first += 1
        if first == width:
            continue
        while image[y, end - 1] == target[y, end - 1]:
            end -= 1
        # windows that have one of these in them
        first, end = max(0, first // CHANNELS * CHANNELS - HALO), min(columns, -(-end // CHANNELS) * CHANNELS)
        for band in range(max(0, y - WINDOW + 1) // BAND, min(y, rows - 1) // BAND + 1):
            windows[band, 0], windows[band, 1] = min(windows[band, 0], first), max(windows[band, 1], end)
    for band in range(len(windows)):
        if windows[band, 0] < windows[band, 1]:
            last = min(height, (band + 1) * BAND + WINDOW - 1) - 1
            for reached in range(band, last // BAND + 1):
                pixels[reached, 0] = min(pixels[reached, 0], windows[band, 0])
                pixels[reached, 1] = max(pixels[reached, 1], windows[band, 1] + HALO)
    return windows, pixels


@kernel(nan_safe=False)
def window_statistics(band, bands, image, mean, variance):
    """Write a band of the window means and variances [H - 10, W * 3 - HALO] of an image, in the columns of `bands`."""
    scratch, turned = np.empty(SCRATCH, f4), np.empty(WINDOW, f4)
    start, end = band * BAND, min((band + 1) * BAND, mean.shape[0])
    for left in range(bands[band, 0], bands[band, 1], STRIP):
        count = min(STRIP, bands[band, 1] - left)
        right = left + count
        for y in range(start, end + WINDOW - 1):
            _load(scratch, ROW_A, image[y, left : right + HALO])
            _multiply(scratch, ROW_P, ROW_A, ROW_A, count + HALO)
            slot = u8((y % WINDOW) * STRIDE)
            _along_x(scratch, ROW_A, RING_A + slot, count)
            _along_x(scratch, ROW_P, RING_B + slot, count)
            row = y - WINDOW + 1
            if row < start:
                continue
            _turn(turned, row)
            _along_y(scratch, RING_A, turned, OUT_A, count)
            _along_y(scratch, RING_B, turned, OUT_B, count)
            _store(mean[row, left:right], scratch, OUT_A)
            for k in range(count):
                u = u8(k)
                scratch[OUT_B + u] -= scratch[OUT_A + u] * scratch[OUT_A + u]
            _store(variance[row, left:right], scratch, OUT_B)


@kernel(nan_safe=False)
def similarity(band, bands, image, target, mean, variance, derivatives, row_sums):
    """Sum SSIM over each row of a band, and write its derivatives by the window sums of the image.

    image, target [H, W * 3]; mean, variance of the target [h, w]; derivatives [3, h, w] by the window means of a, a^2
    and a b, zeros before; row_sums [h].
    """
    scratch, turned = np.empty(SCRATCH, f4), np.empty(WINDOW, f4)
    start, end = band * BAND, min((band + 1) * BAND, mean.shape[0])
    for row in range(start, end):
        row_sums[row] = mean.shape[1] - max(0, bands[band, 1] - bands[band, 0])
    for left in range(bands[band, 0], bands[band, 1], STRIP):
        count = min(STRIP, bands[band, 1] - left)
        right = left + count
        for y in range(start, end + WINDOW - 1):
            _load(scratch, ROW_A, image[y, left : right + HALO])
            _load(scratch, ROW_B, target[y, left : right + HALO])
            _multiply(scratch, ROW_P, ROW_A, ROW_A, count + HALO)
            _multiply(scratch, ROW_Q, ROW_A, ROW_B, count + HALO)
            slot = u8((y % WINDOW) * STRIDE)
            _along_x(scratch, ROW_A, RING_A + slot, count)
            _along_x(scratch, ROW_P, RING_B + slot, count)
            _along_x(scratch, ROW_Q, RING_C + slot, count)
            row = y - WINDOW + 1
            if row < start:
                continue
            _turn(turned, row)
            _along_y(scratch, RING_A, turned, OUT_A, count)
            _along_y(scratch, RING_B, turned, OUT_B, count)
            _along_y(scratch, RING_C, turned, OUT_C, count)
            _load(scratch, ROW_M, mean[row, left:right])
            _load(scratch, ROW_V, variance[row, left:right])
            total = ZERO
            for k in range(count):
                u = u8(k)
                m_a, m_b = scratch[OUT_A + u], scratch[ROW_M + u]
                means, covariances = TWO * m_a * m_b + C1, TWO * (scratch[OUT_C + u] - m_a * m_b) + C2
                inv_means = ONE / (m_a * m_a + m_b * m_b + C1)
                inv_variances = ONE / (scratch[OUT_B + u] - m_a * m_a + scratch[ROW_V + u] + C2)
                both = inv_means * inv_variances
                value = means * covariances * both
                total += value
                by_mean = m_b * (covariances - means) * both - value * m_a * (inv_means - inv_variances)
                scratch[ROW_P + u] = TWO * by_mean
                scratch[ROW_Q + u] = -value * inv_variances
                scratch[ROW_G + u] = TWO * means * both
            row_sums[row] += total
            _store(derivatives[0, row, left:right], scratch, ROW_P)
            _store(derivatives[1, row, left:right], scratch, ROW_Q)
            _store(derivatives[2, row, left:right], scratch, ROW_G)


@inline
def _load_padded(scratch, to, plane, y, left, count):
    """Load columns left - HALO .. left + count of row y of a derivative [h, w]; zero where it has none."""
    first, last = max(0, left - HALO), min(plane.shape[1], left + count)
    if y < 0 or y >= plane.shape[0]:
        last = first
    begin = first - (left - HALO)
    for k in range(begin):
        scratch[to + u8(k)] = ZERO
    if last > first:
        _load(scratch, to + u8(begin), plane[y, first:last])
    for k in range(begin + last - first, count + HALO):
        scratch[to + u8(k)] = ZERO


@kernel(nan_safe=False)
def gradient(band, bands, image, target, derivatives, ssim_scale, l1_scale, g_image, row_sums):
    """Write a band of ssim_scale * d(sum of SSIM)/d(image) + l1_scale * sign(image - target), zeros before, and sum
    |image - target| over each row.

    A pixel gets the derivatives of all windows that it is in: the window over derivatives that are zero outside.
    """
    scratch, turned = np.empty(SCRATCH, f4), np.empty(WINDOW, f4)
    start, end = band * BAND, min((band + 1) * BAND, image.shape[0])
    for row in range(start, end):
        row_sums[row] = 0.0
    for left in range(bands[band, 0], bands[band, 1], STRIP):
        count = min(STRIP, bands[band, 1] - left)
        right = left + count
        for y in range(start - WINDOW + 1, end):  # row y of the derivatives reaches rows y to y + 10 of the image
            slot = u8(((y + WINDOW) % WINDOW) * STRIDE)
            _load_padded(scratch, ROW_P, derivatives[0], y, left, count)
            _load_padded(scratch, ROW_Q, derivatives[1], y, left, count)
            _load_padded(scratch, ROW_M, derivatives[2], y, left, count)
            _along_x(scratch, ROW_P, RING_A + slot, count)
            _along_x(scratch, ROW_Q, RING_B + slot, count)
            _along_x(scratch, ROW_M, RING_C + slot, count)
            if y < start:
                continue
            _turn(turned, y + 1)
            _along_y(scratch, RING_A, turned, OUT_A, count)
            _along_y(scratch, RING_B, turned, OUT_B, count)
            _along_y(scratch, RING_C, turned, OUT_C, count)
            _load(scratch, ROW_A, image[y, left:right])
            _load(scratch, ROW_B, target[y, left:right])
            total = ZERO
            for k in range(count):
                u = u8(k)
                a, b = scratch[ROW_A + u], scratch[ROW_B + u]
                difference = a - b
                total += abs(difference)
                sign = ONE if difference > ZERO else -ONE
                sign = sign if difference != ZERO else ZERO
                ssim_part = scratch[OUT_A + u] + TWO * a * scratch[OUT_B + u] + b * scratch[OUT_C + u]
                scratch[ROW_G + u] = ssim_scale * ssim_part + l1_scale * sign
            row_sums[y] += total
            _store(g_image[y, left:right], scratch, ROW_G)
