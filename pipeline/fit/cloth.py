"""Cloth that moves, fitted last: all else is frozen, and what is left of the error is explained by the pose.

Poses, places and colours have their say first. Were they free beside the correction, it would take what belongs to
them: a pose that is wrong in all frames in which an arm is raised looks like a sleeve that moves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pipeline.avatar.binding import HELD
from pipeline.avatar.cloth import Cloth, Features
from pipeline.avatar.gaussians import Posable
from pipeline.body import BodyModel
from pipeline.fit.adam import RowAdam
from pipeline.fit.data import COARSE, FULL
from pipeline.fit.loop import FitResult
from pipeline.fit.rendering import render
from pipeline.fit.schedule import drawn
from pipeline.fit.settings import FitSettings
from pipeline.fit.sharpness import frame_weights
from pipeline.fit.terms import ImageTerms
from pipeline.losses.priors import Neighbours, roughness
from pipeline.losses.search import Searchable
from pipeline.runtime.progress import track

_NEIGHBOURS = 4
_OFFSET, _COLOUR = 0.01, 0.2  # metres, and of a harmonic of degree 0 (6% of full brightness): what weighs alike


def with_cloth(result: FitResult, body: BodyModel, settings: FitSettings) -> FitResult:
    """The same with an avatar whose cloth moves, fitted to the trained frames.

    Bindings other than `HELD` are baselines, whose cloth does not move.
    """
    if settings.binding not in HELD or settings.cloth.steps == 0:
        return result
    clip, rows = result.clip, result.rows
    avatar, device = result.avatar, result.avatar.means.device
    body = body.to(device=device)
    frames = np.flatnonzero(clip.train)
    chosen = settings.for_frames(len(frames)).cloth
    with torch.no_grad():
        poses = {frame: rows.apply(frame, rows.correction(frame)) for frame in frames.tolist()}
        rest = body.rest_joints(avatar.betas)[0]
        rotmats, pelvis = (torch.stack(part) for part in zip(*poses.values()))
        features = Features.of(body.transforms(rotmats, avatar.betas, pelvis - rest), chosen.features)
    shape = len(avatar.means), chosen.features, 3
    params = {name: torch.zeros(shape, device=device, requires_grad=True) for name in ("offsets", "colours")}
    adam = RowAdam(params, {"offsets": chosen.offsets, "colours": chosen.colours})
    values = Posable(avatar.means, avatar.quats, avatar.scales, avatar.opacities, avatar.sh, avatar.weights)
    around = Neighbours.of(Searchable(avatar.means).nearest(avatar.means, count=_NEIGHBOURS + 1)[:, 1:])
    terms, generator = ImageTerms(settings), torch.Generator().manual_seed(settings.seed)
    sharp = frame_weights(clip) if settings.frame_sharpness else np.ones(len(clip))
    steps, order = chosen.steps, torch.zeros(0, dtype=torch.int64)
    for step in track(range(steps), "cloth", unit="step"):
        row, order = drawn(order, len(frames), generator)
        frame = int(frames[row])
        view = clip.view(frame, FULL)
        background = torch.rand(3, generator=generator).to(device)
        cloth = Cloth(features, params["offsets"], params["colours"])
        rendered = render(
            values, body, avatar.betas, *poses[frame], view, background, clip.has_depth, avatar.sh_degree,
            avatar.field, cloth,
        )  # fmt: skip
        compared = terms(view, clip.view(frame, COARSE), rendered, background, True, float(sharp[frame]))
        loss = torch.stack(list(compared.values())).sum()
        scaled = [params["offsets"] / _OFFSET, params["colours"] / _COLOUR]
        size = sum(part.square().sum((1, 2)).mean() for part in scaled)
        smooth = roughness([(chosen.smooth, part) for part in scaled], around)
        (loss + chosen.size * size + smooth).backward()
        adam.step(factor=chosen.rate_final ** (step / steps))
        adam.zero_grad()
    found = Cloth(features, params["offsets"].detach(), params["colours"].detach())
    return replace(result, avatar=replace(avatar, cloth=found))
