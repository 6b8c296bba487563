"""Kernels that blend projected Gaussians into an image, and the same backwards. One camera a call, float32.

Pixel p sees the Gaussians in the order of depth; Gaussian i covers it with (3DGS, Kerbl et al. 2023, eq. 3; the limits
are those of gsplat 1.5.3, `rasterize_to_pixels`)

    alpha_i = min(0.999, opacity_i exp(-(p - mean_i)^T conic_i (p - mean_i) / 2)),   0 if below 1/255
    value   = sum_i alpha_i T_i value_i,   T_i = prod_{j<i} (1 - alpha_j)

and the sum ends before the Gaussian that would bring T to 1e-4 or less. Below s is an eighth of the exponent, opacity
included, so that alpha_i = exp(-8 s_i): the exponential is a polynomial, squared three times.

How: `binning` lists the Gaussians of each tile of 16 x 16 pixels, front to back; each (tile, Gaussian) pair is an
*entry*. A tile is 16 blocks of 4 x 4 pixels, and a block's 16 pixels are computed side by side in vector registers; a
Gaussian is skipped in the blocks that it does not reach, and in those in which every pixel is finished. The backward
pass walks the same way, front to back, through the blocks that the forward pass noted, and writes each entry's
gradients to its own row: no two threads write the same place, and the sum over rows does not depend on the number of
threads.

Traps, each worth a factor of 5 to 10 where it undoes vectorisation: scratch arrays are slices at constant offsets of
one array, so that the compiler can tell them apart; `lanes` is an argument and always 16, because a loop with a small
constant count gets unrolled into scalars; indices are unsigned, because negative ones cost a branch; no min/max over
lanes. `tests/splatting/test_splatting.py` has a speed check.
"""

import math

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from pipeline.runtime.jit import inline, kernel

f4, u8, i4 = np.float32, np.uint64, np.int32
ZERO, HALF, ONE, TWO, THREE, FOUR = f4(0), f4(0.5), f4(1), f4(2), f4(3), f4(4)

TILE = 16  # pixels a side; a tile is 4 x 4 blocks of 4 x 4 pixels
LANES = 16
ALPHA_MAX = f4(0.999)  # gsplat 1.5.3; its main branch has 0.99
ALPHA_MIN = f4(1 / 255)
TRANSMITTANCE_MIN = f4(1e-4)
SMALLEST_ALPHA = f4(1e-10)  # expected depth is depth / max(alpha, this), as in gsplat

# Columns of a splat's row: mean (less half a pixel), s = A x^2 + B x y + C y^2 + START, opacity, RGB, depth, and where
# s is least: at y = TILT_Y x for a given x, at x = TILT_X y for a given y.
X, Y, A, B, C, OPACITY, RED, GREEN, BLUE, DEPTH, START, TILT_X, TILT_Y = range(13)
SPLAT = 16  # floats a row: one cache line
# Columns of an entry's gradient row: the first ten of the above.
GRADIENTS = 10

# Scratch of a tile: planes of 256 values, one a pixel, a block's 16 in a row. REST is what lies behind: see backward.
PIXELS = TILE * TILE
P_RED, P_GREEN, P_BLUE, P_DEPTH, P_REST = (u8(k * PIXELS) for k in range(1, 6))  # plane 0: transmittance
PLANES = 6 * PIXELS
# Scratch of 16 lanes: pixel coordinates in a block and their products, first pixels of blocks and their bits, quadratic
# form, ten sums. Bits are added as floats: integers would be twice as wide.
L_X, L_Y, L_XX, L_XY, L_YY, L_FIRST_X, L_FIRST_Y, L_BIT, L_FORM = (u8(LANES * k) for k in range(9))
L_SUMS = u8(LANES * 9)
S0, S1, S2, S3, S4, S5, S6, S7, S8, S9 = (u8(LANES * (9 + k)) for k in range(GRADIENTS))
LANE_ROWS = 19
BATCH = 64  # entries looked at together: their loads overlap

# exp(-s) on [0, S_MAX] by a polynomial of degree 5 (Chebyshev); exp(-8 s) from it has a relative error below 1e-6.
_last = math.log(255) / 8
_nodes = _last * 0.5 * (1 + np.cos(np.pi * (np.arange(64) + 0.5) / 64))
_fit = np.polynomial.chebyshev.Chebyshev.fit(_nodes, np.exp(-_nodes), 5, domain=[0, _last])
E0, E1, E2, E3, E4, E5 = (f4(c) for c in _fit.convert(kind=np.polynomial.Polynomial).coef)
S_MAX = f4(_last)  # beyond it alpha is below ALPHA_MIN
S_REACHED = S_MAX + f4(1e-5)  # with a margin against rounding
S_CAPPED = f4(-math.log(ALPHA_MAX) / 8)  # below it alpha is ALPHA_MAX
EIGHT, EIGHTH = f4(8), f4(0.125)


