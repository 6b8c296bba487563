"""Rotations as batched torch tensors: axis-angle, matrices and unit quaternions (w, x, y, z).

Every function keeps leading dimensions, and has finite gradients everywhere, the zero rotation included. What is linear
or quadratic in the input is written as a product with a table: a few operations in place of dozens, which matters where
each has to be launched on a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.runtime.constant import constant

# Below this squared angle the series are used. Their truncation error there is under 1e-15.
_SMALL_ANGLE_SQUARED = 1e-4

Table = tuple[tuple[float, ...], ...]
_CROSS: Table = (  # [3, 9]: x, y, z -> the matrix of the cross product
    (0, 0, 0, 0, 0, -1, 0, 1, 0),
    (0, 0, 1, 0, 0, 0, -1, 0, 0),
    (0, -1, 0, 1, 0, 0, 0, 0, 0),
)
_IDENTITY: Table = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_LEFT: Table = (  # [4, 16]: w, x, y, z -> the matrix that multiplies from the left
    (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1),
    (0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0),
    (0, 0, -1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, -1, 0, 0),
    (0, 0, 0, -1, 0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, 0),
)
_ROTATION: Table = (  # [16, 9]: ww, wx, wy, ..., zz of a unit quaternion -> its rotation matrix
    (1, 0, 0, 0, 1, 0, 0, 0, 1),
    (0, 0, 0, 0, 0, -1, 0, 1, 0),
    (0, 0, 1, 0, 0, 0, -1, 0, 0),
    (0, -1, 0, 1, 0, 0, 0, 0, 0),
    (0, 0, 0, 0, 0, -1, 0, 1, 0),
    (1, 0, 0, 0, -1, 0, 0, 0, -1),
    (0, 1, 0, 1, 0, 0, 0, 0, 0),
    (0, 0, 1, 0, 0, 0, 1, 0, 0),
    (0, 0, 1, 0, 0, 0, -1, 0, 0),
    (0, 1, 0, 1, 0, 0, 0, 0, 0),
    (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    (0, 0, 0, 0, 0, 1, 0, 1, 0),
    (0, -1, 0, 1, 0, 0, 0, 0, 0),
    (0, 0, 1, 0, 0, 0, 1, 0, 0),
    (0, 0, 0, 0, 0, 1, 0, 1, 0),
    (-1, 0, 0, 0, -1, 0, 0, 0, 1),
)
_OUTER: Table = tuple(zip(*_ROTATION))  # [9, 16]: a rotation matrix -> 4 q q^T, less 1 on the diagonal
_ONES_ON_DIAGONAL = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)


def axis_angle_to_matrix(
    axis_angle: Tensor,  # [..., 3]
) -> Tensor:  # [..., 3, 3]
    """Rodrigues' formula, `R = I + sin(t)/t [a]x + (1 - cos(t))/t^2 [a]x^2` with `t = |a|`.

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

    cross = (axis_angle @ _like(_CROSS, axis_angle)).unflatten(-1, (3, 3))
    turn = sinc[..., None, None] * cross + versine[..., None, None] * (cross @ cross)
    return _like(_IDENTITY, axis_angle) + turn


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
    rows = matrix.flatten(-2) @ _like(_OUTER, matrix) + _like(_ONES_ON_DIAGONAL, matrix)
    outer = rows.unflatten(-1, (4, 4))
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
    unit = quaternion / quaternion.norm(dim=-1, keepdim=True)
    products = (unit[..., :, None] * unit[..., None, :]).flatten(-2)
    return (products @ _like(_ROTATION, quaternion)).unflatten(-1, (3, 3))


def quaternion_multiply(
    left: Tensor,  # [..., 4]
    right: Tensor,  # [..., 4]
) -> Tensor:  # [..., 4]
    """Hamilton product (w, x, y, z): the rotation that applies `right`, then `left`. Leading dimensions broadcast."""
    return ((left @ _like(_LEFT, left)).unflatten(-1, (4, 4)) * right[..., None, :]).sum(-1)


def _like(table: Table, tensor: Tensor) -> Tensor:
    return constant(table, tensor.dtype, tensor.device)
