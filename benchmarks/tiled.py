"""The rival on the CPU: a rasterizer in plain torch, in tiles of 16 x 16 pixels, its gradient by autograd.

What one writes in torch who knows 3D Gaussian Splatting: all Gaussians are projected at once, the (tile, Gaussian)
pairs are sorted once by tile and depth, and each tile that is not empty is a few dense operations over its pixels and
its Gaussians. It has the conventions of `pipeline.splatting.rasterization`, and gives the same image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline.geometry.rotations import quaternion_to_matrix
from pipeline.splatting.reference import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN, project

TILE = 16
_EPS2D = 0.3
_NEAR = 0.01


def rasterization(
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    scales: Tensor,  # [N, 3]
    opacities: Tensor,  # [N]
    colors: Tensor,  # [N, 3]
    viewmats: Tensor,  # [1, 4, 4]
    Ks: Tensor,  # [1, 3, 3]
    width: int,
    height: int,
) -> tuple[Tensor, Tensor]:
    """Colour and expected depth [1, height, width, 4], and alpha [1, height, width, 1], of one camera.

    Args as those of `pipeline.splatting.rasterization` with render_mode "RGB+ED" and no background; metres and pixels.
    """
    means2d, conics, depths = _project(means, quats, scales, viewmats[0], Ks[0], width, height)
    values = torch.cat([colors, depths[:, None]], 1)
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    counts, ids = _bin(means2d, conics, depths, opacities, tiles_x, tiles_y)
    empty = means.new_zeros(TILE * TILE, 5)
    blended = [empty] * len(counts)
    pixels = _pixels(means)
    first = 0
    for tile, count in enumerate(counts):
        if count == 0:
            continue
        here = ids[first : first + count]
        first += count
        centre = means.new_tensor([tile % tiles_x + 0.5, tile // tiles_x + 0.5]) * TILE
        weights = _weights(means2d[here] - centre, conics[here], opacities[here], pixels)
        blended[tile] = torch.cat([weights @ values[here], weights.sum(1, keepdim=True)], 1)
    image = torch.stack(blended).view(tiles_y, tiles_x, TILE, TILE, 5).transpose(1, 2)
    image = image.reshape(tiles_y * TILE, tiles_x * TILE, 5)[:height, :width]
    alpha = image[..., 4:]
    return torch.cat([image[..., :3], image[..., 3:4] / alpha.clamp_min(1e-10)], -1)[None], alpha[None]


@torch.no_grad()
def contributing_pairs(scene: dict[str, Tensor | int]) -> int:
    """How many (pixel, Gaussian) pairs count in an image: the work that no rasterizer can leave out.

    `scene` holds the arguments of `rasterization`.
    """
    opacities, width, height = scene["opacities"], scene["width"], scene["height"]
    geometry = (scene["means"], scene["quats"], scene["scales"], scene["viewmats"][0], scene["Ks"][0], width, height)
    means2d, conics, depths = _project(*geometry)
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    counts, ids = _bin(means2d, conics, depths, opacities, tiles_x, tiles_y)
    pixels, first, total = _pixels(means2d), 0, 0
    for tile, count in enumerate(counts):
        here = ids[first : first + count]
        first += count
        centre = means2d.new_tensor([tile % tiles_x + 0.5, tile // tiles_x + 0.5]) * TILE
        inside = ((pixels + centre) < means2d.new_tensor([width, height])).all(1)
        weights = _weights(means2d[here] - centre, conics[here], opacities[here], pixels[inside])
        total += int((weights > 0).sum())
    return total


def _project(means, quats, scales, viewmat, K, width, height):
    axes = quaternion_to_matrix(torch.nn.functional.normalize(quats, dim=-1)) * scales[:, None, :]
    return project(means, axes @ axes.transpose(1, 2), viewmat, K, width, height, _EPS2D)


def _pixels(like: Tensor) -> Tensor:  # [256, 2]
    """Centres of a tile's pixels, x and y from the tile's own centre, row by row."""
    side = torch.arange(TILE, dtype=like.dtype) + 0.5 - TILE / 2
    y, x = torch.meshgrid(side, side, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


@torch.no_grad()
def _bin(means2d, conics, depths, opacities, tiles_x: int, tiles_y: int) -> tuple[list[int], Tensor]:
    """How many Gaussians reach each tile, and which, tile after tile, nearest first."""
    covariances = torch.linalg.inv(conics)
    reach = (2 * torch.log(opacities / ALPHA_MIN)).clamp_min(0).sqrt()  # in standard deviations
    extents = reach[:, None] * torch.stack([covariances[:, 0, 0], covariances[:, 1, 1]], -1).sqrt() + 0.01
    most = torch.tensor([tiles_x, tiles_y])
    low = ((means2d - extents) / TILE).floor().long().clamp_min(0)
    high = torch.minimum(((means2d + extents) / TILE).floor().long() + 1, most)
    drawn = (depths >= _NEAR) & (opacities >= ALPHA_MIN) & (high > low).all(-1)
    order = torch.argsort(depths, stable=True)
    order = order[drawn[order]]
    low, spans = low[order], (high - low)[order]
    sizes = spans[:, 0] * spans[:, 1]
    rank = torch.repeat_interleave(torch.arange(len(order)), sizes)
    within = torch.arange(len(rank)) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    x = low[rank, 0] + within % spans[rank, 0]
    y = low[rank, 1] + within // spans[rank, 0]
    tile = y * tiles_x + x
    by_tile = torch.argsort(tile, stable=True)  # keeps the order of depth within a tile
    return torch.bincount(tile, minlength=tiles_x * tiles_y).tolist(), order[rank[by_tile]]


def _weights(means2d: Tensor, conics: Tensor, opacities: Tensor, pixels: Tensor) -> Tensor:  # [P, M]
    """How much each of a tile's Gaussians [M], nearest first, counts in each of its pixels [P, 2]."""
    # The exponent is quadratic in x and y: one matrix product, of what is known of pixels and of Gaussians. Logarithms
    # of the transmittance are summed, for the gradient of a cumulative sum costs less than that of a product.
    x, y = pixels.unbind(1)
    u, v = means2d.unbind(1)
    a, b, c = 0.5 * conics[:, 0, 0], conics[:, 0, 1], 0.5 * conics[:, 1, 1]
    of_pixels = torch.stack([x * x, x * y, y * y, x, y, torch.ones_like(x)], 1)
    constant = torch.log(opacities) - a * u * u - b * u * v - c * v * v
    of_gaussians = torch.stack([-a, -b, -c, 2 * a * u + b * v, 2 * c * v + b * u, constant])
    covered = torch.exp(of_pixels @ of_gaussians).clamp_max(ALPHA_MAX)
    covered = covered * (covered >= ALPHA_MIN)
    passed = torch.log1p(-covered)
    light = passed.cumsum(1)
    return covered * torch.exp(light - passed) * (light > math.log(TRANSMITTANCE_MIN))
