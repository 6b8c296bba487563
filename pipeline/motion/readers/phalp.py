"""PHALP's and 4D-Humans' results/demo_<video>.pkl (Rajasegaran et al. 2022, Goel et al. 2023)."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of
from pipeline.motion.readers.matrices import to_axis_angle
from pipeline.motion.readers.motion import Clip, SourceMotion, Track, centred_camera
from pipeline.runtime.errors import UserError

LAYOUT = "PHALP's or 4D-Humans' demo_<video>.pkl"
_FOCAL, _SIDE = 5000.0, 256  # px, of the image padded to a square and shrunk to this side (EXTRA.FOCAL_LENGTH)
_LISTS = ("tid", "tracked_time", "smpl", "camera", "size")
_SMPL = {"global_orient": (1, 3, 3), "body_pose": (23, 3, 3), "betas": (10,)}


def matches(content: Any) -> bool:
    """A dict of frames by image name, each a dict of lists with an entry for each person."""
    frames = list(content.values()) if isinstance(content, dict) else []
    return bool(frames) and all(isinstance(frame, dict) and {"tid", "smpl", "camera"} <= set(frame) for frame in frames)


def read(content: dict[Any, Any], path: Path, clip: Clip) -> SourceMotion:
    """Frames are in the file's order. A person lost for a while keeps an old pose there, which is left out."""
    people: dict[int, dict[int, tuple[np.ndarray, ...]]] = {}
    size = None
    for index, (name, frame) in enumerate(content.items()):
        where = f"{path}: frame {name}"
        lists = [frame.get(key) for key in _LISTS]
        if not all(isinstance(entries, (list, tuple)) and len(entries) == len(lists[0]) for entries in lists):
            raise UserError(f"{where}: expected lists of one length under {', '.join(_LISTS)}; use the file as written")
        for number, unseen_for, smpl, camera, height_width in zip(*lists):
            if unseen_for > 0:
                continue
            if not isinstance(smpl, dict):
                raise UserError(
                    f"{where}: key 'smpl' should hold dicts of SMPL parameters, found {type(smpl).__name__}"
                )
            arrays = arrays_of(where, smpl, _SMPL) | arrays_of(where, {"camera": camera}, {"camera": (3,)})
            size = arrays_of(where, {"size": height_width}, {"size": (2,)})["size"][::-1]
            rotmats = np.concatenate([arrays["global_orient"], arrays["body_pose"]])
            people.setdefault(int(number), {})[index] = rotmats, arrays["camera"], arrays["betas"]
    if size is None:
        raise UserError(
            f"{path}: nobody is tracked in any of its {len(content)} frames; run the tool on a clearer clip"
        )
    width, height = int(size[0]), int(size[1])
    tracks = tuple(_track(path, number, rows, width, height) for number, rows in sorted(people.items()))
    return SourceMotion("PHALP", tracks, len(content))


def _track(path: Path, number: int, rows: dict[int, tuple[np.ndarray, ...]], width: int, height: int) -> Track:
    rotmats, cameras, betas = (np.stack(values) for values in zip(*rows.values()))
    side = max(width, height)
    center = (side / 2 - (side - width) // 2, side / 2 - (side - height) // 2)
    return Track(
        name=f"person {number}",
        frames=np.array(list(rows)),
        rotations=to_axis_angle(f"{path}: person {number}", rotmats),
        transl=cameras,
        betas=betas.mean(axis=0),
        body="smpl",
        K=centred_camera(_FOCAL / _SIDE * side, center, len(rows)),
        size=(width, height),
    )
