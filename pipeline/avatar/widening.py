"""How thick Gaussians are meant to be.

Rasterizers widen each Gaussian by 0.3 px^2 in the image, and a fit learns Gaussians that are thinner for it. Shown
larger than in the video, and widened by those pixels alone, they come apart: what the fit saw is wider in metres.
"""

import numpy as np

from pipeline.formats.pose import Pose

WIDENING = 0.3  # px^2: what the rasterizer's eps2d is


def pixels_per_metre(pose: Pose) -> float:
    """Of the person, in the pictures that the avatar was made from."""
    return float(np.median(pose.K[1, 1] / np.maximum(pose.transl[:, 2], 0.1)))


def widened(
    scales: np.ndarray,  # (N, 3)
    density: float,
) -> np.ndarray:  # (N, 3)
    """Standard deviations in metres with the widening that the fit saw, for viewers that know nothing of it.

    Args:
        scales: as fitted, metres. (N, 3)
        density: of `pixels_per_metre`.
    """
    return np.sqrt(scales**2 + WIDENING / density**2)
