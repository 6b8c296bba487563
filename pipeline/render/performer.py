"""The avatar as a performer: give it a pose in the scene's world and it is drawn there, with its shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.avatar import Avatar
from pipeline.avatar.widening import WIDENING, pixels_per_metre
from pipeline.body import BodyModel
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.render import kernels
from pipeline.render.scene import Scene
from pipeline.splatting import rasterization

_VISIBLE = 0.1  # opacity from which a Gaussian counts as part of the person
_STRAY = 0.002  # share of the Gaussians that may lie outside what is framed on either side


@dataclass(frozen=True)
class Performer:
    """An avatar with its body, ready to be drawn in any pose."""

    avatar: Avatar
    body: BodyModel
    pixels_per_metre: float  # of the person in the pictures that the avatar was made from

    @staticmethod
    def cast(file: AvatarFile, body: BodyModel, refined: Pose) -> Performer:
        """Build the performer from fit/avatar.npz and the motion it was fitted with."""
        return Performer(Avatar.from_file(file, body), body, pixels_per_metre(refined))

    def transforms(
        self,
        pose: np.ndarray,  # (72,) axis-angle
        trans: np.ndarray,  # (3,) metres
    ) -> torch.Tensor:  # [24, 4, 4]
        """Rest pose to posed, of each joint, in the frame of `trans`."""
        rotmats = axis_angle_to_matrix(_tensor(pose).unflatten(0, (24, 3)))
        return self.body.transforms(rotmats[None], self.avatar.betas, _tensor(trans)[None])[0]

    def vertices(self, pose: np.ndarray, trans: np.ndarray) -> np.ndarray:
        """(V, 3) float32 vertices of the body in the frame of `trans`, metres."""
        pose = _tensor(pose)[None]
        return self.body(pose[:, :3], pose[:, 3:], self.avatar.betas, _tensor(trans)[None]).vertices[0].numpy()

    def extent(self, pose: np.ndarray, trans: np.ndarray) -> np.ndarray:
        """(N, 3) points in the frame of `trans` that hold the body and its Gaussians, a few stray ones aside."""
        means, _, _ = self.avatar.posed(self.transforms(pose, trans))
        seen = self.avatar.opacities > _VISIBLE
        centres, radius = means[seen].numpy(), 3 * self.avatar.scales[seen].amax(1, keepdim=True).numpy()
        vertices = self.vertices(pose, trans)
        if len(centres) == 0:
            return vertices
        low = np.quantile(centres - radius, _STRAY, axis=0)
        high = np.quantile(centres + radius, 1 - _STRAY, axis=0)
        return np.concatenate([vertices, np.clip(centres - radius, low, high), np.clip(centres + radius, low, high)])

    def drawn(
        self,
        pose: np.ndarray,  # (72,) axis-angle, camera frame
        trans: np.ndarray,  # (3,) metres, camera frame
        K: np.ndarray,  # (3, 3) px
        width: int,
        height: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The avatar seen by a camera: colour (H, W, 3) over black, and alpha (H, W, 1), float32 in [0, 1]."""
        means, quats, sh = self.avatar.posed(self.transforms(pose, trans))
        zoom = K[1, 1] / max(float(means[:, 2].median()), 0.1) / self.pixels_per_metre
        images, alphas, _ = rasterization(
            means,
            quats,
            self.avatar.scales,
            self.avatar.opacities,
            sh,
            torch.eye(4)[None],
            _tensor(K)[None],
            width,
            height,
            eps2d=WIDENING * max(1.0, zoom**2),
            sh_degree=self.avatar.sh_degree,
        )
        return images[0].clamp(0, 1).numpy(), alphas[0].clamp(0, 1).numpy()

    def perform(self, scene: Scene, pose: np.ndarray, trans: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3): the avatar in the scene, its pose (72,) and translation (3,) given in the scene's world."""
        colour, alpha = self.drawn(*self.to_camera(scene, pose, trans), scene.K, scene.width, scene.height)
        background = scene.background(self.vertices(pose, trans))
        out = np.empty((scene.height, scene.width, 3), np.uint8)
        kernels.lay_over(colour, alpha[..., 0], background, out)
        return out

    def to_camera(self, scene: Scene, pose: np.ndarray, trans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same pose and translation in the scene's camera frame. The root joint, not `trans`, is what turns."""
        rest_root = self.body.rest_joints(self.avatar.betas)[0].numpy()
        turned = Rotation.from_matrix(scene.world_to_camera[:3, :3]) * Rotation.from_rotvec(pose[:3])
        return np.concatenate([turned.as_rotvec(), pose[3:]]), scene.to_camera(rest_root + trans) - rest_root


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))
