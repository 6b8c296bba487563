"""A motion as a tool tells it whose body is another one: other bones, other proportions, its pelvis elsewhere.

What `pose.backend: import` has to make up for, in sizes such as those between the free body and SMPL-X.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import load_body
from pipeline.formats.atomic import atomic_path
from pipeline.formats.pose import Pose
from pipeline.motion.readers.motion import MEAN_PELVIS

_TURN = 0.08  # radians, by which a bone's rest direction differs, about each axis
_TALLER = 1.06  # the other body, which is so much farther away to look as large
_PELVIS = 0.05  # metres up the body, from our pelvis to its
_JOINTS = 21  # below the root, that the other body has; our hands are its fingers


def write_as_smplx(pose: Pose, path: Path) -> None:
    """Write a motion of the free body in SMPL-X's names, with the camera that it is seen by, as for another body."""
    root = Rotation.from_rotvec(pose.global_orient)
    turns = Rotation.from_rotvec(np.random.default_rng(0).normal(0, _TURN, (_JOINTS, 3)))  # the same in every clip
    joints = pose.body_pose[:, : 3 * _JOINTS].reshape(-1, _JOINTS, 3)
    turned = [(Rotation.from_rotvec(joints[:, j]) * turns[j]).as_rotvec() for j in range(_JOINTS)]
    rest = load_body(pose.body_model).rest_joints(torch.as_tensor(pose.betas, dtype=torch.float32))[0].double().numpy()
    pelvis = _TALLER * (pose.transl + rest) + root.apply([0.0, _PELVIS, 0.0])
    with atomic_path(path) as out:
        np.savez(
            out,
            global_orient=root.as_rotvec(),
            body_pose=np.concatenate(turned, axis=1),
            transl=pelvis - MEAN_PELVIS["smplx"],
            betas=np.zeros((1, 10)),
            focal=np.diag(pose.K)[:2],
            princpt=pose.K[:2, 2],
        )
