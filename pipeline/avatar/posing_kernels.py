"""Compiled kernels of posing Gaussians, and of making them from their free parameters: values and gradients.

The formulas are those of `pipeline.avatar.avatar.pose_gaussians` and `pipeline.avatar.gaussians.free_gaussians`, which
are the reference. Sums over joints and over Gaussians are matrix products outside of the kernels.
"""

import math

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4 = np.float32


@inline
def _multiply(aw, ax, ay, az, bw, bx, by, bz):
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


@kernel()
def pose_forward(start, end, means, quats, blended, posed, turned):
    """posed [N, 3] and turned [N, 4] of Gaussians start..end. blended [N, 16]: weighted sum of the joints' motions
    [3, 4] and quaternions."""
    for i in range(start, end):
        x, y, z = means[i, 0], means[i, 1], means[i, 2]
        for c in range(3):
            m = 4 * c
            posed[i, c] = blended[i, m] * x + blended[i, m + 1] * y + blended[i, m + 2] * z + blended[i, m + 3]
        w, x, y, z = blended[i, 12], blended[i, 13], blended[i, 14], blended[i, 15]
        scale = f4(1) / math.sqrt(w * w + x * x + y * y + z * z)
        turned[i, 0], turned[i, 1], turned[i, 2], turned[i, 3] = _multiply(
            w * scale, x * scale, y * scale, z * scale, quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        )


@kernel()
def pose_backward(start, end, means, quats, blended, g_posed, g_turned, g_means, g_quats, g_blended):
    """Gradients by means, quats and `blended`."""
    for i in range(start, end):
        gx, gy, gz = g_posed[i, 0], g_posed[i, 1], g_posed[i, 2]
        for c in range(3):
            g_means[i, c] = blended[i, c] * gx + blended[i, 4 + c] * gy + blended[i, 8 + c] * gz
            g = g_posed[i, c]
            m = 4 * c
            g_blended[i, m], g_blended[i, m + 1] = g * means[i, 0], g * means[i, 1]
            g_blended[i, m + 2], g_blended[i, m + 3] = g * means[i, 2], g
        w, x, y, z = blended[i, 12], blended[i, 13], blended[i, 14], blended[i, 15]
        scale = f4(1) / math.sqrt(w * w + x * x + y * y + z * z)
        w, x, y, z = w * scale, x * scale, y * scale, z * scale
        tw, tx, ty, tz = g_turned[i, 0], g_turned[i, 1], g_turned[i, 2], g_turned[i, 3]
        g_quats[i, 0], g_quats[i, 1], g_quats[i, 2], g_quats[i, 3] = _multiply(w, -x, -y, -z, tw, tx, ty, tz)
        # Through the product on its left side, then through the normalisation.
        uw, ux, uy, uz = _multiply(tw, tx, ty, tz, quats[i, 0], -quats[i, 1], -quats[i, 2], -quats[i, 3])
        along = uw * w + ux * x + uy * y + uz * z
        g_blended[i, 12], g_blended[i, 13] = (uw - along * w) * scale, (ux - along * x) * scale
        g_blended[i, 14], g_blended[i, 15] = (uy - along * y) * scale, (uz - along * z) * scale


@kernel()
def free_forward(
    start, end, offsets, quats, log_scales, logits, stand_off, points, frames, frame_quats,
    means, turned, scales, opacities,
):  # fmt: skip
    """Gaussians start..end in the rest pose, from their parameters, their anchors and how far these stand off [N]."""
    for i in range(start, end):
        out = offsets[i, 2] + stand_off[i]
        for c in range(3):
            means[i, c] = points[i, c] + (
                frames[i, c, 0] * offsets[i, 0] + frames[i, c, 1] * offsets[i, 1] + frames[i, c, 2] * out
            )
            scales[i, c] = math.exp(log_scales[i, c])
        turned[i, 0], turned[i, 1], turned[i, 2], turned[i, 3] = _multiply(
            frame_quats[i, 0], frame_quats[i, 1], frame_quats[i, 2], frame_quats[i, 3],
            quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3],
        )  # fmt: skip
        opacities[i] = f4(1) / (f4(1) + math.exp(-logits[i]))


@kernel()
def free_backward(
    start, end, frames, frame_quats, scales, opacities, g_means, g_turned, g_scales, g_opacities,
    g_offsets, g_quats, g_log_scales, g_logits,
):  # fmt: skip
    """Gradients by the parameters; that by how far anchors stand off is the third of g_offsets."""
    for i in range(start, end):
        for c in range(3):
            g_offsets[i, c] = (
                frames[i, 0, c] * g_means[i, 0] + frames[i, 1, c] * g_means[i, 1] + frames[i, 2, c] * g_means[i, 2]
            )
            g_log_scales[i, c] = g_scales[i, c] * scales[i, c]
        g_quats[i, 0], g_quats[i, 1], g_quats[i, 2], g_quats[i, 3] = _multiply(
            frame_quats[i, 0], -frame_quats[i, 1], -frame_quats[i, 2], -frame_quats[i, 3],
            g_turned[i, 0], g_turned[i, 1], g_turned[i, 2], g_turned[i, 3],
        )  # fmt: skip
        g_logits[i] = g_opacities[i] * opacities[i] * (f4(1) - opacities[i])
