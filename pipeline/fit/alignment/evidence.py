"""What a frame's crop says of the surface's points, linearised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor

from pipeline.fit.alignment.surface import SPACING, Posed
from pipeline.fit.data import View
from pipeline.fit.settings import Align

PLANE = 3  # unknowns of a depth map's relative error: constant, and slopes across and down the image
_FACING = 0.1  # cosine between normal and line of sight above which a point can be seen
_CELL = 1.5  # cells of the visibility test, in mean distances between visible points
_BEHIND = 0.05  # metres behind a nearer point at which one is hidden
_OFTEN = 2.0  # frames in which a point must have been seen for its colour to be believed
_OUTLINE = 200  # points of a mask's outline at most
_EDGE = 1.5  # px within the mask's edge where depth maps mix near and far
_STEEPEST = 0.1  # metres a pixel: a larger slope of a depth map is a step, and says nothing of motion
# Residuals beyond these count less and less (Geman-McClure): colours in [0, 1], metres, metres.
_FAR_COLOUR, _FAR_MASK, _FAR_DEPTH = 0.3, 0.08, 0.15
_MASK, _TRUSTED, _DISTANCE, _DEPTH = 3, 4, 5, 6  # layers after the three colours


@dataclass(frozen=True)
class Evidence:
    """The cost of a frame about its current pose is c + gradient.d + d.hessian.d / 2."""

    hessian: Tensor  # [U, U] correction (75), depth plane (3), thickness (24)
    gradient: Tensor  # [U]
    colours: Tensor  # [N, 3] of the image at the points
    shown: Tensor  # [N] how well each point is seen, 0 to 1


@dataclass(frozen=True)
class Outline:
    """A mask as the alignment uses it."""

    distance: Tensor  # [h, w] px to the mask's edge, positive outside
    places: np.ndarray  # (M, 2) px, points of the outline but for those at the border of the crop
    normals: np.ndarray  # (M, 2) outward

    @staticmethod
    def of(view: View) -> Outline:
        mask = (view.mask > 127).cpu().numpy()
        padded = np.pad(mask, 1, mode="edge")
        signed = distance_transform_edt(~padded) - distance_transform_edt(padded)
        signed = (signed - 0.5 * np.sign(signed))[1:-1, 1:-1].astype(np.float32)
        rows, columns = np.nonzero(mask & (signed > -1.2))
        height, width = mask.shape
        free = (rows > 2) & (columns > 2) & (rows < height - 3) & (columns < width - 3)
        rows, columns = rows[free], columns[free]
        if len(rows) > _OUTLINE:
            chosen = np.linspace(0, len(rows) - 1, _OUTLINE).round().astype(int)
            rows, columns = rows[chosen], columns[chosen]
        down, across = np.gradient(signed)
        normals = np.stack([across[rows, columns], down[rows, columns]], axis=1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
        places = np.stack([columns + 0.5, rows + 0.5], axis=1) + 0.5 * normals
        distance = torch.as_tensor(signed, device=view.image.device)
        return Outline(distance, places.astype(np.float32), normals.astype(np.float32))


@dataclass(frozen=True)
class Known:
    """What the frames together have told of the points."""

    colours: Tensor  # [N, 3]
    seen: Tensor  # [N] in how many frames, about
    hairy: Tensor  # [N] how much a point belongs to what hair covers, 0 to 1


def linearise(
    posed: Posed,
    view: View,
    outline: Outline,
    known: Known,
    plane: Tensor,  # [3]
    settings: Align,
) -> Evidence:
    """Compare the points with a frame's crop.

    Every residual depends on a point's u, v, z and on s, the depth that the plane of error adds to the map there: a
    point's evidence is `weight` [4, 4] and `pull` [4] in these four.
    """
    means = posed.means
    u, v, project = projected(means, view.K)
    width, height = view.size
    inside = (u > 1) & (v > 1) & (u < width - 1) & (v < height - 1)
    metre = view.K[0, 0] / means[:, 2]  # px
    facing = -(posed.normals * means).sum(-1) / means.norm(dim=-1)
    visible = inside & (facing > _FACING) & _in_front(u, v, means[:, 2], inside & (facing > 0), view)
    values, slopes = _sample(_layers(view, outline.distance), u, v)
    weight, pull = means.new_zeros(len(u), 4, 4), means.new_zeros(len(u), 4)

    def add(
        residual: Tensor,  # [N] or [N, C]
        rows: Tensor,  # [N, 4] or [N, C, 4]
        scale: Tensor,  # [N]
    ) -> None:
        if residual.dim() == 1:
            residual, rows = residual[:, None], rows[:, None]
        scaled = scale[:, None, None] * rows
        weight.add_(scaled.transpose(1, 2) @ rows)
        pull.add_((scaled * residual[..., None]).sum(1))

    # Colour: of points that have been seen before.
    confident = visible * (known.seen > _OFTEN) * values[:, _MASK]
    error = values[:, :3] - known.colours
    add(error, _padded(slopes[:, :3]), _robust(error, _FAR_COLOUR) * confident / settings.sigma_colour**2)

    # What sticks out of the mask is pushed back, what falls short of its outline is drawn there. Sizes are in metres.
    out = values[:, _DISTANCE]
    per_metre = 1 / (settings.sigma_mask * metre) ** 2
    add(
        out,
        _padded(slopes[:, _DISTANCE]),
        _robust((out / metre)[:, None], _FAR_MASK) * per_metre * (inside & (out > 0)),
    )
    if len(outline.places):
        index = cKDTree(torch.stack([u, v], dim=-1).cpu().numpy()).query(outline.places)[1]
        index = torch.as_tensor(index, device=u.device)
        place, normal = (torch.as_tensor(value, device=u.device) for value in (outline.places, outline.normals))
        short = ((place - torch.stack([u, v], dim=-1)[index]) * normal).sum(-1) - 0.5 * SPACING * metre[index]
        # Hair is no part of the body: what a head falls short of the outline by says nothing of its pose.
        scale = (
            _robust((short / metre[index])[:, None], _FAR_MASK) * (per_metre * (1 - known.hairy))[index] * (short > 0)
        )
        weight[:, :2, :2].index_add_(0, index, scale[:, None, None] * normal[:, :, None] * normal[:, None])
        pull[:, :2].index_add_(0, index, -(scale * short)[:, None] * normal)

    rays = torch.cat([torch.ones_like(means[:, :1]), means[:, :2] / means[:, 2:]], dim=1)
    by_plane = values[:, _DEPTH, None] * rays  # [N, 3] ds / dplane
    if view.depth is not None:
        certain = visible & (values[:, _TRUSTED] > 0.999) & (values[:, _DEPTH] > 0)
        error = (means[:, 2] - values[:, _DEPTH] - by_plane @ plane) * certain
        # Whether a pixel is an outlier shows against the frame's others: all are off while the distance is.
        apart = error - error[certain].median() if certain.any() else error
        ones = torch.ones_like(error)
        rows = torch.cat([-slopes[:, _DEPTH].clamp(-_STEEPEST, _STEEPEST), ones[:, None], -ones[:, None]], dim=1)
        add(error, rows * certain[:, None], _robust(apart[:, None], _FAR_DEPTH) * certain / settings.sigma_depth**2)

    # Jacobian of (u, v, z, s) by correction, plane and thickness.
    columns = posed.by_correction.shape[2]
    jacobian = means.new_zeros(len(u), 4, columns + PLANE + posed.by_thickness.shape[2])
    jacobian[:, :3, :columns] = project @ posed.by_correction
    jacobian[:, 3, columns : columns + PLANE] = by_plane
    jacobian[:, :3, columns + PLANE :] = project @ posed.by_thickness
    flat = jacobian.flatten(0, 1)
    hessian = flat.T @ (weight @ jacobian).flatten(0, 1)
    shown = visible * values[:, _MASK] * facing.clamp(min=0)
    return Evidence(hessian, flat.T @ pull.flatten(), values[:, :3], shown)


def _padded(slopes: Tensor) -> Tensor:  # [..., 2] -> [..., 4]
    """Derivatives by u and v, those by z and s zero."""
    return torch.nn.functional.pad(slopes, (0, 2))


def projected(
    means: Tensor,  # [N, 3]
    K: Tensor,  # [3, 3]
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels u, v [N], and the Jacobian of (u, v, z) by the point [N, 3, 3]."""
    x, y, z = means.unbind(-1)
    u, v = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
    zero, one = torch.zeros_like(z), torch.ones_like(z)
    project = torch.stack(
        [K[0, 0] / z, zero, -K[0, 0] * x / z**2, zero, K[1, 1] / z, -K[1, 1] * y / z**2, zero, zero, one], dim=-1
    )
    return u, v, project.unflatten(-1, (3, 3))


