"""MakeHuman's 163 bones reduced to SMPL's 24 joints: where the joints are, and whose skin each bone moves."""

from __future__ import annotations

import numpy as np

from pipeline.body.model import JOINT_NAMES, JOINTS

# Bones that stand between two joints share their skin, so that the spine and the neck bend smoothly.
SHARED = {
    "spine05": {"pelvis": 0.90, "spine1": 0.10},
    "spine04": {"pelvis": 0.35, "spine1": 0.65},
    "spine03": {"spine1": 0.75, "spine2": 0.25},
    "spine02": {"spine1": 0.05, "spine2": 0.55, "spine3": 0.40},
    "neck03": {"neck": 0.50, "head": 0.50},
}
# The joint that a bone belongs to, by the start of its name, first match; with a side, the joint of that side.
OWNERS = (
    ("root", "pelvis"), ("pelvis", "pelvis"), ("spine01", "spine3"), ("breast", "spine3"),
    ("clavicle", "collar"), ("shoulder01", "collar"), ("upperarm", "shoulder"), ("lowerarm", "elbow"),
    ("wrist", "wrist"), ("metacarpal", "wrist"), ("finger1", "wrist"), ("finger", "hand"),
    ("upperleg", "hip"), ("lowerleg", "knee"), ("foot", "ankle"), ("toe", "foot"),
    ("neck01", "neck"), ("neck02", "neck"), ("", "head"),
)  # fmt: skip
SMALLEST_WEIGHT = 1e-4


def joint_weights(weights: np.ndarray, bones: list[str]) -> np.ndarray:
    """Skinning weights of the bones (V, B) -> of the 24 joints (V, 24)."""
    merged = np.zeros((len(weights), JOINTS))
    for column, bone in zip(weights.T, bones):
        for joint, share in _owners(bone).items():
            merged[:, JOINT_NAMES.index(joint)] += share * column
    merged[merged < SMALLEST_WEIGHT] = 0
    return merged / merged.sum(1, keepdims=True)


def _owners(bone: str) -> dict[str, float]:
    if bone in SHARED:
        return SHARED[bone]
    name, _, side = bone.partition(".")
    owner = next(joint for start, joint in OWNERS if name.startswith(start))
    sided = f"{'left' if side == 'L' else 'right'}_{owner}"
    return {sided if sided in JOINT_NAMES else owner: 1.0}


def joint_centres(heads: np.ndarray, bones: list[str]) -> np.ndarray:
    """The 24 joints (24, 3) of a body in the T-pose from the heads of its bones (B, 3)."""

    def head(bone: str) -> np.ndarray:
        return heads[bones.index(bone)]

    def between(start: str, end: str, fraction: float) -> np.ndarray:
        return (1 - fraction) * head(start) + fraction * head(end)

    joints: dict[str, np.ndarray] = {}
    for side, name in (("L", "left"), ("R", "right")):
        joints[f"{name}_hip"] = head(f"upperleg01.{side}")
        joints[f"{name}_knee"] = head(f"lowerleg01.{side}")
        joints[f"{name}_ankle"] = head(f"foot.{side}")
        joints[f"{name}_foot"] = np.mean([head(f"toe{toe}-1.{side}") for toe in (1, 2, 3, 4)], axis=0)
        shoulder = head(f"upperarm01.{side}")
        joints[f"{name}_collar"] = shoulder * (0.47, 1, 1) + np.array([0, -0.025, 0.005])
        joints[f"{name}_shoulder"] = shoulder
        joints[f"{name}_elbow"] = head(f"lowerarm01.{side}")
        joints[f"{name}_wrist"] = head(f"wrist.{side}")
        joints[f"{name}_hand"] = between(f"finger3-1.{side}", f"finger4-1.{side}", 0.5)
    hips = (joints["left_hip"] + joints["right_hip"]) / 2
    joints["pelvis"] = hips + np.array([0, 0.36 * (head("spine02") - hips)[1], 0.005])
    joints["spine1"] = between("spine03", "spine02", 0.25)
    joints["spine2"] = between("spine02", "spine01", 0.40)
    joints["spine3"] = between("spine02", "spine01", 0.85)
    joints["neck"] = between("neck01", "neck02", 0.3)
    joints["head"] = between("neck03", "head", 0.5)
    for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head"):
        joints[name] = np.array([hips[0], *joints[name][1:]])
    return np.stack([joints[name] for name in JOINT_NAMES])
