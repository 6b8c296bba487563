"""Poses of frames that the avatar never saw: fitted with the avatar frozen (as InstantAvatar and GART do)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.avatar.gaussians import Posable
from pipeline.body import BodyModel
from pipeline.fit.data import COARSE, FULL, MIDDLE, Clip
from pipeline.fit.objective import ImageTerms, PoseTerms, render
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.settings import FitSettings
from pipeline.progress import track

_COARSE_PART = 0.5  # of the steps, with middling crops


def fit_frozen(
    frames: np.ndarray,
    clip: Clip,
    body: BodyModel,
    avatar: Avatar,
    rows: PoseRows,
    planes: Tensor,  # [T, 3]
    fps: float,
    settings: FitSettings,
    description: str,
) -> None:
    """Fit the rows of `frames`, one frame after the other; they start from what they hold.

    Everything shared (Gaussians, shape, knots or motion field) stays as it is, so that a frame's result depends on that
    frame, the frozen avatar and its trained neighbours alone.
    """
    body = body.to(device=avatar.means.device)
    values = Posable(avatar.means, avatar.quats, avatar.scales, avatar.opacities, avatar.sh, avatar.weights)
    generator = torch.Generator().manual_seed(settings.seed + 1)
    # The mean distance is that of the trained frames, and settled: as where there is depth, nothing pulls at it.
    image_terms, pose_terms = ImageTerms(settings), PoseTerms(rows, fps, True, settings)
    for name, value in rows.params.items():
        value.requires_grad_(name == "rows")
    adam = rows.optimiser(settings.rates)
    adam.zero_grad()  # what another optimiser left would be stepped along
    for frame in track(frames.tolist(), description, unit="frame"):
        touched = {"rows": torch.tensor([frame], device=rows.basis.device)}
        views = {level: view.corrected(planes[frame]) for level, view in clip.views[frame].items()}
        for step in range(settings.steps.heldout):
            level = MIDDLE if step < _COARSE_PART * settings.steps.heldout else FULL
            view = views[level]
            background = torch.rand(3, generator=generator).to(avatar.means.device)
            correction = rows.correction(frame)
            rotation, pelvis = rows.apply(frame, correction)
            rendered = render(
                values, body, avatar.betas, rotation, pelvis, view, background, clip.has_depth, avatar.sh_degree
            )
            terms = image_terms(view, views[COARSE], rendered, background, full=True)
            terms |= pose_terms(frame, correction)
            torch.stack(list(terms.values())).sum().backward()
            decay = settings.rates.pose_final ** (step / settings.steps.heldout)
            adam.step(touched, factor=settings.rates.heldout * decay)
            adam.zero_grad()
