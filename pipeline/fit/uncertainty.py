"""How sure the fit is of each joint: the covariance that the alignment's normal equations hold, calibrated.

The alignment (pipeline.fit.alignment) is linearised once more, at the final poses of all frames. Evidence and priors
make one Gaussian over all unknowns: each frame's correction and depth plane, coupled to its neighbours by the prior in
time, and what frames share, the habit and the thickness of clothes. Its covariance is found exactly: the frames alone
are a chain of blocks, and what is shared is eliminated by its Schur complement. Only two things are left out: that
without depth maps the mean distance is held (which moves no joint against another), and the Gaussians' own evidence.

The model knows nothing of lean, shape and of errors that neighbouring points share, and so is too sure. The studio says
by how much: sigma^2 = (scale x model)^2 + floor^2.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.fit.alignment.alignment import PLANE, Alignment
from pipeline.fit.alignment.normal_kernels import AT_LENGTH
from pipeline.fit.alignment.solve import Chain
from pipeline.fit.alignment.surface import Skeleton, by_turns
from pipeline.fit.loop import FitResult
from pipeline.fit.settings import FitSettings

# Across and along: the scales are those that `python -m pipeline.accuracy.sigma` computes of fits of studio clips with
# the real detector (docs/trials.md). The floor is what a joint's centre is known to on a real body; on the studio's,
# which has our mesh, there is hardly any.
SCALE = (1.8, 1.7)
FLOOR = (0.008, 0.008)  # metres
_HIPS = [JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip")]
_LEVEL = "coarse"  # of the crops, as in most of the steps


class Shared(NamedTuple):
    """What the frames of a chain have in common: its covariance, and how each frame goes with it."""

    covariance: Tensor  # [S, S]
    slopes: Tensor  # [T, U, S] how a frame's unknowns move when what is shared does


def joint_sigma(result: FitResult, body: BodyModel, fps: float, settings: FitSettings) -> np.ndarray:
    """Standard deviation of each joint's place against the hips' middle, (T, 24, 2) metres.

    The first is across the line of sight, along any axis there; the second along it. Every frame has one: where nothing
    was seen, it is that of the neighbours, widened by the prior in time.

    Args:
        result: of the joint fit, its poses final in all frames.
        fps: of the clip.
    """
    return calibrated(model_sigma(result, body, fps, settings))


def calibrated(
    model: Tensor,  # [T, 24, 2] metres
) -> np.ndarray:  # (T, 24, 2) metres
    """The model's sigma as the studio's errors have it."""
    scale, floor = (model.new_tensor(values) for values in (SCALE, FLOOR))
    return ((scale * model) ** 2 + floor**2).sqrt().cpu().numpy()


@torch.no_grad()
def model_sigma(result: FitResult, body: BodyModel, fps: float, settings: FitSettings) -> Tensor:  # [T, 24, 2] metres
    """`joint_sigma` as evidence and priors alone have it."""
    clip, frames = result.clip, np.flatnonzero(result.clip.train | result.clip.heldout)
    rows = copy.copy(result.rows)
    rows.frames = torch.as_tensor(frames, device=result.betas.device)
    align = settings.align
    # Standing feet are left out: SCALE and FLOOR were found without them.
    alignment = Alignment(clip, body, result.betas, rows, result.marks, None, align, fps, settings.seed)
    alignment.thickness = result.thickness
    if clip.planes is not None:
        alignment.planes = clip.planes[rows.frames]
    alignment.equations(_LEVEL)  # what colours the points have
    seen = alignment.equations(_LEVEL)[0][:, :AT_LENGTH, :AT_LENGTH]
    evidence = seen.new_zeros(len(clip), *seen.shape[1:], dtype=torch.float64)
    evidence[rows.frames] = seen.double()

    sigmas = alignment.sigmas().to(evidence)
    own, columns = len(sigmas), len(sigmas) - PLANE
    clothes = sigmas.new_full((len(result.thickness),), align.sigma_thickness)
    # In units of the priors' sizes: single precision leaves eigenvalues a hair below zero, which are cut off.
    unit = torch.cat([sigmas, clothes])
    evidence = _positive(evidence * unit * unit[:, None])
    chain = Chain(sigmas.new_full((len(clip) - 1,), 1 / fps), align.correlation, torch.ones_like(sigmas))
    habit = torch.cat([torch.arange(columns), torch.arange(own, len(unit))])  # columns of what is shared
    covariance, shared = chained(
        evidence[:, :own, :own] + torch.diag_embed(chain.diagonal()),
        chain.neighbours(),
        evidence[:, :own, habit],
        evidence[:, habit][:, :, habit].sum(0) + torch.eye(len(habit)).to(evidence),
    )
    # A correction is the frame's own and the habit.
    sum_of_both = torch.eye(columns, len(habit)).to(evidence) + shared.slopes[:, :columns]
    total = covariance[:, :columns, :columns] + sum_of_both @ shared.covariance @ sum_of_both.transpose(1, 2)
    total = total * sigmas[:columns] * sigmas[:columns, None]
    skeletons = alignment.surface.skeletons(rows, torch.arange(len(clip), device=rows.frames.device))
    skeleton = Skeleton(*(torch.stack(part).double() for part in zip(*skeletons)))
    by_pose = joint_jacobian(skeleton, alignment.surface.subtree.double())
    return split(by_pose @ total[:, None] @ by_pose.transpose(-1, -2), skeleton.joints).to(result.betas)


def chained(
    blocks: Tensor,  # [T, U, U]
    neighbours: Tensor,  # [T - 1, U]
    coupling: Tensor,  # [T, U, S]
    shared: Tensor,  # [S, S]
) -> tuple[Tensor, Shared]:
    """Blocks of the inverse of a precision: of frames in a chain, and of unknowns that all of them share.

    Args:
        blocks: precision of each frame's unknowns.
        neighbours: precision between a frame's unknowns and the same of the next: a diagonal.
        coupling: precision between a frame's unknowns and those shared.
        shared: precision of those shared.

    Returns:
        The frames' covariances given what is shared [T, U, U]; with slopes L and the covariance C of what is shared,
        the whole is covariance + L C L^T.
    """
    count = len(blocks)
    inverses, pushed = torch.empty_like(blocks), coupling.clone()
    for frame in range(count):  # eliminated from the first to the last
        block = blocks[frame]
        if frame:
            link = neighbours[frame - 1]
            block = block - link[:, None] * inverses[frame - 1] * link
            pushed[frame] -= link[:, None] * (inverses[frame - 1] @ pushed[frame - 1])
        inverses[frame] = torch.cholesky_inverse(torch.linalg.cholesky(block))
    covariance, solved = inverses.clone(), inverses @ pushed
    for frame in range(count - 2, -1, -1):
        gain = inverses[frame] * neighbours[frame]
        covariance[frame] += gain @ covariance[frame + 1] @ gain.T
        solved[frame] -= gain @ solved[frame + 1]
    rest = shared - (coupling.transpose(1, 2) @ solved).sum(0)
    return covariance, Shared(torch.cholesky_inverse(torch.linalg.cholesky((rest + rest.T) / 2)), -solved)


def joint_jacobian(
    skeleton: Skeleton,
    subtree: Tensor,  # [24, 24]
) -> Tensor:  # [F, 24, 3, 75]
    """Of the joints' places against the hips' middle by `PoseRows.correction`; `skeleton` is of several frames."""
    by_turn = by_turns(skeleton, skeleton.joints, torch.arange(len(subtree), device=subtree.device), subtree)
    by_turn = (by_turn - by_turn[:, _HIPS].mean(1, keepdim=True)).transpose(-1, -2)
    return torch.nn.functional.pad(by_turn, (0, 3))


def split(
    covariance: Tensor,  # [T, J, 3, 3]
    joints: Tensor,  # [T, J, 3]
) -> Tensor:  # [T, J, 2]
    """Standard deviations across the rays to the joints, along any axis there (root mean square), and along them."""
    rays = torch.nn.functional.normalize(joints, dim=-1)
    along = (rays[..., None, :] @ covariance @ rays[..., None])[..., 0, 0]
    across = (covariance.diagonal(dim1=-2, dim2=-1).sum(-1) - along) / 2
    return torch.stack([across, along], dim=-1).clamp(min=0).sqrt()


def _positive(matrices: Tensor) -> Tensor:  # [T, U, U]
    """The same without negative eigenvalues."""
    values, vectors = torch.linalg.eigh((matrices + matrices.transpose(1, 2)) / 2)
    return (vectors * values.clamp(min=0)[:, None]) @ vectors.transpose(1, 2)
