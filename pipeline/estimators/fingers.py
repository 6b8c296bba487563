"""Wrists and fingers from hand landmarks: SMPL-H's finger joints, and wrists that agree with the palms.

The right hand is looked at in a mirror, and fitted as a left one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.body.hand import FINGERS, HAND_JOINTS, MIRRORED, flat_hand, hand_length
from pipeline.body.held_hands import SIDES
from pipeline.estimators.hand_fit import Seen, fit_hand
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.motion.priors import pose_prior

_POINTS = ("wrist", *(f"{finger}_{k}" for finger in FINGERS for k in (1, 2, 3, 4)))  # in the order of `Hand.places`
_LEAST = 10  # points of a hand that must be seen
_SMOOTH = 0.1  # s over which fingers and wrists are smoothed: the detector looks at each picture alone
_FLICKER = 0.03  # s over which it is smoothed whether a hand is seen
_FADE = 0.5  # s after which a hand that is no longer seen has gone most of the way to rest
_PALM = 0.25  # rad: how far a palm's turn is off beside what its landmarks' errors leave (tables differ, hands differ)
_WRIST = 0.6  # rad: how far the wrist of a body is off that was fitted without fingers
_FLIPPED = 2.6  # rad: a palm that is turned by more was taken for its back
_JUMP, _ROUNDS = 0.5, 5  # rad
_FOREARM = 0.5  # rad: what a wrist turns about the forearm beyond this is the forearm's
_MIRROR = np.diag([-1.0, 1.0, 1.0])


def has_hands(landmarks: Landmarks) -> bool:
    """Whether the landmarks of a hand are among them, and seen in some frame."""
    return any(_weights(landmarks, side).any() for side in SIDES)


def with_fingers(pose: Pose, landmarks: Landmarks, body: BodyModel, turn_wrists: bool) -> Pose:
    """The motion with fingers, and, where `turn_wrists`, its wrists turned towards the palms.

    Frames without a hand are filled in: between those that show it, and fading to the relaxed hand. A hand that is
    never seen stays flat, and its wrist as it was.

    Args:
        pose: of the clip, with wrists as the body's landmarks give them.
        landmarks: with those of hands, of the same frames.
        body: that of the pose.
    """
    result = replace(
        pose, hand_pose=np.zeros((len(pose), 2 * HAND_JOINTS, 3)), hands_seen=np.zeros((len(pose), len(SIDES)))
    )
    hand = flat_hand(hand_length(body, torch.as_tensor(pose.betas, dtype=body.v_template.dtype)))
    world = joint_frames(body, pose)
    for k, side in enumerate(SIDES):
        weights = _weights(landmarks, side)
        known = np.flatnonzero(weights.any(1))
        if not len(known):
            continue
        wrist = world[:, JOINT_NAMES.index(f"{side}_wrist")]
        seen, sight = _looked_at(landmarks, side, known, weights[known], wrist[known], pose.K)
        found = fit_hand(hand, seen)
        belief = np.zeros(len(pose))
        belief[known] = found.belief * weights[known].mean(1)
        angles = np.tile(hand.relaxed, (len(pose), 1))
        angles[known] = np.clip(found.angles, hand.low, hand.high)
        fade = (1 - belief) / (_FADE * pose.fps) ** 2
        angles = hand.relaxed + _smoothed(angles - hand.relaxed, belief, pose.fps, fade)
        fingers = Rotation.from_matrix(hand.rotations(angles).reshape(-1, 3, 3)).as_rotvec()
        fingers = fingers.reshape(len(pose), HAND_JOINTS, 3) * (MIRRORED if side == "right" else 1.0)
        result.hand_pose[:, k * HAND_JOINTS : (k + 1) * HAND_JOINTS] = fingers
        result.hands_seen[:, k] = _smoothed(belief[:, None], belief, pose.fps, fade, _FLICKER)[:, 0].clip(0, 1)
        if turn_wrists:
            turns = sight @ (_MIRROR @ found.turn @ _MIRROR if side == "right" else found.turn)
            result = _turned(result, side, world, known, turns, belief[known] / (_PALM**2 + found.variance), body)
    return result


def _weights(landmarks: Landmarks, side: str) -> np.ndarray:
    """(T, 21) how far each point of a hand is believed; 0 for the frames in which too few are seen."""
    names = [f"{side}_hand_{point}" for point in _POINTS]
    if not set(names) <= set(landmarks.names):
        return np.zeros((len(landmarks), len(names)))
    weights = landmarks.visibility[:, [landmarks.names.index(name) for name in names]].astype(float)
    return weights * ((weights > 0).sum(1) >= _LEAST)[:, None]


def joint_frames(body: BodyModel, pose: Pose) -> np.ndarray:
    """(T, 24, 4, 4) the joints' frames in the camera's."""
    rotvecs = np.concatenate([pose.global_orient, pose.body_pose], 1).reshape(len(pose), -1, 3)
    values = (torch.as_tensor(array, dtype=body.v_template.dtype) for array in (rotvecs, pose.betas, pose.transl))
    rotvecs, betas, transl = values
    with torch.no_grad():
        return body.world_joints(axis_angle_to_matrix(rotvecs), betas, transl).double().numpy()


def _looked_at(
    landmarks: Landmarks, side: str, known: np.ndarray, weights: np.ndarray, wrist: np.ndarray, K: np.ndarray
) -> tuple[Seen, np.ndarray]:
    """A hand's landmarks in the axes of a camera that looks at it, and those axes (B, 3, 3) in the real camera's.

    A detector that sees a crop takes its middle for the optical axis: its depths are along the line of sight.
    """
    at = [landmarks.names.index(f"{side}_hand_{point}") for point in _POINTS]
    rays = (landmarks.xy[known][:, at] - K[:2, 2]) / K[[0, 1], [0, 1]]
    rays = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=2)
    z = rays.mean(1)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    sight = np.stack([x, np.cross(z, x), z], axis=2)
    local = rays @ sight
    distance = np.maximum(np.einsum("ti,ti->t", z, wrist[:, :3, 3]), 0.1)
    xy = local[..., :2] / local[..., 2:] * distance[:, None, None]
    depth = None
    if landmarks.world is not None:
        metres = landmarks.world[known][:, at]
        depth = metres[..., 2] * _size(metres, xy)
    turn = np.swapaxes(sight, 1, 2) @ wrist[:, :3, :3]
    if side == "right":
        xy, turn = xy * [-1.0, 1.0], _MIRROR @ turn @ _MIRROR
    return Seen(xy, distance / K[0, 0], weights, depth, turn), sight


def _size(metres: np.ndarray, xy: np.ndarray) -> float:
    """How much larger a clip's hands are in the picture, at the body's distance, than the detector's of one size."""
    pairs = [(values[..., :2] - values[:, :1, :2]).std((1, 2)) for values in (xy, metres)]
    return float(np.clip(np.median(pairs[0]) / max(np.median(pairs[1]), 1e-6), 0.5, 2.0))


