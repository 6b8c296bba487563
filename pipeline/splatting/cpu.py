"""`rasterization` on the CPU: checks, two autograd functions around the kernels, and gsplat's outputs.

What the fit asks of gsplat 1.5.3, with the same conventions: pinhole cameras, "classic" mode, three colour channels or
spherical harmonics of degree 0 and 1. Gradients flow to means, quats, scales, opacities, colors and backgrounds; not to
the cameras. A Gaussian with a number that is NaN, infinite or beyond LARGEST is not drawn and gets no gradient.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.runtime.errors import UserError
from pipeline.runtime.jit import array_of
from pipeline.runtime.threads import run_parallel, split
from pipeline.splatting import binning, compositing, projection
from pipeline.splatting.compositing import ALPHA_MIN, GRADIENTS, LANES, TILE
from pipeline.splatting.inputs import check_cameras, check_size

RENDER_MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
_MICROSECONDS = 0.05  # to project a Gaussian
# Pairs of a tile and a Gaussian that touches it. A million is usual; this many take 2 GB, and 11 GB backwards.
MOST_ENTRIES = 2**28
f4 = np.float32


def rasterization(
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    scales: Tensor,  # [N, 3]
    opacities: Tensor,  # [N]
    colors: Tensor,  # [N, 3] or [N, K, 3]
    viewmats: Tensor,  # [C, 4, 4]
    Ks: Tensor,  # [C, 3, 3]
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    backgrounds: Tensor | None = None,  # [C, 3]
    render_mode: str = "RGB",
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """See `pipeline.splatting.rasterization`; all tensors float32 on the CPU."""
    scene = means, quats, scales, opacities, colors, viewmats, Ks, width, height
    _check(*scene, sh_degree, backgrounds, render_mode)
    _check_limits(near_plane=near_plane, far_plane=far_plane, radius_clip=radius_clip, eps2d=eps2d)
    coefficients = colors[:, None] if sh_degree is None else colors
    cameras = _Cameras(viewmats, Ks, width, height, near_plane, far_plane, radius_clip, eps2d)
    means2d, conics, depths, rgb, radii, extents = _Project.apply(
        means, quats, scales, opacities, coefficients, cameras, -1 if sh_degree is None else sh_degree
    )
    renders, alphas = _Composite.apply(
        means2d, conics, depths, rgb, opacities, backgrounds, radii, extents, width, height, render_mode
    )
    meta = {
        "means2d": means2d,
        "radii": radii,
        "depths": depths,
        "conics": conics,
        "width": width,
        "height": height,
        "n_cameras": len(viewmats),
    }
    return renders, alphas, meta


def _check(means, quats, scales, opacities, colors, viewmats, Ks, width, height, sh_degree, backgrounds, mode) -> None:
    count, cameras = len(means), len(viewmats)
    if mode not in RENDER_MODES:
        raise ValueError(f"render_mode: expected one of {', '.join(RENDER_MODES)}, found {mode!r}")
    if sh_degree not in (None, 0, 1):
        raise ValueError(f"sh_degree: the CPU rasterizer has None, 0 and 1, found {sh_degree!r}")
    check_size(width, height)
    shapes = {
        "means": (means, (count, 3)),
        "quats": (quats, (count, 4)),
        "scales": (scales, (count, 3)),
        "opacities": (opacities, (count,)),
        "viewmats": (viewmats, (cameras, 4, 4)),
        "Ks": (Ks, (cameras, 3, 3)),
    }
    if sh_degree is None:
        shapes["colors"] = (colors, (count, 3))
    elif colors.ndim != 3 or colors.shape[1] < (sh_degree + 1) ** 2 or colors.shape[::2] != (count, 3):
        expected = f"({count}, {(sh_degree + 1) ** 2} or more, 3)"
        raise ValueError(
            f"colors: expected the shape {expected} for sh_degree {sh_degree}, found {tuple(colors.shape)}"
        )
    if backgrounds is not None:
        shapes["backgrounds"] = (backgrounds, (cameras, 3))
    for name, (tensor, shape) in shapes.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name}: expected the shape {shape}, found {tuple(tensor.shape)}")
    for name, tensor in {"colors": colors, **{name: tensor for name, (tensor, _) in shapes.items()}}.items():
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ValueError(f"{name}: expected float32 on the CPU, found {tensor.dtype} on {tensor.device}")
    if viewmats.requires_grad or Ks.requires_grad:
        raise ValueError("viewmats, Ks: the CPU rasterizer has no gradients for cameras; detach them")
    check_cameras(viewmats, Ks, backgrounds)


def _check_limits(**limits: float) -> None:
    for name, value in limits.items():
        if not value >= 0:  # nor is NaN
            raise ValueError(f"{name}: expected at least 0, found {value}")


def _check_entries(entries: int, tiles: int, count: int) -> None:
    if entries > MOST_ENTRIES:
        raise UserError(
            f"scales: expected Gaussians that cover at most {MOST_ENTRIES} tiles of a picture in all, found {count} "
            f"that cover {entries} (it has {tiles}); make them smaller (scales are in metres), take fewer, or make the "
            "picture smaller"
        )


class _Cameras:
    """Cameras and projection settings, as the kernels take them."""

    def __init__(self, viewmats, Ks, width, height, near, far, radius_clip, eps2d) -> None:
        self.viewmats, self.Ks = array_of(viewmats), array_of(Ks)
        rotations, translations = self.viewmats[:, :3, :3], self.viewmats[:, :3, 3]
        self.centers = np.ascontiguousarray(-np.einsum("cji,cj->ci", rotations, translations))
        self.size = f4(width), f4(height)
        self.limits = f4(eps2d), f4(near), f4(far), f4(radius_clip), ALPHA_MIN

    def __len__(self) -> int:
        return len(self.viewmats)


class _Project(torch.autograd.Function):
    """Gaussians to splats in each camera's image: kernels of `projection`."""

    @staticmethod
    def forward(ctx, means, quats, scales, opacities, colors, cameras, sh_degree):
        arrays = [array_of(tensor) for tensor in (means, quats, scales, opacities, colors)]
        views, count = len(cameras), len(means)
        means2d, extents = np.empty((views, count, 2), f4), np.empty((views, count, 2), f4)
        conics, rgb = np.empty((views, count, 3), f4), np.empty((views, count, 3), f4)
        depths, radii = np.empty((views, count), f4), np.empty((views, count, 2), np.int32)

        def work(worker: int, workers: int) -> None:
            start, end = split(count, worker, workers)
            for c in range(views):
                camera = sh_degree, cameras.viewmats[c], cameras.Ks[c], cameras.centers[c], *cameras.size
                outputs = means2d[c], conics[c], depths[c], rgb[c], extents[c], radii[c]
                projection.project_forward(start, end, *arrays, *camera, *cameras.limits, *outputs)

        run_parallel(work, _MICROSECONDS * views * count)
        outputs = tuple(torch.from_numpy(array) for array in (means2d, conics, depths, rgb, radii, extents))
        ctx.mark_non_differentiable(outputs[4], outputs[5])
        ctx.save_for_backward(means, quats, scales, colors, outputs[1], outputs[3], outputs[4])
        ctx.cameras, ctx.sh_degree = cameras, sh_degree
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        means, quats, scales, colors, conics, rgb, radii = (array_of(tensor) for tensor in ctx.saved_tensors)
        incoming = [array_of(gradient) for gradient in gradients[:4]]
        outgoing = [np.zeros_like(array) for array in (means, quats, scales, colors)]
        cameras, sh_degree = ctx.cameras, ctx.sh_degree

        def work(worker: int, workers: int) -> None:
            start, end = split(len(means), worker, workers)
            for c in range(len(cameras)):
                camera = sh_degree, cameras.viewmats[c], cameras.Ks[c], cameras.centers[c], *cameras.size
                inputs = means, quats, scales, colors, *camera, conics[c], rgb[c], radii[c]
                projection.project_backward(start, end, *inputs, *(array[c] for array in incoming), *outgoing)

        run_parallel(work, _MICROSECONDS * len(cameras) * len(means))
        g_means, g_quats, g_scales, g_colors = (torch.from_numpy(array) for array in outgoing)
        return g_means, g_quats, g_scales, None, g_colors, None, None


