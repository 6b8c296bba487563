"""From MakeHuman's rest pose (arms down, elbows and fingers bent) to SMPL's (arms out, limbs straight, palms down)."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

# Degrees about x by which each bone of the spine is tilted, so that the upper body stands as SMPL's does.
SPINE_TILT = {
    "spine05": -1.5, "spine04": -3.0, "spine03": -4.0, "spine02": -4.0, "spine01": -4.0,
    "neck01": -2.5, "neck02": -1.0, "neck03": 0.0, "head": 0.0,
}  # fmt: skip
SHOULDER_RAISE = 10.0  # degrees of the shoulder girdle
FOOT_YAW = 9.0  # degrees that each foot points outwards


def tpose(
    vertices: np.ndarray, heads: np.ndarray, weights: np.ndarray, bones: list[str], parents: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Pose one body.

    Args:
        vertices: (V, 3) metres, y up, facing +z.
        heads: (B, 3) where each bone starts.
        weights: (V, B) skinning weights.

    Returns:
        The vertices and the bone heads in the T-pose.
    """
    rotations = _bone_rotations(heads, bones, parents)
    posed = heads.copy()
    for bone, parent in enumerate(parents):
        if parent >= 0:
            posed[bone] = posed[parent] + rotations[parent] @ (heads[bone] - heads[parent])
    shifts = posed - np.einsum("bij,bj->bi", rotations, heads)
    return _dual_quaternion_skin(vertices, weights, rotations, shifts), posed


def _bone_rotations(heads: np.ndarray, bones: list[str], parents: list[int]) -> np.ndarray:
    """(B, 3, 3): how each bone turns in the world; a bone that is not named turns with its parent."""
    named = {bone: _about("x", degrees) for bone, degrees in SPINE_TILT.items()}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        head = partial(_head, heads, bones, side)
        turns = _arm(head, sign, named["spine01"]) | _leg(head, sign)
        named |= {f"{bone}.{side}": turn for bone, turn in turns.items()}
    rotations = np.tile(np.eye(3), (len(bones), 1, 1))
    for index, (bone, parent) in enumerate(zip(bones, parents)):
        if bone in named:
            rotations[index] = named[bone]
        elif parent >= 0:
            rotations[index] = rotations[parent]
    return rotations


def _head(heads: np.ndarray, bones: list[str], side: str, bone: str) -> np.ndarray:
    return heads[bones.index(f"{bone}.{side}")]


def _arm(head: partial, sign: float, chest: np.ndarray) -> dict[str, np.ndarray]:
    # SMPL's rest arms: the upper arm level and a little back, the forearm straight out.
    upper_target = np.array([sign, -0.04, -0.09])
    fore_target = _unit(np.array([sign, 0.03, -0.01]))
    collar = _about("z", sign * SHOULDER_RAISE) @ chest
    upper = head("lowerarm01") - head("upperarm01")
    fore = head("wrist") - head("lowerarm01")
    hinge = np.cross(upper, fore)  # the bent elbow shows its axis
    upper_turn = _frame(upper_target, np.array([0, -sign, 0])) @ _frame(upper, hinge).T
    # Half of the twist stays below the deltoid.
    shortest = _between(collar @ upper, upper_target) @ collar
    fore_turn = _between(upper_turn @ fore, fore_target) @ upper_turn

    hand = (head("finger3-1") + head("finger4-1")) / 2 - head("wrist")
    back_of_hand = sign * np.cross(head("finger2-1") - head("finger5-1"), hand)
    hand_target = fore_target + np.array([0, -0.04, 0])
    hand_turn = _frame(hand_target, np.array([0, 1.0, 0])) @ _frame(hand, back_of_hand).T
    turns = {
        "clavicle": collar,
        "shoulder01": collar,
        "upperarm01": _part_way(shortest, upper_turn, 0.5),
        "upperarm02": upper_turn,
        "lowerarm01": fore_turn,
        "lowerarm02": _part_way(fore_turn, hand_turn, 0.5),
        "wrist": hand_turn,
    }
    for finger in (2, 3, 4, 5):
        for phalanx in (1, 2):
            along = head(f"finger{finger}-{phalanx + 1}") - head(f"finger{finger}-{phalanx}")
            along = _unit(hand_turn @ along)
            flat = np.array([along[0], -0.10 * phalanx, 0.6 * along[2]])
            straighten = _part_way(np.eye(3), _between(along, flat), 0.8)
            turns[f"finger{finger}-{phalanx}"] = straighten @ hand_turn
    return turns