def _smoothed(
    values: np.ndarray, weights: np.ndarray, fps: float, rest: float | np.ndarray, seconds: float = _SMOOTH
) -> np.ndarray:
    """Values (T, D) that lie near the given ones as far as these count, near their neighbours, and else near 0.

    Least squares: sum of w (x - value)^2 + s^2 (x' - x)^2 + s^2 rest x^2, s being `seconds` in frames: where
    nothing counts, values fade as exp(-sqrt(rest) frames).
    """
    tie = (seconds * fps) ** 2
    banded = np.zeros((2, len(values)))  # above the diagonal, and on it
    banded[0, 1:] = -tie
    banded[1] = weights + tie * rest
    banded[1, 1:] += tie
    banded[1, :-1] += tie
    return solveh_banded(banded, weights[:, None] * values)


def _turned(
    pose: Pose,
    side: str,
    world: np.ndarray,
    known: np.ndarray,
    turns: np.ndarray,
    precision: np.ndarray,
    body: BodyModel,
) -> Pose:
    """The motion with one wrist turned towards its palms (B, 3, 3) in the frames `known`, by their precision (B,).

    What a palm turns about the forearm by more than a wrist does, the forearm turns: that moves no joint.
    """
    elbow, wrist = (JOINT_NAMES.index(f"{side}_{part}") for part in ("elbow", "wrist"))
    away = Rotation.from_matrix(np.swapaxes(world[known, wrist, :3, :3], 1, 2) @ turns).as_rotvec()
    precision = precision * (np.linalg.norm(away, axis=1) < _FLIPPED)
    full, weights = np.zeros((len(pose), 3)), np.zeros(len(pose))
    full[known], weights[known] = away, precision * _WRIST**2
    # A palm that jumps away from those before and after it counts less (Geman-McClure).
    kept = weights
    for _ in range(_ROUNDS):
        usual = _smoothed(full, kept, pose.fps, 1 / (_FADE * pose.fps) ** 2)
        kept = weights / (1 + (np.linalg.norm(full - usual, axis=1) / _JUMP) ** 2) ** 2
    # A wrist that no palm holds is where it was with the spread _WRIST; the unit of weights is that.
    change = _smoothed(full, kept, pose.fps, 1 / (_SMOOTH * pose.fps) ** 2)
    poses = pose.body_pose.reshape(len(pose), -1, 3).astype(float)
    local = Rotation.from_rotvec(poses[:, wrist - 1]) * Rotation.from_rotvec(change)
    rest = body.rest_joints(torch.as_tensor(pose.betas, dtype=body.v_template.dtype)).double().numpy()
    axis = rest[wrist] - rest[elbow]
    axis /= np.linalg.norm(axis)
    quaternion = local.as_quat(canonical=True)
    twist = np.unwrap(2 * np.arctan2(quaternion[:, :3] @ axis, quaternion[:, 3]))
    given = Rotation.from_rotvec((twist - np.clip(twist, -_FOREARM, _FOREARM))[:, None] * axis)
    poses[:, elbow - 1] = (Rotation.from_rotvec(poses[:, elbow - 1]) * given).as_rotvec()
    prior = pose_prior(torch.float64)
    low, high = (values.numpy().reshape(-1, 3)[wrist - 1] for values in (prior.low, prior.high))
    before = poses[:, wrist - 1]  # which may be beyond the range already
    bent = (given.inv() * local).as_rotvec()
    poses[:, wrist - 1] = np.clip(bent, np.minimum(low, before), np.maximum(high, before))
    return replace(pose, body_pose=poses.reshape(len(pose), -1).astype(pose.body_pose.dtype))
