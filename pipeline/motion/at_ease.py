"""Standing at ease: how an avatar is shown that does nothing."""

from functools import lru_cache

import numpy as np

from pipeline.body import JOINT_NAMES

# Axis-angle in degrees (motion/library.py tells the signs) of the left side; the right side mirrors y and z. The arms
# hang clear of the hips, so that they are seen apart from them.
_AT_EASE = {
    "left_hip": (0, 0, 4),
    "left_collar": (0, 0, -4),
    "left_shoulder": (4, 4, -56),
    "left_elbow": (0, -14, 0),
}


@lru_cache(maxsize=1)
def at_ease() -> np.ndarray:
    """(72,) axis-angle: standing relaxed, arms a little away from the body, facing +z."""
    pose = np.zeros((24, 3))
    for name, (x, y, z) in _AT_EASE.items():
        pose[JOINT_NAMES.index(name)] = np.deg2rad((x, y, z))
        pose[JOINT_NAMES.index(name.replace("left", "right"))] = np.deg2rad((x, -y, -z))
    return pose.ravel()
