"""Photometric loss between a rendered image and a frame: L1 and structural similarity.

HumanSplatHMR eq. 12: L_color = L1 + lambda_SSIM L_SSIM, L_SSIM = 1 - SSIM. L1 is the mean over pixels and channels,
and SSIM that of Wang et al. 2004: Gaussian window of 11 x 11 pixels, sigma 1.5, values in [0, 1], mean over channels
and over the places where the whole window lies in the image (kornia's padding="valid"), so that nothing is invented
outside of a crop; 3DGS pads with zeros, torchmetrics reflects. float32 images on the CPU take compiled kernels that
return value and gradient together; all others take torch operations.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.losses import ssim_kernels
from pipeline.losses.known import with_gradients
from pipeline.losses.ssim_kernels import BAND, C1, C2, CHANNELS, HALO, WEIGHTS, WINDOW
from pipeline.runtime.constant import constant
from pipeline.runtime.jit import array_of, has_kernels
from pipeline.runtime.threads import run_parallel

f4 = np.float32


@dataclass(frozen=True, eq=False)
class Target:
    """A frame (or a crop of one), with the statistics that SSIM needs of it: computed once, used at every step."""

    image: Tensor  # (H, W, 3)
    mean: Tensor  # (H - 10, W - 10, 3) of each window
    variance: Tensor  # (H - 10, W - 10, 3)

    @classmethod
    def of(cls, image: Tensor) -> "Target":
        """The target for an image (H, W, 3), values in [0, 1], at least 11 x 11 pixels."""
        _check_image(image, "target")
        image = image.detach().contiguous()
        if has_kernels(image):
            shape = (image.shape[0] - WINDOW + 1, -1, CHANNELS)
            rows = _rows(image)
            everywhere = _everywhere(len(rows) - WINDOW + 1, rows.shape[1] - HALO)
            parts = window_statistics(rows, everywhere)
            return cls(image, *(torch.from_numpy(part).view(shape) for part in parts))
        mean, square = _window_means(image, image * image)
        return cls(image, mean, square - mean * mean)


def photometric(rendered: Tensor, target: Target | Tensor, ssim_weight: float) -> Tensor:
    """L1 + ssim_weight * (1 - SSIM), HumanSplatHMR eq. 12: a scalar, differentiable by `rendered`.

    rendered: (H, W, 3), values in [0, 1], at least 11 x 11 pixels. target: an image of the same shape, or its `Target`.
    The size may differ from call to call. Raises ValueError where shapes are not as said.
    """
    if isinstance(target, Tensor):
        target = Target.of(target)
    _check_image(rendered, "rendered")
    if rendered.shape != target.image.shape:
        expected = tuple(target.image.shape)
        raise ValueError(f"rendered: expected the target's shape {expected}, found {tuple(rendered.shape)}")
    if has_kernels(rendered) and has_kernels(target.image):
        arrays = [_rows(tensor) for tensor in (rendered, target.image, target.mean, target.variance)]
        value, gradient = colour_gradient(*arrays, ssim_weight, *ssim_kernels.active(*arrays[:2]))
        return with_gradients(value, (torch.from_numpy(gradient).view(rendered.shape),), rendered)
    return (rendered - target.image).abs().mean() + ssim_weight * (1 - _ssim(rendered, target))


def _check_image(image: Tensor, name: str) -> None:
    if image.ndim != 3 or image.shape[2] != CHANNELS or min(image.shape[:2]) < WINDOW:
        raise ValueError(f"{name}: expected ({WINDOW} or more, {WINDOW} or more, 3), found {tuple(image.shape)}")


def _rows(image: Tensor) -> np.ndarray:
    return array_of(image).reshape(image.shape[0], -1)


def window_statistics(
    image: np.ndarray,  # [H, W * 3]
    windows: np.ndarray,  # [bands, 2]
) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances [H - 10, W * 3 - 30] of the windows of an image, float32; nothing outside of `windows`, the
    columns of each band (`ssim_kernels.active`)."""
    shape = len(image) - WINDOW + 1, image.shape[1] - HALO
    mean, variance = np.empty(shape, f4), np.empty(shape, f4)
    _over(windows, lambda band: ssim_kernels.window_statistics(band, windows, image, mean, variance))
    return mean, variance


def colour_gradient(
    image: np.ndarray,  # [H, W * 3]
    frame: np.ndarray,  # [H, W * 3]
    mean: np.ndarray,  # [H - 10, W * 3 - 30]
    variance: np.ndarray,  # [H - 10, W * 3 - 30]
    ssim_weight: float,
    windows: np.ndarray,  # [bands, 2]
    pixels: np.ndarray,  # [bands, 2]
) -> tuple[float, np.ndarray]:
    """The loss of `photometric` and its gradient by the image [H, W * 3]; all float32, with `window_statistics` of the
    frame, and where the two are `ssim_kernels.active`."""
    derivatives, g_image = np.zeros((3, *mean.shape), f4), np.zeros(image.shape, f4)
    ssim_rows, l1_rows = np.empty(len(mean)), np.empty(len(image))
    scales = f4(-ssim_weight / mean.size), f4(1 / image.size)
    compared = image, frame, mean, variance, derivatives, ssim_rows
    _over(windows, lambda band: ssim_kernels.similarity(band, windows, *compared))
    differentiated = image, frame, derivatives, *scales, g_image, l1_rows
    _over(pixels, lambda band: ssim_kernels.gradient(band, pixels, *differentiated))
    return l1_rows.sum() / image.size + ssim_weight * (1 - ssim_rows.sum() / mean.size), g_image


def _over(bands: np.ndarray, kernel: Callable[[int], None]) -> None:
    """Run a kernel on every band; neighbours on different threads, for the middle of a person has the most to do."""

    def share(worker: int, workers: int) -> None:
        for band in range(worker, len(bands), workers):
            kernel(band)

    run_parallel(share)


def _everywhere(height: int, width: int) -> np.ndarray:  # [bands, 2]
    """Columns of bands that leave nothing out."""
    return np.array([[0, width]] * -(-height // BAND))


def _window_means(*images: Tensor) -> Tensor:
    """n of (H, W, 3) -> (n, H - 10, W - 10, 3)."""
    channels = torch.stack(images).movedim(-1, 1).flatten(0, 1)
    weights = constant(tuple(WEIGHTS.tolist()), channels.dtype, channels.device)
    each = weights.view(1, 1, -1, 1).expand(len(channels), -1, -1, -1)
    along_y = functional.conv2d(channels, each, groups=len(channels))
    means = functional.conv2d(along_y, each.mT, groups=len(channels))
    return means.unflatten(0, (len(images), CHANNELS)).movedim(1, -1)


def _ssim(image: Tensor, target: Target) -> Tensor:
    mean, square, product = _window_means(image, image * image, image * target.image)
    variance, covariance = square - mean * mean, product - mean * target.mean
    similar = (2 * mean * target.mean + C1) * (2 * covariance + C2)
    return (similar / ((mean**2 + target.mean**2 + C1) * (variance + target.variance + C2))).mean()
