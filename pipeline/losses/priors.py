"""Priors: what is believed of a pose or of an avatar before the image is looked at."""

from __future__ import annotations

from torch import Tensor


def robust(
    squared: Tensor,  # [...]
    scale: float,
) -> Tensor:  # [...]
    """Geman-McClure penalty s^2 u / (s^2 + u) of a squared error u: u itself while small, never above s^2.

    What lies well beyond the scale, as fast motion does for a smoothness term, is not pulled back.
    """
    return squared * scale**2 / (squared + scale**2)


def roughness(
    values: Tensor,  # [N, C]
    neighbours: Tensor,  # [N, k]
) -> Tensor:
    """Mean squared difference of each Gaussian's values from the mean over its neighbours (GART's k-nearest terms).

    It matters where the video says nothing: a back that is never seen takes the colours of the sides.
    """
    return (values - values[neighbours].mean(1)).square().sum(-1).mean()


def breadth(
    scales: Tensor,  # [N, 3]
) -> Tensor:
    """Mean square of each Gaussian's largest scale (GART's penalty on large ones)."""
    return scales.max(-1).values.square().mean()
