"""A deformation field: how far each place of the canonical body moves in a pose, by a small network.

The other way to let Gaussians leave the body beside learnable weights (HumanSplatHMR, after equation 5). It is of the
family of its reference 31: GoMAvatar (Wen et al. 2024), whose non-rigid module is HumanNeRF's. Theirs has six layers of
128, which take their band of frequencies in over 200 000 steps; this one has two hidden layers of 48, which a CPU can
train beside the rest of a step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline.body import PARENTS

_FREQUENCIES = 6  # of sine and cosine, 1 to 32 radians a metre (GoMAvatar)
_WIDTH = 48
_INPUTS = 6 * _FREQUENCIES
_POSE = 9 * (len(PARENTS) - 1)  # entries of the joints' rotation matrices, the root's left out
_SHAPES = ((_WIDTH, _INPUTS), (_WIDTH, _POSE), (_WIDTH,), (_WIDTH, _WIDTH), (_WIDTH,), (3, _WIDTH), (3,))
_OUTPUT = 3 * _WIDTH + 3  # numbers of the last layer, which ends the list
COUNT = sum(math.prod(shape) for shape in _SHAPES)


class DeformationField:
    """Offsets in the rest pose, before the skinning.

    Attributes:
        values: all weights and biases, layer after layer: what is fitted. [COUNT]
    """

    def __init__(
        self,
        values: Tensor,  # [COUNT]
    ) -> None:
        if values.shape != (COUNT,):
            raise ValueError(f"a deformation field has {COUNT} numbers, got {tuple(values.shape)}")
        self.values = values

    @staticmethod
    def still(seed: int, device: torch.device | str = "cpu") -> DeformationField:
        """A field that moves nothing yet: random weights (He et al. 2015), the last layer zero."""
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for shape in _SHAPES:
            random = len(shape) == 2 and shape[0] != 3
            gain = (2 / (_FREQUENCIES * 3 if shape[1] == _INPUTS else shape[1])) ** 0.5 if random else 0.0
            parts.append((gain * torch.randn(shape, generator=generator)).flatten())
        return DeformationField(torch.cat(parts).to(device))

    def offsets(
        self,
        means: Tensor,  # [N, 3]
        transforms: Tensor,  # [24, 4, 4]
    ) -> Tensor:  # [N, 3]
        """How far the pose moves each place, metres; differentiable in the field and in the pose.

        That a Gaussian could move to where the field suits it better is left out, as `SkinningGrid.sample` does.

        Args:
            means: places in the rest pose, metres. [N, 3]
            transforms: rigid motion of each joint from the rest pose to the posed body. [24, 4, 4]
        """
        places, pose, bias, middle, middle_bias, last, last_bias = self._layers()
        hidden = torch.relu(_waves(means.detach()) @ places.T + (pose @ bends(transforms) + bias))
        hidden = torch.relu(hidden @ middle.T + middle_bias)
        return hidden @ last.T + last_bias

    @property
    def moves(self) -> bool:
        """Whether it does anything: not before its last layer has been freed."""
        return self.values.requires_grad or bool(self.values[-_OUTPUT:].any())

    def _layers(self) -> list[Tensor]:
        sizes = [math.prod(shape) for shape in _SHAPES]
        return [part.view(shape) for part, shape in zip(self.values.split(sizes), _SHAPES)]


def _waves(
    places: Tensor,  # [N, 3]
) -> Tensor:  # [N, 36]
    """Sine and cosine of each coordinate at all frequencies (positional encoding)."""
    powers = 2.0 ** torch.arange(_FREQUENCIES, device=places.device)
    angles = (places[:, :, None] * powers).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def bends(
    transforms: Tensor,  # [24, 4, 4]
) -> Tensor:  # [207]
    """Rotation of each joint but the root against its parent, less the identity: zero at rest."""
    turns = transforms[:, :3, :3]
    relative = turns[list(PARENTS[1:])].transpose(1, 2) @ turns[1:]
    return (relative - torch.eye(3, dtype=turns.dtype, device=turns.device)).flatten()
