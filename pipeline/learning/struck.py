"""Poses that people strike, one after the other, each drawn at random: what neither formulas nor captured clips show.

On one leg, in a lunge, with legs apart, in a squat, on a knee, on a seat, bent over; arms anywhere or crossed, trunk
bent, turned and leant. Who stands is balanced: the middle of the body is above the feet that carry it, and those are
flat. Some lie on the floor, and go on lying.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.motion.library import Motion, plant_feet
from pipeline.motion.moves import Rig

_KEYS = 6  # poses struck in a motion
_KINDS = ("stand", "apart", "one leg", "lunge", "squat", "kneel", "sit", "bend", "lie")
_LYING = {"on the back": {"x": -90}, "on the front": {"x": 90}, "on a side": {"z": 90}}  # degrees, of the pelvis
_TRIES = 24  # of a pose that lies
_CROSSED = 0.08  # of the poses
_MOVE, _HOLD = (0.5, 1.4), (0.0, 1.0)  # seconds, from a pose to the next and in one
_FLAT = np.radians(40)  # an ankle keeps its foot flat so far
_BALANCED = 0.3  # rad at most, by which a person is leant to be so
_ROUNDS = 3
# What the trunk weighs and where: all but a seventh of a body is between these joints.
_MASS = {"pelvis": 2.0, "spine2": 2.0, "spine3": 2.0, "head": 1.0, "left_hip": 0.8, "right_hip": 0.8, "left_knee": 1.0,
         "right_knee": 1.0, "left_elbow": 0.5, "right_elbow": 0.5}  # fmt: skip
_HEAVY, _SHARES = [JOINT_NAMES.index(name) for name in _MASS], np.array(list(_MASS.values())) / sum(_MASS.values())
_TRUNK = [JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine2", "spine3")]
_KNEES, _ANKLES, _FEET = ([JOINT_NAMES.index(f"{side}_{part}") for side in ("left", "right")]
                          for part in ("knee", "ankle", "foot"))  # fmt: skip


def struck(rng: np.random.Generator, frames: int, fps: float, body: BodyModel, betas: np.ndarray) -> Motion:
    """Such a motion, `frames` long at `fps`, of a body (betas (10,)) whose feet are on the ground."""
    poses, carry = np.zeros((_KEYS, 24, 3)), np.ones((_KEYS, 2), bool)  # left and right foot
    kinds = rng.choice(_KINDS, 2, replace=False)
    lying = rng.choice(list(_LYING)) if kinds[0] == "lie" else None
    kinds = kinds[:1] if lying else kinds[kinds != "lie"]
    for key, kind in enumerate(rng.choice(kinds, _KEYS)):
        if lying:
            poses[key], carry[key] = _lying(lying, rng, body, betas), False
        else:
            rig, carry[key] = _drawn(kind, rng)
            poses[key] = rig.poses().reshape(24, 3)
    poses = _balanced(poses, carry, body, betas).reshape(_KEYS, 72)
    moves, holds = rng.uniform(*_MOVE, _KEYS), rng.uniform(*_HOLD, _KEYS)
    ends = np.cumsum(np.stack([moves, holds], 1).ravel())
    time = np.arange(frames) / fps + rng.uniform(0, max(0.0, ends[-1] - frames / fps))
    path = PchipInterpolator(ends, np.repeat(poses, 2, axis=0))(np.clip(time, ends[0], ends[-1]))
    moved = Rig(frames)
    moved.rotations = [Rotation.from_rotvec(joint) for joint in path.reshape(frames, 24, 3).swapaxes(0, 1)]
    moved.sway(time, rng)
    moved.turn("pelvis", y=rng.uniform(-180, 180) + rng.normal(0, 15) * time)
    return plant_feet(Motion(moved.poses(), np.zeros((frames, 3)), "struck"), body, betas)


def _drawn(kind: str, rng: np.random.Generator) -> tuple[Rig, tuple[bool, bool]]:
    """A pose of this kind, and whether the left and the right foot carry it."""
    rig = Rig(1)
    carry = _legs(rig, kind, rng)
    _trunk(rig, rng)
    crossed = rng.uniform() < _CROSSED
    for side in ("left", "right"):
        _arm(rig, side, rng, crossed)
    return rig, carry


def _lying(how: str, rng: np.random.Generator, body: BodyModel, betas: np.ndarray) -> np.ndarray:
    """(24, 3) of somebody who lies so: of a few poses the one whose limbs reach least below the trunk."""
    poses = np.zeros((_TRIES, 24, 3))
    for tried in poses:
        rig, _ = _drawn(how, rng)
        rig.turn("pelvis", **_LYING[how])
        tried[:] = rig.poses().reshape(24, 3)
    matrices = axis_angle_to_matrix(torch.as_tensor(poses, dtype=torch.float32))
    shape = torch.as_tensor(betas, dtype=torch.float32)
    height = body.world_joints(matrices, shape, torch.zeros(_TRIES, 3))[..., 1, 3].numpy()
    limbs = [k for k in range(24) if k not in _TRUNK]
    return poses[(height[:, limbs].min(1) - height[:, _TRUNK].min(1)).argmax()]


def _legs(rig: Rig, kind: str, rng: np.random.Generator) -> tuple[bool, bool]:
    """Turn pelvis and legs; whether the left and the right foot carry the body (neither: who sits, kneels or lies)."""
    near, far = ("left", "right") if rng.uniform() < 0.5 else ("right", "left")
    draw = rng.uniform
    carry = {near: True, far: True}

    def leg(side: str, bend: float, knee: float, out: float, turned: float) -> None:  # bend: forward
        sign = 1 if side == "left" else -1
        rig.turn(f"{side}_hip", x=-bend, y=sign * turned, z=sign * out)
        rig.turn(f"{side}_knee", x=knee)

    def both(bend: float, knee: float, out: float, turned: float, spread: float = 6) -> None:
        for side in (near, far):
            change = rng.normal(0, spread, 4) * [1, 1, 0.3, 0.5]
            leg(side, bend + change[0], max(knee + change[1], 2), out + change[2], turned + change[3])

    if kind == "stand":
        both(draw(0, 12), draw(2, 25), draw(-2, 8), draw(0, 15))
    elif kind == "apart":
        both(draw(0, 40), draw(2, 50), draw(12, 38), draw(0, 30))
    elif kind == "one leg":
        bent = draw(2, 40)
        leg(near, 0.5 * bent, bent, draw(-4, 6), draw(-5, 15))
        where = rng.choice(["forward", "aside", "back"], p=[0.5, 0.3, 0.2])
        bend = {"forward": draw(15, 100), "aside": draw(-10, 40), "back": draw(-35, 0)}[where]
        out = draw(20, 60) if where == "aside" else draw(-5, 25)
        leg(far, bend, draw(2, 115), out, draw(-10, 40))
        carry[far] = False
    elif kind == "lunge":
        bend = draw(35, 95)
        leg(near, bend, bend + draw(-15, 15), draw(0, 15), draw(0, 15))
        leg(far, draw(-30, 10), draw(5, 80), draw(0, 15), draw(0, 20))
        rig.turn(f"{far}_foot", x=-draw(0, 40))
    elif kind == "squat":
        bend = draw(55, 120)
        both(bend, 1.1 * bend + draw(-10, 15), draw(0, 12), draw(5, 35))
    elif kind == "kneel":
        leg(near, draw(-10, 15), draw(80, 125), draw(0, 10), draw(-5, 10))
        up = draw() < 0.6
        leg(far, draw(70, 100) if up else draw(-10, 15), draw(75, 105), draw(0, 15), draw(0, 15))
        carry = dict.fromkeys(carry, False)
    elif kind == "sit":
        both(draw(60, 105), draw(20, 110), draw(0, 15), draw(0, 30), 12)
        rig.turn("pelvis", x=draw(-25, 20))
        carry = dict.fromkeys(carry, False)
    elif kind in _LYING:
        forward = 10 if kind == "on the front" else 75
        both(draw(-10, forward), draw(2, 110), draw(0, 20), draw(0, 25), 0.2 * forward)
        carry = dict.fromkeys(carry, False)
    else:
        bend = draw(25, 95)
        both(bend, draw(2, 40), draw(0, 10), draw(0, 10))
        rig.turn("pelvis", x=bend)
    if kind in ("squat", "lunge"):
        rig.turn("pelvis", x=draw(0, 30))
    return carry["left"], carry["right"]


def _trunk(rig: Rig, rng: np.random.Generator) -> None:
    wide = rng.choice([0.4, 1.0, 2.0], p=[0.5, 0.3, 0.2])
    bend, lean, twist = np.array([5.0, 0, 0]) + wide * rng.normal(0, [14, 9, 12])
    for joint, share in (("spine1", 0.35), ("spine2", 0.35), ("spine3", 0.3)):
        rig.turn(joint, x=share * bend, z=share * lean, y=share * twist)
    for joint, most in (("neck", 8), ("head", 12)):
        x, y, z = rng.normal(0, most, 3) * [1, 1, 0.6]
        rig.turn(joint, x=x, z=z, y=y)


def _arm(rig: Rig, side: str, rng: np.random.Generator, crossed: bool) -> None:
    """Hanging, aside, forward, up, anywhere, or crossed. From the T-pose; 0 degrees is level, and straight aside."""
    draw = rng.uniform
    kind = rng.choice(["hanging", "aside", "forward", "up", "anywhere"], p=[0.25, 0.2, 0.15, 0.15, 0.25])
    kind = "crossed" if crossed else kind
    level, ahead, elbow = {
        "hanging": (draw(-75, -50), draw(-20, 40), draw(5, 70)),
        "aside": (draw(-30, 30), draw(-15, 25), draw(0, 40)),
        "forward": (draw(-40, 30), draw(50, 105), draw(0, 80)),
        "up": (draw(40, 85), draw(-10, 70), draw(0, 60)),
        "anywhere": (draw(-75, 80), draw(-25, 115), draw(0, 140)),
        "crossed": (draw(-55, -25), draw(60, 95), draw(75, 115)),
    }[kind]
    raised = (level + 75) / 155
    sign = 1 if side == "left" else -1
    rig.turn(f"{side}_collar", z=sign * (-7 + 22 * raised), y=-sign * 0.12 * ahead)
    twist = -110 * raised * draw() + rng.normal(0, 20)
    rig.turn(f"{side}_shoulder", x=twist, z=sign * (level + 7 - 22 * raised), y=-sign * 0.88 * ahead)
    rig.turn(f"{side}_elbow", x=rng.normal(-10, 25), y=-sign * elbow)
    x, y, z = rng.normal(0, [10, 12, 18])
    rig.turn(f"{side}_wrist", x=x, y=y, z=z)


def _balanced(poses: np.ndarray, carry: np.ndarray, body: BodyModel, betas: np.ndarray) -> np.ndarray:
    """(K, 24, 3) leant so that the middle of the body is above the feet that carry it, which are flat.

    Args:
        poses: (K, 24, 3) axis-angle.
        carry: (K, 2) whether the left and the right foot do.
        body, betas: who it is.
    """
    shape, nowhere = torch.as_tensor(betas, dtype=torch.float32), torch.zeros(len(poses), 3)
    shares = carry / np.maximum(carry.sum(1, keepdims=True), 1)
    poses = poses.copy()
    for _ in range(_ROUNDS):
        matrices = axis_angle_to_matrix(torch.as_tensor(poses, dtype=torch.float32))
        frames = body.world_joints(matrices, shape, nowhere).numpy().astype(float)
        flat = _flat(frames[:, _KNEES, :3, :3])
        poses[:, _ANKLES] = np.where(carry[..., None], flat, poses[:, _ANKLES])
        places = frames[..., :3, 3]
        support = np.einsum("kf,kfd->kd", shares, (places[:, _ANKLES] + places[:, _FEET]) / 2)
        up = np.einsum("j,kjd->kd", _SHARES, places[:, _HEAVY]) - support
        turn = np.cross(up / np.linalg.norm(up, axis=1, keepdims=True), [0.0, 1.0, 0.0])
        size = np.linalg.norm(turn, axis=1, keepdims=True)
        turn *= np.minimum(1, _BALANCED / np.maximum(size, 1e-9)) * carry.any(1)[:, None]
        poses[:, 0] = (Rotation.from_rotvec(turn) * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
    return poses


def _flat(shins: np.ndarray) -> np.ndarray:  # (K, 2, 3, 3) -> (K, 2, 3)
    """Ankles, axis-angle, that keep the feet flat below shins turned so, as far as ankles bend."""
    shins = Rotation.from_matrix(shins.reshape(-1, 3, 3))
    left = shins.apply([1.0, 0.0, 0.0])
    level = Rotation.from_rotvec(np.arctan2(-left[:, 2], left[:, 0])[:, None] * [0.0, 1.0, 0.0])
    bend = (shins.inv() * level).as_rotvec()
    bend *= np.minimum(1, _FLAT / np.maximum(np.linalg.norm(bend, axis=1, keepdims=True), 1e-9))
    return bend.reshape(-1, 2, 3)
