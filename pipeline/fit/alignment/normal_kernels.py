"""Kernels of the normal equations on the CPU: a frame's evidence summed by joints. float32.

A point hangs on two or three joints of the 24, and a joint moves it by no more than the joint's own turn and place and
the clothes' thickness there. Its Jacobian by these, LANES a joint, is a handful of columns, where that by all unknowns
has 126: a turn of the hip moves all that hangs on it. So the sums run over pairs of joints that share a point, and
what the unknowns do to the joints (`motions`) comes in once, after them.

Columns of a joint: turn about its place along the camera's axes (0 to 2), its place (3 to 5), thickness (6). Those of
the depth plane come after the last joint's. A longer bone moves joints' places alone. One column a group is empty:
eight values fill a vector register.
"""

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4, u8 = np.float32, np.uint64
ZERO = f4(0)
JOINTS = 24
LANES = 8
GROUPS = JOINTS + 1
COLUMNS = GROUPS * LANES
AT_PLACE = 3 * JOINTS  # first unknowns of their kinds
AT_PLANE = AT_PLACE + 3
AT_THICKNESS = AT_PLANE + 3
AT_LENGTH = AT_THICKNESS + JOINTS
UNKNOWNS = AT_LENGTH + JOINTS


@kernel()
def motions(axes, joints, place, subtree, stretch, result):
    """Write the Jacobian of each joint's turn, place and thickness, and of the plane, by the unknowns.

    axes [24, 3, 3] and place [3, 3] as in `surface.Skeleton`; joints [24, 3] metres; subtree [24, 24] as in `Surface`,
    stretch [24, 24, 3] as `Surface.stretch` has it; result [COLUMNS, UNKNOWNS], zeros.
    """
    for j in range(JOINTS):
        row = j * LANES
        for k in range(j + 1):  # parents come first
            if subtree[k, j] == ZERO:
                continue
            x, y, z = joints[j, 0] - joints[k, 0], joints[j, 1] - joints[k, 1], joints[j, 2] - joints[k, 2]
            for c in range(3):
                a, b, d = axes[k, 0, c], axes[k, 1, c], axes[k, 2, c]
                unknown = 3 * k + c
                result[row, unknown] = a
                result[row + 1, unknown] = b
                result[row + 2, unknown] = d
                result[row + 3, unknown] = b * z - d * y
                result[row + 4, unknown] = d * x - a * z
                result[row + 5, unknown] = a * y - b * x
        for r in range(3):
            for c in range(3):
                result[row + 3 + r, AT_PLACE + c] = place[r, c]
            for k in range(JOINTS):
                result[row + 3 + r, AT_LENGTH + k] = stretch[j, k, r]
        result[row + 6, AT_THICKNESS + j] = f4(1)
    for c in range(3):
        result[JOINTS * LANES + c, AT_PLANE + c] = f4(1)


@inline
def _write_joint(rows, at, share, lx, ly, lz, ox, oy, oz, project, n):
    """Columns of one joint: a share of the lever's turn, of a shift, and of the way outward, seen in the image."""
    for r in range(3):
        p, q, s = share * project[r, 0, n], share * project[r, 1, n], share * project[r, 2, n]
        rows[r, at] = s * ly - q * lz
        rows[r, at + u8(1)] = p * lz - s * lx
        rows[r, at + u8(2)] = q * lx - p * ly
        rows[r, at + u8(3)] = p
        rows[r, at + u8(4)] = q
        rows[r, at + u8(5)] = s
        rows[r, at + u8(6)] = p * ox + q * oy + s * oz
        rows[r, at + u8(7)] = ZERO
    for lane in range(LANES):
        rows[3, at + u8(lane)] = ZERO


@inline
def _combine(result, rows, a, b, c, d):
    """result = (a, b, c, d) . rows, whose first columns count."""
    for k in range(result.shape[0]):
        u = u8(k)
        result[u] = a * rows[0, u] + b * rows[1, u] + c * rows[2, u] + d * rows[3, u]


@inline
def _combine_onto(result, rows, a, b, c, d):
    for k in range(result.shape[0]):
        u = u8(k)
        result[u] += a * rows[0, u] + b * rows[1, u] + c * rows[2, u] + d * rows[3, u]


