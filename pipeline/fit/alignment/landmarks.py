"""What the landmarks say of the poses, linearised: the normal equations of all frames at once."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.fit.alignment.normal_kernels import AT_PLANE, UNKNOWNS
from pipeline.fit.alignment.surface import Skeleton, by_turns
from pipeline.fit.marks import Marks
from pipeline.fit.settings import Align
from pipeline.losses.priors import robust_weight

FAR_LANDMARK = 0.1  # metres: a landmark farther off counts less and less (Geman-McClure)


def landmark_equations(
    marks: Marks,
    frames: Tensor,  # [F]
    skeletons: list[Skeleton],
    rest_joints: Tensor,  # [24, 3]
    subtree: Tensor,  # [24, 24]
    settings: Align,
) -> tuple[Tensor, Tensor]:  # [F, U, U], [F, U]
    """Hessians and gradients of the frames' landmarks by the unknowns of `normal_equations`.

    Args:
        frames: index of each in the clip.
        skeletons: of each, at its current pose.
        rest_joints, subtree: see `Surface`.
    """
    skeleton = Skeleton(*(torch.stack(part) for part in zip(*skeletons)))
    world = torch.cat([skeleton.turns, skeleton.joints[..., None]], dim=-1)
    points = marks.posed(world, rest_joints)  # [F, L, 3]
    error, per_metre = marks.errors(points, marks.xy[frames])
    by_place = skeleton.place.transpose(-1, -2)[:, None].expand(-1, points.shape[1], 3, 3)
    by_pose = torch.cat([by_turns(skeleton, points, marks.joint, subtree), by_place], 2)
    rows = per_metre @ by_pose.transpose(-1, -2)  # [F, L, 2, 75]
    trusted = marks.weights[frames] * robust_weight(error.square().sum(-1), FAR_LANDMARK)
    scale = (trusted / settings.sigma_landmark**2)[..., None]
    hessian = error.new_zeros(len(frames), UNKNOWNS, UNKNOWNS)
    gradient = error.new_zeros(len(frames), UNKNOWNS)
    flat = rows.flatten(1, 2)  # [F, 2 L, 75]
    hessian[:, :AT_PLANE, :AT_PLANE] = flat.transpose(1, 2) @ (scale[..., None] * rows).flatten(1, 2)
    gradient[:, :AT_PLANE] = (flat.transpose(1, 2) @ (scale * error).flatten(1, 2)[..., None]).squeeze(-1)
    return hessian, gradient
