"""A fit that does not trust its start: where landmarks stay unexplained, others are tried, and else not believed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline.body import BodyModel
from pipeline.estimators.smplify.fit import FittedPose, Observations, fit_pose
from pipeline.estimators.smplify.settings import SmplifySettings
from pipeline.motion.leaps import Astray, body_astray

_TURNS = (math.pi, math.pi / 2, -math.pi / 2)  # rad, of the body about its long axis
_AROUND = 0.3  # s on each side of doubtful frames that are fitted with them
_BETTER = 0.7  # share of the mean error that another start must leave at most


def fit_surely(
    body: BodyModel, seen: Observations, settings: SmplifySettings, height: float | None = None
) -> tuple[FittedPose, Tensor]:
    """The pose, and in which frames its landmarks are believed, [B] bool.

    Doubtful are runs of frames whose mean landmark error is above `settings.outlier`, or to which the body leaps as no
    body can: started elsewhere, the fit may end elsewhere. For each run the best start by its error is kept. What stays
    doubtful is taken for unseen, and so is a limb that leaps by itself. Arguments as of `fit_pose`.
    """
    fitted = fit_pose(body, seen, settings, height)
    astray = _astray(body, fitted, seen)
    doubtful, turned = _doubtful(astray, fitted, seen, settings), None
    if doubtful.any():
        turned = _best_turns(body, seen, settings, height, _error(fitted, seen), doubtful)
        fitted = fit_pose(body, seen, settings, height, turned)
        astray = _astray(body, fitted, seen)
        doubtful = _doubtful(astray, fitted, seen, settings)
    believed, limbs = seen.told & ~doubtful, torch.as_tensor(astray.limbs)
    if (doubtful.any() or limbs.any()) and believed.any():
        fitted = fit_pose(body, seen.without(doubtful, limbs), settings, height, turned)
    return fitted, believed


def _astray(body: BodyModel, fitted: FittedPose, seen: Observations) -> Astray:
    motion = fitted.global_orient, fitted.body_pose, fitted.betas, fitted.transl
    return body_astray(body, *motion, seen.fps, seen.world_from_camera)


def _doubtful(astray: Astray, fitted: FittedPose, seen: Observations, settings: SmplifySettings) -> Tensor:  # [B] bool
    return seen.told & (torch.as_tensor(astray.whole) | (_error(fitted, seen) > settings.outlier))


def _error(fitted: FittedPose, seen: Observations) -> Tensor:  # [B]
    """Mean distance of a frame's landmarks from their pixels, in heights of the body in the picture."""
    about = torch.maximum(*(seen.xy.amax(1) - seen.xy.amin(1)).unbind(1))[seen.told]
    mean = (fitted.weights * fitted.residual).sum(1) / fitted.weights.sum(1).clamp_min(1e-6)
    return mean / about.median()


def _best_turns(
    body: BodyModel,
    seen: Observations,
    settings: SmplifySettings,
    height: float | None,
    error: Tensor,
    doubtful: Tensor,
) -> Tensor:
    """Radians by which each frame's start is turned, [B]: of each doubtful run those that leave the least error."""
    margin = math.ceil(_AROUND * seen.fps)
    near = torch.nn.functional.max_pool1d(doubtful[None].float(), 2 * margin + 1, 1, margin)[0] > 0
    run = torch.cumsum(torch.diff(doubtful.int(), prepend=doubtful.new_zeros(1).int()) > 0, 0)  # of each frame
    runs = range(1, int(run.max()) + 1)
    least = {number: _BETTER * float(error[doubtful & (run == number)].mean()) for number in runs}
    turned = torch.zeros_like(error)
    for turn in _TURNS:
        start = torch.where(doubtful, turn, 0.0)
        tried = seen.rows(near)
        found = torch.full_like(error, math.inf)
        found[near] = _error(fit_pose(body, tried, settings, height, start[near]), tried)
        for number in runs:
            here = doubtful & (run == number)
            if float(found[here].mean()) < least[number]:
                least[number] = float(found[here].mean())
                turned[here] = turn
    return turned
