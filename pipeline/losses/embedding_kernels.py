"""Compiled kernels of the losses in canonical space: values together with their gradients.

The formulas are those of `pipeline.losses.camel` and `pipeline.losses.priors.roughness`, which are the reference.
"""

import math

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4 = np.float32
ZERO, ONE, TWO, FOUR = f4(0), f4(1), f4(2), f4(4)
CHUNK = 512  # Gaussians a partial sum: sums do not depend on the number of threads
TERMS = 4  # point to mesh, flatness, surface alignment, tips
TIPS_AT = f4(2)  # standard deviations from a centre


@inline
def _turn(w, x, y, z, axes):
    """axes [3, 3] out: its columns are the axes as a unit quaternion turns them."""
    axes[0, 0], axes[0, 1], axes[0, 2] = ONE - TWO * (y * y + z * z), TWO * (x * y - w * z), TWO * (x * z + w * y)
    axes[1, 0], axes[1, 1], axes[1, 2] = TWO * (x * y + w * z), ONE - TWO * (x * x + z * z), TWO * (y * z - w * x)
    axes[2, 0], axes[2, 1], axes[2, 2] = TWO * (x * z - w * y), TWO * (y * z + w * x), ONE - TWO * (x * x + y * y)


@inline
def _by_quaternion(w, x, y, z, g):
    """The gradient by a unit quaternion where that by its axes is g [3, 3]."""
    return (
        TWO * (x * (g[2, 1] - g[1, 2]) + y * (g[0, 2] - g[2, 0]) + z * (g[1, 0] - g[0, 1])),
        TWO * (y * (g[0, 1] + g[1, 0]) + z * (g[0, 2] + g[2, 0]) + w * (g[2, 1] - g[1, 2]))
        - FOUR * x * (g[1, 1] + g[2, 2]),
        TWO * (x * (g[0, 1] + g[1, 0]) + z * (g[1, 2] + g[2, 1]) + w * (g[0, 2] - g[2, 0]))
        - FOUR * y * (g[0, 0] + g[2, 2]),
        TWO * (x * (g[0, 2] + g[2, 0]) + y * (g[1, 2] + g[2, 1]) + w * (g[1, 0] - g[0, 1]))
        - FOUR * z * (g[0, 0] + g[1, 1]),
    )


@kernel()
def camel_terms(
    first_chunk, end_chunk, means, quats, log_scales, surface, normals, near, near_tips, margin, log_ratio, tip_margin,
    factors, sums, g_means, g_quats, g_log_scales,
):  # fmt: skip
    """Equations 6, 7, 9 and 10, and tips: sums [chunks, 4] of the terms, gradients of the terms times `factors` [4].

    near_tips is [N, 6], or [0, 6] to leave tips out.
    """
    count, with_tips = means.shape[0], near_tips.shape[0] > 0
    axes, g_axes, spans = np.empty((3, 3), f4), np.empty((3, 3), f4), np.empty(3, f4)
    for chunk in range(first_chunk, end_chunk):
        beyond_sum = excess_sum = turn_sum = tip_sum = 0.0
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, count)):
            s = near[i]
            nx, ny, nz = normals[s, 0], normals[s, 1], normals[s, 2]
            distance = (
                (means[i, 0] - surface[s, 0]) * nx
                + (means[i, 1] - surface[s, 1]) * ny
                + (means[i, 2] - surface[s, 2]) * nz
            )
            beyond = abs(distance) - margin
            pull = ZERO
            if beyond > ZERO:
                beyond_sum += beyond
                pull = factors[0] if distance > ZERO else -factors[0]

            thinnest = 0
            for c in range(1, 3):
                if log_scales[i, c] < log_scales[i, thinnest]:
                    thinnest = c
            g_thinnest = ZERO
            for c in range(3):
                if c == thinnest:
                    continue
                excess = log_scales[i, c] - log_scales[i, thinnest] - log_ratio
                excess_sum += abs(excess)
                slope = factors[1] if excess > ZERO else (-factors[1] if excess < ZERO else ZERO)
                g_log_scales[i, c] = slope
                g_thinnest -= slope
            g_log_scales[i, thinnest] = g_thinnest

            w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
            scale = ONE / math.sqrt(w * w + x * x + y * y + z * z)
            w, x, y, z = w * scale, x * scale, y * scale, z * scale
            _turn(w, x, y, z, axes)
            cosine = axes[0, thinnest] * nx + axes[1, thinnest] * ny + axes[2, thinnest] * nz
            turn_sum += 1.0 - abs(cosine)
            slope = -factors[2] if cosine > ZERO else (factors[2] if cosine < ZERO else ZERO)
            for c in range(3):
                share = slope if c == thinnest else ZERO
                g_axes[0, c], g_axes[1, c], g_axes[2, c] = share * nx, share * ny, share * nz

            gx = gy = gz = ZERO
            if with_tips:
                allowed = tip_margin + max(distance, ZERO)
                for c in range(3):
                    spans[c] = TIPS_AT * math.exp(log_scales[i, c])
                for end in range(6):
                    c = end >> 1
                    reach = spans[c] if end & 1 == 0 else -spans[c]
                    t = near_tips[i, end]
                    tx, ty, tz = normals[t, 0], normals[t, 1], normals[t, 2]
                    rise = reach * (axes[0, c] * tx + axes[1, c] * ty + axes[2, c] * tz)
                    height = (
                        (means[i, 0] - surface[t, 0]) * tx
                        + (means[i, 1] - surface[t, 1]) * ty
                        + (means[i, 2] - surface[t, 2]) * tz
                        + rise
                    )
                    if height > allowed:
                        tip_sum += height - allowed
                        gx, gy, gz = gx + factors[3] * tx, gy + factors[3] * ty, gz + factors[3] * tz
                        if distance > ZERO:
                            pull -= factors[3]
                        g_log_scales[i, c] += factors[3] * rise
                        push = factors[3] * reach
                        g_axes[0, c] += push * tx
                        g_axes[1, c] += push * ty
                        g_axes[2, c] += push * tz

            g_means[i, 0], g_means[i, 1], g_means[i, 2] = gx + pull * nx, gy + pull * ny, gz + pull * nz
            gw, gx, gy, gz = _by_quaternion(w, x, y, z, g_axes)
            along = gw * w + gx * x + gy * y + gz * z
            g_quats[i, 0], g_quats[i, 1] = (gw - along * w) * scale, (gx - along * x) * scale
            g_quats[i, 2], g_quats[i, 3] = (gy - along * y) * scale, (gz - along * z) * scale
        sums[chunk, 0], sums[chunk, 1], sums[chunk, 2], sums[chunk, 3] = beyond_sum, excess_sum, turn_sum, tip_sum


