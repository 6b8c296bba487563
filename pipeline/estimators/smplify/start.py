"""A first pose straight from the world landmarks: the root from the torso, the limbs from their bones' directions.

A detector that gives pixels alone has none; `picture_world` makes some up from the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.body import JOINT_NAMES
from pipeline.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from pipeline.landmarks.detector import LANDMARK_NAMES

_J = {name: k for k, name in enumerate(JOINT_NAMES)}
# mediapipe's landmarks of a limb, its two joints, the rest direction of its bones, the axis about which the second
# joint bends (positive angles).
_LIMBS = (
    ((11, 13, 15), ("left_shoulder", "left_elbow"), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
    ((12, 14, 16), ("right_shoulder", "right_elbow"), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    ((23, 25, 27), ("left_hip", "left_knee"), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
    ((24, 26, 28), ("right_hip", "right_knee"), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
)

# What the first pose is made from: of these a detector must know all.
NEEDED = tuple(LANDMARK_NAMES[k] for limb in _LIMBS for k in limb[0])
# Metres, of a body of the usual size: between shoulders, between hips; torso, and the two bones of arms and legs.
_BREADTHS = ((11, 12, 0.35), (23, 24, 0.24))
_TORSO, _BONES = 0.46, ((0.26, 0.25), (0.26, 0.25), (0.40, 0.40), (0.40, 0.40))
_FORWARD = ((1, 1), (1, 1), (1, -1), (1, -1))  # whether elbow and hand, knee and foot, come forward where a limb bends
_SHORTER = 0.93  # a bone that looks longer than this share of its length lies in the picture's plane
_CLEARLY = 0.1  # metres that fronts lie beside backs: more is no surer


def picture_world(
    xy: Tensor,  # [B, 33, 2]
    visibility: Tensor,  # [B, 33]
) -> Tensor:  # [B, 33, 3]
    """Metres in camera axes, as far as a picture tells: what looks shorter than it is, is turned out of its plane.

    Which way shoulders and hips are turned follows from where the nose lies before the ears or the shoulders, and toes
    before heels; which way limbs and torso bend, from which way the person looks: torso, knees and hands come forward,
    feet go back. What the detector did not see is at a guess.
    """
    world = torch.cat([xy * _scale(xy), torch.zeros_like(xy[..., :1])], -1)
    ahead = _ahead(world[..., 0], visibility)
    facing = sum(world[:, left, 0] - world[:, right, 0] for left, right, _ in _BREADTHS)
    front = -(facing / sum(breadth for *_, breadth in _BREADTHS)).clamp(-1, 1)  # z of the way that the person looks
    depth = torch.zeros_like(world[..., 2])
    for left, right, breadth in _BREADTHS:
        # Who looks to the right of the picture has the left side away from the camera.
        turned = 0.5 * ahead * _hidden(world[:, left] - world[:, right], breadth)
        depth[:, left], depth[:, right] = turned, -turned
    lean = front * _hidden((world[:, 11] + world[:, 12] - world[:, 23] - world[:, 24]) / 2, _TORSO)
    depth[:, [11, 12]] += lean[:, None]
    for (limb, *_), lengths, forward in zip(_LIMBS, _BONES, _FORWARD):
        for start, end, length, sign in zip(limb, limb[1:], lengths, forward):
            depth[:, end] = depth[:, start] + sign * front * _hidden(world[:, end] - world[:, start], length)
    return torch.cat([world[..., :2], depth[..., None]], -1)


def _scale(xy: Tensor) -> Tensor:  # [B, 33, 2] -> []
    """Metres a pixel: that makes bones as long as a body's, those and in the frames that show them longest."""
    bones = [bone for (limb, *_), lengths in zip(_LIMBS, _BONES) for bone in zip(limb, limb[1:], lengths)]
    longest = [torch.quantile(torch.linalg.norm(xy[:, a] - xy[:, b], dim=-1), 0.9) / length for a, b, length in bones]
    return 1 / torch.quantile(torch.stack(longest), 0.75).clamp_min(1.0)


def _hidden(bone: Tensor, length: float) -> Tensor:  # [B, 3] -> [B]
    """How much of a bone's length the picture does not show, metres."""
    seen = torch.linalg.norm(bone[:, :2], dim=-1)
    return ((_SHORTER * length) ** 2 - seen.square()).clamp_min(0).sqrt()


def _ahead(x: Tensor, visibility: Tensor) -> Tensor:  # [B, 33], [B, 33] -> [B]
    """Whether the front of the person lies to the right (1) or left (-1) of the back in the picture; 0: neither."""
    told = torch.zeros_like(x[:, 0])
    for front, back in ((0, (7, 8)), (0, (11, 12)), (31, (29,)), (32, (30,))):
        sure = torch.minimum(visibility[:, front], visibility[:, back].amin(1))
        told = told + sure * (x[:, front] - x[:, back].mean(1))
    return (told / _CLEARLY).clamp(-1, 1)


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
    for (top, middle, end), (first, second), rest, hinge in _LIMBS:
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


def linear_translation(
    points: Tensor,  # [B, L, 3]
    xy: Tensor,  # [B, L, 2]
    weights: Tensor,  # [B, L]
    K: Tensor,  # [3, 3]
) -> Tensor:  # [B, 3]
    """The translation that makes points project onto their pixels, by linear least squares.

    From `fx (X + tx) = (u - cx) (Z + tz)` and its like for y: two equations a point in (tx, ty, tz).
    """
    focal = torch.stack([K[0, 0], K[1, 1]])
    ray = (xy - K[:2, 2]) / focal  # [B, L, 2]
    known = ray * points[..., 2:] - points[..., :2]
    zeros, ones = torch.zeros_like(ray[..., 0]), torch.ones_like(ray[..., 0])
    rows_x = torch.stack([ones, zeros, -ray[..., 0]], dim=-1)
    rows_y = torch.stack([zeros, ones, -ray[..., 1]], dim=-1)
    rows = torch.cat([rows_x, rows_y], dim=1)
    root_weights = torch.cat([weights, weights], dim=1).sqrt()[..., None]
    rows, right = rows * root_weights, torch.cat([known[..., 0], known[..., 1]], dim=1)[..., None] * root_weights
    return torch.linalg.lstsq(rows.double(), right.double()).solution.squeeze(-1).to(points)
