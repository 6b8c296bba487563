"""A simulated pose estimator: the true motion with errors such as a network's, as large as HMR2.0's in the paper.

A network that sees one frame at a time errs alike in frames that look alike: an error of a joint is a part that stays
(a habit), a part that wanders, and a little that jitters. It errs more along the line of sight than across it, where
the image corrects it. Rotation errors are Gaussian processes about axes in the camera frame; their sizes are solved
for, so that MPJPE, PA-MPJPE and V2V of the sequence come out as asked. Distance is guessed from the size in the image,
with the wrong shape and the wrong focal length, and inherits their errors.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from pipeline.accuracy.errors import Errors, PoseErrors
from pipeline.accuracy.surface import vertex_shares
from pipeline.body import JOINT_NAMES, BodyModel, skin
from pipeline.body.model import PARENTS
from pipeline.evaluation.pose_metrics import (
    PELVIS,
    aligned_joint_errors,
    distances,
    joint_errors,
    pelvis_aligned,
)
from pipeline.formats.camera import Camera
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix

SOURCE = "simulated estimator"
_MM = 1000.0
_LEGS = ("hip", "knee", "ankle", "foot")
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck")
# How unsure a network is of each joint, relative to the others: more at the limbs' ends, less along the spine.
_DOUBT = {
    "pelvis": 1.0, "spine1": 0.3, "spine2": 0.25, "spine3": 0.25, "neck": 0.5, "head": 0.6, "collar": 0.4,
    "shoulder": 1.0, "elbow": 1.3, "wrist": 1.0, "hand": 0.3, "hip": 0.8, "knee": 1.0, "ankle": 1.0, "foot": 0.4,
}  # fmt: skip
_SAMPLES = 3000  # vertices, even by surface, that V2V is solved on
_EVENLY = 0.02  # pull towards legs and arms that err alike, against the relative errors of the target
_UNEVEN = 3.0  # at most so many times more do legs err than arms, or less
_CLOSE = 0.05  # of the target: a solution that is farther off is refused


def simulate_pose(
    truth: Pose, body: BodyModel, camera: Camera, target: Errors, settings: PoseErrors, seed: int
) -> tuple[Pose, Errors]:
    """The motion that the simulated estimator finds, and its errors.

    Args:
        truth: the true motion in the camera frame, under the true K.
        body: of the truth.
        camera: that the estimators believe in; the wrong focal length is in it.
        target: the errors to come out.
        settings: what the errors are like.
        seed: the same seed gives the same errors.

    Raises:
        ValueError: no sizes of the errors come within 5% of the target.
    """
    rng = np.random.default_rng([seed, 21])
    betas = settings.shape_kept * truth.betas + settings.shape_noise * rng.standard_normal(10)
    problem = _Problem(truth, body, betas, _unit_errors(truth, body, settings, rng))
    solved = least_squares(
        lambda x: np.append(problem.errors(x) / _values(target) - 1, _EVENLY * x[2]),
        x0=np.log([0.1, 0.1, 1.0]),
        bounds=(np.log([0.005, 0.01, 1 / _UNEVEN]), np.log([0.8, 0.8, _UNEVEN])),
        diff_step=0.02,
        max_nfev=40,
    )
    achieved = Errors(target.like, *map(float, problem.errors(solved.x)))
    if np.abs(_values(achieved) / _values(target) - 1).max() > _CLOSE:
        raise ValueError(f"the errors {target} cannot be had, the nearest are {achieved}")
    rotmats = problem.rotmats(solved.x)
    pelvis = _placed(truth, body, betas, camera, settings, rng)
    angles = Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_rotvec().reshape(len(truth), 24, 3)
    found = asdict(truth) | {
        "global_orient": angles[:, 0],
        "body_pose": angles[:, 1:].reshape(len(truth), 69),
        "betas": betas,
        "transl": pelvis - _rest_pelvis(body, betas),
        "K": camera.K,
        "source": f"{SOURCE}, seed {seed}",
    }
    return Pose(**found), achieved


class _Problem:
    """Errors of the perturbed motion as a function of three sizes (logarithms): rotation of the whole body, rotation of
    the joints, and how much more the legs err than the arms and the head."""

    def __init__(self, truth: Pose, body: BodyModel, betas: np.ndarray, unit: np.ndarray) -> None:
        self._body, self._unit = body, unit
        self._betas = torch.as_tensor(betas, dtype=torch.float32)
        self._true_rotmats = _rotmats(truth)
        evenly = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        self._chosen = torch.as_tensor(np.searchsorted(vertex_shares(body).cumsum(), evenly))
        true_betas = torch.as_tensor(truth.betas, dtype=torch.float32)
        self._true_joints, self._true_vertices = self._posed(self._true_rotmats, true_betas)

    def rotmats(self, x: np.ndarray) -> np.ndarray:  # (T, 24, 3, 3)
        whole, joints, legs = np.exp(x)
        sizes = np.array([_DOUBT[_kind(name)] for name in JOINT_NAMES])
        sizes *= np.where([_kind(name) == "pelvis" for name in JOINT_NAMES], whole, joints)
        leg = np.array([_kind(name) in _LEGS for name in JOINT_NAMES])
        other = np.array([_kind(name) not in _LEGS + _TRUNK for name in JOINT_NAMES])
        sizes *= np.where(leg, np.sqrt(legs), np.where(other, 1 / np.sqrt(legs), 1.0))
        return _perturbed(self._true_rotmats, self._unit * sizes[:, None])

    def errors(self, x: np.ndarray) -> np.ndarray:
        """MPJPE, PA-MPJPE, V2V in mm."""
        joints, vertices = self._posed(self.rotmats(x), self._betas)
        aligned = pelvis_aligned(vertices, joints[:, PELVIS])
        true = pelvis_aligned(self._true_vertices, self._true_joints[:, PELVIS])
        return _MM * np.array(
            [
                joint_errors(joints, self._true_joints).mean(),
                aligned_joint_errors(joints, self._true_joints).mean(),
                distances(aligned, true).mean(),
            ]
        )

    def _posed(self, rotmats: np.ndarray, betas: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Joints (T, 24, 3) and the sampled vertices (T, N, 3), metres, at translation zero."""
        turns = torch.as_tensor(rotmats, dtype=torch.float32)
        still = torch.zeros(len(turns), 3)
        rest = self._body.rest_vertices(turns, betas)[..., self._chosen, :]
        vertices = skin(rest, self._body.weights[self._chosen], self._body.transforms(turns, betas, still))
        joints = self._body.world_joints(turns, betas, still)[..., :3, 3]
        return joints.double().numpy(), vertices.double().numpy()


