"""Where mediapipe's landmarks lie on the body: each is a point that moves rigidly with one joint."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.landmarks.detector import LANDMARK_NAMES

# Landmark: joint it moves with; the points whose weighted mean it is (joints, or the body's landmark vertices);
# further offset in metres of the rest pose (x to the person's left, y up, z forward); how far it is to be trusted.
# One side is written, the other mirrored. mediapipe's hands are knuckles, about half way from the wrist to the
# fingertips. The offsets were measured: mean difference in the image, turned into the joint's frame, between what
# mediapipe finds and where the point is, over studio clips of five people; each clip alone gives them within a
# centimetre. mediapipe's hips, for one, are wider, lower and farther forward than the joints.
_LEFT = {
    "left_eye": ("head", {"leye": 1.0}, (-0.002, 0.013, -0.015), 0.5),
    "left_ear": ("head", {"lear": 1.0}, (-0.029, 0.005, 0.029), 0.7),
    "left_shoulder": ("left_collar", {"left_shoulder": 1.0}, (0.001, 0.014, 0.003), 1.0),
    "left_elbow": ("left_shoulder", {"left_elbow": 1.0}, (-0.008, 0.002, 0.010), 1.0),
    "left_wrist": ("left_elbow", {"left_wrist": 1.0}, (0.005, -0.003, 0.006), 1.0),
    "left_pinky": ("left_wrist", {"left_wrist": 0.48, "lpinky": 0.52}, (0.004, 0.007, 0.016), 0.4),
    "left_index": ("left_wrist", {"left_wrist": 0.48, "lindex": 0.52}, (-0.004, 0.003, -0.005), 0.4),
    "left_thumb": ("left_wrist", {"left_wrist": 0.4, "lthumb": 0.6}, (0.008, 0.018, -0.020), 0.3),
    "left_hip": ("pelvis", {"left_hip": 1.0}, (0.023, -0.012, 0.028), 0.6),
    "left_knee": ("left_hip", {"left_knee": 1.0}, (0.0, -0.009, -0.001), 1.0),
    "left_ankle": ("left_knee", {"left_ankle": 1.0}, (0.005, 0.024, 0.009), 1.0),
    "left_heel": ("left_ankle", {"LHeel": 1.0}, (0.001, 0.028, 0.026), 0.6),
    "left_foot_index": ("left_ankle", {"LBigToe": 0.75, "LSmallToe": 0.25}, (-0.010, 0.009, -0.013), 0.6),
}
_MIDDLE = {"nose": ("head", {"nose": 1.0}, (0.0, 0.021, -0.015), 0.7)}
# Pairs whose difference, a bone or a breadth, is compared in 3D (that needs no common origin), and how far its
# direction is to be trusted: on the same clips limbs and torso are within 5 to 12 degrees, feet and hands 15 to 40.
_BONES = {
    ("left_shoulder", "left_elbow"): 1.0,
    ("left_elbow", "left_wrist"): 0.7,
    ("left_wrist", "left_index"): 0.3,
    ("left_wrist", "left_pinky"): 0.3,
    ("left_index", "left_pinky"): 0.1,
    ("left_hip", "left_knee"): 1.0,
    ("left_knee", "left_ankle"): 1.0,
    ("left_ankle", "left_foot_index"): 0.1,
    ("left_heel", "left_foot_index"): 0.1,
    ("left_hip", "left_shoulder"): 1.0,
    ("left_hip", "right_shoulder"): 1.0,
    ("left_hip", "right_hip"): 1.0,
    ("left_shoulder", "right_shoulder"): 1.0,
    ("left_shoulder", "left_ear"): 0.7,
    ("left_ear", "nose"): 0.5,
    ("left_ear", "right_ear"): 1.0,
}


def _other_side(name: str) -> str:
    for a, b in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(a):
            return b + name.removeprefix(a)
    return name


# All that have a place on the free body, in mediapipe's order.
USED_NAMES = tuple(sorted({*_LEFT, *map(_other_side, _LEFT), *_MIDDLE}, key=LANDMARK_NAMES.index))


@dataclass(frozen=True)
class LandmarkMap:
    """The used landmarks on a body, in the order of `names`."""

    names: tuple[str, ...]
    index: Tensor  # [L] which of mediapipe's 33
    joint: Tensor  # [L] the joint that each moves with
    template: Tensor  # [L, 3] at rest, mean shape, metres
    dirs: Tensor  # [L, 3, 10] displacement for one unit of each beta
    trust: Tensor  # [L] in [0, 1]
    bones: Tensor  # [P, 2] pairs of used landmarks
    bone_trust: Tensor  # [P] in [0, 1]
    mirror: Tensor  # [L] the same landmark of the other side

    def rest(
        self,
        betas: Tensor,  # [10]
        offsets: Tensor,  # [L, 3]
    ) -> Tensor:  # [L, 3]
        """Landmarks of the rest pose in metres; `offsets` are added."""
        return self.template + self.dirs @ betas + offsets

    def posed(
        self,
        world: Tensor,  # [B, 24, 4, 4]
        rest_joints: Tensor,  # [24, 3]
        rest: Tensor,  # [L, 3]
    ) -> Tensor:  # [B, L, 3]
        """Landmarks of a posed body, in metres.

        Args:
            world: joint frames, of `BodyModel.world_joints`. [B, 24, 4, 4]
            rest_joints: `BodyModel.rest_joints` of the same shape. [24, 3]
            rest: `rest` of the same shape. [L, 3]
        """
        frames = world[:, self.joint]
        return (frames[..., :3, :3] @ (rest - rest_joints[self.joint])[..., None]).squeeze(-1) + frames[..., :3, 3]


def landmark_map(body: BodyModel) -> LandmarkMap:
    """Place mediapipe's landmarks on a body; one whose vertex the body does not name is left out."""
    joints, joint_dirs = body.rest_joints(torch.zeros(10).to(body.v_template)), _joint_dirs(body)
    points = {name: (joints[k], joint_dirs[k]) for k, name in enumerate(JOINT_NAMES)}
    points |= {name: (body.v_template[v], body.shapedirs[v]) for name, v in body.vertex_ids.items()}

    rows = {}
    for name, row in (_LEFT | {_other_side(name): _mirrored(row) for name, row in _LEFT.items()} | _MIDDLE).items():
        if all(part in points for part in row[1]):
            rows[name] = row
    names = tuple(sorted(rows, key=LANDMARK_NAMES.index))
    template, dirs = [], []
    for name in names:
        _, parts, offset, _ = rows[name]
        template.append(sum(weight * points[part][0] for part, weight in parts.items()) + joints.new_tensor(offset))
        dirs.append(sum(weight * points[part][1] for part, weight in parts.items()))
    bones = {}
    for (a, b), trusted in _BONES.items():
        for pair in ((a, b), (_other_side(a), _other_side(b))):
            if pair[::-1] not in bones and set(pair) <= set(names):
                bones[pair] = trusted
    return LandmarkMap(
        names=names,
        index=torch.tensor([LANDMARK_NAMES.index(name) for name in names]),
        joint=torch.tensor([JOINT_NAMES.index(rows[name][0]) for name in names]),
        template=torch.stack(template),
        dirs=torch.stack(dirs),
        trust=joints.new_tensor([rows[name][3] for name in names]),
        bones=torch.tensor([(names.index(a), names.index(b)) for a, b in bones]),
        bone_trust=joints.new_tensor(list(bones.values())),
        mirror=torch.tensor([names.index(_other_side(name)) for name in names]),
    )


def _joint_dirs(body: BodyModel) -> Tensor:
    return torch.einsum("jv,vcb->jcb", body.J_regressor, body.shapedirs)


def _mirrored(row: tuple) -> tuple:
    joint, parts, (x, y, z), trust = row
    vertex_sides = {"l": "r", "L": "R"}
    parts = {
        (_other_side(part) if part.startswith("left_") else vertex_sides[part[0]] + part[1:]): weight
        for part, weight in parts.items()
    }
    return _other_side(joint), parts, (-x, y, z), trust
