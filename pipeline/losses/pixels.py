"""Everything that compares a rendered crop with the video pixel by pixel, in one pass.

Colours (equation 12), silhouette, and depth (equation 13) share their inputs, and their gradients go to the same image:
taken one after the other by torch operations they cost as much as the rasterizer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.losses import pixel_kernels
from pipeline.losses.depth import depth_2d
from pipeline.losses.image import colour_gradient, photometric, window_statistics
from pipeline.losses.pixel_kernels import ALPHA, AREA, BOTH, COLOUR, DEPTHS, KNOWN, MASK, OPAQUE, SUMS
from pipeline.losses.silhouette import SILHOUETTES
from pipeline.losses.ssim_kernels import active
from pipeline.runtime.jit import array_of, has_kernels
from pipeline.runtime.threads import run_parallel, split

_MICROSECONDS = 0.005  # a pixel
f4 = np.float32


def pixel_terms(
    pixels: Tensor,  # [H, W, 3 or 4]
    alpha: Tensor,  # [H, W]
    image: Tensor,  # [H, W, 3] uint8
    mask: Tensor,  # [H, W] uint8
    depth: Tensor | None,  # [H, W]
    background: Tensor,  # [3]
    ssim_weight: float,
    silhouette: str,
    sure: Tensor | None = None,  # [H, W] uint8
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The unweighted terms colour, silhouette and depth: scalars, differentiable by `pixels` and `alpha`.

    Args:
        pixels: rendered colours in [0, 1] over `background`, and depth in metres where `depth` is given.
        alpha: rendered coverage.
        image, mask: the frame; 255 is the person.
        depth: that of the frame in metres, 0 where it is unknown; None leaves the term out.
        background: colour that is put behind the person of the frame, too.
        ssim_weight: of 1 - SSIM beside L1 (at least 11 x 11 pixels then); 0: L1 alone.
        silhouette: one of `SILHOUETTES`.
        sure: how much a pixel counts, of 255; None: all do. What does not count has no gradient, and for SSIM's windows
            that reach there the frame shows what was rendered.
    """
    if has_kernels(pixels):
        colour, area, deep = _Pixels.apply(
            pixels, alpha, image, mask, sure, depth, background, ssim_weight, silhouette == "jaccard"
        )
        return colour, area, None if depth is None else deep
    share = mask.to(pixels.dtype) / 255
    target = torch.lerp(background, image.to(pixels.dtype) / 255, share[..., None])
    colours, known = pixels[..., :3], None if depth is None else (depth > 0) & (mask > OPAQUE)
    if sure is not None:
        counts = sure.to(pixels.dtype) / 255
        target = torch.lerp(colours.detach(), target, counts[..., None])
        colours = torch.lerp(colours.detach(), colours, counts[..., None])
        alpha, share = counts * alpha, counts * share
        known = None if known is None else counts * known
    colour = photometric(colours, target, ssim_weight) if ssim_weight else (colours - target).abs().mean()
    deep = None if depth is None else depth_2d(pixels[..., 3], depth, known)
    return colour, SILHOUETTES[silhouette](alpha, share), deep


class _Pixels(torch.autograd.Function):
    """The three terms; that of depth is 0 where there is no depth."""

    @staticmethod
    def forward(ctx, pixels, alpha, image, mask, sure, depth, background, ssim_weight, jaccard):
        arrays = [array_of(tensor) for tensor in (pixels, alpha)]
        frame = [array_of(tensor) for tensor in (image, mask)]
        frame.append(np.empty((0, 0), np.uint8) if sure is None else array_of(sure))
        frame.append(np.empty((0, 0), f4) if depth is None else array_of(depth))
        height, width, _ = pixels.shape
        colours, target = np.empty((height, 3 * width), f4), np.empty((height, 3 * width), f4)
        rows = np.empty((height, SUMS), f4)
        outputs = array_of(background), colours, target, rows
        inputs = *arrays, *frame, *outputs
        run_parallel(lambda *w: pixel_kernels.compare(*split(height, *w, 1), *inputs), _MICROSECONDS * alpha.numel())
        sums = rows.sum(0, dtype=np.float64)

        g_colours, colour = np.empty((0, 0), f4), sums[COLOUR] / colours.size
        if ssim_weight:
            windows, reached = active(colours, target)
            statistics = window_statistics(target, windows)
            colour, g_colours = colour_gradient(colours, target, *statistics, ssim_weight, windows, reached)
        area, by_area, by_alpha, by_both = _by_silhouette(sums, jaccard)
        known = max(sums[KNOWN], 1)
        ctx.save_for_backward(pixels, alpha)  # the rest has no gradient
        ctx.compared = *frame[1:], colours, target, g_colours
        ctx.factors = np.array([1.0, 1 / colours.size, by_area, by_alpha, by_both, 1 / known])
        values = torch.tensor([colour, area, sums[DEPTHS] / known], dtype=torch.float32)
        return tuple(values.unbind())

    @staticmethod
    @once_differentiable
    def backward(ctx, g_colour, g_area, g_depth):
        arrays = [array_of(tensor) for tensor in ctx.saved_tensors]
        outer = np.repeat([float(g_colour), float(g_area), float(g_depth)], [2, 3, 1])
        gradients = [np.empty_like(array) for array in arrays]
        inputs = *arrays, *ctx.compared, *(ctx.factors * outer).astype(f4), *gradients
        height, size = len(arrays[0]), arrays[1].size
        run_parallel(lambda *w: pixel_kernels.assemble(*split(height, *w, 1), *inputs), _MICROSECONDS * size)
        return *map(torch.from_numpy, gradients), None, None, None, None, None, None, None


def _by_silhouette(sums: np.ndarray, jaccard: bool) -> tuple[float, float, float, float]:
    """The term's value, and its derivatives by the sums of |alpha - mask|, of alpha, and of alpha times mask."""
    if not jaccard:
        mask = max(sums[MASK], 1)
        return sums[AREA] / mask, 1 / mask, 0.0, 0.0
    union = sums[ALPHA] + sums[MASK] - sums[BOTH]
    if union < 1:  # clamped, as in `jaccard`
        return 1 - sums[BOTH], 0.0, 0.0, -1.0
    by_union = sums[BOTH] / union**2
    return 1 - sums[BOTH] / union, 0.0, by_union, -1 / union - by_union
