"""What other tools call joints and markers, in the names of `pipeline.motion.fit_points`."""

import re

from pipeline.body import JOINT_NAMES
from pipeline.body.anatomy import COCO, H36M
from pipeline.motion.fit_points import MID_HIPS

_PARTS = {
    "hip": ("hip", "hjc", "upleg", "femur", "thigh"),
    "knee": ("knee", "kjc", "lowleg", "tibia", "shin"),
    "ankle": ("ankle", "ajc", "talus"),
    "shoulder": ("shoulder", "sjc", "humerus", "uparm"),
    "elbow": ("elbow", "ejc", "ulna", "lowarm"),
    "wrist": ("wrist", "wjc"),
    "eye": ("eye",),
    "ear": ("ear",),
}
_FEET = {"BigToe": ("bigtoe", "footindex"), "SmallToe": ("smalltoe",), "Heel": ("heel",)}
_MIDDLE = {
    "nose": ("nose",),
    MID_HIPS: ("midhip", "midhips", "hipscenter", "hipcenter", "hip", "root"),
    "thorax": ("neck",),  # SKEL's joint of this name is lower
    "head_top": ("headtop", "tophead", "topofhead"),
}
_OWN = {*JOINT_NAMES, *COCO, *H36M} - {"pelvis", "spine", "thorax", "neck", "head"}


def known_name(name: str) -> str | None:
    """Our name of a joint or marker; None where it is none that the fit knows.

    Sides are R, L, right, left, before or after; upper case, spaces and signs do not matter: `RKnee`, `knee_r`,
    `Left Knee`, `l_knee`, `RKJC`, SKEL's `tibia_r`, mediapipe's `left_knee`.
    """
    if name in _OWN and not name.startswith(("left_", "right_")):
        return name
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)  # RightHip
    words = re.sub(r"^(R|L)([A-Z])", r"\1 \2", words)  # RKnee
    parts = [word for word in re.split(r"[^A-Za-z0-9]+", words.lower()) if word]
    sides = [word for word in parts if word in ("r", "l", "right", "left")]
    plain = "".join(word for word in parts if word not in sides)
    if not sides:
        return next((ours for ours, theirs in _MIDDLE.items() if plain in theirs), None)
    side = sides[0][0]
    for ours, theirs in _PARTS.items():
        if plain in theirs:
            return f"{side}_{ours}"
    for ours, theirs in _FEET.items():
        if plain in theirs:
            return f"{side.upper()}{ours}"
    return None
