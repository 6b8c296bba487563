"""What other programs call the 24 joints, and the fingers'."""

from pipeline.body import JOINT_NAMES
from pipeline.body.hand import FINGER_NAMES

_MIDDLE = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head",
}  # fmt: skip
# SMPL's hand is a joint at the knuckles, its wrist the one that turns the hand.
_SIDE = {
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
    "elbow": "ForeArm", "wrist": "Hand", "hand": "HandMiddle1",
}  # fmt: skip


def _mixamo(name: str) -> str:
    side, _, part = name.partition("_")
    return _MIDDLE[name] if name in _MIDDLE else side.capitalize() + _SIDE[part]


# By `export.bone_names`, in SMPL's order.
BONE_NAMES = {"smpl": JOINT_NAMES, "mixamo": tuple(_mixamo(name) for name in JOINT_NAMES)}
_FINGERS = (name.split("_") for name in FINGER_NAMES)
# The same of the fingers, in the order of FINGER_NAMES.
FINGER_BONE_NAMES = {
    "smpl": FINGER_NAMES,
    "mixamo": tuple(f"{side.capitalize()}Hand{part.capitalize()}" for side, part in _FINGERS),
}
