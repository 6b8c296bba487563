"""Which Gaussians the training frames show: those that lie on the surface that the camera looks at."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree

from pipeline.avatar import Avatar
from pipeline.body import BodyModel
from pipeline.formats.images import MaskFolder
from pipeline.formats.pose import Pose
from pipeline.geometry.boxes import clip, grow, mask_box
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.splatting import rasterization

_LOOKS = 48  # frames, evenly spread over those that the avatar was trained on
_SIDE = 256  # px: the longer side of what is looked at
_BEHIND = 0.02  # metres behind the surface that the camera sees, up to which a Gaussian belongs to it
_ENOUGH = 2.0  # frames that must show it
_COVERED = 0.5  # alpha and mask from which a pixel is the person's
_NEIGHBOURS = 16


@torch.no_grad()
def seen_share(
    avatar: Avatar,
    body: BodyModel,
    pose: Pose,
    masks: MaskFolder,
    train_frames: np.ndarray,  # (T,) bool
) -> np.ndarray:  # (N,) float64
    """How well the training frames show each Gaussian: 0 = in none of them, 1 = in `_ENOUGH` or more.

    One is shown in a frame where it lies in the mask and not `_BEHIND` or farther behind the surface that the avatar
    itself shows there. The share is a mean over neighbours, so that it has no speckles.

    Args:
        pose: the refined motion, in the camera frame.
    """
    frames = np.flatnonzero(train_frames & pose.valid)
    looks = np.zeros(len(avatar.means))
    for frame in frames[:: max(1, len(frames) // _LOOKS)]:
        looks += _shown(avatar, body, pose, int(frame), masks[int(frame)])
    enough = np.minimum(looks / _ENOUGH, 1)
    means = avatar.means.numpy()
    _, nearby = cKDTree(means).query(means, np.arange(1, min(_NEIGHBOURS, len(means)) + 1))
    return enough[nearby].mean(1)


def _shown(avatar: Avatar, body: BodyModel, pose: Pose, frame: int, mask: np.ndarray) -> np.ndarray:
    """(N,) bool: whether a frame shows each Gaussian."""
    box = mask_box(mask)
    if box is None:
        return np.zeros(len(avatar.means), bool)
    x0, y0, x1, y1 = clip(grow(box, 1.1), mask.shape[1], mask.shape[0])
    scale = min(1.0, _SIDE / max(x1 - x0, y1 - y0))
    width, height = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    person = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BOX, (x0, y0, x1, y1)))
    K = np.diag([width / (x1 - x0), height / (y1 - y0), 1.0]) @ (pose.K - [[0, 0, x0], [0, 0, y0], [0, 0, 0]])
    turns = torch.as_tensor(np.concatenate([pose.global_orient[frame], pose.body_pose[frame]]), dtype=torch.float32)
    transl = torch.as_tensor(pose.transl[frame], dtype=torch.float32)
    transforms = body.transforms(axis_angle_to_matrix(turns.view(1, 24, 3)), avatar.betas, transl[None])[0]
    means, quats, sh = avatar.posed(transforms)
    depth, alpha, _ = rasterization(
        means, quats, avatar.scales, avatar.opacities, sh, torch.eye(4)[None],
        torch.as_tensor(K, dtype=torch.float32)[None], width, height, sh_degree=avatar.sh_degree, render_mode="ED",
    )  # fmt: skip
    surface = np.where((alpha[0, ..., 0].numpy() > _COVERED) & (person > 255 * _COVERED), depth[0, ..., 0].numpy(), 0)
    places = means.double().numpy()
    z = places[:, 2]
    pixels = np.floor(places[:, :2] / np.maximum(z, 1e-6)[:, None] * [K[0, 0], K[1, 1]] + K[:2, 2]).astype(int)
    inside = (z > 0) & (pixels >= 0).all(1) & (pixels < [width, height]).all(1)
    column, row = np.where(inside[:, None], pixels, 0).T
    return inside & (surface[row, column] > z - _BEHIND)
