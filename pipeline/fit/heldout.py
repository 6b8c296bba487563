"""Poses of frames that the avatar never saw: fitted with the avatar frozen (as InstantAvatar and GART do)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar.gaussians import Posable
from pipeline.body import BodyModel
from pipeline.fit.data import COARSE, FULL, LEVELS, MIDDLE, Clip
from pipeline.fit.loop import FitResult
from pipeline.fit.rendering import render
from pipeline.fit.settings import FitSettings
from pipeline.fit.terms import ImageTerms, PoseTerms, landmark_term
from pipeline.runtime.progress import track
from pipeline.runtime.threads import map_parallel

_FAR = 0.15  # seconds from all trained frames, beyond which a frame's pose does not follow from theirs
_COARSE_PART = 0.5  # of the steps, with middling crops


def far_from_trained(clip: Clip, fps: float) -> np.ndarray:
    """Indices of the held-out frames that no trained frame is near to: second-order steps are too short for them."""
    trained, held_out = np.flatnonzero(clip.train), np.flatnonzero(clip.heldout)
    return held_out[np.abs(held_out[:, None] - trained).min(1) > _FAR * fps]


def fit_frozen(result: FitResult, body: BodyModel, fps: float, settings: FitSettings, frames: np.ndarray) -> None:
    """Fit the rows of some frames, which start from what they hold; several frames at a time, one a thread.

    Everything shared (Gaussians, shape, knots or motion field) stays as it is, so that a frame's result depends on that
    frame, the frozen avatar and its trained neighbours alone.
    """
    if len(frames) == 0:
        return
    body, rows = body.to(device=result.avatar.means.device), result.rows
    for value in rows.params.values():
        value.requires_grad_(False)
        value.grad = None  # what another optimiser left would be stepped along

    def fit(frame: int) -> Tensor:
        return _fit_frame(frame, replace(result, rows=rows.with_own_rows()), body, fps, settings)

    found = track(map_parallel(fit, frames.tolist()), "held-out poses", len(frames), unit="frame")
    for frame, row in zip(frames.tolist(), list(found)):
        rows.params["rows"][frame] = row


def _fit_frame(frame: int, result: FitResult, body: BodyModel, fps: float, settings: FitSettings) -> Tensor:  # [75]
    """The row of a frame, fitted; what `result.rows` holds of it is written."""
    clip, avatar, rows, marks = result.clip, result.avatar, result.rows, result.marks
    device, views = avatar.means.device, {level: clip.view(frame, level) for level in LEVELS}
    values = Posable(avatar.means, avatar.quats, avatar.scales, avatar.opacities, avatar.sh, avatar.weights)
    # The mean distance is that of the trained frames, and settled: as where there is depth, nothing pulls at it.
    image_terms, pose_terms = ImageTerms(settings), PoseTerms(rows, fps, True, settings)
    adam, touched = rows.optimiser(settings.rates), {"rows": torch.tensor([frame], device=device)}
    generator = torch.Generator().manual_seed(settings.seed + 1 + frame)
    for step in range(settings.steps.heldout):
        view = views[MIDDLE if step < _COARSE_PART * settings.steps.heldout else FULL]
        background = torch.rand(3, generator=generator).to(device)
        correction = rows.correction(frame)
        rotation, pelvis = rows.apply(frame, correction)
        rendered = render(
            values, body, avatar.betas, rotation, pelvis, view, background, clip.has_depth, avatar.sh_degree,
            avatar.field, avatar.cloth,
        )  # fmt: skip
        terms = image_terms(view, views[COARSE], rendered, background, full=True)
        terms |= pose_terms(frame, correction)
        if marks is not None:
            terms["landmarks"] = landmark_term(marks, body, avatar.betas, rows, frame, correction, settings)
        torch.stack(list(terms.values())).sum().backward()
        decay = settings.rates.pose_final ** (step / settings.steps.heldout)
        adam.step(touched, factor=settings.rates.heldout * decay)
        adam.zero_grad()
    return rows.params["rows"][frame].detach()