@inline
def _same(owners, shares, n, groups, count):
    """Whether a point hangs on just the joints groups[:count]."""
    for slot in range(count):
        if shares[n, slot] == ZERO or owners[n, slot] != groups[slot]:
            return False
    return count == owners.shape[1] or shares[n, count] == ZERO


@inline
def _flush(local, total, groups, count, products, sums):
    """Add the sums of the points of one set of joints and the plane to those of all points, and clear them."""
    for first in range(count):
        for i in range(LANES):
            row, to = first * LANES + i, groups[first] * LANES + i
            sums[to] += total[row]
            total[row] = ZERO
            for second in range(count):
                for k in range(LANES):
                    products[to, groups[second] * LANES + k] += local[row, second * LANES + k]
                    local[row, second * LANES + k] = ZERO


@kernel()
def accumulate(
    owners,  # [N, K] int64 joints that a point hangs on, ascending
    shares,  # [N, K] their skinning weights; 0 ends the list
    rest,  # [3, N] metres, points in the rest pose
    rest_joints,  # [24, 3] metres
    turns,  # [24, 3, 3]
    outward,  # [3, N]
    project,  # [3, 3, N]
    by_plane,  # [3, N]
    weight,  # [4, 4, N]
    pull,  # [4, N]
    products,  # out [COLUMNS, COLUMNS], zeros: sum of J^T weight J
    sums,  # out [COLUMNS], zeros: sum of J^T pull
):
    """Sum the evidence of all points; shapes and units as in `evidence.Evidence` and `surface.Posed`.

    Points that hang on the same joints are summed in a small matrix as long as they follow each other: one joint's
    columns are too few for vector registers.
    """
    most = owners.shape[1]
    widest = (most + 1) * LANES
    rows, weighted = np.empty((4, widest), f4), np.empty((4, widest), f4)
    local, total = np.zeros((widest, widest), f4), np.zeros(widest, f4)
    groups = np.empty(most + 1, np.int64)  # joints of the points at hand, and the plane
    count = 0
    for n in range(rest.shape[1]):
        if weight[0, 0, n] + weight[1, 1, n] + weight[2, 2, n] + weight[3, 3, n] == ZERO:
            continue
        if count == 0 or not _same(owners, shares, n, groups, count - 1):
            _flush(local, total, groups, count, products, sums)
            count = 0
            while count < most and shares[n, count] != ZERO:
                groups[count] = owners[n, count]
                count += 1
            groups[count] = JOINTS
            count += 1
        for slot in range(count - 1):
            j = groups[slot]
            x, y, z = rest[0, n] - rest_joints[j, 0], rest[1, n] - rest_joints[j, 1], rest[2, n] - rest_joints[j, 2]
            lx = turns[j, 0, 0] * x + turns[j, 0, 1] * y + turns[j, 0, 2] * z
            ly = turns[j, 1, 0] * x + turns[j, 1, 1] * y + turns[j, 1, 2] * z
            lz = turns[j, 2, 0] * x + turns[j, 2, 1] * y + turns[j, 2, 2] * z
            ox, oy, oz = outward[0, n], outward[1, n], outward[2, n]
            _write_joint(rows, u8(slot * LANES), shares[n, slot], lx, ly, lz, ox, oy, oz, project, n)
        for lane in range(LANES):
            column = u8((count - 1) * LANES + lane)
            for r in range(3):
                rows[r, column] = ZERO
            rows[3, column] = by_plane[lane, n] if lane < 3 else ZERO

        width = count * LANES
        for r in range(4):
            _combine(weighted[r, :width], rows, weight[r, 0, n], weight[r, 1, n], weight[r, 2, n], weight[r, 3, n])
        _combine_onto(total[:width], rows, pull[0, n], pull[1, n], pull[2, n], pull[3, n])
        for k in range(width):
            u = u8(k)
            _combine_onto(local[u, :width], weighted, rows[0, u], rows[1, u], rows[2, u], rows[3, u])
    _flush(local, total, groups, count, products, sums)
