"""Cloth that moves: what a pose changes of places and colours beyond the skinning, a linear model.

A sleeve slides up an arm that is raised, folds come and go, shade wanders. A rigidly skinned Gaussian can follow none
of it. So each joint has a few features of the pose of what is around it, its own rotation and those of its parent and
its children (principal components of what the trained frames show). Each Gaussian adds so many offsets and changes of
colour times them, the features blended by its skinning weights. That is SMPL's pose blend shapes, learnt for one person
and kept local: what arms do tells nothing of trousers.

Of poses that no trained frame is near, nothing is known: there the correction fades.
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

FADES = 0.25  # length of a difference of rotation matrices, 0.025 a degree: so far off, 1 / e is left
_SEEN = 64  # poses of the trained frames that are kept, to know what is near
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
        seen: `bends` of some trained frames, spread over all of them. [S, 207]
        slack: how far at most a trained frame is from the nearest of these, around each joint. [24]
    """

    mean: Tensor
    axes: Tensor
    units: Tensor
    seen: Tensor
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
        near = constant(_NEAR, shown.dtype, shown.device)[:, None]
        _, spread, axes = torch.linalg.svd((shown - mean) * near, full_matrices=False)
        axes, spread = (axes * near)[:, :count], spread[:, :count] / len(shown) ** 0.5
        if axes.shape[1] < count:  # fewer frames than features
            missing = axes.new_zeros(len(axes), count - axes.shape[1], axes.shape[2])
            axes = torch.cat([axes, missing], dim=1)
        seen = shown[_spread_out(shown)]
        slack = torch.stack([_nearest(each, seen) for each in shown]).amax(0)
        return Features(mean, axes, spread[:, 0].clamp(min=_LEAST), seen, slack)

    def __call__(
        self,
        transforms: Tensor,  # [24, 4, 4]
    ) -> Tensor:  # [24, K]
        """The features of a pose; differentiable.

        Args:
            transforms: rigid motion of each joint from the rest pose to the posed body. [24, 4, 4]
        """
        pose = bends(transforms)
        beyond = (_nearest(pose, self.seen) - self.slack).clamp(min=0) / FADES
        fades = (-beyond.square()).exp() / self.units
        return torch.einsum("jkd,d->jk", self.axes, pose - self.mean) * fades[:, None]


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


def _nearest(
    pose: Tensor,  # [207]
    seen: Tensor,  # [S, 207]
) -> Tensor:  # [24]
    """How far what is around each joint is turned against the nearest of some poses."""
    squared = (pose - seen).square() @ constant(_NEAR, seen.dtype, seen.device).T
    return (squared.amin(0) + 1e-12).sqrt()


def _spread_out(
    shown: Tensor,  # [T, 207]
) -> list[int]:
    """Indices of at most `_SEEN` of some poses, each next the farthest from those before."""
    chosen = [0]
    apart = (shown - shown[0]).square().sum(1)
    while len(chosen) < min(_SEEN, len(shown)):
        chosen.append(int(apart.argmax()))
        apart = torch.minimum(apart, (shown - shown[chosen[-1]]).square().sum(1))
    return chosen
