"""How well the trained frames show each Gaussian: those that lie on the surface that the camera looks at."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.avatar.gaussians import Posable
from pipeline.body import BodyModel
from pipeline.fit.data import MIDDLE, Clip, View, evenly
from pipeline.fit.rendering import draw
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix

_LOOKS = 48  # frames, evenly spread over those that the avatar was trained on
_BEHIND = 0.02  # metres behind the surface that the camera sees, up to which a Gaussian belongs to it
_ENOUGH = 2.0  # frames that must show it
_COVERED = 0.5  # alpha and mask from which a pixel is the person's
_NEIGHBOURS = 16


@torch.no_grad()
def seen_share(avatar: Avatar, body: BodyModel, pose: Pose, clip: Clip) -> np.ndarray:  # (N,) float32
    """How well the trained frames show each Gaussian: 0 = in none of them, 1 = in `_ENOUGH` or more.

    One is shown in a frame where it lies in the mask, not where nothing is known of the pixel, and not `_BEHIND` or
    farther behind the surface that the avatar itself shows there. The share is a mean over neighbours, so that it has
    no speckles.

    Args:
        avatar: as the fit ends with it, on the device of the clip.
        body: on the same device.
        pose: the refined motion, in the camera frame.
        clip: as the fit corrected it.
    """
    frames = np.flatnonzero(clip.train)
    looks = torch.zeros(len(avatar.means), device=avatar.means.device)
    for frame in frames[evenly(len(frames), min(len(frames), _LOOKS))]:
        looks += _shown(avatar, _transforms(avatar, body, pose, frame), clip.views[frame][MIDDLE])
    enough = (looks / _ENOUGH).clamp(max=1).cpu().numpy()
    means = avatar.means.cpu().numpy()
    _, nearby = cKDTree(means).query(means, np.arange(1, min(_NEIGHBOURS, len(means)) + 1))
    return enough[nearby].mean(1)


def _transforms(avatar: Avatar, body: BodyModel, pose: Pose, frame: int) -> Tensor:  # [24, 4, 4]
    """Rest pose to the frame's, of each joint, in the camera frame."""
    joints = np.concatenate([pose.global_orient[frame], pose.body_pose[frame]]).reshape(1, 24, 3)
    turns, transl = (torch.as_tensor(values).to(avatar.means) for values in (joints, pose.transl[frame]))
    return body.transforms(axis_angle_to_matrix(turns), avatar.betas, transl[None])[0]


def _shown(
    avatar: Avatar,
    transforms: Tensor,  # [24, 4, 4]
    view: View,
) -> Tensor:  # [N] bool
    """Whether a frame shows each Gaussian."""
    means, quats, sh = avatar.posed(transforms)
    values = Posable(avatar.means, avatar.quats, avatar.scales, avatar.opacities, sh, avatar.weights)
    drawn = draw(values, means, quats, view, means.new_zeros(3), True, avatar.sh_degree)
    surface = torch.where((drawn.alpha > _COVERED) & (view.known > 255 * _COVERED), drawn.depth, 0)
    (width, height), z = view.size, means[:, 2]
    focal, centre = view.K.diagonal()[:2], view.K[:2, 2]
    column, row = (means[:, :2] / z.clamp(min=1e-6)[:, None] * focal + centre).floor().long().unbind(1)
    inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = surface[row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return inside & (at > z - _BEHIND)
