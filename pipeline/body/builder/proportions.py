"""MakeHuman's forearms and hands given the lengths that people have.

Its forearm, elbow to wrist, is 0.139 of the stature, and its hand, wrist to the tip of the middle finger, 0.115. People
have 0.153 and 0.108: de Leva 1996 (J Biomech 29:1223, table 4), means of men and women; Gordon et al. 1989 (ANSUR):
radial styloid 0.15 from the radius's head, which lies a centimetre below the joint, hand 0.11.
"""

from __future__ import annotations

import numpy as np

from pipeline.body.model import JOINT_NAMES

FOREARM, HAND = 1.10, 0.955  # times as long


def with_arms_of_people(
    vertices: np.ndarray, centres: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A body in the T-pose whose forearms are stretched along the bone, and whose hands are made smaller.

    Args:
        vertices: (V, 3) metres.
        centres: (24, 3) its joints.
        weights: (V, 24) skinning weights of the joints: where two bones share the skin, so do their stretches.

    Returns:
        The vertices, and the joints.
    """
    moved, joints = vertices.copy(), centres.copy()
    for side in ("left", "right"):
        elbow, wrist, hand = (JOINT_NAMES.index(f"{side}_{name}") for name in ("elbow", "wrist", "hand"))
        bone = centres[wrist] - centres[elbow]
        along = bone / np.linalg.norm(bone)
        stretch = (FOREARM - 1) * np.outer((vertices - centres[elbow]) @ along, along)
        smaller = (FOREARM - 1) * bone + (HAND - 1) * (vertices - centres[wrist])
        moved += weights[:, [elbow]] * stretch + weights[:, [wrist, hand]].sum(1, keepdims=True) * smaller
        joints[wrist] += (FOREARM - 1) * bone
        joints[hand] += (FOREARM - 1) * bone + (HAND - 1) * (centres[hand] - centres[wrist])
    return moved, joints