def _values(errors: Errors) -> np.ndarray:
    return np.array([errors.mpjpe, errors.pa_mpjpe, errors.v2v])


def _unit_errors(truth: Pose, body: BodyModel, settings: PoseErrors, rng: np.random.Generator) -> np.ndarray:
    """(T, 24, 3) rotation errors of all joints in camera axes, of about unit size.

    The steady part stays with the joint's own axes as the person turns; the rest lives in the camera's.
    """
    frames = len(truth)
    joints, world = _world(truth, body)
    steady = np.einsum("tjab,jb->tja", world, rng.standard_normal((24, 3)))
    wander = smooth_noise((frames, 24, 3), settings.correlation * truth.fps, rng)
    error = np.sqrt(settings.steady) * steady + np.sqrt(1 - settings.steady) * wander
    error += settings.jitter * rng.standard_normal(error.shape)
    # Turning a limb about the axis across both limb and line of sight moves it along the line of sight.
    limbs = _limbs(joints)
    sight = joints / np.linalg.norm(joints, axis=-1, keepdims=True)
    axes = np.cross(limbs, sight)
    axes /= np.maximum(np.linalg.norm(axes, axis=-1, keepdims=True), 1e-6)
    return error + (settings.along_sight - 1) * (error * axes).sum(-1, keepdims=True) * axes


