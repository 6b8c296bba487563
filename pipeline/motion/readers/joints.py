"""Joints: named ones in an npz, MotionBERT's X3D.npy, FreeMoCap's npy and csv."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.fit_points import MID_HIPS
from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.joint_names import known_name
from pipeline.motion.readers.motion import Clip, PointTrack, SourceMotion, mean_up
from pipeline.motion.readers.tables import Table, freemocap_metres
from pipeline.runtime.errors import UserError

LAYOUT = "joints (npz with joints and names; MotionBERT's X3D.npy; FreeMoCap's npy or csv; TRC)"
# Human3.6M's 17 joints in the order of MotionBERT and of most that lift 2D to 3D.
_H36M = (
    MID_HIPS, "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "spine", "thorax", "nose", "head_top",
    "l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
)  # fmt: skip
# Of mediapipe's 33 landmarks, which FreeMoCap keeps in their order; hands and face may follow.
_MEDIAPIPE = {
    0: "nose", 2: "l_eye", 5: "r_eye", 7: "l_ear", 8: "r_ear", 11: "l_shoulder", 12: "r_shoulder", 13: "l_elbow",
    14: "r_elbow", 15: "l_wrist", 16: "r_wrist", 23: "l_hip", 24: "r_hip", 25: "l_knee", 26: "r_knee", 27: "l_ankle",
    28: "r_ankle", 29: "LHeel", 30: "RHeel", 31: "LBigToe", 32: "RBigToe",
}  # fmt: skip
_LEG = 0.83  # m, thigh and shank of an adult, for joints in no unit: the image tells distance times size alone
_NEEDED = {"l_hip", "r_hip", "l_shoulder", "r_shoulder"}


def matches(content: Any) -> bool:
    if isinstance(content, dict):
        return {"joints", "names"} <= set(content)
    if isinstance(content, Table):
        return True
    return isinstance(content, np.ndarray) and content.ndim == 3 and content.shape[2] == 3


def read(content: Any, path: Path, clip: Clip) -> SourceMotion:
    """One person. Points are in a world of any heading, but those of MotionBERT and of an npz with `K`."""
    if isinstance(content, Table):
        return _named(
            "TRC" if content.seconds is not None else "FreeMoCap", path, content.points, content.names, content
        )
    if isinstance(content, dict):
        return _npz(content, path)
    count = content.shape[1]
    if count == len(_H36M):
        return _motionbert(content, path)
    if count <= max(_MEDIAPIPE):
        raise UserError(
            f"{path}: expected 17 joints (H36M's order, MotionBERT) or 33 and more (mediapipe's order, FreeMoCap), "
            f"found {count}; put joints and names into an npz, see docs/import.md"
        )
    points = freemocap_metres(content[:, list(_MEDIAPIPE)])
    return _named("FreeMoCap", path, points, tuple(_MEDIAPIPE.values()), None)


def _npz(content: dict[str, Any], path: Path) -> SourceMotion:
    names = tuple(str(name) for name in np.atleast_1d(as_array(content["names"])))
    points = as_array(content["joints"])
    rows = len(points)
    arrays_of(path, {"joints": np.nan_to_num(points)}, {"joints": ("N", len(names), 3)})
    seconds = arrays_of(path, content, {"seconds": (rows,)})["seconds"] if "seconds" in content else None
    table = Table(points, names, seconds)
    K = arrays_of(path, content, {"K": (3, 3)})["K"] if "K" in content else None
    motion = _named("joints", path, points, names, table, K)
    if "vertices" not in content:
        return motion
    vertices = arrays_of(path, content, {"vertices": (rows, "V", 3)})["vertices"]
    return replace(motion, tracks=(replace(motion.tracks[0], vertices=vertices),))


def _motionbert(points: np.ndarray, path: Path) -> SourceMotion:
    """In the camera's axes, in units of the image: brought to the size of an adult."""
    arrays_of(path, {"joints": points}, {"joints": ("N", 17, 3)})
    bones = [np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in ((1, 2), (2, 3), (4, 5), (5, 6))]
    leg = np.median(np.sum(bones, axis=0)) / 2
    if not leg > 0:
        raise UserError(f"{path}: its legs have no length; expected joints in H36M's order")
    track = PointTrack("the person", np.arange(len(points)), points * _LEG / leg, _H36M, None)
    return SourceMotion("MotionBERT", (track,), len(points))


def _named(
    tool: str, path: Path, points: np.ndarray, names: tuple[str, ...], table: Table | None, K: np.ndarray | None = None
) -> SourceMotion:
    ours = [known_name(name) for name in names]
    chosen = [index for index, name in enumerate(ours) if name is not None and ours.index(name) == index]
    told = tuple(ours[index] for index in chosen)
    if not set(told) >= _NEEDED:
        absent = ", ".join(sorted(_NEEDED - set(told)))
        raise UserError(
            f"{path}: {absent} is not among its joints; expected names such as RHip or left_shoulder, found "
            f"{', '.join(names[:12])}"
        )
    points = np.asarray(points, float)[:, chosen]
    at = {name: points[:, told.index(name)] for name in _NEEDED}
    up = at["l_shoulder"] + at["r_shoulder"] - at["l_hip"] - at["r_hip"]
    up = up[np.isfinite(up).all(axis=1)]
    if not len(up):
        raise UserError(f"{path}: hips and shoulders are never seen in one frame")
    rows = len(points)
    cameras = None if K is None else np.broadcast_to(K, (rows, 3, 3))
    track = PointTrack("the person", np.arange(rows), points, told, cameras, up=None if K is not None else mean_up(up))
    return SourceMotion(tool, (track,), rows, None if table is None else table.seconds)
