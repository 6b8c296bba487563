"""Losses of the Gaussians in canonical space, with cached neighbours: cloth-aware mesh embedding, and smoothness."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline.avatar import canonical_transforms, legs_apart, pose_gaussians
from pipeline.avatar.binding import Anchors
from pipeline.avatar.gaussians import Gaussians, Posable
from pipeline.body import BodyModel, skin, vertex_normals
from pipeline.fit.settings import FitSettings
from pipeline.losses.camel import Factors, Surface, camel, nearest
from pipeline.losses.priors import Neighbours, roughness

_NEIGHBOURS = 4


class Embedding:
    """Equation 11 for a body in canonical space, and the smoothness of neighbouring Gaussians.

    The surface is sampled evenly by area: the paper takes SMPL's vertices, which are about even; those of other bodies
    are not, and a mean over them would look at hands and faces only.
    """

    def __init__(self, body: BodyModel, betas: Tensor, samples: Anchors, settings: FitSettings) -> None:
        self._transforms = canonical_transforms(body, betas, legs_apart().to(betas))
        vertices = skin(body.shaped(betas), body.weights, self._transforms[None])[0]
        corners = body.faces[samples.faces]
        normals = vertex_normals(vertices, body.faces)[corners]
        self._surface = (samples.barycentric[..., None] * vertices[corners]).sum(1)
        self._normals = torch.nn.functional.normalize((samples.barycentric[..., None] * normals).sum(1), dim=-1)
        self._weights = weights = settings.weights
        margins = settings.margins
        self._factors = Factors(
            weights.point_to_mesh,
            weights.coverage,
            weights.flatness,
            weights.surface,
            margins.cloth,
            margins.flatness_ratio,
        )
        self._near: Surface | None = None
        self._neighbours: Neighbours | None = None

    def refresh(self, values: Posable) -> None:
        """Search the neighbours anew: needed now and then, and whenever the number of Gaussians has changed."""
        with torch.no_grad():
            means, _ = self._canonical(values)
        near = nearest(means, self._surface), nearest(self._surface, means)
        self._near = Surface(self._surface, self._normals, *near)
        self._neighbours = Neighbours.of(nearest(means, means, count=_NEIGHBOURS + 1)[:, 1:])

    def smoothness(self, gaussians: Gaussians) -> Tensor:
        """Weighted roughness of colours and, once they are free, of scales and opacities among nearest Gaussians."""
        colours, shapes = math.sqrt(self._weights.smooth_colours), math.sqrt(self._weights.smooth_shapes)
        params = gaussians.params
        values = [colours * params["sh0"][:, 0]]
        if params["sh_rest"].requires_grad:
            values.append(colours * params["sh_rest"].flatten(1))
        if params["log_scales"].requires_grad:
            values += [shapes * params["log_scales"], shapes * params["logit_opacities"][:, None]]
        return roughness(torch.cat(values, dim=1), self._neighbours)

    def camel(self, values: Posable, gaussians: Gaussians) -> Tensor:
        """Weighted sum of the four terms of equation 11."""
        means, quats = self._canonical(values)
        return camel(means, quats, gaussians.params["log_scales"], self._near, self._factors)

    def _canonical(self, values: Posable) -> tuple[Tensor, Tensor]:
        return pose_gaussians(values.means, values.quats, values.weights, self._transforms)
