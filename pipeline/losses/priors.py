"""Priors of the motion: what is believed of a pose before the image is looked at."""

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
