"""Kernel that lists, for each tile of an image, the Gaussians that touch it, front to back.

One sort of all Gaussians by depth, then a counting sort into tiles, which keeps that order: with few threads cheaper
than the one sort of all (tile, depth) pairs of 3D Gaussian Splatting (Kerbl et al. 2023, section 6).
"""

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4, i4, i8, u4 = np.float32, np.int32, np.int64, np.uint32

EXTENT_MARGIN = f4(0.01)  # pixels, against rounding
DIGITS = 3  # of 11 bits, in a float's 32


@inline
def _tiles(low, high, count):
    """First tile and end of the tiles that an interval touches, in tiles. Cut to the image before it is made whole:
    no call of floor, and nothing that is too large for an integer."""
    last = f4(count)
    end = i4(min(high, last - f4(0.5))) + i4(1) if high >= f4(0) else i4(0)
    return i4(min(max(low, f4(0)), last)), end


@kernel()
def bin_by_tile(
    means2d,  # [N, 2] pixels
    depths,  # [N] positive where drawn
    extents,  # [N, 2] half sides of each Gaussian's box, pixels
    radii,  # [N, 2] 0: not drawn
    tile,  # pixels a side
    tiles_x,
    tiles_y,
    most,  # entries
):
    """Returns offsets [tiles + 1] and ids [entries]: ids[offsets[t] : offsets[t + 1]] are the Gaussians that touch tile
    t (row by row), nearest first, and those of equal depth in their order. Also the number of entries: where that is
    beyond `most`, ids is empty."""
    count = depths.shape[0]
    bits = depths.view(u4)  # positive floats sort like their bits
    order, order_to = np.empty(count, i4), np.empty(count, i4)
    keys, keys_to = np.empty(count, u4), np.empty(count, u4)
    histograms = np.zeros((DIGITS, 2048), i4)
    offsets = np.zeros(tiles_x * tiles_y + 1, i4)
    boxes = np.empty((count, 4), np.int16)  # of tiles: first and end, along x and y
    per_pixel = f4(1) / f4(tile)
    drawn = 0
    for i in range(count):
        if radii[i, 0] <= 0:
            continue
        order[drawn], keys[drawn] = i, bits[i]
        drawn += 1
        for digit in range(DIGITS):
            histograms[digit, (bits[i] >> u4(11 * digit)) & u4(2047)] += 1
        x, y = means2d[i, 0], means2d[i, 1]
        extent_x, extent_y = extents[i, 0] + EXTENT_MARGIN, extents[i, 1] + EXTENT_MARGIN
        x0, x1 = _tiles((x - extent_x) * per_pixel, (x + extent_x) * per_pixel, tiles_x)
        y0, y1 = _tiles((y - extent_y) * per_pixel, (y + extent_y) * per_pixel, tiles_y)
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = x0, x1, y0, y1
        for ty in range(y0, y1):
            for tx in range(x0, x1):
                offsets[ty * tiles_x + tx + 1] += 1

    # Radix sort by depth, lowest digit first
    for digit in range(DIGITS):
        position, skip = 0, False
        for value in range(2048):
            here = histograms[digit, value]
            skip = skip or here == drawn  # one value for all: nothing to do
            histograms[digit, value] = position
            position += here
        if skip:
            continue
        for k in range(drawn):
            value = (keys[k] >> u4(11 * digit)) & u4(2047)
            to = histograms[digit, value]
            order_to[to], keys_to[to] = order[k], keys[k]
            histograms[digit, value] = to + 1
        order, order_to = order_to, order
        keys, keys_to = keys_to, keys

    entries = i8(0)
    for t in range(tiles_x * tiles_y):
        entries += i8(offsets[t + 1])
        offsets[t + 1] = i4(entries)
    if entries > most:
        return offsets, np.empty(0, i4), entries
    ids = np.empty(entries, i4)
    cursors = offsets[:-1].copy()
    for k in range(drawn):
        i = order[k]
        for ty in range(boxes[i, 2], boxes[i, 3]):
            for tx in range(boxes[i, 0], boxes[i, 1]):
                t = ty * tiles_x + tx
                ids[cursors[t]] = i
                cursors[t] += 1
    return offsets, ids, entries
