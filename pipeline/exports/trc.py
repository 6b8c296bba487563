"""Anatomical joint centres over time as a TRC file, which OpenSim and Pose2Sim take for markers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipeline.body import BodyModel, skin
from pipeline.body.anatomy import anatomical_centres
from pipeline.exports.fitted import Fitted
from pipeline.exports.world import WorldMotion
from pipeline.formats.atomic import atomic_path
from pipeline.geometry.rotations import axis_angle_to_matrix

# Names of the HALPE_26 markers of Pose2Sim's models, and our centres (body/anatomy.py) or vertices of the skin.
_MIDDLE = {"Hip": "pelvis", "Neck": "thorax", "Head": "head_top", "Nose": "nose"}
_SIDE = {
    "Hip": "hip", "Knee": "knee", "Ankle": "ankle", "Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist",
}  # fmt: skip
_CENTRES = _MIDDLE | {f"{side}{name}": f"{side.lower()}_{ours}" for side in "RL" for name, ours in _SIDE.items()}
_SKIN = tuple(f"{side}{name}" for side in "RL" for name in ("BigToe", "SmallToe", "Heel"))
# OpenSim's axes: x forward, y up, z to the right of a person who faces us at first.
_TO_OPENSIM = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


def export(fitted: Fitted, folder: Path) -> None:
    """Write motion.trc."""
    names, places = markers(fitted.y_up_at_rate, fitted.body, fitted.pose.betas)
    write_trc(folder / "motion.trc", names, places @ _TO_OPENSIM.T, fitted.fps)


def markers(motion: WorldMotion, body: BodyModel, betas: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names, and places (T, M, 3) in metres in the world of `motion`."""
    dtype = body.v_template.dtype
    poses, transl, shape = (torch.as_tensor(a, dtype=dtype) for a in (motion.poses, motion.transl, betas))
    transforms = body.transforms(axis_angle_to_matrix(poses), shape, transl)
    centres = anatomical_centres(body, tuple(_CENTRES.values())).posed(body, transforms, shape)
    ids = [body.vertex_ids[name] for name in _SKIN]
    feet = skin(body.shaped(shape)[ids], body.weights[ids], transforms)
    return (*_CENTRES, *_SKIN), torch.cat([centres, feet], dim=1).double().numpy()


def write_trc(path: str | Path, names: tuple[str, ...], places: np.ndarray, fps: float) -> None:
    """Write places (T, M, 3), metres, y up, whole or not at all."""
    frames, count = places.shape[:2]
    axes = "\t".join(f"{axis}{marker}" for marker in range(1, count + 1) for axis in "XYZ")
    head = [
        f"PathFileType\t4\t(X/Y/Z)\t{Path(path).name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{fps:.6f}\t{fps:.6f}\t{frames}\t{count}\tm\t{fps:.6f}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        f"\t\t{axes}",
        "",
    ]
    rows = [
        f"{frame + 1}\t{frame / fps:.6f}\t" + "\t".join(f"{value:.6f}" for value in row.ravel())
        for frame, row in enumerate(places)
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*head, *rows]) + "\n", encoding="ascii", newline="\n")
