"""Learnable skinning weights (equation 5): differences from the body's, on voxels around it (GART; Fast-SNARF's grid).

A voxel is shared by the Gaussians around it, so that neighbours move alike; free weights of each Gaussian would let
them drift apart. The grid lies in canonical space, where legs are apart: at rest, a voxel could belong to both.
"""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from pipeline.avatar.avatar import canonical_transforms, legs_apart
from pipeline.body import BodyModel, skin

_ACROSS = 64  # voxels along the longest side of the box (GART)
_MARGIN = 1.2  # of the box over the body's longest side (GART)
_VOXELS = (
    _ACROSS * _ACROSS * _ACROSS // 4
)  # of GART's box, a quarter as deep as broad: what its regularisers average over
_REACH = 0.1  # metres from the body's surface; Gaussians hardly go farther, and voxels beyond would only cost time
_CORNERS = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]


class SkinningGrid:
    """Differences of skinning weights on those voxels of a box that lie near a body; elsewhere they are zero.

    Attributes:
        differences: what is fitted, one row a voxel. [V, K]
    """

    def __init__(
        self,
        surface: Tensor,  # [S, 3]
        transforms: Tensor,  # [K, 4, 4]
    ) -> None:
        """
        Args:
            surface: the body's vertices in canonical space, metres. [S, 3]
            transforms: rigid motion of each of K joints from the rest pose to the canonical pose. [K, 4, 4]
        """
        low, high = surface.min(0).values, surface.max(0).values
        self._transforms = transforms
        self._pitch = float((high - low).max()) * _MARGIN / (_ACROSS - 1)
        # One voxel more than the reach on each side: places outside then see zeros only.
        self._origin = low - (_REACH + self._pitch)
        shape = ((high - low + 2 * (_REACH + self._pitch)) / self._pitch).ceil().long() + 1
        self._last = shape - 1
        axes = [torch.arange(int(count), device=surface.device) for count in shape]
        places = self._origin + self._pitch * torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        distance, _ = cKDTree(surface.cpu().numpy()).query(places.flatten(0, 2).cpu().numpy())
        near = torch.as_tensor(distance <= _REACH, device=surface.device)
        rows = torch.where(near, near.cumsum(0) - 1, -1).view(*shape.tolist())
        self._rows = rows  # [X, Y, Z] the voxel's row in `differences`, -1 = none
        self._adjacent = torch.cat([_adjacent(rows.transpose(0, axis)) for axis in range(3)])  # [E, 2] rows
        self._corners = torch.tensor(_CORNERS, device=surface.device)
        self.differences = surface.new_zeros(int(near.sum()), len(transforms))

    @staticmethod
    def around(
        body: BodyModel,
        betas: Tensor,  # [10]
    ) -> SkinningGrid:
        """The grid around a body of this shape, in the canonical pose."""
        transforms = canonical_transforms(body, betas, legs_apart().to(betas))
        return SkinningGrid(skin(body.shaped(betas), body.weights, transforms[None])[0], transforms)

    def weights(
        self,
        means: Tensor,  # [N, 3]
        base: Tensor,  # [N, K]
    ) -> Tensor:  # [N, K]
        """The body's weights plus the differences at the Gaussians' places, made positive and normalised (equation 5).

        Args:
            means: centres in the rest pose, metres. [N, 3]
            base: skinning weights of the body, which also take the centres to canonical space. [N, K]
        """
        if not self.differences.requires_grad and not self.differences.any():
            return base  # not freed yet
        with torch.no_grad():
            places = skin(means, base, self._transforms[None])[0]
        shifted = (base + self.sample(places)).clamp(min=0)
        return shifted / shifted.sum(1, keepdim=True).clamp(min=1e-8)

    def sample(
        self,
        places: Tensor,  # [N, 3]
    ) -> Tensor:  # [N, K]
        """Trilinear interpolation at places in canonical space, metres; differentiable in the differences.

        That a Gaussian could move to where the weights suit it better is left out: it would cost as much again, for
        differences that change little over the centimetres it may go.
        """
        with torch.no_grad():
            cell = torch.minimum(((places - self._origin) / self._pitch).clamp(min=0), self._last)
            lowest = torch.minimum(cell.long(), self._last - 1)
            part = (cell - lowest)[:, None]  # [N, 1, 3]
            shares = torch.where(self._corners > 0, part, 1 - part).prod(-1)  # [N, 8]
            rows = self._rows[(lowest[:, None] + self._corners).unbind(-1)]
            shares = shares * (rows >= 0)
            gaussians = torch.arange(len(places), device=places.device).repeat_interleave(len(_CORNERS))
            index = torch.stack([gaussians, rows.clamp(min=0).flatten()])
            shape = len(places), len(self.differences)
            matrix = torch.sparse_coo_tensor(index, shares.flatten(), shape, check_invariants=False)
        return torch.sparse.mm(matrix, self.differences)

    def variation(self) -> Tensor:
        """Mean absolute difference between voxels next to each other, over GART's box: total variation."""
        one, other = (self.differences.index_select(0, rows) for rows in self._adjacent.unbind(1))
        return (one - other).abs().sum() / (3 * _VOXELS * self.differences.shape[1])

    def size(self) -> Tensor:
        """Mean length of a voxel's differences, over GART's box."""
        return torch.linalg.vector_norm(self.differences, dim=1).sum() / _VOXELS


def _adjacent(rows: Tensor) -> Tensor:  # [X, Y, Z] -> [E, 2]
    """Pairs of rows of voxels that follow each other along the first axis."""
    pairs = torch.stack([rows[:-1], rows[1:]], dim=-1).flatten(0, 2)
    return pairs[(pairs >= 0).all(1)]
