"""Compiled kernels of the losses in canonical space: values together with their gradients.

The formulas are those of `pipeline.losses.camel` and `pipeline.losses.priors.roughness`, which are the reference.
"""

import math

import numpy as np

from pipeline.jit import kernel

f4 = np.float32
CHUNK = 512  # Gaussians a partial sum: sums do not depend on the number of threads
TERMS = 3  # point to mesh, flatness, surface alignment


@kernel()
def camel_terms(
    first_chunk, end_chunk, means, quats, log_scales, surface, normals, near, margin, log_ratio, factors,
    sums, g_means, g_quats, g_log_scales,
):  # fmt: skip
    """Equations 6, 7, 9 and 10: sums [chunks, 3] of the terms, and gradients of the terms times `factors` [3]."""
    count = means.shape[0]
    for chunk in range(first_chunk, end_chunk):
        beyond_sum = excess_sum = turn_sum = 0.0
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, count)):
            s = near[i]
            nx, ny, nz = normals[s, 0], normals[s, 1], normals[s, 2]
            distance = (
                (means[i, 0] - surface[s, 0]) * nx
                + (means[i, 1] - surface[s, 1]) * ny
                + (means[i, 2] - surface[s, 2]) * nz
            )
            beyond = abs(distance) - margin
            pull = f4(0)
            if beyond > f4(0):
                beyond_sum += beyond
                pull = factors[0] if distance > f4(0) else -factors[0]
            g_means[i, 0], g_means[i, 1], g_means[i, 2] = pull * nx, pull * ny, pull * nz

            thinnest = 0
            for c in range(1, 3):
                if log_scales[i, c] < log_scales[i, thinnest]:
                    thinnest = c
            g_thinnest = f4(0)
            for c in range(3):
                if c == thinnest:
                    continue
                excess = log_scales[i, c] - log_scales[i, thinnest] - log_ratio
                excess_sum += abs(excess)
                slope = factors[1] if excess > f4(0) else (-factors[1] if excess < f4(0) else f4(0))
                g_log_scales[i, c] = slope
                g_thinnest -= slope
            g_log_scales[i, thinnest] = g_thinnest

            # The thinnest axis is a column of the rotation; its cosine with the normal, and that by the quaternion.
            w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
            scale = f4(1) / math.sqrt(w * w + x * x + y * y + z * z)
            w, x, y, z = w * scale, x * scale, y * scale, z * scale
            if thinnest == 0:
                ax, ay, az = f4(1) - f4(2) * (y * y + z * z), f4(2) * (x * y + w * z), f4(2) * (x * z - w * y)
                gw, gx = ny * z - nz * y, ny * y + nz * z
                gy, gz = f4(-2) * nx * y + ny * x - nz * w, f4(-2) * nx * z + ny * w + nz * x
            elif thinnest == 1:
                ax, ay, az = f4(2) * (x * y - w * z), f4(1) - f4(2) * (x * x + z * z), f4(2) * (y * z + w * x)
                gw, gy = nz * x - nx * z, nx * x + nz * z
                gx, gz = nx * y - f4(2) * ny * x + nz * w, f4(-2) * ny * z - nx * w + nz * y
            else:
                ax, ay, az = f4(2) * (x * z + w * y), f4(2) * (y * z - w * x), f4(1) - f4(2) * (x * x + y * y)
                gw, gz = nx * y - ny * x, nx * x + ny * y
                gx, gy = nx * z - ny * w - f4(2) * nz * x, nx * w + ny * z - f4(2) * nz * y
            cosine = ax * nx + ay * ny + az * nz
            turn_sum += 1.0 - abs(cosine)
            slope = f4(-2) * (factors[2] if cosine > f4(0) else (-factors[2] if cosine < f4(0) else f4(0)))
            gw, gx, gy, gz = slope * gw, slope * gx, slope * gy, slope * gz
            along = gw * w + gx * x + gy * y + gz * z
            g_quats[i, 0], g_quats[i, 1] = (gw - along * w) * scale, (gx - along * x) * scale
            g_quats[i, 2], g_quats[i, 3] = (gy - along * y) * scale, (gz - along * z) * scale
        sums[chunk, 0], sums[chunk, 1], sums[chunk, 2] = beyond_sum, excess_sum, turn_sum


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
