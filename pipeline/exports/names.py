"""What other programs call the 24 joints."""

from pipeline.body import JOINT_NAMES

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
