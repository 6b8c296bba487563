"""A frame's normal equations: what its evidence says of the unknowns."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.fit.alignment import normal_kernels
from pipeline.fit.alignment.evidence import Evidence
from pipeline.fit.alignment.normal_kernels import AT_PLANE, AT_THICKNESS, COLUMNS, UNKNOWNS
from pipeline.fit.alignment.surface import Posed, Surface
from pipeline.runtime.jit import has_kernels


def normal_equations(surface: Surface, posed: Posed, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Hessian [U, U] and gradient [U] of a frame's cost by correction (75), depth plane (3) and thickness (24)."""
    by = by_kernels if has_kernels(posed.means) else by_torch
    return by(surface, posed, evidence)


def by_torch(surface: Surface, posed: Posed, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """`normal_equations` with the whole Jacobian written out, on any device and in any precision."""
    by_correction, by_thickness = surface.jacobians(posed)
    project, weight, pull = (value.movedim(-1, 0) for value in (evidence.project, evidence.weight, evidence.pull))
    jacobian = pull.new_zeros(len(pull), 4, UNKNOWNS)
    jacobian[:, :3, :AT_PLANE] = project @ by_correction
    jacobian[:, 3, AT_PLANE:AT_THICKNESS] = evidence.by_plane.T
    jacobian[:, :3, AT_THICKNESS:] = project @ by_thickness
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
    normal_kernels.motions(axes, joints, place, surface.subtree.numpy(), motions.numpy())
    return motions.T @ (products @ motions), motions.T @ sums
