"""EasyMocap's output folders smpl/ and keypoints3d/, a json a frame (Shuai et al. 2021)."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.motion.fit_points import MID_HIPS
from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.folders import Entry, all_frames
from pipeline.motion.readers.motion import MEAN_PELVIS, Clip, PointTrack, SourceMotion, Track, mean_up
from pipeline.runtime.errors import UserError

LAYOUT = "EasyMocap's folder smpl/ or keypoints3d/ of json"
_BODY25 = (
    "nose", "thorax", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist", MID_HIPS, "r_hip",
    "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "r_eye", "l_eye", "r_ear", "l_ear", "LBigToe", "LSmallToe",
    "LHeel", "RBigToe", "RSmallToe", "RHeel",
)  # fmt: skip
_BODIES = {72: ("smpl", 24), 78: ("smplh", 22), 87: ("smplx", 22)}  # by the width of poses; what follows is hands


def matches(content: Any) -> bool:
    people = _people(content)
    return bool(people) and all(isinstance(each, dict) and ("Rh" in each or "keypoints3d" in each) for each in people)


def read(content: Any, path: Path, clip: Clip) -> SourceMotion:
    """One file is one frame."""
    raise UserError(f"{path}: is one frame of EasyMocap's; set pose.path to its folder")


def read_files(entries: list[Entry], path: Path, clip: Clip) -> SourceMotion:
    """People by their ids, in the world of EasyMocap's calibration. Which of its cameras this video is, is not told."""
    rows: dict[int, list[tuple[int, str, dict[str, Any]]]] = {}
    for entry in entries:
        for person in _people(entry.content):
            where = f"{entry.path}: person {person.get('id')}"
            if not isinstance(person.get("id"), int):
                raise UserError(f"{entry.path}: key 'id' should be a number, found {person.get('id')!r}")
            rows.setdefault(person["id"], []).append((entry.frame, where, person))
    if not rows:
        raise UserError(f"{path}: nobody is in any of its {len(entries)} files")
    of_points = "keypoints3d" in next(iter(rows.values()))[0][2]
    tracks = tuple((_points if of_points else _smpl)(f"person {number}", own) for number, own in sorted(rows.items()))
    return SourceMotion("EasyMocap", tracks, all_frames({each.frame for each in entries}))


def _people(content: Any) -> list[Any]:
    if isinstance(content, dict):
        content = content.get("annots", [])
    return content if isinstance(content, list) else []


def _smpl(name: str, rows: list[tuple[int, str, dict[str, Any]]]) -> Track:
    """Vertices are Rh applied to all of the body, then Th added; so the root's rest place turns with it."""
    poses, turns, moves, betas = [], [], [], []
    for _, where, person in rows:
        width = as_array(person.get("poses", ())).size
        if width not in _BODIES:
            raise UserError(f"{where}: key 'poses' should have {', '.join(map(str, _BODIES))} numbers, found {width}")
        body, joints = _BODIES[width]
        flat = {key: as_array(person[key]).reshape(-1) for key in ("poses", "Rh", "Th", "shapes") if key in person}
        arrays = arrays_of(where, flat, {"poses": (width,), "Rh": (3,), "Th": (3,), "shapes": (10,)})
        pose = np.zeros((24, 3))
        pose[:joints] = arrays["poses"][: 3 * joints].reshape(joints, 3)
        poses.append(pose)
        turns.append(arrays["Rh"])
        moves.append(arrays["Th"])
        betas.append(arrays["shapes"])
    rotations, turn = np.stack(poses), Rotation.from_rotvec(np.stack(turns))
    rotations[:, 0] = (turn * Rotation.from_rotvec(rotations[:, 0])).as_rotvec()
    pelvis = MEAN_PELVIS[body]
    return Track(
        name=name,
        frames=np.array([frame for frame, _, _ in rows]),
        rotations=rotations,
        transl=turn.apply(pelvis) + np.stack(moves) - pelvis,
        betas=np.mean(betas, axis=0),
        body=body,
        K=None,
        size=None,
        up=mean_up(Rotation.from_rotvec(rotations[:, 0]).apply([0.0, 1.0, 0.0])),
    )


def _points(name: str, rows: list[tuple[int, str, dict[str, Any]]]) -> PointTrack:
    """OpenPose's 25 joints; the fourth column is the confidence."""
    points = []
    for _, where, person in rows:
        count = len(_BODY25)
        told = {"keypoints3d": as_array(person["keypoints3d"])[:count]}
        found = arrays_of(where, told, {"keypoints3d": (count, 4)})["keypoints3d"]
        points.append(np.where(found[:, 3:] > 0, found[:, :3], np.nan))
    stacked = np.stack(points)
    up = stacked[:, [2, 5]].mean(axis=1) - stacked[:, [9, 12]].mean(axis=1)
    return PointTrack(
        name=name,
        frames=np.array([frame for frame, _, _ in rows]),
        points=stacked,
        names=_BODY25,
        K=None,
        up=mean_up(up[np.isfinite(up).all(axis=1)]),
    )