@kernel()
def coverage(means, surface, nearest_mean, margin, factor, g_means):
    """Equation 8 as a sum; adds its gradient times `factor`."""
    total = 0.0
    for s in range(surface.shape[0]):
        i = nearest_mean[s]
        x, y, z = means[i, 0] - surface[s, 0], means[i, 1] - surface[s, 1], means[i, 2] - surface[s, 2]
        distance = math.sqrt(x * x + y * y + z * z)
        if distance > margin:
            total += distance - margin
            pull = factor / distance
            g_means[i, 0] += pull * x
            g_means[i, 1] += pull * y
            g_means[i, 2] += pull * z
    return total


@kernel()
def put_columns(start, end, values, factor, first, array):
    """Copy rows of values [N, C] times `factor` to columns first..first + C of `array`."""
    for i in range(start, end):
        for c in range(values.shape[1]):
            array[i, first + c] = factor * values[i, c]


@kernel()
def take_columns(start, end, array, factor, first, values):
    """The way back: rows of values [N, C] from the columns of `array`, times `factor`."""
    for i in range(start, end):
        for c in range(values.shape[1]):
            values[i, c] = factor * array[i, first + c]


@kernel()
def deviations(first_chunk, end_chunk, values, neighbours, sums, apart):
    """apart [N, C]: values less the mean over their neighbours; sums [chunks] of its squares."""
    share = f4(1.0 / neighbours.shape[1])
    for chunk in range(first_chunk, end_chunk):
        total = 0.0
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, values.shape[0])):
            for c in range(values.shape[1]):
                apart[i, c] = values[i, c]
            for k in range(neighbours.shape[1]):
                n = neighbours[i, k]
                for c in range(values.shape[1]):
                    apart[i, c] -= share * values[n, c]
            for c in range(values.shape[1]):
                total += apart[i, c] * apart[i, c]
        sums[chunk] = total


@kernel()
def roughness_gradient(start, end, apart, share, offsets, owners, factor, gradient):
    """gradient [N, C] of the sum of squares of `apart`, times `factor`: owners[offsets[i] : offsets[i + 1]] are those
    that have i among their neighbours, each with the given share in their means."""
    for i in range(start, end):
        for c in range(apart.shape[1]):
            gradient[i, c] = f4(2) * factor * apart[i, c]
        for k in range(offsets[i], offsets[i + 1]):
            n = owners[k]
            for c in range(apart.shape[1]):
                gradient[i, c] -= f4(2) * factor * share * apart[n, c]
