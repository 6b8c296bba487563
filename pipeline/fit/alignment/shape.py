"""The body's shape, from the outlines of some frames, before the poses are refined.

Landmarks tell how long a body's bones are, and little of how broad it is. Outlines do, but clothes are part of them. So
betas are sought together with how far clothes stand off at each joint. Both explain an outline, and what is expected of
them divides it: bones stay as long as they are, and clothes only add. Poses are held: a limb that lies beside where it
should moves both its outlines the same way, which says nothing of its breadth.

Outlines take hair, shoes and a wrong distance for stature. Where the user told the person's height, it is held.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES, PARENTS, BodyModel
from pipeline.fit.align_settings import Align, Shape
from pipeline.fit.alignment.evidence import Known, Outline, linearise
from pipeline.fit.alignment.surface import Posed, Surface
from pipeline.fit.data import MIDDLE, Clip, View
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.settings import FitSettings
from pipeline.formats.pose import Pose
from pipeline.runtime.threads import run_parallel

_BETAS, _JOINTS = 10, len(JOINT_NAMES)
_STEPS = 3
_WORTH = 2.0  # frames that all outlines together count as: what clothes do in one they do in the next


@torch.no_grad()
def with_shape(clip: Clip, body: BodyModel, pose: Pose, settings: FitSettings) -> Pose:
    """The same motion of the shape that the outlines tell, as tall as the user told it, the pelvis where it was.

    Args:
        clip: its frames to train on are looked at.
        body: that the pose is of.
        settings: sections `shape` and `align`.
    """
    initial = torch.as_tensor(pose.betas, dtype=torch.float32, device=body.v_template.device)
    pelvis = body.rest_joints(initial)[0]
    frames = np.flatnonzero(clip.train)
    count = min(len(frames), settings.shape.frames)
    frames = frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]
    rows = PoseRows(pose, pelvis, frames, settings.knot_spacing, initial.device)
    views = [replace(clip.views[frame][MIDDLE], depth=None) for frame in frames]
    outlines = [Outline.of(view) for view in views]
    prior, expected = _priors(body, settings.shape, initial)
    state = torch.cat([initial, expected[_BETAS:]])  # betas, and metres that clothes stand off
    for _ in range(_STEPS):
        hessian, gradient = _told(body, state, rows, views, outlines, settings.align, settings.seed)
        share = _WORTH / count
        # Clothes within the body are no clothes
        within = torch.diag_embed((state < 0) / settings.shape.sigma_inside**2)
        within[:_BETAS] = 0
        pull = share * gradient + prior @ (state - expected) + within @ state
        precision = share * hessian + prior + within
        if pose.told_height is not None:
            slope = torch.nn.functional.pad(body.stature_slope(state[:_BETAS]), (0, _JOINTS))
            away = body.stature(state[:_BETAS]) - pose.told_height
            pull = pull + away * slope / settings.shape.sigma_height**2
            precision = precision + torch.outer(slope, slope) / settings.shape.sigma_height**2
        state = state - torch.linalg.solve(precision.double(), pull.double()).float()
    betas = state[:_BETAS]
    moved = (pelvis - body.rest_joints(betas)[0]).cpu().numpy()
    return replace(pose, betas=betas.cpu().numpy(), transl=pose.transl + moved)


def _priors(body: BodyModel, settings: Shape, initial: Tensor) -> tuple[Tensor, Tensor]:  # [34, 34], [34]
    """Precision of betas and clothes, and where both together pull to."""
    joint_dirs = body.joint_dirs
    bones = torch.stack([joint_dirs[k] - joint_dirs[PARENTS[k]] for k in range(1, _JOINTS)]).flatten(0, 1)
    held = bones.T @ bones / settings.sigma_bones**2
    precision = torch.zeros(_BETAS + _JOINTS, _BETAS + _JOINTS, device=initial.device)
    neutral = torch.eye(_BETAS, device=initial.device) / settings.sigma_betas**2
    precision[:_BETAS, :_BETAS] = held + neutral
    precision[_BETAS:, _BETAS:] = torch.eye(_JOINTS, device=initial.device) / settings.sigma_clothes**2
    # Bones pull to the initial betas, neutrality to none
    betas = torch.linalg.solve(held + neutral, held @ initial)
    return precision, torch.cat([betas, initial.new_full((_JOINTS,), settings.clothes)])


def _told(
    body: BodyModel,
    state: Tensor,  # [34]
    rows: PoseRows,
    views: list[View],
    outlines: list[Outline],
    settings: Align,
    seed: int,
) -> tuple[Tensor, Tensor]:  # [34, 34], [34]
    """Hessian and gradient of what all outlines say of the state."""
    betas, clothes = state[:_BETAS], state[_BETAS:]
    surface = Surface(body, betas, seed)
    skeletons, known = surface.skeletons(rows, rows.frames), Known.nothing(surface)
    equations: dict[int, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def look(worker: int, workers: int) -> None:
        for index in range(worker, len(views), workers):
            posed = surface.posed(skeletons[index], clothes)
            evidence = linearise(posed, views[index], outlines[index], known, state.new_zeros(3), settings)
            by_state = torch.cat([by_betas(surface, posed, body.joint_dirs), surface.jacobians(posed)[1]], dim=2)
            project, weight, pull = (part.movedim(-1, 0) for part in (evidence.project, evidence.weight, evidence.pull))
            in_image = project[:, :2] @ by_state  # [N, 2, 34] px
            weighted, flat = weight[:, :2, :2] @ in_image, in_image.flatten(0, 1)
            equations[index] = flat.T @ weighted.flatten(0, 1), flat.T @ pull[:, :2].flatten()

    run_parallel(look)
    hessians, gradients = zip(*(equations[index] for index in range(len(views))))
    return torch.stack(hessians).sum(0), torch.stack(gradients).sum(0)


def by_betas(
    surface: Surface,
    posed: Posed,
    joint_dirs: Tensor,  # [24, 3, 10] how the rest joints move with betas
) -> Tensor:  # [N, 3, 10]
    """Jacobian of the posed points by betas, rotations held and the pelvis where it is."""
    skeleton, weights = posed.skeleton, surface.points.weights
    moved = torch.zeros_like(joint_dirs)  # of the posed joints
    for joint in range(1, _JOINTS):
        parent = PARENTS[joint]
        moved[joint] = moved[parent] + skeleton.turns[parent] @ (joint_dirs[joint] - joint_dirs[parent])
    turns = torch.einsum("nk,kab->nab", weights, skeleton.turns)
    shifts = torch.einsum("nk,kab->nab", weights, moved - skeleton.turns @ joint_dirs)
    return turns @ surface.points.shapedirs + shifts
