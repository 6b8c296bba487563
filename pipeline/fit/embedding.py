"""Losses of the Gaussians in canonical space, with cached neighbours: cloth-aware mesh embedding, and smoothness."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from pipeline.avatar import canonical_transforms, joint_motions, legs_apart, move_gaussians
from pipeline.avatar.binding import HELD, Anchors
from pipeline.avatar.gaussians import Gaussians, Posable
from pipeline.body import BodyModel, skin, vertex_normals
from pipeline.fit.settings import FitSettings
from pipeline.geometry.rotations import quaternion_to_matrix
from pipeline.losses.camel import Factors, Surface, camel, tips
from pipeline.losses.priors import Neighbours, roughness
from pipeline.losses.search import Searchable

_NEIGHBOURS = 4
Found = TypeVar("Found", Surface, Neighbours)


class Embedding:
    """Equation 11 for a body in canonical space, and the smoothness of neighbouring Gaussians.

    The surface is sampled evenly by area: the paper takes SMPL's vertices, which are about even; those of other bodies
    are not, and a mean over them would look at hands and faces only.
    """

    def __init__(self, body: BodyModel, betas: Tensor, samples: Anchors, settings: FitSettings) -> None:
        transforms = canonical_transforms(body, betas, legs_apart().to(betas))
        self._motions = joint_motions(transforms)
        vertices = skin(body.shaped(betas), body.weights, transforms[None])[0]
        corners = body.faces[samples.faces]
        normals = vertex_normals(vertices, body.faces)[corners]
        self._surface = (samples.barycentric[..., None] * vertices[corners]).sum(1)
        self._normals = torch.nn.functional.normalize((samples.barycentric[..., None] * normals).sum(1), dim=-1)
        self._weights = weights = settings.weights
        margins = settings.margins
        terms = weights.point_to_mesh, weights.coverage, weights.flatness, weights.surface, weights.tips
        # With the weight of the whole in them, gradients come out as they are needed, and are not scaled again.
        measures = margins.cloth, margins.flatness_ratio, margins.tips
        self._factors = Factors(*(weights.camel * term for term in terms), *measures)
        self._held = settings.binding in HELD
        self._searchable = Searchable(self._surface)
        self._near: Surface | None = None
        self._neighbours: Neighbours | None = None
        self._blended: Tensor | None = None  # [N, 16] the motions by the weights of each Gaussian

    def refresh(self, values: Posable) -> None:
        """Search the neighbours anew: needed now and then, and whenever the number of Gaussians has changed."""
        with torch.no_grad():
            self._blended = _written(self._blended, values.weights @ self._motions)
            means, quats = self._canonical(values)
        around = Searchable(means)
        if self._held:
            near = self._searchable.nearest(means), around.nearest(self._surface)
            tips_near = self._nearest_to_tips(means, quats, values.scales)
            self._near = _updated(self._near, Surface(self._surface, self._normals, *near, tips_near))
        around_each = around.nearest(means, count=_NEIGHBOURS + 1)[:, 1:]
        self._neighbours = _updated(self._neighbours, Neighbours.of(around_each))

    @torch.no_grad()
    def _nearest_to_tips(self, means: Tensor, quats: Tensor, scales: Tensor) -> Tensor:
        if self._factors.tips == 0:
            return torch.zeros(0, 6, dtype=torch.int64, device=means.device)
        ends = tips(means, quaternion_to_matrix(quats), scales.log())
        return self._searchable.nearest(ends.flatten(0, 1)).view(-1, 6)

    def smoothness(self, gaussians: Gaussians) -> Tensor:
        """Weighted roughness of colours and, once they are free, of scales and opacities among nearest Gaussians."""
        colours, shapes = self._weights.smooth_colours, self._weights.smooth_shapes
        params = gaussians.params
        parts = [(colours, params["sh0"])]
        if params["sh_rest"].requires_grad:
            parts.append((colours, params["sh_rest"]))
        if params["log_scales"].requires_grad:
            parts += [(shapes, params["log_scales"]), (shapes, params["logit_opacities"])]
        return roughness(parts, self._neighbours)

    def camel(self, values: Posable, gaussians: Gaussians) -> Tensor:
        """Weighted sum of the terms of equation 11 and of the tips'."""
        means, quats = self._canonical(values)
        return camel(means, quats, gaussians.params["log_scales"], self._near, self._factors)

    def _canonical(self, values: Posable) -> tuple[Tensor, Tensor]:
        return move_gaussians(values.means, values.quats, self._blended)


def _updated(old: Found | None, new: Found) -> Found:
    """`new`, written to where `old` is as far as it fits: what was captured of a step goes on reading there."""
    kept = (None,) * len(new) if old is None else old
    return type(new)(*map(_written, kept, new))


def _written(old: Tensor | None, new: Tensor) -> Tensor:
    return new if old is None or old.shape != new.shape else old.copy_(new)