def _leg(head: partial, sign: float) -> dict[str, np.ndarray]:
    # SMPL's rest legs: thighs 5 degrees out, shins 2 degrees in and 6 back.
    thigh_target = np.array([sign * np.tan(np.deg2rad(5)), -1, -np.tan(np.deg2rad(0.5))])
    shin_target = np.array([-sign * np.tan(np.deg2rad(2)), -1, -np.tan(np.deg2rad(6))])
    thigh = head("lowerleg01") - head("upperleg01")
    shin = head("foot") - head("lowerleg01")
    thigh_turn = _between(thigh, thigh_target)
    shin_turn = _between(thigh_turn @ shin, shin_target) @ thigh_turn
    foot = head("toe2-1") - head("foot")
    foot_turn = _about("y", sign * FOOT_YAW - np.rad2deg(np.arctan2(foot[0], foot[2])))
    return {
        "upperleg01": thigh_turn,
        "upperleg02": thigh_turn,
        "lowerleg01": shin_turn,
        "lowerleg02": _part_way(shin_turn, foot_turn, 0.3),
        "foot": foot_turn,
    }


def _dual_quaternion_skin(
    vertices: np.ndarray, weights: np.ndarray, rotations: np.ndarray, shifts: np.ndarray
) -> np.ndarray:
    """Kavan et al. 2007: unlike linear blending it keeps the volume of the shoulders at such large turns."""
    real = np.roll(Rotation.from_matrix(rotations).as_quat(), 1, axis=1)  # w first
    real[real @ real[0] < 0] *= -1
    dual = 0.5 * _multiply(_pure(shifts), real)
    real, dual = weights @ real, weights @ dual
    norm = np.linalg.norm(real, axis=1, keepdims=True)
    real, dual = real / norm, dual / norm
    conjugate = real * np.array([1, -1, -1, -1])
    turned = _multiply(_multiply(real, _pure(vertices)), conjugate)
    return turned[:, 1:] + 2 * _multiply(dual, conjugate)[:, 1:]


def _pure(points: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((len(points), 1)), points], axis=1)


def _multiply(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Hamilton product of quaternions (N, 4), wxyz; they need not be unit."""
    scalar = left[:, :1] * right[:, :1] - (left[:, 1:] * right[:, 1:]).sum(1, keepdims=True)
    vector = left[:, :1] * right[:, 1:] + right[:, :1] * left[:, 1:] + np.cross(left[:, 1:], right[:, 1:])
    return np.concatenate([scalar, vector], axis=1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _about(axis: str, degrees: float) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


def _between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The shortest rotation from one direction to another."""
    start, end = _unit(start), _unit(end)
    normal = np.cross(start, end)
    sine = np.linalg.norm(normal)
    if sine < 1e-9:
        return np.eye(3)
    return Rotation.from_rotvec(normal / sine * np.arctan2(sine, start @ end)).as_matrix()


def _frame(along: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Orthonormal columns: along, the part of `normal` at right angles to it, their cross product."""
    along = _unit(along)
    normal = _unit(normal - (normal @ along) * along)
    return np.stack([along, normal, np.cross(along, normal)], axis=1)


def _part_way(start: np.ndarray, end: np.ndarray, fraction: float) -> np.ndarray:
    return Slerp([0, 1], Rotation.from_matrix([start, end]))(fraction).as_matrix()
