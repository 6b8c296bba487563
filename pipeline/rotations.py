"""Rotations as batched torch tensors: axis-angle, matrices and unit quaternions (w, x, y, z).

Every function keeps leading dimensions, and has finite gradients everywhere, the zero rotation included.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Below this squared angle the series are used. Their truncation error there is under 1e-15.
_SMALL_ANGLE_SQUARED = 1e-4


def axis_angle_to_matrix(
    axis_angle: Tensor,  # [..., 3]
) -> Tensor:  # [..., 3, 3]
    """Rodrigues' formula, `R = cos(t) I + sin(t)/t [a]x + (1 - cos(t))/t^2 a a^T` with `t = |a|`.

    Args:
        axis_angle: rotation axis times angle in radians. [..., 3]
    """
    squared = (axis_angle * axis_angle).sum(-1)
    small = squared < _SMALL_ANGLE_SQUARED
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # (1 - cos t) / t^2 is written with the half angle: the direct form cancels in float32.
    half_sinc = torch.sin(0.5 * angle) / (0.5 * angle)
    sinc = torch.where(small, 1 - squared / 6 + squared**2 / 120, torch.sin(angle) / angle)
    versine = torch.where(small, 0.5 - squared / 24 + squared**2 / 720, 0.5 * half_sinc**2)

    x, y, z = axis_angle.unbind(-1)
    sx, sy, sz = sinc * x, sinc * y, sinc * z
    vx, vy, vz = versine * x, versine * y, versine * z
    entries = (
        1 - vy * y - vz * z, vx * y - sz, vx * z + sy,
        vx * y + sz, 1 - vx * x - vz * z, vy * z - sx,
        vx * z - sy, vy * z + sx, 1 - vx * x - vy * y,
    )  # fmt: skip
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def matrix_to_axis_angle(
    matrix: Tensor,  # [..., 3, 3]
) -> Tensor:  # [..., 3]
    """Axis times angle in radians, the angle in [0, pi].

    Args:
        matrix: rotation matrices. [..., 3, 3]
    """
    quaternion = matrix_to_quaternion(matrix)
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    squared = (xyz * xyz).sum(-1, keepdim=True)
    small = squared < _SMALL_ANGLE_SQUARED
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # w is never negative, and near 1 where the series of 2 atan(s / w) / s is used.
    tangent_squared = squared / torch.where(small, w, torch.ones_like(w)) ** 2
    series = 2 / torch.where(small, w, torch.ones_like(w))
    series = series * (1 - tangent_squared / 3 + tangent_squared**2 / 5 - tangent_squared**3 / 7)
    return xyz * torch.where(small, series, 2 * torch.atan2(sine, w) / sine)


def matrix_to_quaternion(
    matrix: Tensor,  # [..., 3, 3]
) -> Tensor:  # [..., 4]
    """Unit quaternion (w, x, y, z) with w >= 0.

    The four rows of `4 q q^T` are linear in the matrix; the one with the largest diagonal entry, normalised, is the
    quaternion (Shepperd 1978), so no square root of a vanishing number occurs.

    Args:
        matrix: rotation matrices. [..., 3, 3]
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    rows = (
        1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01,
        m21 - m12, 1 + m00 - m11 - m22, m01 + m10, m02 + m20,
        m02 - m20, m01 + m10, 1 - m00 + m11 - m22, m12 + m21,
        m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22,
    )  # fmt: skip
    outer = torch.stack(rows, dim=-1).unflatten(-1, (4, 4))
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    unit = row / row.norm(dim=-1, keepdim=True)
    return torch.where(unit[..., :1] < 0, -unit, unit)


def quaternion_to_matrix(
    quaternion: Tensor,  # [..., 4]
) -> Tensor:  # [..., 3, 3]
    """Rotation matrix of a quaternion (w, x, y, z) of any length but zero.

    Args:
        quaternion: quaternions, normalised here. [..., 4]
    """
    w, x, y, z = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    entries = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def quaternion_multiply(
    left: Tensor,  # [..., 4]
    right: Tensor,  # [..., 4]
) -> Tensor:  # [..., 4]
    """Hamilton product (w, x, y, z): the rotation that applies `right`, then `left`. Leading dimensions broadcast."""
    w1, x1, y1, z1 = left.unbind(-1)
    w2, x2, y2, z2 = right.unbind(-1)
    entries = (
        w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
        w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
    )
    return torch.stack(entries, dim=-1)
