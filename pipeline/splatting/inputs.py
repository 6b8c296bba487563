"""What every rasterizer takes and what it refuses: the same for the kernels, the reference and gsplat.

A bad camera or size spoils the whole picture: it is an error. A bad Gaussian spoils only itself: it is not drawn.
"""

from numbers import Integral

import torch
from torch import Tensor

from pipeline.splatting.projection import LARGEST, SHORTEST

LARGEST_SIDE = 2**14  # pixels; a typing error, not a picture: at 2^14 x 2^14 colour and depth take 4 GB


def check_size(width: int, height: int) -> None:
    """Raises ValueError where a picture of this size cannot be drawn."""
    for side in (width, height):
        if not isinstance(side, Integral) or not 1 <= side <= LARGEST_SIDE:
            expected = f"whole numbers of at least 1 and at most {LARGEST_SIDE}"
            raise ValueError(f"width and height: expected {expected}, found {width!r} x {height!r}")


def check_cameras(viewmats: Tensor, Ks: Tensor, backgrounds: Tensor | None) -> None:
    """Raises ValueError where a camera [C, 4, 4] and [C, 3, 3] or background [C, 3] shows nothing sensible.

    It reads the numbers: on a GPU that would wait for all that is under way.
    """
    for name, tensor in {"viewmats": viewmats, "Ks": Ks, "backgrounds": backgrounds}.items():
        if tensor is not None:
            _check_each(name, "finite numbers", tensor, tensor.isfinite())
    focals = Ks[:, (0, 1), (0, 1)]
    _check_each("Ks", "focal lengths above 0", focals, focals > 0)


def _check_each(name: str, expected: str, tensor: Tensor, good: Tensor) -> None:
    if not good.all():
        camera = int(good.flatten(1).all(1).int().argmin())
        raise ValueError(f"{name}: expected {expected}, found {tensor[camera].tolist()} for camera {camera}")


def drawable(
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    scales: Tensor,  # [N, 3]
    opacities: Tensor,  # [N]
    colors: Tensor,  # [N, 3] or [N, K, 3]
    sh_degree: int | None,
) -> Tensor:
    """Which Gaussians have numbers to draw with. [N] bool

    Those that are not finite or beyond LARGEST have not, nor have those whose quaternion is shorter than SHORTEST.
    """
    used = colors if sh_degree is None else colors[:, : (sh_degree + 1) ** 2]
    numbers = torch.cat([means, quats, scales, opacities[:, None], used.flatten(1)], 1)
    # NaN fulfils no comparison
    return (numbers.abs().amax(1) <= float(LARGEST)) & (quats.norm(dim=1) >= float(SHORTEST))
