"""A pose straight from places in the world: the root from the torso, the limbs from their bones' directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.body import JOINT_NAMES
from pipeline.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

_J = {name: k for k, name in enumerate(JOINT_NAMES)}
# mediapipe's landmarks of a limb, its two joints, the rest direction of its bones, the axis about which the second
# joint bends (positive angles).
LIMBS = (
    ((11, 13, 15), ("left_shoulder", "left_elbow"), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
    ((12, 14, 16), ("right_shoulder", "right_elbow"), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    ((23, 25, 27), ("left_hip", "left_knee"), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
    ((24, 26, 28), ("right_hip", "right_knee"), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
)


def torso_rotation(
    world: Tensor,  # [B, 33, 3]
) -> Tensor:  # [B, 3, 3]
    """Orientation of the torso: x to the person's left, y from the hips up to the shoulders."""
    up = normalize(world[:, 11] + world[:, 12] - world[:, 23] - world[:, 24], dim=-1)
    left = normalize(world[:, 11] - world[:, 12], dim=-1) + normalize(world[:, 23] - world[:, 24], dim=-1)
    left = normalize(left - (left * up).sum(-1, keepdim=True) * up, dim=-1)
    return torch.stack([left, up, torch.linalg.cross(left, up)], dim=-1)


def limb_poses(
    world: Tensor,  # [B, 33, 3]
    root: Tensor,  # [B, 3, 3]
) -> Tensor:  # [B, 69]
    """body_pose with hips, knees, shoulders and elbows set so that the limbs' bones point where the landmarks do.

    The first joint's twist follows from the plane in which the limb bends, as far as it bends; else it is the least.
    """
    pose = world.new_zeros(len(world), 24, 3)
    for (top, middle, end), (first, second), rest, hinge in LIMBS:
        upper = _direction(world[:, middle] - world[:, top], root)
        lower = _direction(world[:, end] - world[:, middle], root)
        rest_direction, rest_hinge = upper.new_tensor(rest), upper.new_tensor(hinge)
        least = _shortest_arc(rest_direction, upper)
        bend_axis = torch.linalg.cross(upper, lower)  # its length is the sine of the bend
        # An elbow that seems to bend backwards bends little, and the landmarks are wrong: keep the axis forward.
        axis = least @ rest_hinge + 4 * bend_axis * ((least @ rest_hinge * bend_axis).sum(-1, keepdim=True) > -0.1)
        axis = normalize(axis - (axis * upper).sum(-1, keepdim=True) * upper, dim=-1)
        posed = torch.stack([upper, axis, torch.linalg.cross(upper, axis)], dim=-1)
        frame = torch.stack([rest_direction, rest_hinge, torch.linalg.cross(rest_direction, rest_hinge)], dim=-1)
        rotation = posed @ frame.T
        pose[:, _J[first]] = matrix_to_axis_angle(rotation)
        angle = torch.atan2(bend_axis.norm(dim=-1), (upper * lower).sum(-1))
        pose[:, _J[second]] = angle[:, None] * rest_hinge
    return pose[:, 1:].flatten(1)


def _direction(vector: Tensor, root: Tensor) -> Tensor:
    """Unit vector in the root's frame."""
    return normalize((root.transpose(-1, -2) @ vector[..., None]).squeeze(-1), dim=-1)


def _shortest_arc(start: Tensor, ends: Tensor) -> Tensor:
    """The least rotation that takes a unit vector [3] to each of [B, 3]."""
    axis = torch.linalg.cross(start.expand_as(ends), ends)
    sine, cosine = axis.norm(dim=-1, keepdim=True), (start * ends).sum(-1, keepdim=True)
    return axis_angle_to_matrix(axis / sine.clamp_min(1e-8) * torch.atan2(sine, cosine))
