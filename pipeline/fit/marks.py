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
    mean: Tensor  # [L, 3] metres in the rest pose: where they lie on people
    rest: Tensor  # [L, 3] and where on this person
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
        mean, joints = where.rest(betas, torch.zeros_like(where.template)), body.rest_joints(betas)
        marks = Marks(
            where.joint.to(betas.device),
            mean,
            mean,
            seen.xy[:, where.index],
            seen.visibility[:, where.index] * where.trust.to(betas),
            seen.K,
            where.spread * _OFFSET,
        )
        with torch.no_grad():
            world = body.world_joints(rows.initial_rotmats, betas, rows.initial_pelvis - joints[0])
        return marks.as_in(world, torch.arange(len(world), device=betas.device), joints)

    @torch.no_grad()
    def as_in(
        self,
        world: Tensor,  # [F, 24, 4, 4]
        frames: Tensor,  # [F]
        rest_joints: Tensor,  # [24, 3]
    ) -> Marks:
        """The same, but on this person where some poses show them: what these leave all along, in the joints' axes.

        Least squares, with a prior about where they lie on people.
        """
        error, per_metre = replace(self, rest=self.mean).errors_in(world, frames, rest_joints)
        slope = per_metre @ world[:, self.joint, :3, :3]  # [F, L, 2, 3]
        trusted = self.weights[frames] * robust_weight(error.square().sum(-1), self.spread * 3)
        scale = trusted[..., None, None] * _STIFF_FRAMES
        hessian = (slope.transpose(-1, -2) @ (scale * slope)).sum(0) / self.spread**2
        gradient = (slope.transpose(-1, -2) @ (scale * error[..., None])).sum(0) / self.spread**2
        eye = torch.eye(3, device=world.device) / self.spread**2
        return replace(self, rest=self.mean - torch.linalg.solve(hessian + eye, gradient).squeeze(-1))

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

    def errors_in(
        self,
        world: Tensor,  # [F, 24, 4, 4]
        frames: Tensor,  # [F]
        rest_joints: Tensor,  # [24, 3]
    ) -> tuple[Tensor, Tensor]:
        """`errors` of some frames in these poses."""
        return self.errors(self.posed(world, rest_joints), self.xy[frames])

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
