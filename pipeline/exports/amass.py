"""The motion in AMASS's keys (Mahmood et al. 2019), which Blender add-ons, body visualizers and datasets read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.exports.fitted import Fitted
from pipeline.exports.world import WorldMotion
from pipeline.formats.arrays import write_npz

_SMPLH_ANGLES = 156  # pelvis and 21 joints, then 15 joints of each hand
_SHARED_JOINTS = 22  # SMPL's joints 22 and 23 stand for whole hands; SMPL-H has fingers in their place
_AMASS_BETAS = 16
_DMPLS = 8


def export(fitted: Fitted, folder: Path) -> None:
    """Write motion_amass.npz."""
    write_amass(folder / "motion_amass.npz", fitted.z_up, fitted.pose.betas, fitted.body.name)


def write_amass(path: str | Path, motion: WorldMotion, betas: np.ndarray, body_model: str) -> None:
    """Write `motion` (z up) as an AMASS npz, whole or not at all.

    Keys: poses (T, 156) in SMPL-H's order, axis-angle, fingers straight; trans (T, 3) metres, z up; betas (16,); dmpls
    (T, 8) zero; gender; mocap_framerate. Betas of the free body mean nothing to SMPL: `betas` is zero for it, SMPL's
    mean shape. Beyond AMASS's keys: body_model, body_betas (10,) the betas of that model, and world_from_camera (4, 4).

    Args:
        motion: in a world with z up.
        betas: shape, of the model `body_model`. (10,)
        body_model: "free" or "smpl".
    """
    frames = len(motion.poses)
    poses = np.zeros((frames, _SMPLH_ANGLES))
    poses[:, : 3 * _SHARED_JOINTS] = motion.poses[:, :_SHARED_JOINTS].reshape(frames, -1)
    shared_betas = np.zeros(_AMASS_BETAS)
    if body_model == "smpl":
        shared_betas[: len(betas)] = betas
    write_npz(
        path,
        {
            "poses": poses,
            "trans": motion.transl,
            "betas": shared_betas,
            "dmpls": np.zeros((frames, _DMPLS)),
            "gender": np.array("neutral"),
            "mocap_framerate": np.array(float(motion.fps)),
            "body_model": np.array(body_model),
            "body_betas": betas,
            "world_from_camera": motion.world_from_camera,
        },
    )
