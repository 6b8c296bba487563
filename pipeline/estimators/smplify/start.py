"""World landmarks made up from a picture, for a detector that gives pixels alone; and where a body of them stands."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.motion.limbs import LIMBS

# What the first pose is made from: of these a detector must know all.
NEEDED = tuple(LANDMARK_NAMES[k] for limb in LIMBS for k in limb[0])
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
    for (limb, *_), lengths, forward in zip(LIMBS, _BONES, _FORWARD):
        for start, end, length, sign in zip(limb, limb[1:], lengths, forward):
            depth[:, end] = depth[:, start] + sign * front * _hidden(world[:, end] - world[:, start], length)
    return torch.cat([world[..., :2], depth[..., None]], -1)


def _scale(xy: Tensor) -> Tensor:  # [B, 33, 2] -> []
    """Metres a pixel: that makes bones as long as a body's, those and in the frames that show them longest."""
    bones = [bone for (limb, *_), lengths in zip(LIMBS, _BONES) for bone in zip(limb, limb[1:], lengths)]
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
