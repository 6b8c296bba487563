"""An imported motion set down on the person: size, shape and place fitted to the landmarks, its rotations nearly held.

Another tool's shape is of another body, its rest pose is turned a little otherwise in every joint, and its distance is
of its own camera and its own idea of the stature. All of that is constant over a clip or slow, and landmarks tell it.
How the person moves is left as the tool has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.body import BodyModel
from pipeline.geometry.mesh_raster import rasterize
from pipeline.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from pipeline.landmarks.on_body import LandmarkMap
from pipeline.losses.priors import robust
from pipeline.runtime.progress import track

_STEPS, _RATE = 150, 0.03
_SIGMA_MARK, _FAR_MARK = 0.03, 0.1  # metres at the person's distance
_SIGMA_TURN = 0.15  # radians by which a joint's rest direction differs between two bodies
_SIGMA_ROOT = 0.05  # radians, of the whole person
_SIGMA_SIZE = 0.3  # logarithm of the distance's factor
_SIGMA_SHIFT = 0.3  # metres beside the path that the tool found
_SIGMA_ACCELERATION = 5.0  # m/s^2 that such a shift has
_SIGMA_OFFSET = 0.015  # metres: where this person's landmarks lie apart from where they lie on the mean body
_STIFF_FRAMES = 0.1  # neighbouring frames tell the same of a person: so much of each counts for what is constant
_OUTLINES = 40  # frames in which the outline is compared
_LONGEST = 320  # px, of the pictures in which it is


@dataclass(frozen=True)
class Landed:
    """A motion in the camera frame, T frames."""

    rotations: Tensor  # [T, 24, 3] axis-angle
    betas: Tensor  # [10]
    pelvis: Tensor  # [T, 3] metres


def land(
    body: BodyModel,
    imported: Landed,
    sigma_shape: float,
    marks: LandmarkMap,
    xy: Tensor,  # [T, L, 2] px
    trusted: Tensor,  # [T, L] in [0, 1], 0 where one is not seen
    K: Tensor,  # [3, 3]
    fps: float,
) -> Landed:
    """Fit what is constant in a motion's errors to landmarks: shape, distance, rest directions; and a slow shift.

    Args:
        imported: the motion; its betas are what the shape is drawn to.
        sigma_shape: by how much the betas may differ from those.
        marks: where the landmarks lie on the body.
        xy, trusted: of those landmarks, in their order.
        K, fps: of the clip.
    """
    frames = len(xy)
    rotmats = axis_angle_to_matrix(imported.rotations)
    zeros = rotmats.new_zeros
    betas, turns, shift = zeros(10), zeros(24, 3), zeros(frames, 3)
    size, offsets = zeros(1), zeros(len(marks.names), 3)
    unknowns = [betas, turns, shift, size, offsets]
    for value in unknowns:
        value.requires_grad_()
    optimizer = torch.optim.Adam(
        [
            {"params": [betas], "lr": 3 * _RATE},
            {"params": [turns, shift, size]},
            {"params": [offsets], "lr": 0.1 * _RATE},
        ],
        lr=_RATE,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS, eta_min=0.02 * _RATE)
    focal = torch.stack([K[0, 0], K[1, 1]])
    ray = (xy - K[:2, 2]) / focal
    sigma_turn = rotmats.new_full((24, 1), _SIGMA_TURN)
    sigma_turn[0] = _SIGMA_ROOT

    def posed() -> tuple[Tensor, Tensor, Tensor]:
        turned = rotmats @ axis_angle_to_matrix(turns)
        shape, pelvis = imported.betas + betas, imported.pelvis * size.exp() + shift
        return turned, shape, pelvis

    for _ in track(range(_STEPS), "set down", unit="step"):
        turned, shape, pelvis = posed()
        rest = body.rest_joints(shape)
        points = marks.posed(body.world_joints(turned, shape, pelvis - rest[0]), rest, marks.rest(shape, offsets))
        depth = points[..., 2].clamp(min=0.1)
        error = (points[..., :2] / depth[..., None] - ray) * depth.detach()[..., None]
        seen = (trusted * robust(error.square().sum(-1), _FAR_MARK)).sum() / _SIGMA_MARK**2
        slow = (shift / _SIGMA_SHIFT).square().sum()
        if frames > 2:
            slow = slow + (shift.diff(n=2, dim=0) * fps**2 / _SIGMA_ACCELERATION).square().sum()
        constant = (
            (betas / sigma_shape).square().sum()
            + (turns / sigma_turn).square().sum()
            + (size / _SIGMA_SIZE).square().sum()
            + (offsets / _SIGMA_OFFSET).square().sum()
        )
        optimizer.zero_grad()
        ((_STIFF_FRAMES * (seen + slow) + constant) / frames).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        turned, shape, pelvis = posed()
    return Landed(matrix_to_axis_angle(turned), shape, pelvis)


@torch.no_grad()
def outline_overlap(body: BodyModel, motion: Landed, masks: Sequence[np.ndarray], K: np.ndarray) -> float:
    """Mean overlap (IoU) of the body's outline and the masks, in some frames spread over the clip.

    Args:
        masks: one a frame, (H, W) uint8, 255 = person; empty ones are left out.
        K: of the masks' pixels. (3, 3)
    """
    usable = [index for index, mask in enumerate(masks) if (mask > 127).any()]
    chosen = [usable[k] for k in np.unique(np.linspace(0, len(usable) - 1, _OUTLINES).astype(int))] if usable else []
    rest = body.rest_joints(motion.betas)[0]
    overlaps = []
    for index in chosen:
        step = max(1, -(-max(masks[index].shape) // _LONGEST))
        mask = masks[index][step // 2 :: step, step // 2 :: step] > 127
        pose = motion.rotations[index]
        vertices = body(
            pose[None, 0], pose[None, 1:].flatten(1), motion.betas, (motion.pelvis[index] - rest)[None]
        ).vertices[0]
        scaled = K / [[step], [step], [1]]
        drawn = rasterize(vertices.double().numpy(), body.faces.numpy(), scaled, mask.shape[1], mask.shape[0]).mask
        overlaps.append((drawn & mask).sum() / (drawn | mask).sum())
    return float(np.mean(overlaps)) if overlaps else 0.0
