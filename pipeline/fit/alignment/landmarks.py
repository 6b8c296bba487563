"""What the landmarks say of the poses, linearised: the normal equations of all frames at once."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.fit.align_settings import Align
from pipeline.fit.alignment.normal import point_equations
from pipeline.fit.alignment.surface import Skeleton
from pipeline.fit.marks import Marks
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
    trusted = marks.weights[frames] * robust_weight(error.square().sum(-1), FAR_LANDMARK)
    weight = trusted / settings.sigma_landmark**2
    return point_equations(skeleton, points, marks.joint, subtree, per_metre, error, weight)
