"""The Gaussians of an avatar while they are being fitted: free parameters, and what they mean."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.avatar.avatar import Avatar
from pipeline.avatar.binding import BINDINGS, Anchors
from pipeline.avatar.deformation_field import DeformationField
from pipeline.avatar.posing import Free
from pipeline.avatar.skinning_grid import SkinningGrid
from pipeline.geometry.rotations import quaternion_multiply
from pipeline.runtime.jit import has_kernels

SH_C0 = 0.28209479177387814  # the constant spherical harmonic, 1 / (2 sqrt(pi))
_FREE = ("offsets", "quats", "log_scales", "logit_opacities")
_GOM_FLATNESS = 0.2  # thickness over breadth of a Gaussian on the mesh


class Posable(NamedTuple):
    """Gaussians in the rest pose as the renderer wants them."""

    means: Tensor  # [N, 3] metres
    quats: Tensor  # [N, 4] wxyz
    scales: Tensor  # [N, 3] metres
    opacities: Tensor  # [N] in (0, 1)
    sh: Tensor  # [N, K, 3]
    weights: Tensor  # [N, 24]


class Gaussians:
    """Gaussians anchored on a body (equations 1 and 2).

    Attributes:
        anchors: where each of them is bound.
        params: what is fitted, one row a Gaussian: offsets [N, 3] metres in the anchor's frame (two tangents, normal),
            quats [N, 4] relative to that frame, log_scales [N, 3], logit_opacities [N], sh0 [N, 1, 3], sh_rest
            [N, 3, 3].
        thickness: how far clothes and hair stand off the body near each joint, metres. [24]
        skinning: learnable differences from the body's skinning weights, shared by all; None for none.
        field: what moves places by the pose; None for nothing.
    """

    def __init__(self, anchors: Anchors, params: dict[str, Tensor], thickness: Tensor, binding: str) -> None:
        if binding not in BINDINGS:
            raise ValueError(f"binding must be one of {BINDINGS}, got {binding!r}")
        self.anchors, self.params, self.thickness, self.binding = anchors, params, thickness, binding
        self.skinning: SkinningGrid | None = None
        self.field: DeformationField | None = None

    @staticmethod
    def on_surface(anchors: Anchors, binding: str, scale: float, opacity: float, flatness: float) -> Gaussians:
        """Grey Gaussians lying on the surface.

        Args:
            anchors: one for each Gaussian.
            binding: one of `BINDINGS`.
            scale: standard deviation along the surface, metres.
            opacity: of each, in (0, 1).
            flatness: breadth over thickness.
        """
        points = anchors.points
        count = len(anchors)
        log_scales = points.new_tensor([scale, scale, scale / flatness]).log().repeat(count, 1)
        params = {
            "offsets": torch.zeros_like(points),
            "quats": points.new_tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1),
            "log_scales": log_scales,
            "logit_opacities": torch.logit(points.new_full((count,), opacity)),
            "sh0": points.new_zeros(count, 1, 3),
            "sh_rest": points.new_zeros(count, 3, 3),
        }
        return Gaussians(anchors, params, points.new_zeros(anchors.weights.shape[1]), binding)

    def __len__(self) -> int:
        return len(self.anchors)

    def select(self, index: Tensor) -> None:
        """Keep the Gaussians `index` (int64 [M]), in that order; one that comes twice is duplicated."""
        self.anchors = self.anchors.select(index)
        self.params = {name: value.detach()[index].clone() for name, value in self.params.items()}

    def with_params(self, params: dict[str, Tensor], thickness: Tensor) -> Gaussians:
        """The same Gaussians with other parameters."""
        other = Gaussians(self.anchors, params, thickness, self.binding)
        other.skinning, other.field = self.skinning, self.field
        return other

    def posable(self, betas_change: Tensor | None = None, sh_degree: int = 1) -> Posable:
        """Activated values; differentiable in all parameters.

        Args:
            betas_change: betas minus those the anchors were made with, None for none. [10]
            sh_degree: 0 leaves the first-order harmonics out.
        """
        params, anchors = self.params, self.anchors
        if self.binding == "gom":
            means, quats, scales, opacities = self._on_mesh()
        else:
            bound = anchors.points, anchors.frames, anchors.frame_quats, anchors.weights
            free = Free.apply if has_kernels(anchors.points) else free_gaussians
            means, quats, scales, opacities = free(*(params[name] for name in _FREE), self.thickness, *bound)
        weights = anchors.weights if self.skinning is None else self.skinning.weights(means, anchors.weights)
        if betas_change is not None:
            means = means + anchors.shapedirs @ betas_change
        sh = params["sh0"] if sh_degree == 0 else torch.cat([params["sh0"], params["sh_rest"]], dim=1)
        return Posable(means, quats, scales, opacities, sh, weights)

    @torch.no_grad()
    def stand_off(self) -> Tensor:  # [N, 3]
        """How far centres lie from their anchors in the rest pose, metres."""
        return self.posable(sh_degree=0).means - self.anchors.points

    def _on_mesh(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        params, anchors = self.params, self.anchors
        stand_off = params["offsets"][:, 2:] + (anchors.weights @ self.thickness)[:, None]
        breadth = params["log_scales"][:, :2]
        thickness = breadth.mean(1, keepdim=True) + math.log(_GOM_FLATNESS)
        scales = torch.cat([breadth, thickness], dim=1).exp()
        means = anchors.points + stand_off * anchors.normals
        return means, anchors.frame_quats, scales, params["logit_opacities"].sigmoid()

    @torch.no_grad()
    def avatar(self, betas: Tensor, betas_change: Tensor | None = None, sh_degree: int = 1) -> Avatar:
        """The Gaussians as they are now, as a finished avatar of shape `betas` [10]."""
        values = self.posable(betas_change, sh_degree)
        quats = torch.nn.functional.normalize(values.quats, dim=-1)
        return Avatar(values.means, quats, *values[2:], betas=betas, field=self.field)


def free_gaussians(
    offsets: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    log_scales: Tensor,  # [N, 3]
    logit_opacities: Tensor,  # [N]
    thickness: Tensor,  # [24]
    points: Tensor,  # [N, 3]
    frames: Tensor,  # [N, 3, 3]
    frame_quats: Tensor,  # [N, 4]
    weights: Tensor,  # [N, 24]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means, orientations, scales and opacities in the rest pose of Gaussians that may move anywhere."""
    stand_off = offsets[:, 2:] + (weights @ thickness)[:, None]
    local = torch.cat([offsets[:, :2], stand_off], dim=1)
    means = points + (frames @ local[..., None]).squeeze(-1)
    return means, quaternion_multiply(frame_quats, quats), log_scales.exp(), logit_opacities.sigmoid()