@inline
def _alpha(s):
    """exp(-8 s), at most ALPHA_MAX, and 0 where it is below ALPHA_MIN."""
    p = E0 + s * (E1 + s * (E2 + s * (E3 + s * (E4 + s * E5))))
    p = p * p
    p = p * p
    return min(p * p, ALPHA_MAX) if s <= S_MAX else ZERO


@kernel()
def pack(means2d, conics, depths, rgb, opacities, radii):
    """What the kernels below need of each Gaussian that is drawn, in a row of its own. [N, SPLAT]"""
    splats = np.empty((depths.shape[0], SPLAT), f4)
    for i in range(depths.shape[0]):
        if radii[i, 0] <= 0:
            continue
        a, b, c = HALF * EIGHTH * conics[i, 0], EIGHTH * conics[i, 1], HALF * EIGHTH * conics[i, 2]
        splats[i, X], splats[i, Y] = means2d[i, 0] - HALF, means2d[i, 1] - HALF
        splats[i, A], splats[i, B], splats[i, C] = a, b, c
        splats[i, OPACITY], splats[i, DEPTH] = opacities[i], depths[i]
        splats[i, RED], splats[i, GREEN], splats[i, BLUE] = rgb[i, 0], rgb[i, 1], rgb[i, 2]
        splats[i, TILT_X], splats[i, TILT_Y] = -HALF * b / a, -HALF * b / c
        # A form that is not positive is that of no Gaussian: it reaches nothing
        positive = a > ZERO and FOUR * a * c > b * b
        splats[i, START] = -EIGHTH * math.log(opacities[i]) if positive else TWO * S_MAX
    return splats


@inline
def _aligned(count):
    """Scratch that starts at a cache line: a vector of 16 floats must not straddle two."""
    raw = np.empty(count + LANES, f4)
    skip = ((64 - (raw.ctypes.data & 63)) & 63) >> 2
    return raw[skip : skip + count]


@inline
def _fill_lanes(lane):
    for k in range(LANES):
        x, y, u = f4(k & 3), f4(k >> 2), u8(k)
        lane[L_X + u], lane[L_Y + u] = x, y
        lane[L_XX + u], lane[L_XY + u], lane[L_YY + u] = x * x, x * y, y * y
        lane[L_FIRST_X + u], lane[L_FIRST_Y + u] = FOUR * x, FOUR * y
        lane[L_BIT + u] = f4(1 << k)


@inline
def _reached_blocks(lanes, lane, x, y, a, b, c, start, tilt_x, tilt_y):
    """One bit for each of the 16 blocks of a tile, in whose coordinates x and y are.

    Over the square of a block's pixels s is least at the mean or on one of the two sides next to it: exact but for
    squares whose pixels all lie around the ellipse.
    """
    bits, reach = ZERO, S_REACHED - start
    for k in range(lanes):
        u = u8(k)
        left, top = lane[L_FIRST_X + u] - x, lane[L_FIRST_Y + u] - y
        right, bottom = left + THREE, top + THREE
        side_x, side_y = min(max(left, ZERO), right), min(max(top, ZERO), bottom)
        at_x, at_y = min(max(tilt_x * side_y, left), right), min(max(tilt_y * side_x, top), bottom)
        on_x = side_x * (a * side_x + b * at_y) + c * at_y * at_y
        on_y = at_x * (a * at_x + b * side_y) + c * side_y * side_y
        bits += lane[L_BIT + u] if min(on_x, on_y) <= reach else ZERO
    return i4(bits)


@inline
def _find_reaching(lanes, lane, blocks, splats, ids, first, count, x0, y0, open_blocks):
    """Write the blocks that each of `count` entries reaches to blocks[:count], and the numbers of the entries that
    reach an open block to blocks[BATCH:]. Returns how many those are."""
    for j in range(count):
        i = ids[first + j]
        x, y, a, b, c = splats[i, X] - x0, splats[i, Y] - y0, splats[i, A], splats[i, B], splats[i, C]
        start, tilt_x, tilt_y = splats[i, START], splats[i, TILT_X], splats[i, TILT_Y]
        blocks[u8(j)] = _reached_blocks(lanes, lane, x, y, a, b, c, start, tilt_x, tilt_y)
    found = 0
    for j in range(count):
        blocks[u8(BATCH + found)] = j
        found += 1 if (blocks[u8(j)] & open_blocks) != 0 else 0
    return found


