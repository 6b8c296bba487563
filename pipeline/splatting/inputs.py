"""What every rasterizer takes and what it refuses: the same for the kernels, the reference and gsplat.

A bad camera or size spoils the whole picture: it is an error. A bad Gaussian spoils only itself: it is not drawn.
"""

import math
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
        if tensor is None:
            continue
        # Plain Python: of so few numbers it takes a third of the time that numpy or torch takes
        for camera, numbers in enumerate(tensor.detach().cpu().flatten(1).tolist()):
            if not all(map(math.isfinite, numbers)):
                raise ValueError(f"{name}: expected finite numbers, found {numbers} for camera {camera}")
            if name == "Ks" and not (numbers[0] > 0 and numbers[4] > 0):
                found = f"{numbers[0]:g} and {numbers[4]:g}"
                raise ValueError(f"Ks: expected focal lengths above 0, found {found} for camera {camera}")


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
