"""Joints found again in a frame by the features that anchor frames show of them (NeuHMR, equations 8, 9 and 12)."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES
from pipeline.fit.neuhmr.features import FeatureMap

# NeuHMR matches 16 of the 24 joints, without the crowded ones of trunk, hands and feet; which, it does not say.
_CROWDED = ("spine1", "spine2", "left_collar", "right_collar", "left_foot", "right_foot", "left_hand", "right_hand")
MATCHED = [index for index, name in enumerate(JOINT_NAMES) if name not in _CROWDED]


def project(
    joints: Tensor,  # [J, 3]
    K: Tensor,  # [3, 3]
) -> Tensor:  # [J, 2]
    """Places in the image, px, of points in the camera frame, metres."""
    places = joints @ K.T
    return places[:, :2] / places[:, 2:].clamp(min=1e-3)


@torch.no_grad()
def visible(
    depth: Tensor,  # [H, W]
    alpha: Tensor,  # [H, W]
    places: Tensor,  # [J, 2]
    distances: Tensor,  # [J]
    tolerance: float,
) -> Tensor:  # [J] bool
    """Whether nothing of the body lies in front of a joint: the z-buffer test of equation 8.

    Args:
        depth: of the rendered person, metres. [H, W]
        alpha: coverage of the same; less than half is no surface. [H, W]
        places: of the joints in the image, px. [J, 2]
        distances: of the joints along the optical axis, metres. [J]
        tolerance: between joint and surface, metres (epsilon).
    """
    height, width = depth.shape
    cell = places.floor().long()
    inside = (cell >= 0).all(-1) & (cell[:, 0] < width) & (cell[:, 1] < height)
    column, row = torch.where(inside[:, None], cell, torch.zeros_like(cell)).T
    return inside & (alpha[row, column] > 0.5) & ((depth[row, column] - distances).abs() < tolerance)


def register(
    features: Tensor,  # [N, J, C]
    seen: Tensor,  # [N, J] bool
) -> tuple[Tensor, Tensor]:  # [J, C], [J] bool
    """Mean of each joint's features over the anchor frames that show it (equation 9), and which joints any shows."""
    counts = seen.sum(0)
    total = (features * seen[..., None]).sum(0)
    return total / counts[:, None].clamp(min=1), counts > 0


@torch.no_grad()
def match(
    features: FeatureMap,
    registered: Tensor,  # [J, C]
    places: Tensor,  # [J, 2]
    sigma: float,
    samples: int,
    generator: torch.Generator,
) -> Tensor:  # [J, 2]
    """Of random places around each joint, the one whose feature is most like the registered one (omega, equation 12).

    Args:
        features: of the frame.
        registered: a feature for each joint. [J, C]
        places: of the joints as they are, px. [J, 2]
        sigma: standard deviation of the random places, px.
        samples: how many of them (S).
    """
    around = torch.randn(len(places), samples, 2, generator=generator).to(places)
    candidates = places[:, None] + sigma * around
    likeness = torch.cosine_similarity(features.at(candidates), registered[:, None], dim=-1)
    best = likeness.argmax(1)
    return candidates[torch.arange(len(places), device=places.device), best]


def matching_loss(
    places: Tensor,  # [J, 2]
    targets: Tensor,  # [J, 2]
    counted: Tensor,  # [J] bool
) -> Tensor:
    """Mean squared distance in the image, px^2, over the joints that count (equation 12)."""
    squared = (targets - places).square().sum(-1)
    return (squared * counted).sum() / counted.sum().clamp(min=1)