@inline
def _fill_form(lanes, lane, a, b, c):
    """The quadratic form at a block's pixels, seen from its first."""
    for k in range(lanes):
        u = u8(k)
        lane[L_FORM + u] = a * lane[L_XX + u] + b * lane[L_XY + u] + c * lane[L_YY + u]


@inline
def _plane_index(row, column):
    """Where a tile's pixel lies in a plane."""
    return u8(((row >> 2) * 4 + (column >> 2)) * LANES + (row & 3) * 4 + (column & 3))


@kernel(nan_safe=False)
def composite_forward(
    lanes,  # always 16, see the top of this file
    worker,
    workers,
    width,
    height,
    tiles_x,
    offsets,
    ids,
    splats,
    background,  # [3]
    has_rgb,
    has_depth,
    expected,  # divide depth by alpha
    image,  # out [height, width, 3 if has_rgb, + 1 if has_depth], zeros
    alpha,  # out [height, width], zeros
    touched,  # out [entries], zeros: a bit for each block of its tile in which the entry was blended
):
    """Blend this worker's tiles: diagonals, since the columns in the middle of an image have more to do."""
    plane, lane = _aligned(PLANES), _aligned(LANE_ROWS * LANES)
    blocks = np.empty(2 * BATCH + 1, i4)
    _fill_lanes(lane)
    depth_channel = 3 if has_rgb else 0
    for tile in range(offsets.shape[0] - 1):
        tile_x, tile_y = tile % tiles_x, tile // tiles_x
        if (tile_x + tile_y) % workers != worker:
            continue
        first, end = offsets[tile], offsets[tile + 1]
        x0, y0 = tile_x * TILE, tile_y * TILE
        rows, columns = min(TILE, height - y0), min(TILE, width - x0)
        if first == end:
            if has_rgb and (background[0] != ZERO or background[1] != ZERO or background[2] != ZERO):
                for y in range(y0, y0 + rows):
                    for x in range(x0, x0 + columns):
                        image[y, x, 0], image[y, x, 1], image[y, x, 2] = background[0], background[1], background[2]
            continue
        for k in range(PIXELS):
            plane[u8(k)] = ONE
        for k in range(PIXELS, 5 * PIXELS):
            plane[u8(k)] = ZERO
        open_blocks = i4(65535)  # those with a pixel that still lets light through
        while first < end and open_blocks != 0:
            count = min(BATCH, end - first)
            found = _find_reaching(lanes, lane, blocks, splats, ids, first, count, f4(x0), f4(y0), open_blocks)
            for n in range(found):
                j = blocks[u8(BATCH + n)]
                remaining = blocks[u8(j)] & open_blocks
                if remaining == 0:
                    continue
                touched[first + j] = remaining
                i = ids[first + j]
                mean_x, mean_y, a, b, c = (
                    splats[i, X] - f4(x0),
                    splats[i, Y] - f4(y0),
                    splats[i, A],
                    splats[i, B],
                    splats[i, C],
                )
                start, depth = splats[i, START], splats[i, DEPTH]
                red, green, blue = splats[i, RED], splats[i, GREEN], splats[i, BLUE]
                _fill_form(lanes, lane, a, b, c)
                while remaining != 0:
                    block = trailing_zeros(remaining)
                    remaining &= remaining - i4(1)
                    p = u8(block) * u8(LANES)
                    # s at the block's first pixel, and its slopes
                    dx, dy = f4((block & 3) * 4) - mean_x, f4((block >> 2) * 4) - mean_y
                    s0 = start + a * dx * dx + b * dx * dy + c * dy * dy
                    slope_x, slope_y = TWO * a * dx + b * dy, b * dx + TWO * c * dy
                    light = ZERO
                    for k in range(16):
                        u = u8(k)
                        s = lane[L_FORM + u] + slope_x * lane[L_X + u] + slope_y * lane[L_Y + u] + s0
                        covered = _alpha(s)
                        t = plane[p + u]  # negative: this pixel is finished
                        weight = t * covered
                        t_next = t - weight
                        stop = t_next <= TRANSMITTANCE_MIN
                        weight = ZERO if stop else weight
                        plane[p + u] = -abs(t) if stop else t_next
                        light += ZERO if stop else t_next
                        plane[p + P_RED + u] += weight * red
                        plane[p + P_GREEN + u] += weight * green
                        plane[p + P_BLUE + u] += weight * blue
                        plane[p + P_DEPTH + u] += weight * depth
                    if light <= ZERO:
                        open_blocks &= ~(i4(1) << i4(block))
            first += count
        for row in range(rows):
            for column in range(columns):
                q = _plane_index(row, column)
                t = abs(plane[q])
                y, x = y0 + row, x0 + column
                alpha[y, x] = ONE - t
                if has_rgb:
                    image[y, x, 0] = plane[q + P_RED] + t * background[0]
                    image[y, x, 1] = plane[q + P_GREEN] + t * background[1]
                    image[y, x, 2] = plane[q + P_BLUE] + t * background[2]
                if has_depth:
                    depth = plane[q + P_DEPTH]
                    image[y, x, depth_channel] = depth / max(ONE - t, SMALLEST_ALPHA) if expected else depth


