"""One scale a clip between the size of the body that a network gives and metric depth maps.

Under a known K a body of known size has one distance at which it fills its part of the image; depth maps tell another.
The quotient of the two is the same in all frames, but for noise: one median over the clip. Near 1 the body may well be
so much larger or smaller than the network's guess, which is little more than a mean: depth decides, and the body grows
with its distance, so that the image stays. Far from 1 nobody is so large or small: the body's size stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.body import BodyModel
from pipeline.body.model import vertex_normals

_LEAST_POINTS = 50  # vertices with a known depth, for a frame to count
_RIDGE = 1e-4  # square metres: of a beta of 1 against the mean squared error of the vertices


@dataclass(frozen=True)
class ClipScale:
    """Depth maps over the body's own depth, for a clip."""

    quotient: float  # above 1: the maps put the person farther away
    spread: float  # median absolute deviation of the frames' quotients, as a share
    frames: int  # that it is from

    def agrees(self, tolerance: float) -> bool:
        """Whether a body may be that much larger or smaller than guessed."""
        return abs(np.log(self.quotient)) <= np.log1p(tolerance)


def depth_quotient(
    vertices: np.ndarray,  # (V, 3)
    faces: torch.Tensor,  # (F, 3)
    K: np.ndarray,  # (3, 3)
    depth: np.ndarray,  # (H, W)
    mask: np.ndarray,  # (H, W)
) -> float | None:
    """Median of depth map over body depth, at the vertices that face the camera and lie on the mask.

    None where fewer than 50 vertices do. Vertices hidden behind an arm are among them: the median takes no harm.

    Args:
        vertices: metres in the camera's frame.
        depth: metres, 0 = unknown.
        mask: uint8, 255 = person.
    """
    if (vertices[:, 2] <= 0).any():
        return None
    normals = vertex_normals(torch.as_tensor(vertices), faces).numpy()
    pixels = np.floor((vertices @ K.T)[:, :2] / vertices[:, 2:]).astype(np.int64)
    height, width = depth.shape
    inside = ((pixels >= 0) & (pixels < (width, height))).all(1) & ((normals * vertices).sum(1) < 0)
    columns, rows = pixels[inside].T
    found = depth[rows, columns]
    known = (found > 0) & (mask[rows, columns] > 127)
    if known.sum() < _LEAST_POINTS:
        return None
    return float(np.median(found[known] / vertices[inside, 2][known]))


def clip_scale(quotients: Iterable[float | None]) -> ClipScale | None:
    """One robust scale from the frames' quotients; None where no frame has one."""
    logs = np.log([q for q in quotients if q])
    if len(logs) == 0:
        return None
    middle = np.median(logs)
    return ClipScale(float(np.exp(middle)), float(np.median(np.abs(logs - middle))), len(logs))


def betas_of_size(body: BodyModel, betas: torch.Tensor, factor: float) -> torch.Tensor:
    """The shape nearest to `betas` enlarged by `factor`: ridge regression over the rest vertices.

    Args:
        betas: (10,).
        factor: 1.05 for a body 5% larger in every direction.
    """
    rest = body.shaped(betas)
    centred = rest - rest.mean(0)
    directions = body.shapedirs - body.shapedirs.mean(0)
    design = directions.flatten(0, 1)  # [V * 3, 10]
    wanted = ((factor - 1) * centred).flatten()
    gram = design.T @ design + _RIDGE * len(rest) * torch.eye(design.shape[1], dtype=design.dtype)
    return betas + torch.linalg.solve(gram, design.T @ wanted)
