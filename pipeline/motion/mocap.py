"""Motion capture on another skeleton, performed by SMPL's joints; and files of CMU's.

Those (mocap.cs.cmu.edu, its BVH conversion) hold `names` (J,) and `parents` (J,) of the skeleton, and for each clip
`CLIP/rotvecs` (T, J, 3), local axis-angle from a T-pose, y up; `CLIP/root` (T, 3) and `CLIP/offsets` (J, 3), in one
unit of length; 30 frames a second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES
from pipeline.body.model import PARENTS
from pipeline.formats.arrays import read_npz
from pipeline.runtime.errors import UserError

RATE = 30.0  # frames a second
# The bone of CMU's skeleton that turns as each joint of SMPL does; a joint that is not named turns with its parent.
_MIDDLE = {
    "pelvis": "Hips",
    "spine1": "LowerBack",
    "spine2": "Spine",
    "spine3": "Spine1",
    "neck": "Neck",
    "head": "Head",
}
_SIDE = {
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase",
    "collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand",
}  # fmt: skip
CMU_BONES = _MIDDLE | {
    f"{a}_{k}": f"{b}{v}" for a, b in (("left", "Left"), ("right", "Right")) for k, v in _SIDE.items()
}
# Limbs whose rest directions differ between the two skeletons (CMU's legs stand apart), and the joints they end at.
_LIMBS = {
    f"{side}_{joint}": f"{side}_{end}"
    for side in ("left", "right")
    for joint, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
}


@dataclass(frozen=True)
class Mocap:
    """The clips of a file."""

    path: Path
    names: tuple[str, ...]
    parents: np.ndarray  # (J,)
    clips: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # rotvecs, root, offsets
    bones: Mapping[str, str] = field(default_factory=lambda: CMU_BONES)  # that turn as SMPL's joints do
    rate: float = RATE  # frames a second

    def without(self, clips: Collection[str]) -> Mocap:
        """The others. Raises a UserError where one of them is not there."""
        unknown = set(clips) - set(self.clips)
        if unknown:
            raise UserError(f"{self.path}: holds no clip {min(unknown)!r}")
        return replace(self, clips={name: clip for name, clip in self.clips.items() if name not in clips})

    def performed(
        self, clip: str, rest: np.ndarray, frames: slice | np.ndarray = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames of a clip in SMPL's joints: poses (T, 72) and trans (T, 3) metres, as of `motion.library.Motion`.

        Each limb points where the performer's does; the path is scaled by the lengths of the legs.

        Args:
            clip: a key of `clips`.
            rest: rest joints of the body that performs it (24, 3), metres.
            frames: which; all, where it is not said.
        """
        rotvecs, root, offsets = self.clips[clip]
        rotvecs, root = rotvecs[frames], root[frames]
        bones: list[Rotation] = []
        for j, parent in enumerate(self.parents):
            local = Rotation.from_rotvec(rotvecs[:, j])
            bones.append(local if parent < 0 else bones[parent] * local)
        joints: list[Rotation] = []  # in the world
        for k, name in enumerate(JOINT_NAMES):
            if name not in self.bones:
                joints.append(joints[PARENTS[k]])
                continue
            turned = bones[self.names.index(self.bones[name])]
            if name in _LIMBS:
                end = _LIMBS[name]
                own = rest[JOINT_NAMES.index(end)] - rest[k]
                turned = turned * _arc(own, offsets[self.names.index(self.bones[end])])
            joints.append(turned)
        local = [turned if k == 0 else joints[PARENTS[k]].inv() * turned for k, turned in enumerate(joints)]
        poses = np.stack([turned.as_rotvec() for turned in local], 1).reshape(len(rotvecs), 72)
        shin, thigh = ("left_knee", "left_ankle"), ("left_hip", "left_knee")
        theirs = sum(np.linalg.norm(offsets[self.names.index(self.bones[end])]) for _, end in (thigh, shin))
        ours = sum(np.linalg.norm(rest[JOINT_NAMES.index(b)] - rest[JOINT_NAMES.index(a)]) for a, b in (thigh, shin))
        return poses, root * (ours / theirs) - rest[0]

    def resampled(self, clip: str, rest: np.ndarray, frames: int | None, fps: float) -> tuple[np.ndarray, np.ndarray]:
        """As `performed`: at most `frames` frames from the start (None: all), the nearest ones at `fps`.

        Raises:
            UserError: there is no such clip.
        """
        if clip not in self.clips:
            raise UserError(f"{self.path}: holds no clip {clip!r}; it holds {', '.join(list(self.clips)[:8])} ...")
        length = len(self.clips[clip][0])
        most = int(np.ceil(length * fps / self.rate)) if frames is None else frames
        at = np.round(np.arange(most) * self.rate / fps).astype(int)
        return self.performed(clip, rest, at[at < length])


def read_mocap(path: Path) -> Mocap:
    """Read a file of clips.

    Raises:
        UserError: it is missing, or not in the layout above.
    """
    data = read_npz(path)
    names = tuple(str(name) for name in data.get("names", ()))
    missing = sorted(set(CMU_BONES.values()) - set(names))
    if missing or "parents" not in data or len(data["parents"]) != len(names):
        raise UserError(
            f"{path}: expected motion on CMU's skeleton: names, parents, CLIP/rotvecs; see docs/learning.md"
        )
    clips = {}
    for key in data:
        clip, _, kind = key.rpartition("/")
        if kind == "rotvecs":
            parts = [data.get(f"{clip}/{kind}") for kind in ("rotvecs", "root", "offsets")]
            if any(part is None for part in parts):
                raise UserError(f"{path}: {clip} lacks root or offsets")
            rotvecs, root, offsets = (np.asarray(part, float) for part in parts)
            shapes = (len(rotvecs), len(names), 3), (len(rotvecs), 3), (len(names), 3)
            if (rotvecs.shape, root.shape, offsets.shape) != shapes:
                raise UserError(f"{path}: {clip}: expected rotvecs (T, {len(names)}, 3), root (T, 3), offsets alike")
            clips[clip] = rotvecs, root, offsets
    if not clips:
        raise UserError(f"{path}: holds no clip")
    return Mocap(path, names, data["parents"].astype(int), clips)


def _arc(start: np.ndarray, end: np.ndarray) -> Rotation:
    """The least rotation that takes the direction `start` to `end`."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis)
    return Rotation.from_rotvec(axis / max(sine, 1e-9) * np.arctan2(sine, start @ end))