class _Composite(torch.autograd.Function):
    """Splats to images: kernels of `compositing`."""

    @staticmethod
    def forward(ctx, means2d, conics, depths, rgb, opacities, backgrounds, radii, extents, width, height, mode):
        means2d, conics, depths, rgb = (array_of(tensor) for tensor in (means2d, conics, depths, rgb))
        opacities, radii, extents = array_of(opacities), array_of(radii), array_of(extents)
        views = len(depths)
        tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
        has_rgb, has_depth, expected = "RGB" in mode, mode != "RGB", "ED" in mode
        images = np.zeros((views, height, width, 3 * has_rgb + has_depth), f4)
        alphas = np.zeros((views, height, width, 1), f4)
        background = np.zeros((views, 3), f4) if backgrounds is None else array_of(backgrounds)
        ctx.views = []
        for c in range(views):
            splats = compositing.pack(means2d[c], conics[c], depths[c], rgb[c], opacities, radii[c])
            placed = means2d[c], depths[c], extents[c], radii[c]
            offsets, ids, entries = binning.bin_by_tile(*placed, TILE, tiles_x, tiles_y, MOST_ENTRIES)
            _check_entries(entries, tiles_x * tiles_y, depths.shape[1])
            tiles = width, height, tiles_x, offsets, ids, splats, background[c], has_rgb, has_depth, expected
            touched = np.zeros(len(ids), np.int32)
            outputs = images[c], alphas[c, ..., 0], touched

            def blend(worker: int, workers: int, tiles=tiles, outputs=outputs) -> None:
                compositing.composite_forward(LANES, worker, workers, *tiles, *outputs)

            run_parallel(blend)
            ctx.views.append((tiles, ids, touched))
        renders, alphas = torch.from_numpy(images), torch.from_numpy(alphas)
        ctx.save_for_backward(renders, alphas)
        ctx.count = depths.shape[1]
        return renders, alphas

    @staticmethod
    @once_differentiable
    def backward(ctx, g_renders, g_alphas):
        images, alphas = (array_of(tensor) for tensor in ctx.saved_tensors)
        g_renders, g_alphas = array_of(g_renders), array_of(g_alphas)
        views, count = len(images), ctx.count
        g_means2d, g_conics = np.empty((views, count, 2), f4), np.empty((views, count, 3), f4)
        g_rgb, g_depths = np.empty((views, count, 3), f4), np.empty((views, count), f4)
        g_opacities = np.zeros(count, f4)
        for c, (tiles, ids, touched) in enumerate(ctx.views):
            g_entries = np.empty((len(ids), GRADIENTS), f4)
            pixels = images[c], alphas[c, ..., 0], touched, g_renders[c], g_alphas[c, ..., 0]

            def unblend(worker: int, workers: int, tiles=tiles, pixels=pixels, g_entries=g_entries) -> None:
                compositing.composite_backward(LANES, worker, workers, *tiles, *pixels, g_entries)

            run_parallel(unblend)
            compositing.sum_entries(ids, g_entries, g_means2d[c], g_conics[c], g_opacities, g_rgb[c], g_depths[c])
        g_backgrounds = None
        if ctx.needs_input_grad[5]:
            g_backgrounds = torch.zeros(views, 3)
            if images.shape[-1] >= 3:  # the background of depth is 0
                seen_through = np.einsum("chwk,chwd->cd", 1 - alphas, g_renders[..., :3], dtype=np.float64)
                g_backgrounds = torch.from_numpy(seen_through.astype(f4))
        splats = (torch.from_numpy(array) for array in (g_means2d, g_conics, g_depths, g_rgb, g_opacities))
        return *splats, g_backgrounds, None, None, None, None, None
