"""Losses between a rendered alpha and a mask."""

from __future__ import annotations

from torch import Tensor


def silhouette(
    alpha: Tensor,  # [H, W]
    mask: Tensor,  # [H, W]
) -> Tensor:
    """Area where silhouette and mask differ, over the area of the mask.

    Dividing by the person's area rather than the image's gives the term the same weight whatever the crop is.

    Args:
        alpha, mask: coverage in [0, 1]. [H, W]
    """
    return (alpha - mask).abs().sum() / mask.sum().clamp(min=1)


def jaccard(
    alpha: Tensor,  # [H, W]
    mask: Tensor,  # [H, W]
) -> Tensor:
    """One minus intersection over union of silhouette and mask (NeuHMR, equation 11).

    It does not shrink the person, as a squared difference does, for a smaller silhouette loses intersection.

    Args:
        alpha, mask: coverage in [0, 1]. [H, W]
    """
    intersection = (alpha * mask).sum()
    return 1 - intersection / (alpha.sum() + mask.sum() - intersection).clamp(min=1)


SILHOUETTES = {"area": silhouette, "jaccard": jaccard}
