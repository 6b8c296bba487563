"""PSNR, SSIM and IoU, as the avatar papers compute them, and the crop around the person.

Images are float (H, W, 3) in [0, 1], masks float or bool (H, W).
"""

import math

import numpy as np
from torch import Tensor

from pipeline.evaluation.ssim_kernel import CHANNELS, WINDOW, similarity_sum

MIN_CROP = 32  # px a side; SSIM's window needs 11, LPIPS' AlexNet 31
Box = tuple[int, int, int, int]


def psnr(image: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / mean squared error), of (H, W, 3) in [0, 1].

    Infinite for equal images.
    """
    _check_pair(image, target)
    difference = np.subtract(image.numpy(), target.numpy(), dtype=np.float64).ravel()
    mean_squared = difference @ difference / difference.size
    return -10 * math.log10(mean_squared) if mean_squared else math.inf


def ssim(image: Tensor, target: Tensor) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 px, sigma 1.5, borders reflected, as torchmetrics
    has it, which InstantAvatar and GART take.

    Images (H, W, 3) in [0, 1], at least 11 px a side.
    """
    _check_pair(image, target)
    reach = WINDOW // 2
    a, b = (
        np.pad(x.double().numpy(), ((reach, reach), (reach, reach), (0, 0)), mode="reflect") for x in (image, target)
    )
    # Where all of a window is alike in both, as over white, SSIM is 1: only windows that see a difference are computed.
    rows, columns = (np.flatnonzero((a != b).any(axis)) for axis in ((1, 2), (0, 2)))
    if not len(rows):
        return 1.0
    box = tuple(slice(max(0, hits[0] - WINDOW + 1), hits[-1] + WINDOW) for hits in (rows, columns))
    height, width = a[box].shape[:2]
    sum_ = similarity_sum(*(np.ascontiguousarray(x[box]).reshape(height, width * CHANNELS) for x in (a, b)))
    computed = (height - WINDOW + 1) * (width - WINDOW + 1) * CHANNELS
    return float(1 + (sum_ - computed) / image.numel())


def over_white(image: Tensor, alpha: Tensor) -> Tensor:
    """Composite (H, W, 3) over white by a soft mask (H, W): image * alpha + (1 - alpha)."""
    return image * alpha[..., None] + (1 - alpha[..., None])


def iou(mask: np.ndarray, target: np.ndarray) -> float:
    """Intersection over union of two masks of bool or of values in [0, 1] cut at one half. NaN when both are empty."""
    if mask.shape != target.shape:
        raise ValueError(f"masks must have the same shape, got {mask.shape} and {target.shape}")
    a, b = (x if x.dtype == bool else x > 0.5 for x in (mask, target))
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else float("nan")


def person_box(mask: np.ndarray, padding: float) -> Box | None:
    """Box (left, top, right, bottom) around the person, for cropping as image[top:bottom, left:right].

    Args:
        mask: (H, W) in [0, 1], cut at one half.
        padding: share of the box's longer side that is added on each side.

    Returns:
        The box, at least MIN_CROP px a side where the image allows, inside the image; None without a person.
    """
    rows, columns = (np.flatnonzero((mask > 0.5).any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    pad = round(padding * max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))
    (top, bottom), (left, right) = (
        _padded(int(hits[0]), int(hits[-1]) + 1, pad, size) for hits, size in zip((rows, columns), mask.shape)
    )
    return left, top, right, bottom


def crop(image: Tensor, box: Box) -> Tensor:
    left, top, right, bottom = box
    return image[top:bottom, left:right]


def _padded(first: int, last: int, pad: int, size: int) -> tuple[int, int]:
    """[first, last) grown by pad on both sides, to MIN_CROP at least, and kept within [0, size)."""
    first, last = max(0, first - pad), min(size, last + pad)
    first = max(0, min(first, size - MIN_CROP))
    return first, max(last, min(size, first + MIN_CROP))


def _check_pair(image: Tensor, target: Tensor) -> None:
    if image.shape != target.shape or image.dim() != 3 or image.shape[2] != 3:
        raise ValueError(f"images must both be (H, W, 3), got {tuple(image.shape)} and {tuple(target.shape)}")
