"""SMPL-X's own parameters, 21 body joints: a folder of OSX, SMPLer-X or SMPLest-X, or one file with all frames."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.folders import Entry, all_frames
from pipeline.motion.readers.motion import Clip, SourceMotion, Track, centred_camera

LAYOUT = "SMPL-X parameters (global_orient, body_pose of 63, transl)"
_BODY = 63


def matches(content: Any) -> bool:
    if not isinstance(content, dict) or not {"global_orient", "body_pose", "transl"} <= set(content):
        return False
    frames = as_array(content["transl"]).size // 3
    return as_array(content["body_pose"]).size == frames * _BODY


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """One person in every frame."""
    count = as_array(content["transl"]).size // 3
    return SourceMotion("SMPL-X", (_track("the person", np.arange(count), [(str(path), content)], clip),), count)


def read_files(entries: list[Entry], path: Path, clip: Clip) -> SourceMotion:
    """A file a frame and person, <frame>_<person>.npz."""
    tracks = []
    for person in sorted({each.person for each in entries}):
        own = [each for each in entries if each.person == person]
        files = [(str(each.path), each.content) for each in own]
        tracks.append(_track(f"person {person or 0}", np.array([each.frame for each in own]), files, clip))
    return SourceMotion("SMPL-X", tuple(tracks), all_frames({each.frame for each in entries}))


def _track(name: str, frames: np.ndarray, files: list[tuple[str, dict[str, Any]]], clip: Clip) -> Track:
    """The camera is `focal` and `princpt` (px of the video file). SMPLer-X does not write them: then the place of
    the person is not known, for `transl` is that in the camera of a crop."""
    parts = []
    for where, content in files:
        rows = len(frames) if len(files) == 1 else 1
        shapes = {"global_orient": (rows, 3), "body_pose": (rows, _BODY), "transl": (rows, 3)}
        flat = {key: as_array(content[key]).reshape(rows, -1) for key in shapes if key in content}
        if "betas" in content:
            flat["betas"] = np.broadcast_to(np.reshape(as_array(content["betas"]), (-1, 10)), (rows, 10))
        arrays = arrays_of(where, flat, shapes | {"betas": (rows, 10)})
        if {"focal", "princpt"} <= set(content):
            lens = {
                key: np.reshape(as_array(content[key]), (-1, 2))[:1].repeat(rows, 0) for key in ("focal", "princpt")
            }
            arrays |= arrays_of(where, lens, {"focal": (rows, 2), "princpt": (rows, 2)})
        parts.append(arrays)
    told = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    rotations = np.zeros((len(frames), 24, 3))
    rotations[:, 0] = told["global_orient"]
    rotations[:, 1:22] = told["body_pose"].reshape(-1, 21, 3)
    K = None
    if "focal" in told:
        K = centred_camera(told["focal"][:, 0], told["princpt"], len(frames))
        K[:, 1, 1] = told["focal"][:, 1]
    return Track(name, frames, rotations, told["transl"], told["betas"].mean(axis=0), "smplx", K, clip.file_size)