def _in_front(u: Tensor, v: Tensor, depth: Tensor, candidates: Tensor, view: View) -> Tensor:
    """Whether no other point is clearly nearer in the same cell of the image."""
    width, height = view.size
    area = (view.mask > 127).sum().clamp(min=1) / candidates.sum().clamp(min=1)
    cell = float(_CELL * area.sqrt())
    columns = int(width / cell) + 2
    place = (v / cell).long().clamp(0, int(height / cell)) * columns + (u / cell).long().clamp(0, columns - 1)
    nearest = torch.full((columns * (int(height / cell) + 1),), torch.inf, device=u.device)
    nearest.scatter_reduce_(0, place[candidates], depth[candidates], "amin")
    return depth < nearest[place] + _BEHIND


def _layers(view: View, distance: Tensor) -> Tensor:
    """Colours over grey, mask, whether depth is trusted, signed distance, depth: [7, h, w]."""
    mask = view.mask.float() / 255
    image = (view.image.float() / 255 * mask[..., None] + 0.5 * (1 - mask[..., None])).permute(2, 0, 1)
    image = _blurred(image)
    depth = torch.zeros_like(mask) if view.depth is None else view.depth
    trusted = ((distance < -_EDGE) & (depth > 0)).float()
    return torch.cat([image, torch.stack([mask, trusted, distance, depth])])


def _blurred(image: Tensor) -> Tensor:  # [C, h, w]
    """A Gaussian of about one pixel, so that a gradient tells of more than its own pixel."""
    kernel = image.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    image = torch.nn.functional.pad(image[:, None], (2, 2, 2, 2), mode="replicate")
    image = torch.nn.functional.conv2d(image, kernel.view(1, 1, 1, 5))
    return torch.nn.functional.conv2d(image, kernel.view(1, 1, 5, 1))[:, 0]


def _sample(layers: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Values at pixels [N, C], and their central differences across and down [N, C, 2]."""
    _, height, width = layers.shape

    def at(du: float, dv: float) -> Tensor:
        grid = torch.stack([(u + du) / width * 2 - 1, (v + dv) / height * 2 - 1], dim=-1)[None, None]
        sampled = torch.nn.functional.grid_sample(layers[None], grid, padding_mode="border", align_corners=False)
        return sampled[0, :, 0].T

    return at(0, 0), torch.stack([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)], dim=-1) / 2


def _robust(residual: Tensor, scale: float) -> Tensor:  # [N, C] -> [N]
    """Weight of a residual under the Geman-McClure penalty (pipeline.losses.priors.robust)."""
    return (scale**2 / (residual.square().sum(-1) + scale**2)) ** 2
