"""Compiled kernels of one frame's corrections: `PoseRows.apply` and its gradient. float32 on the CPU."""

import math

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4 = np.float32
ONE, TWO = f4(1), f4(2)
SMALL = f4(1e-4)  # squared angle below which series are used, as in `pipeline.geometry.rotations`


@inline
def _coefficients(squared):
    """sin(t) / t, (1 - cos(t)) / t^2 and (t - sin(t)) / t^3 of a squared angle."""
    if squared < SMALL:
        return (ONE - squared / f4(6), f4(0.5) - squared / f4(24), ONE / f4(6) - squared / f4(120))
    angle = math.sqrt(squared)
    half = math.sin(f4(0.5) * angle) / angle
    sinc = math.sin(angle) / angle
    return sinc, TWO * half * half, (ONE - sinc) / squared


@kernel()
def apply(correction, initial, start, rotmats, pelvis):
    """Write rotmats [J, 3, 3] and pelvis [3] from a correction [3 J + 3], initial rotations [J, 3, 3] and the initial
    pelvis [3]."""
    joints = initial.shape[0]
    turn = np.empty((3, 3), f4)
    for j in range(joints):
        x, y, z = correction[3 * j], correction[3 * j + 1], correction[3 * j + 2]
        sinc, versine, _ = _coefficients(x * x + y * y + z * z)
        turn[0, 0], turn[0, 1], turn[0, 2] = (ONE - versine * (y * y + z * z), versine * x * y, versine * x * z)
        turn[1, 0], turn[1, 1], turn[1, 2] = (turn[0, 1], ONE - versine * (x * x + z * z), versine * y * z)
        turn[2, 0], turn[2, 1], turn[2, 2] = (turn[0, 2], turn[1, 2], ONE - versine * (x * x + y * y))
        turn[0, 1] -= sinc * z
        turn[0, 2] += sinc * y
        turn[1, 0] += sinc * z
        turn[1, 2] -= sinc * x
        turn[2, 0] -= sinc * y
        turn[2, 1] += sinc * x
        for a in range(3):
            for b in range(3):
                rotmats[j, a, b] = (
                    initial[j, a, 0] * turn[0, b] + initial[j, a, 1] * turn[1, b] + initial[j, a, 2] * turn[2, b]
                )
    farther = math.exp(correction[3 * joints + 2])
    for a in range(3):
        sideways = correction[3 * joints + a] * start[2] if a < 2 else f4(0)
        pelvis[a] = (start[a] + sideways) * farther


@kernel()
def apply_backward(correction, start, rotmats, pelvis, g_rotmats, g_pelvis, gradient):
    """Write the gradient [3 J + 3] from those of the outputs of `apply`.

    A joint's rotation R follows a change d of its correction c as R exp(J d), J the right Jacobian of SO(3) (Sola et
    al. 2018, eq. 143), so that the gradient is J^T v with v the axial vector of R^T G - G^T R.
    """
    joints = rotmats.shape[0]
    for j in range(joints):
        m = np.empty((3, 3), f4)
        for a in range(3):
            for b in range(3):
                m[a, b] = (
                    rotmats[j, 0, a] * g_rotmats[j, 0, b]
                    + rotmats[j, 1, a] * g_rotmats[j, 1, b]
                    + rotmats[j, 2, a] * g_rotmats[j, 2, b]
                )
        vx, vy, vz = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
        x, y, z = correction[3 * j], correction[3 * j + 1], correction[3 * j + 2]
        _, versine, cubic = _coefficients(x * x + y * y + z * z)
        cx, cy, cz = y * vz - z * vy, z * vx - x * vz, x * vy - y * vx
        gradient[3 * j] = vx + versine * cx + cubic * (y * cz - z * cy)
        gradient[3 * j + 1] = vy + versine * cy + cubic * (z * cx - x * cz)
        gradient[3 * j + 2] = vz + versine * cz + cubic * (x * cy - y * cx)
    across = start[2] * math.exp(correction[3 * joints + 2])
    gradient[3 * joints] = g_pelvis[0] * across
    gradient[3 * joints + 1] = g_pelvis[1] * across
    gradient[3 * joints + 2] = g_pelvis[0] * pelvis[0] + g_pelvis[1] * pelvis[1] + g_pelvis[2] * pelvis[2]
