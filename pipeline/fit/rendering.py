"""Gaussians placed in a pose, and drawn into a frame's crop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pipeline.avatar import pose_gaussians
from pipeline.avatar.cloth import Cloth
from pipeline.avatar.deformation_field import DeformationField
from pipeline.avatar.gaussians import Posable
from pipeline.body import BodyModel
from pipeline.fit.data import View
from pipeline.runtime.constant import constant
from pipeline.splatting import rasterization

_CAMERA_FRAME = tuple(tuple(float(row == column) for column in range(4)) for row in range(4))  # where the body is
# Draws an avatar in a frame's pose: frame, view, background [3] -> colours [h, w, 3] and coverage [h, w]
Draw = Callable[[int, View, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Rendered:
    """A frame's crop as rendered."""

    pixels: Tensor  # [h, w, 3 or 4] colours, and depth in metres where it was asked for
    alpha: Tensor  # [h, w]
    means: Tensor  # [N, 3] posed centres, metres in the camera frame
    meta: dict[str, Any]

    @property
    def image(self) -> Tensor:  # [h, w, 3]
        return self.pixels[..., :3]

    @property
    def depth(self) -> Tensor:  # [h, w] metres
        return self.pixels[..., 3]


def render(
    values: Posable,
    body: BodyModel,
    betas: Tensor,  # [10]
    rotmats: Tensor,  # [24, 3, 3]
    pelvis: Tensor,  # [3]
    view: View,
    background: Tensor,  # [3]
    with_depth: bool,
    sh_degree: int,
    field: DeformationField | None = None,
    cloth: Cloth | None = None,
) -> Rendered:
    """Render Gaussians in a pose."""
    transforms = _transforms(body, betas, rotmats, pelvis)
    if cloth is not None:
        means, sh = cloth.changed(values.means, values.sh, values.weights, transforms)
        values = values._replace(means=means, sh=sh)
    placed = pose_gaussians(values.means, values.quats, values.weights, transforms, field)
    return draw(values, *placed, view, background, with_depth, sh_degree)


def place(
    values: Posable,
    body: BodyModel,
    betas: Tensor,  # [10]
    rotmats: Tensor,  # [24, 3, 3]
    pelvis: Tensor,  # [3]
    field: DeformationField | None = None,
) -> tuple[Tensor, Tensor]:  # [N, 3], [N, 4]
    """Centres and orientations of Gaussians in a pose, metres in the camera frame."""
    transforms = _transforms(body, betas, rotmats, pelvis)
    return pose_gaussians(values.means, values.quats, values.weights, transforms, field)


def _transforms(
    body: BodyModel,
    betas: Tensor,  # [10]
    rotmats: Tensor,  # [24, 3, 3]
    pelvis: Tensor,  # [3]
) -> Tensor:  # [24, 4, 4]
    """From the rest pose to the posed body, of each joint, in the camera frame."""
    transl = pelvis - body.rest_joints(betas)[0]
    return body.transforms(rotmats[None], betas, transl[None])[0]


def draw(
    values: Posable,
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    view: View,
    background: Tensor,  # [3]
    with_depth: bool,
    sh_degree: int,
) -> Rendered:
    """Render Gaussians where they have been placed; their means and quats in `values` do not count."""
    width, height = view.size
    images, alphas, meta = rasterization(
        means,
        quats,
        values.scales,
        values.opacities,
        values.sh,
        constant(_CAMERA_FRAME, means.dtype, means.device)[None],
        view.K[None],
        width,
        height,
        sh_degree=sh_degree,
        backgrounds=background[None],
        render_mode="RGB+ED" if with_depth else "RGB",
    )
    return Rendered(images.squeeze(0), alphas.squeeze(0).squeeze(-1), means, meta)
