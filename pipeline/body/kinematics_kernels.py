"""Compiled kernels of one pose's joints: their motions from the rest pose, and quaternions; values and gradients.

The formulas are those of `BodyModel.transforms` and of `matrix_to_quaternion` in pipeline/geometry/rotations.py, which
are the reference.
"""

import math

import numpy as np

from pipeline.runtime.jit import kernel

f4 = np.float32


@kernel()
def motions_forward(rotmats, rest, transl, parents, world, motions):
    """world and motions [J, 3, 4] of joints with rotations [J, 3, 3] and rest places [J, 3], parents first."""
    for k in range(rotmats.shape[0]):
        p = parents[k]
        for a in range(3):
            if p < 0:
                for b in range(3):
                    world[k, a, b] = rotmats[k, a, b]
                world[k, a, 3] = rest[k, a] + transl[a]
            else:
                place = world[p, a, 3]
                for b in range(3):
                    world[k, a, b] = (
                        world[p, a, 0] * rotmats[k, 0, b]
                        + world[p, a, 1] * rotmats[k, 1, b]
                        + world[p, a, 2] * rotmats[k, 2, b]
                    )
                    place += world[p, a, b] * (rest[k, b] - rest[p, b])
                world[k, a, 3] = place
            shift = f4(0)
            for b in range(3):
                motions[k, a, b] = world[k, a, b]
                shift += world[k, a, b] * rest[k, b]
            motions[k, a, 3] = world[k, a, 3] - shift


@kernel()
def motions_backward(rotmats, rest, parents, world, g_motions, g_world, g_rotmats, g_rest, g_transl):
    """Gradients from that of the motions; g_world [J, 3, 4] is scratch, g_rest and g_transl are zero before."""
    joints = rotmats.shape[0]
    for k in range(joints):
        for a in range(3):
            g_world[k, a, 3] = g_motions[k, a, 3]
            for b in range(3):
                g_world[k, a, b] = g_motions[k, a, b] - g_motions[k, a, 3] * rest[k, b]
                g_rest[k, b] -= world[k, a, b] * g_motions[k, a, 3]
    for k in range(joints - 1, -1, -1):
        p = parents[k]
        if p < 0:
            for a in range(3):
                g_transl[a] += g_world[k, a, 3]
                g_rest[k, a] += g_world[k, a, 3]
                for b in range(3):
                    g_rotmats[k, a, b] = g_world[k, a, b]
            continue
        for a in range(3):
            g_world[p, a, 3] += g_world[k, a, 3]
            for b in range(3):
                g_rotmats[k, a, b] = (
                    world[p, 0, a] * g_world[k, 0, b]
                    + world[p, 1, a] * g_world[k, 1, b]
                    + world[p, 2, a] * g_world[k, 2, b]
                )
                g_world[p, a, b] += (
                    g_world[k, a, 0] * rotmats[k, b, 0]
                    + g_world[k, a, 1] * rotmats[k, b, 1]
                    + g_world[k, a, 2] * rotmats[k, b, 2]
                    + g_world[k, a, 3] * (rest[k, b] - rest[p, b])
                )
                g_rest[k, b] += world[p, a, b] * g_world[k, a, 3]
                g_rest[p, b] -= world[p, a, b] * g_world[k, a, 3]


# 4 q q^T as a linear function of the matrix: entry [row, column] is CONSTANT + sum of SIGN * matrix.flat[PLACE].
_ROWS = (
    (("1", "+0+4+8"), ("0", "+7-5"), ("0", "+2-6"), ("0", "+3-1")),
    (("0", "+7-5"), ("1", "+0-4-8"), ("0", "+1+3"), ("0", "+2+6")),
    (("0", "+2-6"), ("0", "+1+3"), ("1", "-0+4-8"), ("0", "+5+7")),
    (("0", "+3-1"), ("0", "+2+6"), ("0", "+5+7"), ("1", "-0-4+8")),
)
CONSTANT = np.array([[float(constant) for constant, _ in row] for row in _ROWS], f4)
LINEAR = np.zeros((4, 4, 9), f4)
for _r, _row in enumerate(_ROWS):
    for _c, (_, _terms) in enumerate(_row):
        for _sign, _place in zip(_terms[::2], _terms[1::2]):
            LINEAR[_r, _c, int(_place)] = 1 if _sign == "+" else -1


@kernel()
def quaternions_forward(motions, parents, quats, rows, scales):
    """Unit quaternions [J, 4] on their parents' side; for the gradient the row of 4 q q^T that each is taken from [J],
    and one over the row's length, with the sign [J]."""
    for k in range(motions.shape[0]):
        m00, m11, m22 = motions[k, 0, 0], motions[k, 1, 1], motions[k, 2, 2]
        row, largest = 0, m00 + m11 + m22
        if m00 - m11 - m22 > largest:
            row, largest = 1, m00 - m11 - m22
        if m11 - m00 - m22 > largest:
            row, largest = 2, m11 - m00 - m22
        if m22 - m00 - m11 > largest:
            row = 3
        squared = f4(0)
        for c in range(4):
            value = CONSTANT[row, c]
            for e in range(9):
                value += LINEAR[row, c, e] * motions[k, e // 3, e % 3]
            quats[k, c] = value
            squared += value * value
        scale = f4(1) / math.sqrt(squared)
        p = parents[k]
        side = quats[k, 0]
        if p >= 0:
            side = f4(0)
            for c in range(4):
                side += quats[k, c] * quats[p, c]
        if side < f4(0):
            scale = -scale
        for c in range(4):
            quats[k, c] *= scale
        rows[k], scales[k] = row, scale


@kernel()
def quaternions_backward(quats, rows, scales, g_quats, g_motions):
    """Gradient by the motions [J, 3, 4], zero before."""
    for k in range(quats.shape[0]):
        along = f4(0)
        for c in range(4):
            along += g_quats[k, c] * quats[k, c]
        for c in range(4):
            g = (g_quats[k, c] - along * quats[k, c]) * scales[k]
            for e in range(9):
                g_motions[k, e // 3, e % 3] += LINEAR[rows[k], c, e] * g
