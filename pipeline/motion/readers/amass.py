"""Motion files in AMASS's keys (Mahmood et al. 2019), and those that this project exports."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from pipeline.formats.arrays import read_text
from pipeline.motion.readers.content import arrays_of
from pipeline.motion.readers.motion import Clip, SourceMotion, Track, mean_up
from pipeline.runtime.errors import UserError

LAYOUT = "an AMASS npz (poses, trans)"
_SMPLX = {"root_orient", "pose_body"}  # instead of poses, where the file is made for GMR and the like
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
_BODIES = {72: "smpl", 156: "smplh", 165: "smplx"}  # by the width of poses
_BODY_JOINTS = 22  # the same in all of them; in SMPL-H and SMPL-X fingers and face follow


def matches(content: Any) -> bool:
    return isinstance(content, dict) and "trans" in content and ("poses" in content or set(content) >= _SMPLX)


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """A motion in a world. Its camera is not known, unless this project exported it: then it is the clip's.

    A file with as many frames as were decoded, or as the video has, is taken frame by frame; any other one by time, by
    the rate that it states, from the start of the video file.
    """
    if "poses" not in content:
        parts = arrays_of(path, content, {"root_orient": ("N", 3), "pose_body": ("N", 63)})
        hands_and_face = np.zeros((len(parts["root_orient"]), 165 - 66))
        content = content | {"poses": np.concatenate([*parts.values(), hands_and_face], axis=1)}
    arrays = arrays_of(path, content, {"poses": ("N", "W"), "trans": ("N", 3)})
    count, width = arrays["poses"].shape
    if width not in _BODIES:
        raise UserError(f"{path}: key 'poses' should have {', '.join(map(str, _BODIES))} columns, found {width}")
    rotations = np.zeros((count, 24, 3))
    kept = 24 if width == 72 else _BODY_JOINTS
    rotations[:, :kept] = arrays["poses"][:, : 3 * kept].reshape(count, kept, 3)
    transl, total = arrays["trans"], count
    body, betas, cameras = _BODIES[width], np.zeros(10), None
    if "world_from_camera" in content:  # pipeline/exports/amass.py; older files hold one camera
        cameras = content["world_from_camera"]
        if np.ndim(cameras) == 2:
            content = content | {"world_from_camera": np.broadcast_to(cameras, (count, 4, 4))}
        wanted = {"trans": ("N", 3), "world_from_camera": ("N", 4, 4)}
        cameras = arrays_of(path, content, wanted)["world_from_camera"]
        betas = arrays_of(path, content, {"body_betas": (10,)})["body_betas"]
        body = read_text(path, content, "body_model")
    if count not in (len(clip.numbers), clip.in_file, None if clip.packets is None else len(clip.packets)):
        rotations, transl, cameras = _by_time(path, rotations, transl, cameras, _rate(content, path), clip)
        total = len(clip.numbers)
    track = Track(
        name="the person",
        frames=np.arange(len(transl)),
        rotations=rotations,
        transl=transl,
        betas=betas,
        body=body,
        K=None,
        size=None,
        up=mean_up(Rotation.from_rotvec(rotations[:, 0]).apply([0.0, 1.0, 0.0])),
        world_from_camera=cameras,
    )
    return SourceMotion("AMASS", (track,), total)


def _rate(content: dict[str, Any], path: Path) -> float:
    for key in _RATES:
        if key in content and np.size(content[key]) == 1 and np.isfinite(rate := float(content[key])) and rate > 0:
            return rate
    raise UserError(f"{path}: expected as many frames as the video has, or the rate under 'mocap_framerate'")


def _by_time(
    path: Path, rotations: np.ndarray, transl: np.ndarray, cameras: np.ndarray | None, rate: float, clip: Clip
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The motion at each decoded frame, as far as it goes."""
    rows = np.arange(len(transl))
    at = clip.numbers * rate / float(clip.fps)
    at = at[at <= rows[-1]]
    if len(rows) == 1 or len(at) == 0:
        raise UserError(f"{path}: holds one frame, or ends before the first decoded one; expected this video's motion")
    turned = [Slerp(rows, Rotation.from_rotvec(rotations[:, joint]))(at).as_rotvec() for joint in range(24)]
    moved = [np.interp(at, rows, transl[:, axis]) for axis in range(3)]
    if cameras is not None:
        there = np.zeros((len(at), 4, 4))
        there[:, :3, :3] = Slerp(rows, Rotation.from_matrix(cameras[:, :3, :3]))(at).as_matrix()
        there[:, :, 3] = np.stack([np.interp(at, rows, cameras[:, axis, 3]) for axis in range(4)], axis=1)
        cameras = there
    return np.stack(turned, axis=1), np.stack(moved, axis=1), cameras
