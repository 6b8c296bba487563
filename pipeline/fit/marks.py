"""Landmarks as evidence of the pose: points of the body that a detector has found in the image.

Outline and colours tell little of a forearm before the chest; a detector has seen wrist and elbow there. What it does
not know, the depth, is no part of this evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.body import BodyModel
from pipeline.fit.pose_rows import PoseRows
from pipeline.landmarks.detector import SOURCE
from pipeline.landmarks.on_body import landmark_map
from pipeline.losses.priors import robust, robust_weight

_OFFSET = 0.015  # metres: `Marks.spread` of a detector whose landmarks were measured
_STIFF_FRAMES = 0.1  # neighbouring frames tell the same of a person: so much of each counts for the offsets


@dataclass(frozen=True)
class Sighted:
    """A clip's landmarks as `landmarks.npz` has them, in the full picture."""

    names: tuple[str, ...]
    xy: Tensor  # [T, L, 2] px
    visibility: Tensor  # [T, L] in [0, 1]
    K: Tensor  # [3, 3] px of the full picture
    source: str = SOURCE  # says which points the names mean


@dataclass(frozen=True)
class Marks:
    """The landmarks that have a place on the body, each moving with one joint."""

    joint: Tensor  # [L]
    rest: Tensor  # [L, 3] metres in the rest pose
    xy: Tensor  # [T, L, 2] px
    weights: Tensor  # [T, L] how far each is to be trusted, 0 where it is not seen
    K: Tensor  # [3, 3]
    spread: float = _OFFSET  # metres: where this person's landmarks lie apart from where they lie on the mean body

    @staticmethod
    def of(
        seen: Sighted,
        body: BodyModel,
        betas: Tensor,  # [10]
        rows: PoseRows,
    ) -> Marks:
        """On a body of this shape, where they lie on this person: as the poses that `rows` begin with show it."""
        where = landmark_map(body, seen.names, seen.source)
        marks = Marks(
            where.joint.to(betas.device),
            where.rest(betas, torch.zeros_like(where.template)),
            seen.xy[:, where.index],
            seen.visibility[:, where.index] * where.trust.to(betas),
            seen.K,
            where.spread * _OFFSET,
        )
        return replace(marks, rest=marks.rest + marks._offsets(body, betas, rows))

    @torch.no_grad()
    def _offsets(self, body: BodyModel, betas: Tensor, rows: PoseRows) -> Tensor:  # [L, 3]
        """The constant part of what the initial poses leave, in the axes of the joints; least squares with a prior."""
        world = body.world_joints(rows.initial_rotmats, betas, rows.initial_pelvis - body.rest_joints(betas)[0])
        points = self.posed(world, body.rest_joints(betas))
        error, per_metre = self.errors(points, self.xy)
        slope = per_metre @ world[:, self.joint, :3, :3]  # [T, L, 2, 3]
        scale = (self.weights * robust_weight(error.square().sum(-1), self.spread * 3))[..., None, None] * _STIFF_FRAMES
        hessian = (slope.transpose(-1, -2) @ (scale * slope)).sum(0) / self.spread**2
        gradient = (slope.transpose(-1, -2) @ (scale * error[..., None])).sum(0) / self.spread**2
        eye = torch.eye(3, device=betas.device) / self.spread**2
        return -torch.linalg.solve(hessian + eye, gradient).squeeze(-1)

    def zoomed(self, factor: float) -> Marks:
        """The same by a camera whose focal length is `factor` times as long."""
        return replace(self, K=self.K * self.K.new_tensor([[factor, factor, 1], [factor, factor, 1], [1, 1, 1]]))

    def posed(
        self,
        world: Tensor,  # [..., 24, 4, 4]
        rest_joints: Tensor,  # [24, 3]
    ) -> Tensor:  # [..., L, 3]
        """In metres, in the camera frame, given the joints' frames (`BodyModel.world_joints`)."""
        frames = world[..., self.joint, :, :]
        lever = (self.rest - rest_joints[self.joint])[..., None]
        return (frames[..., :3, :3] @ lever).squeeze(-1) + frames[..., :3, 3]

    def errors(
        self,
        points: Tensor,  # [..., L, 3]
        xy: Tensor,  # [..., L, 2]
    ) -> tuple[Tensor, Tensor]:  # [..., L, 2], [..., L, 2, 3]
        """How far points lie beside their pixels, in metres at their distance, and the Jacobian by the points."""
        depth = points[..., 2:].clamp(min=0.1)
        ray = (xy - self.K[:2, 2]) / torch.stack([self.K[0, 0], self.K[1, 1]])
        flat = points[..., :2] / depth
        error = (flat - ray) * depth.detach()
        eye = torch.eye(2, device=points.device).expand(*points.shape[:-1], 2, 2)
        return error, torch.cat([eye, -flat[..., None]], dim=-1).detach()


def mark_loss(error: Tensor, weights: Tensor, scale: float) -> Tensor:  # [L, 2], [L] -> []
    """Mean robust squared distance, square metres."""
    return (weights * robust(error.square().sum(-1), scale)).sum() / weights.sum().clamp(min=1e-6)
