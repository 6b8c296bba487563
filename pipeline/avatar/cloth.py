"""Cloth that moves: what a pose changes of places and colours beyond the skinning, a linear model.

A sleeve slides up an arm that is raised, folds come and go, shade wanders. A rigidly skinned Gaussian can follow none of
it. So each joint has a few features of the pose of what is around it, its own rotation and those of its parent and its
children (principal components of what the trained frames show), and each Gaussian adds so many offsets and changes of
colour times them, the features blended by its skinning weights. That is SMPL's pose blend shapes, learnt for one person
and kept local: what arms do tells nothing of trousers.

In poses that no trained frame is near, nothing is known: features end where the frames' end, and the correction fades.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar.deformation_field import bends
from pipeline.body import PARENTS
from pipeline.formats.avatar import ClothFile
from pipeline.runtime.constant import constant

# Difference of rotation matrices over which the correction fades by 1 / e beyond what was seen; one degree is 0.025.
_FADES = 0.4
_LEAST = 0.05  # the same: what varies less, all around a joint, is noise of the poses, and is not magnified
_ENTRIES = 9  # of a rotation matrix


def _is_near(joint: int, other: int) -> bool:
    """Whether what `other` does is looked at for `joint`: itself, its parent and its children."""
    return joint == other or PARENTS[joint] == other or PARENTS[other] == joint


# For each joint which of the `bends` count: the root's turn is nobody's.
_NEAR = tuple(
    tuple(float(_is_near(joint, other)) for other in range(1, len(PARENTS)) for _ in range(_ENTRIES))
    for joint in range(len(PARENTS))
)


@dataclass(frozen=True)
class Features:
    """What is looked at of a pose.

    Attributes:
        mean: of the `bends` of the trained frames. [207]
        axes: of each joint, orthogonal to each other; 0 where a joint is not near. [24, K, 207]
        units: `bends` along an axis to one of its feature. [24]
        low, high: the features' range in the trained frames. [24, K]
        slack: how far at most a trained frame is from all that the features can tell. [24]
    """

    mean: Tensor
    axes: Tensor
    units: Tensor
    low: Tensor
    high: Tensor
    slack: Tensor

    @staticmethod
    def of(
        transforms: Tensor,  # [T, 24, 4, 4]
        count: int,
    ) -> Features:
        """The first `count` principal components around each joint, as trained frames show them.

        All features of a joint have the unit of its first one: those that vary little change little.
        """
        shown = torch.stack([bends(each) for each in transforms])
        mean = shown.mean(0)
        around = (shown - mean)[None] * constant(_NEAR, shown.dtype, shown.device)[:, None]  # [24, T, 207]
        _, spread, axes = torch.linalg.svd(around, full_matrices=False)
        axes, spread = axes[:, :count], spread[:, :count] / len(shown) ** 0.5
        if axes.shape[1] < count:  # fewer frames than features
            missing = axes.new_zeros(len(axes), count - axes.shape[1], axes.shape[2])
            axes = torch.cat([axes, missing], dim=1)
        units = spread[:, 0].clamp(min=_LEAST)
        values = torch.einsum("jkd,jtd->tjk", axes, around) / units[:, None]
        low, high = values.amin(0), values.amax(0)
        rest = around.square().sum(-1).T - (values * units[:, None]).square().sum(-1)
        return Features(mean, axes, units, low, high, rest.clamp(min=0).sqrt().amax(0))

    def __call__(
        self,
        transforms: Tensor,  # [24, 4, 4]
    ) -> Tensor:  # [24, K]
        """The features of a pose; differentiable.

        Args:
            transforms: rigid motion of each joint from the rest pose to the posed body. [24, 4, 4]
        """
        around = (bends(transforms) - self.mean) * constant(_NEAR, self.mean.dtype, self.mean.device)  # [24, 207]
        values = torch.einsum("jkd,jd->jk", self.axes, around) / self.units[:, None]
        known = torch.maximum(torch.minimum(values, self.high), self.low)
        told = torch.einsum("jkd,jk->jd", self.axes, known * self.units[:, None])
        beyond = ((around - told).square().sum(-1) + 1e-12).sqrt() - self.slack
        return known * (-(beyond.clamp(min=0) / _FADES).square()).exp()[:, None]


@dataclass(frozen=True)
class Cloth:
    """The correction of an avatar's Gaussians.

    Attributes:
        features: of a pose.
        offsets: metres in the rest pose for each feature. [N, K, 3]
        colours: of the harmonics of degree 0, likewise. [N, K, 3]
    """

    features: Features
    offsets: Tensor
    colours: Tensor

    def changed(
        self,
        means: Tensor,  # [N, 3]
        sh: Tensor,  # [N, D, 3]
        weights: Tensor,  # [N, 24]
        transforms: Tensor,  # [24, 4, 4]
    ) -> tuple[Tensor, Tensor]:  # [N, 3], [N, D, 3]
        """Centres in the rest pose, metres, and harmonics as they are in a pose; differentiable.

        Args:
            means: centres in the rest pose, metres. [N, 3]
            sh: harmonics, of any degree. [N, D, 3]
            weights: of skinning. [N, 24]
            transforms: rigid motion of each joint from the rest pose to the posed body. [24, 4, 4]
        """
        shares = (weights @ self.features(transforms))[..., None]
        flat = sh[:, :1] + (shares * self.colours).sum(1, keepdim=True)
        return means + (shares * self.offsets).sum(1), torch.cat([flat, sh[:, 1:]], dim=1)

    @staticmethod
    def from_file(file: ClothFile, device: torch.device | str = "cpu") -> Cloth:
        tensors = {
            name: torch.as_tensor(value, dtype=torch.float32, device=device) for name, value in vars(file).items()
        }
        offsets, colours = tensors.pop("offsets"), tensors.pop("colours")
        return Cloth(Features(**tensors), offsets, colours)

    def to_file(self) -> ClothFile:
        """The inverse of `from_file`."""
        values = vars(self.features) | {"offsets": self.offsets, "colours": self.colours}
        return ClothFile(**{name: value.detach().cpu().numpy().astype(np.float32) for name, value in values.items()})

