"""A slow `rasterization` in plain torch, of any precision: what the tests hold the CPU kernels against.

Every pixel looks at every Gaussian, in memory at once: for a few hundred Gaussians and small images. Gradients come
from autograd. Conventions are those of gsplat 1.5.3 (see `projection` and `compositing`).
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.splatting.inputs import check_cameras, check_size, drawable

ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN = 0.999, 1 / 255, 1e-4
SMALLEST_DETERMINANT = 1e-30  # pixels^4
SH_C0, SH_C1 = 0.28209479177387814, 0.48860251190292


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
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    backgrounds: Tensor | None = None,  # [C, 3]
    render_mode: str = "RGB",
) -> tuple[Tensor, Tensor]:
    """Renders [C, height, width, channels] and alphas [C, height, width, 1]; see `pipeline.splatting.rasterization`."""
    check_size(width, height)
    check_cameras(viewmats, Ks, backgrounds)
    renders, alphas = [], []
    sound = drawable(means, quats, scales, opacities, colors, sh_degree)
    means, quats, scales, opacities, colors = (x[sound] for x in (means, quats, scales, opacities, colors))
    for c, (viewmat, K) in enumerate(zip(viewmats, Ks)):
        # What is not drawn is left out before anything is divided by its depth: its gradient would be NaN
        depths = means @ viewmat[2, :3] + viewmat[2, 3]
        drawn = (depths >= near_plane) & (depths <= far_plane)
        here = means[drawn]
        covariances = _covariances(quats[drawn], scales[drawn])
        means2d, conics, depths = project(here, covariances, viewmat, K, width, height, eps2d)
        rgb = colors[drawn] if sh_degree is None else _shade(colors[drawn], here, viewmat, sh_degree)
        opaque = opacities[drawn] * (conics[:, 0, 0] > 0)
        weights, alpha = _weights(means2d, conics, depths, opaque, width, height)
        parts = []
        if "RGB" in render_mode:
            background = rgb.new_zeros(3) if backgrounds is None else backgrounds[c]
            parts.append(weights @ rgb + (1 - alpha) * background)
        if render_mode != "RGB":
            depth = weights @ depths[:, None]
            parts.append(depth / alpha.clamp_min(1e-10) if "ED" in render_mode else depth)
        renders.append(torch.cat(parts, -1).reshape(height, width, -1))
        alphas.append(alpha.reshape(height, width, 1))
    return torch.stack(renders), torch.stack(alphas)


def project(
    means: Tensor,  # [N, 3]
    covariances: Tensor,  # [N, 3, 3]
    viewmat: Tensor,  # [4, 4]
    K: Tensor,  # [3, 3]
    width: int,
    height: int,
    eps2d: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Centres [N, 2] in pixels, inverse covariances [N, 2, 2] and depths [N] in one camera's image (EWA splatting).

    The inverse of a covariance that has none is 0.
    """
    x, y, z = (means @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    slope_x = (x / z).clamp(-cx / fx - margin_x, (width - cx) / fx + margin_x)
    slope_y = (y / z).clamp(-cy / fy - margin_y, (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * slope_x / z, zero, fy / z, -fy * slope_y / z], -1).reshape(-1, 2, 3)
    jacobian = jacobian @ viewmat[:3, :3]
    blur = eps2d * torch.eye(2, dtype=means.dtype)
    covariances2d = jacobian @ covariances @ jacobian.transpose(1, 2) + blur
    xx, xy, yy = covariances2d[:, 0, 0], covariances2d[:, 0, 1], covariances2d[:, 1, 1]
    determinants = xx * yy - xy * xy
    determinants = torch.where(determinants > SMALLEST_DETERMINANT, determinants, torch.inf)
    conics = torch.stack([yy, -xy, -xy, xx], -1).reshape(-1, 2, 2) / determinants[:, None, None]
    return torch.stack([fx * x / z + cx, fy * y / z + cy], -1), conics, z


def _covariances(quats: Tensor, scales: Tensor) -> Tensor:
    w, x, y, z = normalize(quats, dim=-1).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    axes = torch.stack(rows, -1).reshape(-1, 3, 3) * scales[:, None, :]
    return axes @ axes.transpose(1, 2)


def _shade(coefficients: Tensor, means: Tensor, viewmat: Tensor, sh_degree: int) -> Tensor:
    camera = -viewmat[:3, :3].T @ viewmat[:3, 3]
    x, y, z = normalize(means - camera, dim=-1)[..., None].unbind(1)
    color = SH_C0 * coefficients[:, 0]
    if sh_degree > 0:
        color = color + SH_C1 * (z * coefficients[:, 2] - y * coefficients[:, 1] - x * coefficients[:, 3])
    return (color + 0.5).clamp_min(0)


def _weights(
    means2d: Tensor, conics: Tensor, depths: Tensor, opacities: Tensor, width: int, height: int
) -> tuple[Tensor, Tensor]:
    """How much each Gaussian counts in each pixel [P, N], and their sum, alpha [P, 1]."""
    like = {"dtype": means2d.dtype}
    y, x = torch.meshgrid(torch.arange(height, **like) + 0.5, torch.arange(width, **like) + 0.5, indexing="ij")
    offsets = torch.stack([x, y], -1).reshape(-1, 1, 2) - means2d
    exponents = torch.einsum("pni,nij,pnj->pn", offsets, conics, offsets) / 2
    covered = (opacities * torch.exp(-exponents)).clamp_max(ALPHA_MAX)
    covered = torch.where(covered >= ALPHA_MIN, covered, 0)
    front_to_back = torch.argsort(depths.detach().float(), stable=True)
    covered = covered[:, front_to_back]
    open_ = torch.cumprod(1 - covered, 1).detach() > TRANSMITTANCE_MIN
    covered = covered * open_.cumprod(1)  # the Gaussian that would close the pixel, and all behind it, do not count
    light = torch.cumprod(torch.cat([torch.ones_like(y.reshape(-1, 1)), 1 - covered], 1), 1)
    weights = covered * light[:, :-1]
    return weights[:, torch.argsort(front_to_back)], 1 - light[:, -1:]
