"""MMHuman3D's inference_result.npz (demo/estimate_smpl.py with --output): HumanData with SMPL."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of, as_array
from pipeline.motion.readers.motion import Clip, SourceMotion, Track, weak_perspective

LAYOUT = "MMHuman3D's npz or json (smpl, pred_cams)"
_CROP = 1.25  # sides of the square crop, in longer sides of the box


def matches(content: Any) -> bool:
    return isinstance(content, dict) and "pred_cams" in content and isinstance(content.get("smpl"), dict)


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """SMPL, with a weak-perspective camera on crops about `bboxes_xyxy`, px of the video file."""
    rows = len(as_array(content["pred_cams"]))
    told = dict(content) | {key: as_array(content[key])[:, :4] for key in ("bboxes_xyxy",) if key in content}
    arrays = arrays_of(
        path, told, {"pred_cams": (rows, 3), "bboxes_xyxy": (rows, 4), "frame_id": (rows,), "person_id": (rows,)}
    )
    smpl = {key: as_array(value).reshape(rows, -1) for key, value in content["smpl"].items() if key != "gender"}
    smpl = arrays_of(f"{path}: smpl", smpl, {"global_orient": (rows, 3), "body_pose": (rows, 69), "betas": (rows, 10)})
    rotations = np.concatenate([smpl["global_orient"], smpl["body_pose"]], axis=1).reshape(rows, 24, 3)
    low, high = arrays["bboxes_xyxy"][:, :2], arrays["bboxes_xyxy"][:, 2:]
    cams = arrays["pred_cams"]
    side = _CROP * (high - low).max(axis=1)
    K, transl = weak_perspective(cams[:, 0], cams[:, 1:], (low + high) / 2, side)
    tracks = []
    for person in np.unique(arrays["person_id"]).astype(int):
        own = np.flatnonzero(arrays["person_id"] == person)
        tracks.append(
            Track(
                name=f"person {person}",
                frames=arrays["frame_id"][own].astype(int),
                rotations=rotations[own],
                transl=transl[own],
                betas=smpl["betas"][own].mean(axis=0),
                body="smpl",
                K=K[own],
                size=clip.file_size,
            )
        )
    return SourceMotion("MMHuman3D", tuple(tracks), None)
