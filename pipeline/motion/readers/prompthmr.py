"""PromptHMR's results.pkl (Wang et al. 2025)."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.matrices import to_axis_angle
from pipeline.motion.readers.motion import Clip, SourceMotion, Track, centred_camera
from pipeline.runtime.errors import UserError

LAYOUT = "PromptHMR's results.pkl (people, camera)"
_SHAPES = {"rotmat": ("N", 55, 3, 3), "shape": ("N", 10), "trans": ("N", 3)}


def matches(content: Any) -> bool:
    return isinstance(content, dict) and {"people", "camera"} <= set(content)


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """`smplx_cam` of each person: SMPL-X in the camera frame. The world's motion beside it is not read."""
    people, camera = content["people"], content["camera"]
    if not isinstance(people, dict) or not isinstance(camera, dict):
        raise UserError(f"{path}: keys 'people' and 'camera' should hold dicts; use the file as PromptHMR wrote it")
    flat = {key: as_array(camera[key]).reshape(-1) for key in ("img_focal", "img_center") if key in camera}
    lens = arrays_of(f"{path}: camera", flat, {"img_focal": (1,), "img_center": (2,)})
    tracks = []
    for number, person in people.items():
        where = f"{path}: person {number}"
        if not isinstance(person, dict) or not isinstance(person.get("smplx_cam"), dict):
            raise UserError(f"{where}: key 'smplx_cam' is missing; let PromptHMR run to its end")
        params = {key: as_array(value) for key, value in person["smplx_cam"].items() if key in _SHAPES}
        if "trans" in params and params["trans"].ndim == 3:
            params["trans"] = params["trans"][:, 0]
        arrays = arrays_of(where, params, _SHAPES)
        count = len(arrays["trans"])
        frames = arrays_of(where, person, {"frames": (count,)})["frames"].astype(int)
        rotations = np.zeros((count, 24, 3))
        rotations[:, :22] = to_axis_angle(where, arrays["rotmat"][:, :22])
        tracks.append(
            Track(
                name=f"person {number}",
                frames=frames,
                rotations=rotations,
                transl=arrays["trans"],
                betas=arrays["shape"].mean(axis=0),
                body="smplx",
                K=centred_camera(lens["img_focal"][0], lens["img_center"], count),
                size=tuple(np.round(2 * lens["img_center"]).astype(int).tolist()),
            )
        )
    if not tracks:
        raise UserError(f"{path}: key 'people' is empty; run the tool on a clearer clip")
    return SourceMotion("PromptHMR", tuple(tracks), _frames(camera))


def _frames(camera: dict[str, Any]) -> int | None:
    return len(as_array(camera["pred_cam_R"])) if "pred_cam_R" in camera else None
