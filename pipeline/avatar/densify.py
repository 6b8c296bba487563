"""Growth and pruning of Gaussians, as in 3D Gaussian Splatting (Kerbl et al. 2023, section 5.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.avatar.gaussians import Gaussians
from pipeline.geometry.rotations import quaternion_to_matrix

_SPLIT_SHRINKS = 1.6  # 3DGS


class ImageGradients:
    """Running mean of how strongly the loss pulls each Gaussian's place in the image, where it was seen."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.total = torch.zeros(count, device=device)
        self.seen = torch.zeros(count, device=device)

    def add(self, means2d: Tensor, radii: Tensor, width: int, height: int) -> None:
        """Count one rendering, after `backward`.

        Args:
            means2d: of the rasterizer, its gradient retained. [1, N, 2]
            radii: of the rasterizer, 0 where a Gaussian was not drawn. [1, N, 2]
            width, height: of the image; the gradient is taken per half image, as gsplat does, not per pixel.
        """
        across, down = means2d.grad[0].unbind(-1)
        drawn = (radii[0] > 0).all(-1)
        self.total += torch.hypot(across * (width / 2), down * (height / 2)) * drawn
        self.seen += drawn

    def mean(self) -> Tensor:  # [N]
        return self.total / self.seen.clamp(min=1)


@torch.no_grad()
def densify(
    gaussians: Gaussians,
    gradients: Tensor,  # [N]
    threshold: float,
    split_scale: float,
    prune_opacity: float,
    most: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Prune the transparent Gaussians; clone the small and split the large ones that the loss pulls at.

    Args:
        gaussians: changed in place; their parameters become new tensors without gradient.
        gradients: mean gradient of each (`ImageGradients.mean`). [N]
        threshold: a Gaussian grows above this gradient, the strongest first.
        split_scale: metres; one that is broader is split in two smaller ones, others are cloned.
        prune_opacity: one below it is dropped.
        most: no growth beyond this number.
        generator: of the random places of split ones.

    Returns:
        For each Gaussian now, the index of the one it was or comes from [M], and whether it is new [M].
    """
    device = gradients.device
    keep = gaussians.params["logit_opacities"].sigmoid() >= prune_opacity
    room = max(0, most - int(keep.sum()))
    order = torch.argsort(gradients, descending=True, stable=True)
    grow = order[(gradients[order] > threshold) & keep[order]][:room].sort().values
    kept = torch.nonzero(keep).flatten()
    index = torch.cat([kept, grow])
    fresh = torch.arange(len(index), device=device) >= len(kept)
    gaussians.select(index)

    params = gaussians.params
    broad = params["log_scales"].exp().max(-1).values > split_scale
    grown = torch.zeros(len(gradients), dtype=torch.bool, device=device)
    grown[grow] = True
    halves = grown[index] & broad
    # A split Gaussian's two halves both move, so both begin without momentum.
    fresh = fresh | halves
    noise = torch.randn(int(halves.sum()), 3, generator=generator).to(device) * params["log_scales"][halves].exp()
    turned = quaternion_to_matrix(params["quats"][halves]) @ noise[..., None]
    params["offsets"][halves] += turned.squeeze(-1)
    params["log_scales"][halves] -= torch.log(torch.tensor(_SPLIT_SHRINKS))
    return index, fresh
