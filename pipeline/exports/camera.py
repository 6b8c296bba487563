"""The camera in the world of motion.glb and motion.bvh, as JSON."""

from __future__ import annotations

from pathlib import Path

from pipeline.exports.fitted import Fitted
from pipeline.formats.records import write_json

_AXES = {
    "world": "right-handed, y up, metres, ground at y = 0; the first pelvis is above the origin and faces +z",
    "camera": "OpenCV: x right, y down, z forward; a pixel's centre lies at +0.5",
    "world_from_camera": "a 4 x 4 matrix a frame: a point of the camera's axes times it is in the world",
}


def export(fitted: Fitted, folder: Path) -> None:
    """Write camera.json: `K` (3, 3) px of the decoded frames, `fps`, `world_from_camera` (T, 4, 4), `axes` in words."""
    motion = fitted.y_up
    write_json(
        folder / "camera.json",
        {
            "K": fitted.pose.K.tolist(),
            "fps": motion.fps,
            "axes": _AXES,
            "world_from_camera": motion.world_from_camera.round(6).tolist(),
        },
    )
