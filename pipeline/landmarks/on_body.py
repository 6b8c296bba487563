"""Where detectors' landmarks lie on the body: each is a point that moves rigidly with one joint.

Detectors of one name may mean different points: mediapipe's hips are not those of COCO. So there is a table for each
convention, and a file's `source` says which one holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.landmarks.detector import LANDMARK_NAMES, SOURCE

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
# All others: people marked joints and features as they saw them (COCO, COCO-WholeBody, Halpe, OpenPose's BODY_25).
# Nothing was measured of where those lie beside our joints: no offsets.
_NONE = (0.0, 0.0, 0.0)
_LEFT_MARKED = {name: (*_LEFT[name][:2], _NONE, _LEFT[name][3]) for name in (
    "left_eye", "left_ear", "left_shoulder", "left_elbow", "left_wrist", "left_hip", "left_knee", "left_ankle",
    "left_heel",
)} | {
    "left_big_toe": ("left_ankle", {"LBigToe": 1.0}, _NONE, 0.6),
    "left_small_toe": ("left_ankle", {"LSmallToe": 1.0}, _NONE, 0.6),
    "left_hand_index_1": ("left_wrist", {"left_wrist": 0.48, "lindex": 0.52}, _NONE, 0.4),  # the knuckles
    "left_hand_pinky_1": ("left_wrist", {"left_wrist": 0.48, "lpinky": 0.52}, _NONE, 0.4),
}  # fmt: skip
_MIDDLE_MARKED = {
    "nose": ("head", {"nose": 1.0}, _NONE, 0.7),
    "neck": ("spine3", {"left_shoulder": 0.5, "right_shoulder": 0.5}, _NONE, 0.7),
    "mid_hip": ("pelvis", {"left_hip": 0.5, "right_hip": 0.5}, _NONE, 0.6),
}
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


@dataclass(frozen=True)
class Convention:
    """What the names of a family of detectors mean on the body."""

    left: dict[str, tuple]  # rows as above; the other side is mirrored
    middle: dict[str, tuple]
    spread: float  # of where a person's landmarks lie beside these places, times `sigma_offsets`


# Mediapipe's own offsets have a root mean square of 14 mm an axis, as much as they vary from person to person: a
# convention whose offsets nobody measured is off by both.
_CONVENTIONS = {"mediapipe": Convention(_LEFT, _MIDDLE, 1.0)}
_MARKED = Convention(_LEFT_MARKED, _MIDDLE_MARKED, 1.4)


def convention(source: str) -> Convention:
    """The table that holds for a file's `source`: its first word decides."""
    return _CONVENTIONS.get(source.split(" ")[0], _MARKED)


# All of mediapipe's that have a place on the free body, in its order.
USED_NAMES = tuple(sorted({*_LEFT, *map(_other_side, _LEFT), *_MIDDLE}, key=LANDMARK_NAMES.index))


@dataclass(frozen=True)
class LandmarkMap:
    """The used landmarks on a body, in the order of `names`."""

    names: tuple[str, ...]
    index: Tensor  # [L] which of the detector's
    joint: Tensor  # [L] the joint that each moves with
    template: Tensor  # [L, 3] at rest, mean shape, metres
    dirs: Tensor  # [L, 3, 10] displacement for one unit of each beta
    trust: Tensor  # [L] in [0, 1]
    bones: Tensor  # [P, 2] pairs of used landmarks
    bone_trust: Tensor  # [P] in [0, 1]
    mirror: Tensor  # [L] the same landmark of the other side; itself where that is not among them
    spread: float  # see `Convention`

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


def landmark_map(body: BodyModel, names: Sequence[str] = LANDMARK_NAMES, source: str = SOURCE) -> LandmarkMap:
    """Place a detector's landmarks on a body.

    Args:
        body: one whose vertices have names; landmarks at a vertex that it does not name are left out.
        names: of the detector's landmarks; those that have no place on the body are left out.
        source: of the file, says which points the names mean.
    """
    joints, joint_dirs = body.rest_joints(torch.zeros(10).to(body.v_template)), body.joint_dirs
    points = {name: (joints[k], joint_dirs[k]) for k, name in enumerate(JOINT_NAMES)}
    points |= {name: (body.v_template[v], body.shapedirs[v]) for name, v in body.vertex_ids.items()}

    table = convention(source)
    rows = table.left | {_other_side(name): _mirrored(row) for name, row in table.left.items()} | table.middle
    order = list(names)
    used = tuple(name for name in order if name in rows and all(part in points for part in rows[name][1]))
    template, dirs = [joints.new_zeros(0, 3)], [joints.new_zeros(0, 3, 10)]
    for name in used:
        _, parts, offset, _ = rows[name]
        place = sum(weight * points[part][0] for part, weight in parts.items()) + joints.new_tensor(offset)
        template.append(place[None])
        dirs.append(sum(weight * points[part][1] for part, weight in parts.items())[None])
    bones = {}
    for (a, b), trusted in _BONES.items():
        for pair in ((a, b), (_other_side(a), _other_side(b))):
            if pair[::-1] not in bones and set(pair) <= set(used):
                bones[pair] = trusted
    return LandmarkMap(
        names=used,
        index=torch.tensor([order.index(name) for name in used], dtype=torch.long),
        joint=torch.tensor([JOINT_NAMES.index(rows[name][0]) for name in used], dtype=torch.long),
        template=torch.cat(template),
        dirs=torch.cat(dirs),
        trust=joints.new_tensor([rows[name][3] for name in used]),
        bones=torch.tensor([(used.index(a), used.index(b)) for a, b in bones], dtype=torch.long).reshape(-1, 2),
        bone_trust=joints.new_tensor(list(bones.values())),
        mirror=torch.tensor(
            [used.index(other if (other := _other_side(name)) in used else name) for name in used], dtype=torch.long
        ),
        spread=table.spread,
    )


def _mirrored(row: tuple) -> tuple:
    joint, parts, (x, y, z), trust = row
    vertex_sides = {"l": "r", "L": "R"}
    parts = {
        (_other_side(part) if part.startswith("left_") else vertex_sides[part[0]] + part[1:]): weight
        for part, weight in parts.items()
    }
    return _other_side(joint), parts, (-x, y, z), trust
