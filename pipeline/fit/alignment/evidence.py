"""What a frame's crop says of the surface's points, linearised.

The points are the last dimension of most tensors here: with three or four numbers a point, operations on [4, N] are
many times as fast as on [N, 4].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from pipeline.fit.align_settings import Align
from pipeline.fit.alignment.nearest import nearest
from pipeline.fit.alignment.surface import SPACING, Posed, Surface
from pipeline.fit.data import View
from pipeline.losses.priors import robust_weight

_FACING = 0.1  # cosine between normal and line of sight above which a point can be seen
_CELL = 1.5  # cells of the visibility test, in mean distances between visible points
_BEHIND = 0.05  # metres behind a nearer point at which one is hidden
_OFTEN = 2.0  # frames in which a point must have been seen for its colour to be believed
_OUTLINE = 200  # points of a mask's outline at most
_EDGE = 1.5  # px within the mask's edge where depth maps mix near and far
_STEEPEST = 0.1  # metres a pixel: a larger slope of a depth map is a step, and says nothing of motion
# Residuals beyond these count less and less (Geman-McClure): colours in [0, 1], metres, metres.
_FAR_COLOUR, FAR_MASK, _FAR_DEPTH = 0.3, 0.08, 0.15
_MASK, _DISTANCE, _TRUSTED, _DEPTH = 3, 4, 5, 6  # layers after the three colours


@dataclass(frozen=True)
class Evidence:
    """What a frame says of each point's place q = (u, v, z, s): its cost is c + pull.dq + dq.weight.dq / 2.

    u and v are pixels, z is metres, and s is the depth that the plane of error adds to the map there, metres.
    """

    weight: Tensor  # [4, 4, N]
    pull: Tensor  # [4, N]
    project: Tensor  # [3, 3, N] Jacobian of (u, v, z) by the point
    by_plane: Tensor  # [3, N] Jacobian of s by the plane
    colours: Tensor  # [3, N] of the image at the points
    shown: Tensor  # [N] how well each point is seen, 0 to 1


@dataclass(frozen=True)
class Outline:
    """A mask as the alignment uses it."""

    distance: Tensor  # [h, w] px to the mask's edge, positive outside
    places: Tensor  # [2, M] px, points of the outline but for those at the border of the crop
    normals: Tensor  # [2, M] outward

    @staticmethod
    def of(view: View) -> Outline:
        mask = (view.mask > 127).cpu().numpy()
        sure = np.ones_like(mask) if view.sure is None else (view.sure > 127).cpu().numpy()
        padded = np.pad(mask, 1, mode="edge")
        signed = distance_transform_edt(~padded) - distance_transform_edt(padded)
        signed = (signed - 0.5 * np.sign(signed))[1:-1, 1:-1].astype(np.float32)
        rows, columns = np.nonzero(mask & sure & (signed > -1.2))
        height, width = mask.shape
        free = (rows > 2) & (columns > 2) & (rows < height - 3) & (columns < width - 3)
        rows, columns = rows[free], columns[free]
        if len(rows) > _OUTLINE:
            chosen = np.linspace(0, len(rows) - 1, _OUTLINE).round().astype(int)
            rows, columns = rows[chosen], columns[chosen]
        down, across = np.gradient(signed)
        signed = np.where(sure, signed, np.minimum(signed, 0))  # nothing sticks out where nothing is known
        normals = np.stack([across[rows, columns], down[rows, columns]])
        normals /= np.maximum(np.linalg.norm(normals, axis=0), 1e-6)
        places = np.stack([columns + 0.5, rows + 0.5]) + 0.5 * normals
        parts = signed, places, normals
        return Outline(*(torch.as_tensor(part, dtype=torch.float32, device=view.image.device) for part in parts))

    def beyond(
        self,
        u: Tensor,  # [N] px of the surface's points
        v: Tensor,  # [N]
        metre: Tensor,  # [N] px that a metre has at each
    ) -> tuple[Tensor, Tensor]:  # [M] int64, [M] px
        """For each place of the outline the nearest point, and how far the outline lies beyond the surface there."""
        index = nearest(self.places, u, v)
        apart = self.places - torch.stack([u, v])[:, index]
        return index, (apart * self.normals).sum(0) - 0.5 * SPACING * metre[index]

    def outside(self, u: Tensor, v: Tensor) -> Tensor:  # [N] px
        """How far points lie outside the mask; within it this is negative. In the crop's border what its edge has."""
        return sample(self.distance[None], u, v)[0][0]


@dataclass(frozen=True)
class Known:
    """What the frames together have told of the points."""

    colours: Tensor  # [3, N]
    seen: Tensor  # [N] in how many frames, about
    hairy: Tensor  # [N] as of `Surface`

    @staticmethod
    def nothing(surface: Surface) -> Known:
        unseen = torch.zeros_like(surface.hairy)
        return Known(unseen.expand(3, -1), unseen, surface.hairy)


