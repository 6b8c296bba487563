"""Points of the posed surface, and how they move with the pose."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.avatar.binding import Anchors, anchor
from pipeline.avatar.seeding import seed_surface
from pipeline.body import PARENTS, BodyModel
from pipeline.fit.pose_rows import PoseRows

_POINTS = 2500
SPACING = 0.025  # metres between them, about


class Posed(NamedTuple):
    """The points of one frame, in the camera frame."""

    means: Tensor  # [N, 3] metres
    normals: Tensor  # [N, 3]
    by_correction: Tensor  # [N, 3, 75] Jacobian of the means by `PoseRows.correction`
    by_thickness: Tensor  # [N, 3, 24] and by the clothes' thickness at each joint


class Surface:
    """Points spread evenly over a body, which stand off it as far as clothes do.

    Attributes:
        points: anchors in the rest pose.
    """

    def __init__(self, body: BodyModel, betas: Tensor, seed: int) -> None:
        vertices, faces = body.shaped(betas).cpu().numpy(), body.faces.cpu().numpy()
        index, barycentric = seed_surface(vertices, faces, _POINTS, seed)
        index, barycentric = (torch.as_tensor(value, device=betas.device) for value in (index, barycentric))
        self.points: Anchors = anchor(body, betas, index, barycentric)
        self._body, self._betas = body, betas
        self._rest_joints = body.rest_joints(betas)
        self._subtree = _subtrees().to(betas)

    def __len__(self) -> int:
        return len(self.points)

    def posed(
        self,
        rows: PoseRows,
        frame: int,
        thickness: Tensor,  # [24]
    ) -> Posed:
        """Pose the points as the corrections say."""
        correction = rows.correction(frame)
        rotmats, pelvis = rows.apply(frame, correction)
        transl = pelvis - self._rest_joints[0]
        world = self._body.world_joints(rotmats[None], self._betas, transl[None])[0]
        turns, joints = world[:, :3, :3], world[:, :3, 3]
        points, weights = self.points, self.points.weights
        rest = points.points + (weights @ thickness)[:, None] * points.normals
        by_joint = torch.einsum("jab,njb->nja", turns, rest[:, None] - self._rest_joints) + joints  # [N, 24, 3]
        by_joint = weights[..., None] * by_joint
        means = by_joint.sum(1)
        outward = (torch.einsum("nj,jab->nab", weights, turns) @ points.normals[..., None]).squeeze(-1)

        # A joint's rotation moves what hangs on it: x' = axis x (sum_j w_j x_j - sum_j w_j J).
        lever = torch.einsum("kj,nja->nka", self._subtree, by_joint) - (weights @ self._subtree.T)[..., None] * joints
        axes = turns @ right_jacobian(correction[:-3].view(-1, 3))  # columns: axes of the correction's entries
        by_rotation = torch.linalg.cross(axes.transpose(1, 2)[None], lever[:, :, None], dim=-1)  # [N, 24, 3 axes, 3]
        by_rotation = by_rotation.flatten(1, 2).transpose(1, 2)  # [N, 3, 72]
        sideways = correction[-1].exp() * rows.initial_pelvis[frame, 2] * torch.eye(3, device=pelvis.device)[:, :2]
        place = torch.cat([sideways, pelvis[:, None]], dim=1)  # [3, 3]
        return Posed(
            means,
            torch.nn.functional.normalize(outward, dim=-1),
            torch.cat([by_rotation, place.expand(len(means), 3, 3)], dim=2),
            outward[..., None] * weights[:, None],
        )


def right_jacobian(vector: Tensor) -> Tensor:  # [K, 3] -> [K, 3, 3]
    """d exp(c + d) = exp(c) exp(J d): the right Jacobian of SO(3) (Sola et al. 2018, eq. 143)."""
    squared = vector.square().sum(-1)[:, None, None]
    angle = squared.clamp(min=1e-8).sqrt()
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    first = torch.where(squared < 1e-6, 0.5 - squared / 24, (1 - angle.cos()) / angle**2)
    second = torch.where(squared < 1e-6, 1 / 6 - squared / 120, (angle - angle.sin()) / angle**3)
    return torch.eye(3, device=vector.device) - first * skew + second * skew @ skew


def _subtrees() -> Tensor:  # [24, 24]
    """Row k: 1 for joint k and all that hangs on it."""
    result = torch.eye(24)
    for joint in range(23, 0, -1):
        result[PARENTS[joint]] += result[joint]
    return result
