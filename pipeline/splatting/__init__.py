"""Gaussian splatting behind one signature: gsplat where the Gaussians are on a GPU, our own kernels on the CPU.

It knows of no body and no loss.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.runtime.errors import UserError
from pipeline.splatting import cpu
from pipeline.splatting.inputs import check_size, drawable

__all__ = ["rasterization"]

# Arguments of gsplat that the CPU rasterizer has not, and the one value of each that it is equal to.
GSPLAT_ONLY = {
    "packed": False,
    "tile_size": 16,
    "sparse_grad": False,
    "absgrad": False,
    "rasterize_mode": "classic",
    "channel_chunk": 32,
    "distributed": False,
    "camera_model": "pinhole",
    "segmented": False,
    "covars": None,
}


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
    *,
    backgrounds: Tensor | None = None,  # [C, 3]
    render_mode: str = "RGB",
    **gsplat_only: Any,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render 3D Gaussians as seen by C pinhole cameras: `gsplat.rasterization` 1.5.3 on whatever device they are.

    Differentiable by means, quats, scales, opacities, colors and backgrounds, in every render mode.

    A Gaussian with a number that is not finite or beyond 1e10, or with a quaternion shorter than 1e-10, is not drawn
    and gets no gradient; the others are drawn as if it were not there.

    Args:
        means: centres in the world, metres. [N, 3]
        quats: rotations, wxyz, of any length from 1e-10 to 1e10. [N, 4]
        scales: standard deviations along the axes, metres. [N, 3]
        opacities: in (0, 1]. [N]
        colors: RGB [N, 3] if sh_degree is None, else coefficients of spherical harmonics [N, K, 3], of which the first
            (sh_degree + 1)^2 are used.
        viewmats: world to camera, OpenCV axes. [C, 4, 4]
        Ks: intrinsics in pixels; the centre of the first pixel is (0.5, 0.5). [C, 3, 3]
        width, height: of the images, pixels; at most 2^14.
        near_plane, far_plane: depths between which a Gaussian's centre is drawn, metres.
        radius_clip: Gaussians whose radius in the image is at most this many pixels are not drawn.
        eps2d: added to the diagonal of each covariance in the image, square pixels.
        sh_degree: degree of the harmonics in use, 0 or 1 on the CPU; None if colors are RGB.
        backgrounds: colour behind everything; black if None. Depth has none. [C, 3]
        render_mode: "RGB"; "D" depth weighted like colour; "ED" the same divided by alpha; "RGB+D", "RGB+ED" both.
        gsplat_only: further arguments of gsplat. On the CPU each must be what GSPLAT_ONLY says.

    Returns:
        renders [C, height, width, channels] with 3, 1 or 4 channels, alphas [C, height, width, 1], and a dict with
        means2d [C, N, 2] (pixels, part of the graph: `retain_grad` works on it), radii [C, N, 2] (pixels, int32, 0 if
        not drawn), depths [C, N], conics [C, N, 3], width, height, n_cameras.

    Raises:
        ValueError: an argument of the wrong shape or type, or one that the CPU rasterizer does not know; a camera or
            background that is not finite (on a GPU that is not looked at: it would have to be read back).
        UserError: the Gaussians are on a GPU and gsplat is not installed; or they are so large that the CPU's memory
            would not do.
    """
    supported = {
        "near_plane": near_plane,
        "far_plane": far_plane,
        "radius_clip": radius_clip,
        "eps2d": eps2d,
        "sh_degree": sh_degree,
        "backgrounds": backgrounds,
        "render_mode": render_mode,
    }
    scene = means, quats, scales, opacities, colors, viewmats, Ks, width, height
    if means.is_cuda:
        render = _gsplat()
        check_size(width, height)
        # Below 1/255 gsplat looks at nothing else of a Gaussian, neither forwards nor backwards
        drawn = torch.where(drawable(means, quats, scales, opacities, colors, sh_degree), opacities, 0)
        scene = means, quats, scales, drawn, colors, viewmats, Ks, width, height
        return render(*scene, **supported, **{"packed": False, **gsplat_only})
    for name, value in gsplat_only.items():
        if name not in GSPLAT_ONLY:
            raise ValueError(f"{name}: not an argument of rasterization on the CPU")
        if value != GSPLAT_ONLY[name]:
            raise ValueError(f"{name}: the CPU rasterizer has only {GSPLAT_ONLY[name]!r}, found {value!r}")
    return cpu.rasterization(*scene, **supported)


def _gsplat():
    # Imported here and only where CUDA works: without a GPU, gsplat tries to compile itself when it is imported.
    if not torch.cuda.is_available():
        raise UserError("renderer: the Gaussians are on a GPU that torch cannot use; install torch with CUDA")
    try:
        from gsplat import rasterization as gsplat_rasterization
    except ImportError as error:
        raise UserError("renderer: gsplat is not installed; install it with: pip install gsplat==1.5.3") from error
    return gsplat_rasterization
