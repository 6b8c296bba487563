"""The motion as BVH: a skeleton with offsets in centimetres, rotations as Euler angles.

SMPL's 24 joints; SMPL-H's 52 where hands were seen: fingers take the place of the joints that stand for whole hands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, PARENTS
from pipeline.body.hand import FINGER_NAMES, finger_offsets, hand_length
from pipeline.exports.fitted import Fitted
from pipeline.exports.names import BONE_NAMES, FINGER_BONE_NAMES
from pipeline.exports.world import WorldMotion
from pipeline.formats.atomic import atomic_path

_CENTIMETRES = 100.0
_SHARED_JOINTS = 22  # of SMPL and SMPL-H
# Where the bones of the last joints end, metres from the joint in the rest pose. BVH wants one; nothing moves by it.
_ENDS = {
    "left_foot": (0, 0, 0.08),
    "right_foot": (0, 0, 0.08),
    "head": (0, 0.18, 0),
    "left_hand": (0.08, 0, 0),
    "right_hand": (-0.08, 0, 0),
}


def export(fitted: Fitted, folder: Path) -> None:
    """Write motion.bvh."""
    rest, settings = fitted.body.rest_joints(fitted.betas).double().numpy(), fitted.settings
    motion = fitted.y_up_at_rate
    if settings.bvh_rest_frame:
        motion = from_rest(motion, float(fitted.body.shaped(fitted.betas)[:, 1].min()))
    skeleton = body_skeleton(rest, BONE_NAMES[settings.bone_names])
    if motion.hand_pose is not None:
        length = hand_length(fitted.body, fitted.betas)
        skeleton = with_hands(skeleton, length, FINGER_BONE_NAMES[settings.bone_names])
    write_bvh(folder / "motion.bvh", motion, skeleton)


def from_rest(motion: WorldMotion, soles: float) -> WorldMotion:
    """One frame before the motion: the rest pose, soles (metres, in the model's own frame) on the ground."""
    place = motion.transl[:1] * [1, 0, 1] - [0, soles, 0]
    poses = np.concatenate([np.zeros_like(motion.poses[:1]), motion.poses])
    fingers = motion.hand_pose
    fingers = None if fingers is None else np.concatenate([np.zeros_like(fingers[:1]), fingers])
    return replace(motion, poses=poses, transl=np.concatenate([place, motion.transl]), hand_pose=fingers)


@dataclass(frozen=True)
class Skeleton:
    """Joints at rest."""

    names: tuple[str, ...]
    parents: tuple[int, ...]  # -1 at the root; a parent stands before its children
    offsets: np.ndarray  # (J, 3) metres from the parent; of the root, from the origin
    ends: dict[int, np.ndarray]  # where the bone of a last joint ends, metres from it


def body_skeleton(rest_joints: np.ndarray, names: Sequence[str] = JOINT_NAMES) -> Skeleton:
    """SMPL's joints.

    Args:
        rest_joints: of the person in the rest pose, metres. (24, 3)
        names: of the joints, in SMPL's order.
    """
    offsets = np.concatenate([rest_joints[:1], rest_joints[1:] - rest_joints[list(PARENTS[1:])]])
    ends = {JOINT_NAMES.index(name): np.array(end) for name, end in _ENDS.items()}
    return Skeleton(tuple(names), PARENTS, offsets, ends)


def with_hands(body: Skeleton, length: float, names: Sequence[str] = FINGER_NAMES) -> Skeleton:
    """SMPL-H's joints: fingers at the wrists, in place of the joints that stand for whole hands.

    Args:
        body: SMPL's joints.
        length: of a hand, metres.
        names: of the fingers' joints, in the order of FINGER_NAMES.
    """
    parents, offsets = list(body.parents[:_SHARED_JOINTS]), [body.offsets[:_SHARED_JOINTS]]
    ends = {joint: end for joint, end in body.ends.items() if joint < _SHARED_JOINTS}
    for side in ("left", "right"):
        joints, tips = finger_offsets(length, side)
        offsets.append(joints)
        for k in range(len(joints)):
            parents.append(len(parents) - 1 if k % 3 else JOINT_NAMES.index(f"{side}_wrist"))
        ends |= {len(parents) - len(joints) + 3 * finger + 2: tip for finger, tip in enumerate(tips)}
    return Skeleton((*body.names[:_SHARED_JOINTS], *names), tuple(parents), np.concatenate(offsets), ends)


def write_bvh(path: str | Path, motion: WorldMotion, skeleton: Skeleton) -> None:
    """Write `motion` (y up), whole or not at all; its fingers, where the skeleton has them.

    Each joint has the channels Zrotation Xrotation Yrotation (R = Rz Rx Ry, degrees), the root Xposition Yposition
    Zposition before them (centimetres).
    """
    frames = len(motion.poses)
    positions = (skeleton.offsets[0] + motion.transl) * _CENTIMETRES
    poses = motion.poses
    if len(skeleton.names) > len(JOINT_NAMES):
        poses = np.concatenate([poses[:, :_SHARED_JOINTS], motion.hand_pose], axis=1)
    angles = continuous_euler(poses)[:, _depth_first(skeleton)].reshape(frames, -1)
    rows = np.concatenate([positions, angles], axis=1)
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        file.write("HIERARCHY\n" + "\n".join(_hierarchy(0, skeleton, "")) + "\n")
        file.write(f"MOTION\nFrames: {frames}\nFrame Time: {1 / motion.fps:.12f}\n")
        np.savetxt(file, rows, fmt="%.5f")


def continuous_euler(
    poses: np.ndarray,  # (T, J, 3)
) -> np.ndarray:  # (T, J, 3)
    """Axis-angle -> degrees about z, x, y (R = Rz Rx Ry), without jumps from one frame to the next.

    A rotation has two such triples, (z, x, y) and (z + 180, 180 - x, y + 180), each up to full turns. The one nearest
    to the frame before is taken, so that curves stay smooth where a hip bends beyond 90 degrees.
    """
    angles = _euler(Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix()).reshape(poses.shape)
    other = np.stack([angles[..., 0] + 180, 180 - angles[..., 1], angles[..., 2] + 180], axis=-1)
    chosen = angles.copy()
    for frame in range(1, len(poses)):
        before = chosen[frame - 1]
        choices = np.stack([angles[frame], other[frame]])
        choices -= 360 * np.round((choices - before) / 360)
        best = np.abs(choices - before).sum(-1).argmin(0)
        chosen[frame] = np.take_along_axis(choices, best[None, :, None], 0)[0]
    return chosen


def _euler(matrix: np.ndarray) -> np.ndarray:
    """Degrees about z, x, y (N, 3) of matrices Rz Rx Ry (N, 3, 3).

    At x = +-90 only z and y together are determined; y is 0 there. scipy's `as_euler` does so too, but warns each time.
    """
    cosine = np.hypot(matrix[:, 0, 1], matrix[:, 1, 1])
    locked = cosine < 1e-7
    x = np.arctan2(matrix[:, 2, 1], cosine)
    z = np.where(locked, np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]), np.arctan2(-matrix[:, 0, 1], matrix[:, 1, 1]))
    y = np.where(locked, 0.0, np.arctan2(-matrix[:, 2, 0], matrix[:, 2, 2]))
    return np.rad2deg(np.stack([z, x, y], axis=-1))