def smooth_noise(shape: tuple[int, ...], length: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance that is smooth along the first axis, with this correlation length in samples."""
    sigma = length / np.sqrt(2)  # white noise filtered by a Gaussian of sigma is correlated over sigma sqrt(2)
    pad = int(np.ceil(4 * sigma))
    noise = gaussian_filter1d(rng.standard_normal((shape[0] + 2 * pad, *shape[1:])), sigma, axis=0)
    return noise[pad : pad + shape[0]] * np.sqrt(2 * np.sqrt(np.pi) * sigma)


def _limbs(joints: np.ndarray) -> np.ndarray:
    """(T, 24, 3) where each joint's limb points: to its first child, or on from its parent at the ends."""
    first_child = [PARENTS.index(k) if k in PARENTS else None for k in range(24)]
    ends = [joints[:, k] if c is not None else 2 * joints[:, k] - joints[:, PARENTS[k]]
            for k, c in enumerate(first_child)]  # fmt: skip
    to = [joints[:, c] if c is not None else end for c, end in zip(first_child, ends)]
    limbs = np.stack(to, axis=1) - joints
    return limbs / np.maximum(np.linalg.norm(limbs, axis=-1, keepdims=True), 1e-6)


def _perturbed(rotmats: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Rotations relative to the parents after each was turned by its error, given in camera axes; errors add up along
    a limb, as those of a network that predicts relative rotations do."""
    turns = Rotation.from_rotvec(errors.reshape(-1, 3)).as_matrix().reshape(rotmats.shape)
    world = np.empty_like(rotmats)
    out = np.empty_like(rotmats)
    for k, parent in enumerate(PARENTS):
        if parent < 0:
            world[:, k], out[:, k] = rotmats[:, k], turns[:, k] @ rotmats[:, k]
            continue
        local = np.swapaxes(world[:, parent], 1, 2) @ turns[:, k] @ world[:, parent]
        out[:, k] = local @ rotmats[:, k]
        world[:, k] = world[:, parent] @ rotmats[:, k]
    return out


def _placed(
    truth: Pose, body: BodyModel, betas: np.ndarray, camera: Camera, settings: PoseErrors, rng: np.random.Generator
) -> np.ndarray:
    """(T, 3) pelvis in metres in the frame of the camera believed in: its pixel is nearly right, its distance is what
    explains the size in the image for the wrong stature and focal length."""
    frames, length = len(truth), settings.correlation * truth.fps
    pelvis = truth.transl + _rest_pelvis(body, truth.betas)
    pixel = (pelvis / pelvis[:, 2:]) @ truth.K.T
    pixel[:, :2] += settings.pixels * smooth_noise((frames, 2), length, rng)
    wrong = np.log(camera.K[1, 1] / truth.K[1, 1] * _stature(body, betas) / _stature(body, truth.betas))
    wrong += settings.distance_bias * np.sign(wrong)  # errors do not cancel by luck
    wrong = wrong + settings.distance_wander * smooth_noise((frames,), length, rng)
    distance = pelvis[:, 2] * np.exp(wrong)
    return pixel @ np.linalg.inv(camera.K).T * distance[:, None]


def _stature(body: BodyModel, betas: np.ndarray) -> float:
    return float(body.stature(torch.as_tensor(betas, dtype=torch.float32)))


def _rest_pelvis(body: BodyModel, betas: np.ndarray) -> np.ndarray:
    return body.rest_joints(torch.as_tensor(betas, dtype=torch.float32))[PELVIS].double().numpy()


def _rotmats(pose: Pose) -> np.ndarray:
    angles = np.concatenate([pose.global_orient, pose.body_pose], axis=1).reshape(-1, 3)
    return Rotation.from_rotvec(angles).as_matrix().reshape(len(pose), 24, 3, 3)


def _world(pose: Pose, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, 24, 3) in metres and their orientations (T, 24, 3, 3) in the camera frame."""
    angles = torch.as_tensor(np.concatenate([pose.global_orient, pose.body_pose], 1), dtype=torch.float32)
    betas, transl = (torch.as_tensor(v, dtype=torch.float32) for v in (pose.betas, pose.transl))
    world = body.world_joints(axis_angle_to_matrix(angles.unflatten(1, (24, 3))), betas, transl).double().numpy()
    return world[..., :3, 3], world[..., :3, :3]


def _kind(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_")