def linearise(
    posed: Posed,
    view: View,
    outline: Outline,
    known: Known,
    plane: Tensor,  # [3]
    settings: Align,
) -> Evidence:
    """Compare the points with a frame's crop."""
    means = posed.means
    u, v, project = projected(means, view.K)
    z = means[2]
    inside, facing, visible = in_sight(posed, u, v, view)
    metre = view.K[0, 0] / z  # px
    values, slopes = sample(_layers(view, outline.distance), u, v)
    weight, pull = means.new_zeros(4, 4, len(u)), means.new_zeros(4, len(u))

    def add(
        residual: Tensor,  # [C, N]
        rows: Tensor,  # [C, 2, N] by u and v, or [C, 4, N]
        scale: Tensor,  # [N]
    ) -> None:
        scaled, count = scale * rows, rows.shape[1]
        weight[:count, :count] += (scaled[:, :, None] * rows[:, None]).sum(0)
        pull[:count] += (scaled * residual[:, None]).sum(0)

    # Colour: of points that have been seen before.
    confident = visible * (known.seen > _OFTEN) * values[_MASK]
    error = values[:3] - known.colours
    add(error, slopes[:3], _robust(error, _FAR_COLOUR) * confident / settings.sigma_colour**2)

    # What sticks out of the mask is pushed back, what falls short of its outline is drawn there. Sizes are in metres.
    out = values[_DISTANCE]
    per_metre = 1 / (settings.sigma_mask * metre) ** 2
    robust = _robust((out / metre)[None], FAR_MASK)
    add(out[None], slopes[_DISTANCE, None], robust * per_metre * (inside & (out > 0)))
    if outline.places.numel():
        normal, (index, short) = outline.normals, outline.beyond(u, v, metre)
        # Hair is no part of the body: what a head falls short of the outline by says nothing of its pose.
        scale = _robust((short / metre[index])[None], FAR_MASK) * (per_metre * (1 - known.hairy))[index] * (short > 0)
        weight[:2, :2].index_add_(2, index, scale * normal[:, None] * normal)
        pull[:2].index_add_(1, index, -(scale * short) * normal)

    by_plane = torch.zeros_like(means)
    if view.depth is not None:
        depth = values[_DEPTH]
        by_plane = depth * torch.cat([torch.ones_like(means[:1]), means[:2] / z])
        certain = visible & (values[_TRUSTED] > 0.999) & (depth > 0)
        error = (z - depth - plane @ by_plane) * certain
        # Whether a pixel is an outlier shows against the frame's others: all are off while the distance is.
        apart = error - error[certain].median() if certain.any() else error
        ones = torch.ones_like(means[:1])
        rows = torch.cat([-slopes[_DEPTH].clamp(-_STEEPEST, _STEEPEST), ones, -ones])
        scale = _robust(apart[None], _FAR_DEPTH) * certain / settings.sigma_depth**2
        add(error[None], (rows * certain)[None], scale)

    return Evidence(weight, pull, project, by_plane, values[:3], visible * values[_MASK] * facing.clamp(min=0))


def projected(
    means: Tensor,  # [3, N]
    K: Tensor,  # [3, 3]
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels u, v [N], and the Jacobian of (u, v, z) by the point [3, 3, N]."""
    x, y, z = means
    across, down = K[0, 0] / z, K[1, 1] / z
    zero, one = torch.zeros_like(z), torch.ones_like(z)
    project = torch.stack([across, zero, -across * x / z, zero, down, -down * y / z, zero, zero, one])
    return across * x + K[0, 2], down * y + K[1, 2], project.unflatten(0, (3, 3))


def in_sight(
    posed: Posed,
    u: Tensor,  # [N] px
    v: Tensor,  # [N]
    view: View,
) -> tuple[Tensor, Tensor, Tensor]:
    """Which points lie in the crop, the cosine between their normals and the way to the camera, and which are seen."""
    means, (width, height) = posed.means, view.size
    inside = (u > 1) & (v > 1) & (u < width - 1) & (v < height - 1)
    facing = -(posed.outward * means).sum(0) * (_squared(posed.outward) * _squared(means)).rsqrt()
    return inside, facing, inside & (facing > _FACING) & _in_front(u, v, means[2], inside & (facing > 0), view)


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
    """Colours over grey, mask and signed distance [5, h, w]; with a depth map whether it is trusted, and depth, too."""
    mask = view.mask.float() / 255
    if view.sure is not None:
        mask = mask * view.sure / 255
    image = view.image.permute(2, 0, 1).float() / 255 * mask + 0.5 * (1 - mask)
    layers = [blurred(image), mask[None], distance[None]]
    if view.depth is not None:
        trusted = (distance < -_EDGE) & (view.depth > 0) & (view.known > 127)
        layers += [trusted.float()[None], view.depth[None]]
    return torch.cat(layers)


def blurred(image: Tensor) -> Tensor:  # [C, h, w]
    """A Gaussian of about one pixel, so that a gradient tells of more than its own pixel."""
    image = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="replicate")
    for _ in range(4):  # means of two neighbours, four times: the binomial weights 1, 4, 6, 4, 1
        image = image[..., 1:] + image[..., :-1]
    for _ in range(4):
        image = image[:, 1:] + image[:, :-1]
    return image / 256


def sample(layers: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Values at pixels [C, N], and their central differences across and down [C, 2, N]."""
    _, height, width = layers.shape
    places = torch.stack([u / width, v / height], dim=-1) * 2 - 1
    steps = u.new_tensor([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]) * u.new_tensor([2 / width, 2 / height])
    grid = (places + steps[:, None])[None]  # [1, 5, N, 2]
    sampled = torch.nn.functional.grid_sample(layers[None], grid, padding_mode="border", align_corners=False)[0]
    return sampled[:, 0], (sampled[:, 1::2] - sampled[:, 2::2]) / 2


def _squared(vectors: Tensor) -> Tensor:  # [C, N] -> [N]
    return vectors.square().sum(0)


def _robust(residual: Tensor, scale: float) -> Tensor:  # [C, N] -> [N]
    return robust_weight(_squared(residual), scale)
