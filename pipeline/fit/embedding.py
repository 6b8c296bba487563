"""Losses of the Gaussians in canonical space, with cached neighbours: cloth-aware mesh embedding, and smoothness."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.avatar import canonical_transforms, legs_apart, pose_gaussians
from pipeline.avatar.binding import Anchors
from pipeline.avatar.gaussians import Gaussians, Posable
from pipeline.body import BodyModel, skin, vertex_normals
from pipeline.fit.settings import FitSettings
from pipeline.losses.camel import coverage, flatness, nearest, point_to_mesh, surface_alignment
from pipeline.losses.priors import roughness
from pipeline.rotations import quaternion_to_matrix

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
        self._settings = settings
        self._nearest_surface = self._nearest_mean = self._neighbours = None

    def refresh(self, values: Posable) -> None:
        """Search the neighbours anew: needed now and then, and whenever the number of Gaussians has changed."""
        with torch.no_grad():
            means, _ = self._canonical(values)
        self._nearest_surface = nearest(means, self._surface)
        self._nearest_mean = nearest(self._surface, means)
        self._neighbours = nearest(means, means, count=_NEIGHBOURS + 1)[:, 1:]

    def smoothness(self, gaussians: Gaussians) -> Tensor:
        """Weighted roughness of colours and, once they are free, of scales and opacities among nearest Gaussians."""
        weights, params = self._settings.weights, gaussians.params
        smooth = weights.smooth_colours * roughness(params["sh0"][:, 0], self._neighbours)
        if params["sh_rest"].requires_grad:
            smooth = smooth + weights.smooth_colours * roughness(params["sh_rest"].flatten(1), self._neighbours)
        if params["log_scales"].requires_grad:
            shapes = torch.cat([params["log_scales"], params["logit_opacities"][:, None]], dim=1)
            smooth = smooth + weights.smooth_shapes * roughness(shapes, self._neighbours)
        return smooth

    def camel(self, values: Posable, gaussians: Gaussians) -> Tensor:
        """Weighted sum of the four terms of equation 11."""
        weights, margins = self._settings.weights, self._settings.margins
        means, quats = self._canonical(values)
        log_scales = gaussians.params["log_scales"]
        near = self._nearest_surface
        normals = self._normals[near]
        return (
            weights.point_to_mesh * point_to_mesh(means, self._surface, self._normals, near, margins.cloth)
            + weights.coverage * coverage(means, self._surface, self._nearest_mean, margins.cloth)
            + weights.flatness * flatness(log_scales, margins.flatness_ratio)
            + weights.surface * surface_alignment(quaternion_to_matrix(quats), log_scales, normals)
        )

    def _canonical(self, values: Posable) -> tuple[Tensor, Tensor]:
        return pose_gaussians(values.means, values.quats, values.weights, self._transforms)
