"""What poses people take: ranges of the joints, and a pull to a relaxed stance. No licensed data is needed.

Rotation vectors of SMPL's rest pose (arms out along x): x to the person's left, y up, z forward. Bounds on the vector's
components stand for anatomical ranges; they are exact for motion about one axis, near enough for others.
"""

from __future__ import annotations

from math import radians
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES

# Left or middle joint: degrees (low, high) about x, y, z. The right side mirrors y and z. Hips, knees, ankles,
# elbows and wrists: normal ranges of motion (American Academy of Orthopaedic Surgeons, 1965; rounded up); the spine's
# ranges are shared among its three joints, the shoulder's between collar and shoulder.
_RANGES = {
    "left_hip": ((-130, 40), (-60, 60), (-40, 70)),
    "left_knee": ((-5, 155), (-15, 15), (-10, 10)),
    "left_ankle": ((-35, 55), (-25, 25), (-25, 25)),
    "left_foot": ((-40, 40), (-5, 5), (-5, 5)),
    "spine1": ((-20, 40), (-20, 20), (-20, 20)),
    "spine2": ((-15, 35), (-20, 20), (-20, 20)),
    "spine3": ((-15, 25), (-20, 20), (-15, 15)),
    "neck": ((-35, 40), (-45, 45), (-30, 30)),
    "head": ((-30, 35), (-40, 40), (-25, 25)),
    "left_collar": ((-15, 15), (-30, 20), (-15, 40)),
    "left_shoulder": ((-110, 110), (-130, 60), (-110, 110)),
    "left_elbow": ((-90, 90), (-155, 5), (-20, 20)),
    "left_wrist": ((-40, 40), (-35, 35), (-85, 85)),
    "left_hand": ((-10, 10), (-10, 10), (-60, 20)),
}
# Left or middle joint: stiffness of the pull to the relaxed pose. 1 is a joint that landmarks show well; more, one
# that they hardly show.
_STIFFNESS = {
    "left_hip": 0.3, "left_knee": 0.3, "left_ankle": 1.0, "left_foot": 30.0, "spine1": 3.0, "spine2": 3.0,
    "spine3": 3.0, "neck": 2.0, "head": 2.0, "left_collar": 5.0, "left_shoulder": 0.2, "left_elbow": 0.3,
    "left_wrist": 2.0, "left_hand": 30.0,
}  # fmt: skip
# Degrees of the relaxed pose where it is not zero: arms down, elbows, knees and fingers slightly bent.
_RELAXED = {"left_shoulder": (0, -10, -65), "left_elbow": (0, -15, 0), "left_knee": (8, 0, 0), "left_hip": (-4, 0, 0)}


class PosePrior(NamedTuple):
    """Per component of body_pose."""

    low: Tensor  # [69] radians
    high: Tensor  # [69] radians
    relaxed: Tensor  # [69] radians
    stiffness: Tensor  # [69]


def pose_prior(dtype: torch.dtype = torch.float32) -> PosePrior:
    """The prior of joints 1..23."""
    low, high, relaxed, stiffness = [], [], [], []
    for name in JOINT_NAMES[1:]:
        right = name.startswith("right_")
        left = name.replace("right_", "left_")
        for axis in range(3):
            a, b = _RANGES[left][axis]
            rest = _RELAXED.get(left, (0, 0, 0))[axis]
            if right and axis > 0:  # a mirror in the x = 0 plane turns the y and z components over
                a, b, rest = -b, -a, -rest
            low.append(radians(a))
            high.append(radians(b))
            relaxed.append(radians(rest))
            stiffness.append(_STIFFNESS[left])
    return PosePrior(*(torch.tensor(values, dtype=dtype) for values in (low, high, relaxed, stiffness)))


def beyond_limits(
    body_pose: Tensor,  # [B, 69]
    prior: PosePrior,
) -> Tensor:  # [B, 69]
    """How far each component is outside its range, in radians."""
    return (body_pose - prior.high).clamp_min(0) + (prior.low - body_pose).clamp_min(0)
