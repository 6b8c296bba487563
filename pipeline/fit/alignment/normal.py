"""A frame's normal equations: what its evidence says of the unknowns."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.fit.alignment import normal_kernels
from pipeline.fit.alignment.evidence import Evidence
from pipeline.fit.alignment.normal_kernels import AT_LENGTH, AT_PLANE, AT_THICKNESS, COLUMNS, UNKNOWNS
from pipeline.fit.alignment.surface import Posed, Skeleton, Surface, by_turns
from pipeline.runtime.jit import has_kernels


def normal_equations(surface: Surface, posed: Posed, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Hessian [U, U] and gradient [U] of a frame's cost: correction (75), plane (3), thickness, lengths (24 each)."""
    by = by_kernels if has_kernels(posed.means) else by_torch
    return by(surface, posed, evidence)


def by_torch(surface: Surface, posed: Posed, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """`normal_equations` with the whole Jacobian written out, on any device and in any precision."""
    by_correction, by_thickness, by_length = surface.jacobians(posed)
    project, weight, pull = (value.movedim(-1, 0) for value in (evidence.project, evidence.weight, evidence.pull))
    jacobian = pull.new_zeros(len(pull), 4, UNKNOWNS)
    jacobian[:, :3, :AT_PLANE] = project @ by_correction
    jacobian[:, 3, AT_PLANE:AT_THICKNESS] = evidence.by_plane.T
    jacobian[:, :3, AT_THICKNESS:AT_LENGTH] = project @ by_thickness
    jacobian[:, :3, AT_LENGTH:] = project @ by_length
    flat = jacobian.flatten(0, 1)
    return flat.T @ (weight @ jacobian).flatten(0, 1), flat.T @ pull.flatten()


def by_kernels(surface: Surface, posed: Posed, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """`normal_equations` summed by joints first; float32 on the CPU."""
    turns, joints, axes, place = (part.numpy() for part in posed.skeleton)
    owners, shares = surface.influences
    products, sums = torch.zeros(COLUMNS, COLUMNS), torch.zeros(COLUMNS)
    normal_kernels.accumulate(
        owners.numpy(),
        shares.numpy(),
        posed.rest.numpy(),
        surface.rest_joints.numpy(),
        turns,
        posed.outward.numpy(),
        evidence.project.numpy(),
        evidence.by_plane.numpy(),
        evidence.weight.numpy(),
        evidence.pull.numpy(),
        products.numpy(),
        sums.numpy(),
    )
    motions = torch.zeros(COLUMNS, UNKNOWNS)
    stretch = surface.stretch(posed.skeleton.joints).numpy()
    normal_kernels.motions(axes, joints, place, surface.subtree.numpy(), stretch, motions.numpy())
    return motions.T @ (products @ motions), motions.T @ sums


def point_equations(
    skeleton: Skeleton,  # of F frames
    points: Tensor,  # [F, P, 3]
    owners: Tensor,  # [P] int64
    subtree: Tensor,  # [24, 24]
    by_point: Tensor,  # [F, P, D, 3]
    error: Tensor,  # [F, P, D]
    weight: Tensor,  # [F, P]
) -> tuple[Tensor, Tensor]:  # [F, U, U], [F, U]
    """Hessians and gradients of half the weighted squared errors of points that each move with one joint.

    Args:
        skeleton: at the current poses.
        points: in the camera frame, metres.
        owners: the joint of each.
        subtree: see `Surface`.
        by_point: Jacobian of the errors by the points.
    """
    by_place = skeleton.place.transpose(-1, -2)[:, None].expand(-1, points.shape[1], 3, 3)
    by_pose = torch.cat([by_turns(skeleton, points, owners, subtree), by_place], 2)  # [F, P, 75, 3]
    rows = by_point @ by_pose.transpose(-1, -2)  # [F, P, D, 75]
    scale = weight[..., None]
    hessian = error.new_zeros(len(points), UNKNOWNS, UNKNOWNS)
    gradient = error.new_zeros(len(points), UNKNOWNS)
    flat = rows.flatten(1, 2).transpose(1, 2)
    hessian[:, :AT_PLANE, :AT_PLANE] = flat @ (scale[..., None] * rows).flatten(1, 2)
    gradient[:, :AT_PLANE] = (flat @ (scale * error).flatten(1, 2)[..., None]).squeeze(-1)
    return hessian, gradient
