"""Joint angles in degrees, as people who look at movement name them.

Zero is the body's rest pose: upright, legs straight, feet ahead; elbows straight. Hips, trunk and head are turned about
the axis to the left, then that ahead, then the bone's own (flexion, adduction or bending, rotation: the order of Grood
and Suntay 1983). These are angles between the parts of the model, with no axes of a joint found on the person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES
from pipeline.exports.fitted import Fitted
from pipeline.exports.world import WorldMotion
from pipeline.formats.atomic import atomic_path

_SIGNS = {"l": 1, "r": -1}
_SIDES = {"l": "left", "r": "right"}


def export(fitted: Fitted, folder: Path) -> None:
    """Write joint_angles.csv."""
    table = joint_angles(fitted.y_up_at_rate)
    with atomic_path(folder / "joint_angles.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f", lineterminator="\n")


def joint_angles(motion: WorldMotion) -> pd.DataFrame:
    """A row a frame: seconds, and angles in degrees.

    pelvis_tilt (forward), pelvis_list (right side down), pelvis_rotation (to the left; full turns are counted); of the
    trunk against the pelvis and the head against the trunk flexion (forward), bending (to the right), rotation (to the
    left); of each side hip_flexion, hip_adduction, hip_rotation (inward), knee_flexion, ankle_dorsiflexion,
    shoulder_elevation (0: the arm hangs, 90: it is level), shoulder_plane (of elevation; 0: to the side, 90: ahead),
    elbow_flexion.

    Args:
        motion: in a world with y up.
    """
    turns = {name: Rotation.from_rotvec(motion.poses[:, joint]) for joint, name in enumerate(JOINT_NAMES)}
    columns = {"seconds": np.arange(len(motion.poses)) / motion.fps}
    rotation, tilt, drop = turns["pelvis"].as_euler("YXZ", degrees=True).T
    columns |= {"pelvis_tilt": tilt, "pelvis_list": drop, "pelvis_rotation": np.unwrap(rotation, period=360)}
    trunk, head = turns["spine1"] * turns["spine2"] * turns["spine3"], turns["neck"] * turns["head"]
    for name, turn in (("trunk", trunk), ("head", head)):
        flexion, bending, rotation = turn.as_euler("XZY", degrees=True).T
        columns |= {f"{name}_flexion": flexion, f"{name}_bending": bending, f"{name}_rotation": rotation}
    for short, side in _SIDES.items():
        columns |= {f"{name}_{short}": values for name, values in _limbs(turns, side, _SIGNS[short]).items()}
    return pd.DataFrame(columns)


def _limbs(turns: dict[str, Rotation], side: str, sign: int) -> dict[str, np.ndarray]:
    flexion, aside, rotation = turns[f"{side}_hip"].as_euler("XZY", degrees=True).T
    arm = (turns[f"{side}_collar"] * turns[f"{side}_shoulder"]).apply([sign, 0.0, 0.0])
    return {
        "hip_flexion": -flexion,
        "hip_adduction": -sign * aside,
        "hip_rotation": -sign * rotation,
        "knee_flexion": turns[f"{side}_knee"].as_euler("XZY", degrees=True)[:, 0],
        "ankle_dorsiflexion": -turns[f"{side}_ankle"].as_euler("XZY", degrees=True)[:, 0],
        "shoulder_elevation": np.rad2deg(np.arccos(np.clip(-arm[:, 1], -1, 1))),
        "shoulder_plane": np.rad2deg(np.arctan2(arm[:, 2], sign * arm[:, 0])),
        "elbow_flexion": -sign * turns[f"{side}_elbow"].as_euler("YZX", degrees=True)[:, 0],
    }
