"""What the numbers of common layouts of landmarks mean, in our names: docs/landmarks.md."""

from __future__ import annotations

import re


def _sides(*parts: str) -> tuple[str, ...]:
    """Left, then right, of each part."""
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


_FEET = tuple(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel"))
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HAND = ("wrist", *(f"{finger}_{k}" for finger in FINGERS for k in (1, 2, 3, 4)))  # 21, from the palm to the tip
COCO = (
    "nose", *_sides("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
)  # fmt: skip
WHOLE_BODY = (
    *COCO,
    *_FEET,
    *(f"face_{k}" for k in range(68)),
    *(f"left_hand_{name}" for name in HAND),
    *(f"right_hand_{name}" for name in HAND),
)
HALPE_26 = (*COCO, "head", "neck", "mid_hip", *_sides("big_toe", "small_toe", "heel"))
_ARMS = ("right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist")
_LEGS = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
_FACE = ("right_eye", "left_eye", "right_ear", "left_ear")
OPENPOSE_18 = ("nose", "neck", *_ARMS, *_LEGS, *_FACE)
BODY_25 = ("nose", "neck", *_ARMS, "mid_hip", *_LEGS, *_FACE, *_FEET)
BY_COUNT = {len(names): names for names in (COCO, OPENPOSE_18, BODY_25, HALPE_26, WHOLE_BODY)}
_ON_LEG, _ON_ARM = ("knee", "ankle", "heel", "toe", "foot"), ("elbow", "wrist", "hand", *FINGERS)
_MIDDLE = {"hip": "mid_hip", "midhip": "mid_hip"}


def ours(name: str) -> str:
    """Our name of a landmark that a person or a tool named: LHip, left hip, hip_L, Left_BigToe."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"\W+", "_", name.strip()))
    words = re.sub(r"^([LR])([A-Z])", r"\1_\2", words)
    parts = [part.lower() for part in words.split("_") if part]
    side = {"l": "left", "left": "left", "r": "right", "right": "right"}
    sides = [side[part] for part in (parts[:1] + parts[-1:]) if part in side]
    rest = "_".join(part for part in parts if part not in side)
    rest = {"bigtoe": "big_toe", "smalltoe": "small_toe"}.get(rest, rest)
    if sides:
        return f"{sides[0]}_{rest}"
    return _MIDDLE.get(rest, rest)


def limb_of(name: str) -> str | None:
    """`left arm`, `right leg`: on which limb a landmark of ours lies, shoulders and hips not among them; None: none."""
    side, _, part = name.partition("_")
    if side not in ("left", "right"):
        return None
    for limb, parts in (("leg", _ON_LEG), ("arm", _ON_ARM)):
        if any(each in part for each in parts):  # a foot's index is the leg's
            return f"{side} {limb}"
    return None
