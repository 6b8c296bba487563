"""Heels and toes of a motion, and the axes of its body: what gravity, ground and contact are found from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.formats.pose import Pose

PARTS = ("left heel", "left toes", "right heel", "right toes")
_SOLE = 0.02  # metres above the lowest point of the foot, in the rest pose
_FOOT_WEIGHT = 0.9  # of a vertex's skinning that is by ankle and foot
_HEEL, _TOES = 0.35, 0.6  # share of the sole's length from behind: up to which it is heel, from which it is toes
_POINTS = 120  # at most, of a part
_MASS = {  # share of the body's mass that is put on each joint: segments' (Winter 2009, table 4.1) on their two ends
    "pelvis": 0.25, "hip": 0.05, "knee": 0.073, "ankle": 0.038, "neck": 0.25, "head": 0.081, "shoulder": 0.014,
    "elbow": 0.022, "wrist": 0.014,
}  # fmt: skip
_MASSES = np.array([_MASS.get(name.split("_")[-1], 0.0) for name in JOINT_NAMES])
_MASSES /= _MASSES.sum()
_CHUNK = 64  # frames posed at a time


@dataclass(frozen=True)
class Feet:
    """Undersides of the feet through a motion, in the frame of the motion or of a world."""

    soles: np.ndarray  # (T, 4, K, 3) metres, K points of each of PARTS
    joints: np.ndarray  # (T, 24, 3) metres
    eyes: np.ndarray  # (T, 3) metres, where the camera is
    fps: float

    @property
    def middles(self) -> np.ndarray:
        """(T, 4, 3) middle of each part."""
        return self.soles.mean(axis=2)

    @property
    def centres(self) -> np.ndarray:
        """(T, 3) centre of mass."""
        return np.einsum("j,tjk->tk", _MASSES, self.joints)

    def moved(self, motion: np.ndarray) -> Feet:
        """The same after a rigid motion, one (4, 4) or one a frame (T, 4, 4)."""
        turn, shift = motion[..., :3, :3], motion[..., :3, 3]
        joints = np.einsum("...ij,...kj->...ki", turn, self.joints) + shift[..., None, :]
        flat = np.einsum("...ij,...kj->...ki", turn, self.soles.reshape(len(self.soles), -1, 3)) + shift[..., None, :]
        eyes = np.einsum("...ij,...j->...i", turn, self.eyes) + shift
        return replace(self, soles=flat.reshape(self.soles.shape), joints=joints, eyes=eyes)

    def shifted(self, shift: np.ndarray) -> Feet:
        """The same with the body shifted by (T, 3) metres."""
        return replace(self, soles=self.soles + shift[:, None, None], joints=self.joints + shift[:, None])

    def rays(self) -> np.ndarray:
        """(T, 4, 3) unit vectors from the camera to the parts."""
        rays = self.middles - self.eyes[:, None]
        return rays / np.linalg.norm(rays, axis=2, keepdims=True)

    def heights(self, up: np.ndarray) -> np.ndarray:
        """(T, 4) metres along `up`, of the lowest point of each part."""
        return (self.soles @ up).min(axis=2)

    def balance(self, standing: np.ndarray) -> np.ndarray:
        """(T, 3) unit vectors from the middle of what stands (weights (T, 4)) to the centre of mass."""
        weights = (standing + 1e-6)[..., None]
        support = (self.middles * weights).sum(1) / weights.sum(1)
        along = self.centres - support
        return along / np.linalg.norm(along, axis=1, keepdims=True)

    def spine(self) -> np.ndarray:
        """(T, 3) unit vectors from the pelvis to the neck."""
        along = self.joints[:, JOINT_NAMES.index("neck")] - self.joints[:, 0]
        return along / np.linalg.norm(along, axis=1, keepdims=True)


@torch.no_grad()
def feet_of(pose: Pose, body: BodyModel) -> Feet:
    """The feet in the camera frame."""
    parts = torch.from_numpy(sole_vertices(body, pose.betas))
    rows = [torch.as_tensor(a, dtype=body.v_template.dtype) for a in (pose.global_orient, pose.body_pose, pose.transl)]
    betas = torch.as_tensor(pose.betas, dtype=body.v_template.dtype)
    soles, joints = [], []
    for orient, body_pose, transl in zip(*(values.split(_CHUNK) for values in rows)):
        posed = body(orient, body_pose, betas, transl)
        soles.append(posed.vertices[:, parts].numpy())
        joints.append(posed.joints.numpy())
    soles, joints = (np.concatenate(parts).astype(np.float64) for parts in (soles, joints))
    return Feet(soles, joints, np.zeros((len(pose), 3)), pose.fps)


def sole_vertices(body: BodyModel, betas: np.ndarray) -> np.ndarray:
    """(4, K) vertices on the undersides of PARTS, of a shape."""
    body = body.to(device="cpu")
    shape = torch.as_tensor(betas, dtype=body.v_template.dtype)
    vertices = body.shaped(shape).double().numpy()
    parts = []
    for side in ("left", "right"):
        joints = [JOINT_NAMES.index(f"{side}_{name}") for name in ("ankle", "foot")]
        foot = np.flatnonzero(body.weights[:, joints].sum(1).numpy() > _FOOT_WEIGHT)
        under = foot[vertices[foot, 1] < vertices[foot, 1].min() + _SOLE]
        along = vertices[under, 2]
        along = (along - along.min()) / np.ptp(along)
        parts += [under[along < _HEEL], under[along > _TOES]]
    count = min(_POINTS, *map(len, parts))
    return np.stack([part[np.linspace(0, len(part) - 1, count).astype(int)] for part in parts])
