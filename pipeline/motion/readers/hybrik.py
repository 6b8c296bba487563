"""HybrIK's res.pk (Li et al. 2021; scripts/demo_video.py with --save-pk)."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.matrices import to_axis_angle
from pipeline.motion.readers.motion import MEAN_PELVIS, Clip, SourceMotion, Track, centred_camera
from pipeline.runtime.errors import UserError

LAYOUT = "HybrIK's res.pk (pred_thetas, pred_cam_root)"
_FOCAL, _SIDE = 1000.0, 256  # px, of the crop


def matches(content: Any) -> bool:
    return isinstance(content, dict) and {"pred_thetas", "pred_cam_root"} <= set(content)


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """One person. `pred_cam_root` is the pelvis in a camera of 1000 px for a crop of 256, about the image centre.

    `pred_thetas` are matrices (216 columns) or, in older versions, quaternions wxyz (96). Frames without a person have
    no row and no mark: a file with fewer rows than the video has frames is known by the numbers in `img_path`.
    """
    thetas = as_array(content["pred_thetas"])
    rows = len(thetas)
    thetas = thetas.reshape(rows, -1)
    width = thetas.shape[1]
    if width not in (96, 216):
        raise UserError(
            f"{path}: key 'pred_thetas' should have 216 columns (24 matrices) or 96 (quaternions), found {width}; "
            "results of HybrIK-X are not read"
        )
    shapes = {
        "pred_betas": (rows, 10),
        "pred_cam_root": (rows, 3),
        "bbox": (rows, 4),
        "width": (rows,),
        "height": (rows,),
    }
    arrays = arrays_of(path, content, shapes)
    if width == 216:
        rotations = to_axis_angle(str(path), thetas.reshape(rows, 24, 3, 3))
    else:
        quaternions = thetas.reshape(-1, 4)[:, [1, 2, 3, 0]]
        rotations = Rotation.from_quat(quaternions).as_rotvec().reshape(rows, 24, 3)
    size = int(arrays["width"][0]), int(arrays["height"][0])
    focal = _FOCAL / _SIDE * (arrays["bbox"][:, 2] - arrays["bbox"][:, 0])
    track = Track(
        name="the person",
        frames=_frames(content, rows),
        rotations=rotations,
        transl=arrays["pred_cam_root"] - MEAN_PELVIS["smpl"],
        betas=arrays["pred_betas"].mean(axis=0),
        body="smpl",
        K=centred_camera(focal, (size[0] / 2, size[1] / 2), rows),
        size=size,
    )
    whole = (np.diff(track.frames) == 1).all() and track.frames[0] == 0
    return SourceMotion("HybrIK", (track,), rows if whole else None)


def _frames(content: dict[str, Any], rows: int) -> np.ndarray:
    """ffmpeg numbers the images from 1 on: <video>-000001.jpg."""
    numbers = []
    for name in np.atleast_1d(content.get("img_path", ())):
        digits = Path(str(name)).stem.rpartition("-")[2]
        numbers.append(int(digits) - 1 if digits.isdigit() else -1)
    if len(numbers) == rows and min(numbers) >= 0 and (np.diff(numbers) > 0).all():
        return np.array(numbers)
    return np.arange(rows)