def _children(skeleton: Skeleton, joint: int) -> list[int]:
    return [child for child, parent in enumerate(skeleton.parents) if parent == joint]


def _depth_first(skeleton: Skeleton) -> list[int]:
    """The order in which joints stand in the file, and their channels in a frame's line."""
    order, waiting = [], [0]
    while waiting:
        order.append(joint := waiting.pop())
        waiting.extend(reversed(_children(skeleton, joint)))
    return order


def _hierarchy(joint: int, skeleton: Skeleton, indent: str) -> list[str]:
    inner = indent + "  "
    rotations = "Zrotation Xrotation Yrotation"
    if skeleton.parents[joint] < 0:
        head, offset, channels = "ROOT", np.zeros(3), f"6 Xposition Yposition Zposition {rotations}"
    else:
        head, offset, channels = "JOINT", skeleton.offsets[joint], f"3 {rotations}"
    lines = [
        f"{indent}{head} {skeleton.names[joint]}",
        f"{indent}{{",
        f"{inner}OFFSET {_centimetres(offset)}",
        f"{inner}CHANNELS {channels}",
    ]
    for child in _children(skeleton, joint):
        lines += _hierarchy(child, skeleton, inner)
    if joint in skeleton.ends:
        lines += [
            f"{inner}End Site",
            f"{inner}{{",
            f"{inner}  OFFSET {_centimetres(skeleton.ends[joint])}",
            f"{inner}}}",
        ]
    return [*lines, f"{indent}}}"]


def _centimetres(metres: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in metres * _CENTIMETRES)