@kernel(nan_safe=False)
def composite_backward(
    lanes,
    worker,
    workers,
    width,
    height,
    tiles_x,
    offsets,
    ids,
    splats,
    background,
    has_rgb,
    has_depth,
    expected,
    image,
    alpha,
    touched,
    g_image,
    g_alpha,
    g_entries,  # out [entries, 10]
):
    """Gradients of this worker's tiles, one row an entry: see GRADIENTS.

    With v_i the gradient of the loss by Gaussian i's weight, dL/dalpha_i = T_i v_i - rest_i / (1 - alpha_i), where
    rest_i = sum_{j > i} weight_j v_j + T_final dL/dT_final is known at the start (from the image: then it is the sum
    over all) and shrinks along the way.
    """
    plane, lane = _aligned(PLANES), _aligned(LANE_ROWS * LANES)
    _fill_lanes(lane)
    depth_channel = 3 if has_rgb else 0
    for tile in range(offsets.shape[0] - 1):
        tile_x, tile_y = tile % tiles_x, tile // tiles_x
        first, end = offsets[tile], offsets[tile + 1]
        if (tile_x + tile_y) % workers != worker or first == end:
            continue
        x0, y0 = tile_x * TILE, tile_y * TILE
        for row in range(TILE):
            for column in range(TILE):
                q = _plane_index(row, column)
                y, x = y0 + row, x0 + column
                g_red, g_green, g_blue, g_depth, rest, t = ZERO, ZERO, ZERO, ZERO, ZERO, -ONE
                if y < height and x < width:
                    t = ONE
                    t_final = ONE - alpha[y, x]
                    g_cover = g_alpha[y, x]
                    if has_rgb:
                        g_red, g_green, g_blue = g_image[y, x, 0], g_image[y, x, 1], g_image[y, x, 2]
                        g_cover -= g_red * background[0] + g_green * background[1] + g_blue * background[2]
                        rest += g_red * (image[y, x, 0] - t_final * background[0])
                        rest += g_green * (image[y, x, 1] - t_final * background[1])
                        rest += g_blue * (image[y, x, 2] - t_final * background[2])
                    if has_depth:
                        g_depth, depth = g_image[y, x, depth_channel], image[y, x, depth_channel]
                        if expected:
                            g_depth /= max(alpha[y, x], SMALLEST_ALPHA)
                            g_cover -= g_depth * depth
                            depth *= alpha[y, x]
                        rest += g_depth * depth
                    rest -= t_final * g_cover
                plane[q] = t
                plane[q + P_RED], plane[q + P_GREEN], plane[q + P_BLUE] = g_red, g_green, g_blue
                plane[q + P_DEPTH], plane[q + P_REST] = g_depth, rest
        for e in range(first, end):
            remaining = touched[e]
            if remaining == 0:
                for column in range(GRADIENTS):
                    g_entries[e, column] = ZERO
                continue
            i = ids[e]
            mean_x, mean_y, a, b, c = (
                splats[i, X] - f4(x0),
                splats[i, Y] - f4(y0),
                splats[i, A],
                splats[i, B],
                splats[i, C],
            )
            opacity, start, depth = splats[i, OPACITY], splats[i, START], splats[i, DEPTH]
            red, green, blue = splats[i, RED], splats[i, GREEN], splats[i, BLUE]
            _fill_form(lanes, lane, a, b, c)
            for k in range(LANES * GRADIENTS):
                lane[L_SUMS + u8(k)] = ZERO
            while remaining != 0:
                block = trailing_zeros(remaining)
                remaining &= remaining - i4(1)
                p = u8(block) * u8(LANES)
                dx, dy = f4((block & 3) * 4) - mean_x, f4((block >> 2) * 4) - mean_y
                s0 = start + a * dx * dx + b * dx * dy + c * dy * dy
                slope_x, slope_y = TWO * a * dx + b * dy, b * dx + TWO * c * dy
                for k in range(16):
                    u = u8(k)
                    s = lane[L_FORM + u] + slope_x * lane[L_X + u] + slope_y * lane[L_Y + u] + s0
                    covered = _alpha(s)
                    t = plane[p + u]
                    weight = t * covered
                    t_next = t - weight
                    stop = t_next <= TRANSMITTANCE_MIN
                    weight = ZERO if stop else weight
                    plane[p + u] = -abs(t) if stop else t_next
                    g_red, g_green = plane[p + P_RED + u], plane[p + P_GREEN + u]
                    g_blue, g_depth = plane[p + P_BLUE + u], plane[p + P_DEPTH + u]
                    lane[S6 + u] += weight * g_red
                    lane[S7 + u] += weight * g_green
                    lane[S8 + u] += weight * g_blue
                    lane[S9 + u] += weight * g_depth
                    own = weight * (g_red * red + g_green * green + g_blue * blue + g_depth * depth)
                    rest = plane[p + P_REST + u] - own
                    plane[p + P_REST + u] = rest
                    # alpha dL/dalpha, which is -dL/ds / 8 and opacity dL/dopacity; none where alpha is capped
                    g_s = own - rest * covered / (ONE - covered)
                    g_s = ZERO if stop | (s < S_CAPPED) else g_s
                    off_x, off_y = dx + lane[L_X + u], dy + lane[L_Y + u]
                    g_sx, g_sy = g_s * off_x, g_s * off_y
                    lane[S0 + u] += g_sx
                    lane[S1 + u] += g_sy
                    lane[S2 + u] += g_sx * off_x
                    lane[S3 + u] += g_sx * off_y
                    lane[S4 + u] += g_sy * off_y
                    lane[S5 + u] += g_s
            h0, h1, h2, h3, h4, h5, h6, h7, h8, h9 = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
            for k in range(16):
                u = u8(k)
                h0 += lane[S0 + u]
                h1 += lane[S1 + u]
                h2 += lane[S2 + u]
                h3 += lane[S3 + u]
                h4 += lane[S4 + u]
                h5 += lane[S5 + u]
                h6 += lane[S6 + u]
                h7 += lane[S7 + u]
                h8 += lane[S8 + u]
                h9 += lane[S9 + u]
            g_entries[e, X], g_entries[e, Y] = EIGHT * (TWO * a * h0 + b * h1), EIGHT * (b * h0 + TWO * c * h1)
            # by the conic's entries: 8 s = (xx x^2 + 2 xy x y + yy y^2) / 2 + 8 START
            g_entries[e, A], g_entries[e, B], g_entries[e, C] = -HALF * h2, -h3, -HALF * h4
            g_entries[e, OPACITY] = h5 / opacity
            g_entries[e, RED], g_entries[e, GREEN], g_entries[e, BLUE] = h6, h7, h8
            g_entries[e, DEPTH] = h9


@kernel()
def sum_entries(ids, g_entries, g_means2d, g_conics, g_opacities, g_rgb, g_depths):
    """Add each entry's gradients to those of its Gaussian; all are written but g_opacities, to which is added."""
    count = g_depths.shape[0]
    sums = np.zeros((count, GRADIENTS), f4)  # in rows first: an entry then touches one place, not ten
    for e in range(ids.shape[0]):
        i = ids[e]
        for column in range(GRADIENTS):
            sums[i, column] += g_entries[e, column]
    for i in range(count):
        g_means2d[i, 0], g_means2d[i, 1] = sums[i, X], sums[i, Y]
        g_conics[i, 0], g_conics[i, 1], g_conics[i, 2] = sums[i, A], sums[i, B], sums[i, C]
        g_opacities[i] += sums[i, OPACITY]
        g_rgb[i, 0], g_rgb[i, 1], g_rgb[i, 2] = sums[i, RED], sums[i, GREEN], sums[i, BLUE]
        g_depths[i] = sums[i, DEPTH]
