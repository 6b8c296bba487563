"""What every format is written from: the fit's motion and avatar, and the motion in worlds of other tools."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.body import BodyModel, vertex_normals
from pipeline.exports.colors import surface_colors
from pipeline.exports.rates import at_rate
from pipeline.exports.settings import ExportSettings
from pipeline.exports.world import CAMERA_TO_Y_UP, CAMERA_TO_Z_UP, WorldMotion, to_world
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.pose import Pose


@dataclass(frozen=True)
class Fitted:
    """A person after the fit."""

    pose: Pose  # fit/pose_refined.npz, in the camera frame
    body: BodyModel  # that of the pose and of the avatar
    file: AvatarFile  # fit/avatar.npz, in its canonical pose
    avatar: Avatar  # the same Gaussians in the rest pose, ready to be posed
    settings: ExportSettings

    @property
    def betas(self) -> Tensor:
        """Shape of the person, float32. (10,)"""
        return torch.as_tensor(self.pose.betas, dtype=torch.float32)

    @property
    def fps(self) -> float:
        """Frames a second of the motion files."""
        return self.settings.fps or self.pose.fps

    @cached_property
    def y_up(self) -> WorldMotion:
        """The motion in a world with y up, the feet on the ground: the frames of the clip."""
        return to_world(self.pose, self.body, CAMERA_TO_Y_UP)

    @cached_property
    def y_up_at_rate(self) -> WorldMotion:
        """The same at `fps`."""
        return at_rate(self.y_up, self.fps)

    @cached_property
    def z_up_whole(self) -> WorldMotion:
        """The motion in a world with z up, the feet on the ground, at the whole frame rate nearest to `fps`."""
        return at_rate(to_world(self.pose, self.body, CAMERA_TO_Z_UP), max(1.0, float(round(self.fps))))

    @cached_property
    def surface_colors(self) -> np.ndarray:
        """sRGB colours of the body's vertices in [0, 1], the avatar's. (V, 3)"""
        rest = self.body.shaped(self.avatar.betas)
        normals = vertex_normals(rest, self.body.faces).double().numpy()
        return surface_colors(rest.double().numpy(), normals, self.avatar)
