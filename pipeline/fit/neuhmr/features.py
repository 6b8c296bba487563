"""Dense features of a frame, in which a joint is found again (F of NeuHMR).

NeuHMR takes ConvNeXt-tiny at a quarter of the resolution, with a 1 x 1 convolution that its renderer learned and we do
not have. Where the weights are not on disk, a descriptor in the manner of DAISY (Tola et al. 2010) stands in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import UserError
from pipeline.published import check_published

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which torchvision's weights expect
_BLOCKS = 3  # of the first stage
_EPSILON = 1e-6  # of ConvNeXt's layer norms

_ORIENTATIONS = 6
_RINGS = ((0, 1.5), (4, 2.0), (8, 3.0))  # radius and smoothing, px
_SPOTS = 6  # on a ring
_COLOURS = 0.5  # length of the colour part over that of the gradient part


@dataclass(frozen=True)
class FeatureMap:
    """Features of an image on a grid, of unit length."""

    values: Tensor  # [C, h, w], half precision: a map is kept for each frame
    stride: int  # px of the image from one to the next

    def at(
        self,
        places: Tensor,  # [..., 2] px, the centre of the first pixel being (0.5, 0.5)
    ) -> Tensor:  # [..., C]
        """Features at some places of the image, bilinear; places outside take the nearest."""
        height, width = self.values.shape[1:]
        grid = 2 * places / places.new_tensor([width, height]) / self.stride - 1
        sampled = functional.grid_sample(
            self.values[None].to(places.dtype), grid.view(1, 1, -1, 2), padding_mode="border", align_corners=False
        )
        return sampled[0, :, 0].T.view(*places.shape[:-1], -1)


class ConvNeXtFeatures:
    """Stem and first stage of ConvNeXt-tiny (Liu et al. 2022), from a state dict laid out as torchvision's."""

    name = "ConvNeXt-tiny, first stage"
    stride = 4

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = {
            name: value.float() for name, value in state.items() if name.startswith(("features.0.", "features.1."))
        }

    @staticmethod
    def load(path: Path, device: torch.device) -> ConvNeXtFeatures:
        """Raises UserError where the file is no state dict of torchvision's ConvNeXt-tiny, or not that of its name."""
        check_published(path)
        try:
            features = ConvNeXtFeatures(torch.load(path, map_location=device, weights_only=True))
            features(torch.zeros(32, 32, 3, device=device))
        except Exception as error:  # whatever a foreign file makes torch raise
            raise UserError(
                f"{path}: expected torchvision's weights of ConvNeXt-tiny, found {type(error).__name__}: "
                f"{' '.join(str(error).split())[:100]}"
            ) from error
        return features

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,  # [H, W, 3] in [0, 1]
    ) -> FeatureMap:
        whitened = (image - image.new_tensor(_MEAN)) / image.new_tensor(_STD)
        values = functional.conv2d(_padded(whitened, self.stride), *self._weights("0.0"), stride=self.stride)
        values = self._norm(values.permute(0, 2, 3, 1), "0.1")  # [1, h, w, 96]
        for block in range(_BLOCKS):
            name = f"1.{block}.block"
            near = functional.conv2d(
                values.permute(0, 3, 1, 2), *self._weights(f"{name}.0"), padding=3, groups=values.shape[-1]
            )
            hidden = functional.linear(self._norm(near.permute(0, 2, 3, 1), f"{name}.2"), *self._weights(f"{name}.3"))
            change = functional.linear(functional.gelu(hidden), *self._weights(f"{name}.5"))
            values = values + self._state[f"features.1.{block}.layer_scale"].flatten() * change
        return FeatureMap(functional.normalize(values[0].permute(2, 0, 1), dim=0).half(), self.stride)

    def _weights(self, name: str) -> tuple[Tensor, Tensor]:
        return self._state[f"features.{name}.weight"], self._state[f"features.{name}.bias"]

    def _norm(self, values: Tensor, name: str) -> Tensor:
        return functional.layer_norm(values, values.shape[-1:], *self._weights(name), _EPSILON)


class GradientFeatures:
    """Histograms of gradient orientations at a place and on two rings around it, and colours at the same spots."""

    name = "histograms of gradients and colours (hand-made)"
    stride = 4

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,  # [H, W, 3] in [0, 1]
    ) -> FeatureMap:
        colours = _padded(image - 0.5, self.stride)[0]  # [3, H, W]
        channels = torch.cat([_oriented_gradients(colours), colours])
        gradients, tints = [], []
        for radius, sigma in _RINGS:
            smooth = _smoothed(channels, sigma)
            for column, row in _spots(radius):
                shifted = _shifted(smooth, row, column)[:, :: self.stride, :: self.stride]
                gradients.append(functional.normalize(shifted[:_ORIENTATIONS], dim=0, eps=1e-2))
                tints.append(shifted[_ORIENTATIONS:])
        gradient = functional.normalize(torch.cat(gradients), dim=0)
        colour = functional.normalize(torch.cat(tints), dim=0, eps=1e-2)
        values = functional.normalize(torch.cat([gradient, _COLOURS * colour]), dim=0)
        return FeatureMap(values.half(), self.stride)


def choose_features(path: Path, device: torch.device) -> ConvNeXtFeatures | GradientFeatures:
    """ConvNeXt-tiny where its weights lie at `path`, else the hand-made descriptor."""
    return ConvNeXtFeatures.load(path, device) if path.is_file() else GradientFeatures()


def _padded(image: Tensor, stride: int) -> Tensor:  # [1, 3, H', W']
    """The image [H, W, 3], sides made multiples of the stride by repeating the edge."""
    height, width = image.shape[:2]
    return functional.pad(image.permute(2, 0, 1)[None], (0, -width % stride, 0, -height % stride), mode="replicate")


def _oriented_gradients(
    colours: Tensor,  # [3, H, W]
) -> Tensor:  # [_ORIENTATIONS, H, W]
    """The part of the gradient that points into each of the directions, of the brightness."""
    grey = functional.pad(colours.mean(0)[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    across, down = grey[1:-1, 2:] - grey[1:-1, :-2], grey[2:, 1:-1] - grey[:-2, 1:-1]
    angles = torch.arange(_ORIENTATIONS, device=colours.device) * (2 * math.pi / _ORIENTATIONS)
    return functional.relu(angles.cos()[:, None, None] * across + angles.sin()[:, None, None] * down)


def _smoothed(
    channels: Tensor,  # [C, H, W]
    sigma: float,
) -> Tensor:  # [C, H, W]
    reach = math.ceil(2.5 * sigma)
    at = torch.arange(-reach, reach + 1, device=channels.device, dtype=channels.dtype)
    weights = torch.exp(-0.5 * (at / sigma) ** 2)
    weights = weights / weights.sum()
    padded = functional.pad(channels[:, None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))[:, 0]


def _spots(radius: int) -> list[tuple[int, int]]:
    """Offsets of the places on a ring, px; the one in the middle for radius 0."""
    if radius == 0:
        return [(0, 0)]
    angles = [2 * math.pi * spot / _SPOTS for spot in range(_SPOTS)]
    return [(round(radius * math.cos(angle)), round(radius * math.sin(angle))) for angle in angles]


def _shifted(values: Tensor, row: int, column: int) -> Tensor:
    """values[:, y + row, x + column] at each place, the nearest outside."""
    height, width = values.shape[1:]
    rows = (torch.arange(height, device=values.device) + row).clamp(0, height - 1)
    columns = (torch.arange(width, device=values.device) + column).clamp(0, width - 1)
    return values[:, rows][:, :, columns]
