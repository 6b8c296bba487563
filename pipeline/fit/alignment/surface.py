"""Points of the posed surface, and how they move with the pose."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.avatar.binding import Anchors, anchor
from pipeline.avatar.seeding import seed_surface
from pipeline.body import PARENTS, BodyModel
from pipeline.fit.pose_rows import PoseRows
from pipeline.losses.search import Searchable

_POINTS = 2500
_HAIRY = [12, 15]  # neck, head
_BONES = [4, 5, 7, 8, 16, 17, 18, 19, 20, 21]  # that end at knees, ankles, shoulders, elbows and wrists
SPACING = 0.025  # metres between them, about


class Skeleton(NamedTuple):
    """Joints in the camera frame, and what `PoseRows.correction` moves them by. Of several frames: [F, ...]."""

    turns: Tensor  # [24, 3, 3]
    joints: Tensor  # [24, 3] metres
    axes: Tensor  # [24, 3, 3] columns: the axes that the entries of each joint's correction turn about
    place: Tensor  # [3, 3] Jacobian of any point by the last three entries


class Posed(NamedTuple):
    """The points of one frame, in the camera frame. They are the last dimension, for speed: see evidence.py."""

    skeleton: Skeleton
    rest: Tensor  # [3, N] metres, in the rest pose, with clothes
    means: Tensor  # [3, N] metres
    outward: Tensor  # [3, N] Jacobian of the means by the clothes' thickness; along the normals


class Surface:
    """Points spread evenly over a body, which stand off it as far as clothes do.

    Attributes:
        points: anchors in the rest pose.
        rest_joints: [24, 3] metres.
        subtree: row k: 1 for joint k and all that hangs on it, else 0. [24, 24]
        hairy: how much each point belongs to what hair covers, 0 to 1. [N]
        influences: joints that each point hangs on, ascending, int64, and their weights, zeros after the last. [N, K]
    """

    def __init__(self, body: BodyModel, betas: Tensor, seed: int) -> None:
        vertices, faces = body.shaped(betas).cpu().numpy(), body.faces.cpu().numpy()
        index, barycentric = seed_surface(vertices, faces, _POINTS, seed)
        index, barycentric = (torch.as_tensor(value, device=betas.device) for value in (index, barycentric))
        self.points: Anchors = _grouped(anchor(body, betas, index, barycentric))
        # With the points last.
        self._points, self._normals, self._weights = (
            value.T.contiguous() for value in (self.points.points, self.points.normals, self.points.weights)
        )
        self._body, self._betas = body, betas
        self.rest_joints = body.rest_joints(betas)
        self.subtree = _subtrees().to(betas)
        self._stretched = _stretched().to(betas)
        self.hairy = self.points.weights[:, _HAIRY].sum(1)
        self.influences = _influences(self.points.weights)

    def __len__(self) -> int:
        return len(self.points)

    def dress(
        self,
        places: Tensor,  # [M, 3]
        stand_off: Tensor,  # [M, 3]
    ) -> None:
        """Move each point by what the nearest of some places on the body stands off it there, in the rest pose."""
        nearest = Searchable(places).nearest(self.points.points)
        self._points = (self.points.points + stand_off[nearest]).T.contiguous()

    def skeletons(
        self,
        rows: PoseRows,
        frames: Tensor,  # [F]
    ) -> list[Skeleton]:
        """Of each frame. All at once: one by one, these small operations would take longer than the points."""
        corrections = rows.correction(frames)
        rotmats, pelvis = rows.apply(frames, corrections)
        world = self._body.world_joints(rotmats, self._betas, pelvis - self.rest_joints[0])
        turns, joints = world[..., :3, :3].contiguous(), world[..., :3, 3].contiguous()
        axes = turns @ right_jacobian(corrections[:, :-3].reshape(-1, 3)).view_as(turns)
        distance = corrections[:, -1].exp() * rows.initial_pelvis[frames, 2]
        sideways = distance[:, None, None] * torch.eye(3, device=pelvis.device)[:, :2]
        place = torch.cat([sideways, pelvis[..., None]], dim=-1)
        return [Skeleton(*parts) for parts in zip(turns, joints, axes, place)]

    def posed(
        self,
        skeleton: Skeleton,
        thickness: Tensor,  # [24]
    ) -> Posed:
        """Pose the points as the corrections say."""
        turns, joints = skeleton.turns, skeleton.joints
        rest = self._points + (thickness @ self._weights) * self._normals
        shifts = joints - (turns @ self.rest_joints[..., None]).squeeze(-1)
        turn, shift = (turns.flatten(1).T @ self._weights).unflatten(0, (3, 3)), shifts.T @ self._weights
        return Posed(skeleton, rest, (turn * rest).sum(1) + shift, (turn * self._normals).sum(1))

    def stretch(
        self,
        joints: Tensor,  # [24, 3] in the camera frame
    ) -> Tensor:  # [24, 24, 3]
        """How what hangs on joint j moves where the limb that ends at joint k is longer; the limb itself: by half."""
        parents = [max(parent, 0) for parent in PARENTS]
        along = torch.nn.functional.normalize(joints - joints[parents], dim=-1)
        return self._stretched[..., None] * along

    def jacobians(self, posed: Posed) -> tuple[Tensor, Tensor, Tensor]:
        """Of the means by `PoseRows.correction` [N, 3, 75], and by clothes' thickness and bones' lengths [N, 3, 24]."""
        turns, joints, axes, place = posed.skeleton
        weights = self.points.weights
        by_joint = torch.einsum("jab,njb->nja", turns, posed.rest.T[:, None] - self.rest_joints) + joints
        by_joint = weights[..., None] * by_joint  # [N, 24, 3]
        # A joint's rotation moves what hangs on it: x' = axis x (sum_j w_j x_j - sum_j w_j J).
        lever = torch.einsum("kj,nja->nka", self.subtree, by_joint) - (weights @ self.subtree.T)[..., None] * joints
        by_rotation = torch.linalg.cross(axes.transpose(1, 2)[None], lever[:, :, None], dim=-1)  # [N, 24, 3 axes, 3]
        by_rotation = by_rotation.flatten(1, 2).transpose(1, 2)  # [N, 3, 72]
        by_correction = torch.cat([by_rotation, place.expand(len(weights), 3, 3)], dim=2)
        by_length = torch.einsum("nj,jka->nak", weights, self.stretch(joints))
        return by_correction, posed.outward.T[..., None] * weights[:, None], by_length


def by_turns(
    skeleton: Skeleton,
    points: Tensor,  # [F, P, 3]
    owners: Tensor,  # [P] int64
    subtree: Tensor,  # [24, 24]
) -> Tensor:  # [F, P, 72, 3]
    """How points that each move with one joint, `owners`, move with the joints' turns; `skeleton` is of F frames."""
    lever = (points[:, :, None] - skeleton.joints[:, None]) * subtree.T[owners][..., None]  # what hangs on it is turned
    return torch.linalg.cross(skeleton.axes.transpose(-1, -2)[:, None], lever[..., None, :], dim=-1).flatten(2, 3)


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


def _stretched() -> Tensor:  # [24, 24]
    """How far what hangs on joint j moves, for each metre that the bone that ends at joint k gets longer."""
    result = torch.zeros(24, 24)
    result[:, _BONES] = _subtrees()[_BONES].T
    for joint in _BONES:
        result[PARENTS[joint], joint] = 0.5
    return result


def _grouped(points: Anchors) -> Anchors:
    """Those that hang on the same joints one after the other, which the kernels count on for speed."""
    sets = (points.weights > 0).unique(dim=0, return_inverse=True)[1]
    return points.select(sets.argsort(stable=True))


def _influences(weights: Tensor) -> tuple[Tensor, Tensor]:  # [N, 24] -> [N, K] twice
    used = weights > 0
    order = (~used).to(torch.int8).argsort(dim=1, stable=True)[:, : int(used.sum(1).max())]
    return order, weights.gather(1, order)
