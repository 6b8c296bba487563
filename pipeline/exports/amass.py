"""The motion in AMASS's keys (Mahmood et al. 2019), which Blender add-ons, retargeters and datasets read.

Two files: SMPL+H's layout, 52 joints, and SMPL-X's, 55 joints, since readers count the columns. Both at a whole number
of frames a second: the add-ons cut 29.97 down to 29 and then refuse it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.exports.fitted import Fitted
from pipeline.exports.world import WorldMotion
from pipeline.formats.arrays import write_npz

_SHARED_JOINTS = 22  # SMPL's joints 22 and 23 stand for whole hands; SMPL-H and SMPL-X have fingers in their place
_FACE = {"pose_jaw": 3, "pose_eye": 6}  # SMPL-X's columns between body and hands
_HANDS = 90  # columns, left before right: the same of both
_AMASS_BETAS = 16
_DMPLS = 8


def export(fitted: Fitted, folder: Path) -> None:
    """Write motion_amass.npz and motion_smplx.npz."""
    motion, source = fitted.z_up_whole, "humansplathmr"
    if motion.fps != fitted.pose.fps:
        source += f", resampled from {fitted.pose.fps:g} to {motion.fps:g} frames a second"
    write_amass(folder / "motion_amass.npz", motion, fitted.pose.betas, fitted.body.name, source)
    write_smplx(folder / "motion_smplx.npz", motion, fitted.pose.betas, fitted.body.name, source)


def write_amass(
    path: str | Path, motion: WorldMotion, betas: np.ndarray, body_model: str, source: str = "humansplathmr"
) -> None:
    """Write `motion` (z up) as an AMASS npz in SMPL+H's layout, whole or not at all.

    Keys: poses (T, 156) in SMPL-H's order, axis-angle, fingers relative to its flat hand, straight where no hand was
    seen; trans (T, 3) metres, z up; betas (16,); dmpls (T, 8) zero; gender; mocap_framerate. Betas of the free body
    mean nothing to SMPL: `betas` is zero for it, SMPL's mean shape. Beyond AMASS's keys: source, body_model,
    body_betas (10,) the betas of that model, and world_from_camera, (4, 4) or (T, 4, 4).

    Args:
        motion: in a world with z up.
        betas: shape, of the model `body_model`. (10,)
        body_model: "free" or "smpl".
        source: what made the motion, and what was done to it, for people.
    """
    frames = len(motion.poses)
    poses = np.concatenate([_body(motion), _hands(motion)], axis=1)
    shape = np.zeros(_AMASS_BETAS)
    if body_model == "smpl":
        shape[: len(betas)] = betas
    arrays = {
        "poses": poses,
        "betas": shape,
        "dmpls": np.zeros((frames, _DMPLS)),
        "mocap_framerate": np.array(float(motion.fps)),
        "world_from_camera": motion.world_from_camera,
    }
    write_npz(path, arrays | _shared(motion, betas, body_model, source))


def write_smplx(path: str | Path, motion: WorldMotion, betas: np.ndarray, body_model: str, source: str) -> None:
    """Write `motion` (z up) as an AMASS npz in SMPL-X's layout, whole or not at all.

    Keys: poses (T, 165), which is root, body, jaw, eyes, hands; the same apart as root_orient (T, 3), pose_body
    (T, 63), pose_jaw (T, 3), pose_eye (T, 6), pose_hand (T, 90) as of `write_amass`, face at rest; trans (T, 3) metres,
    z up; betas (16,) zero, for SMPL-X has shapes of its own; num_betas; gender; surface_model_type; mocap_frame_rate;
    mocap_time_length, seconds. Arguments as of `write_amass`.
    """
    frames, body = len(motion.poses), _body(motion)
    parts = {"root_orient": body[:, :3], "pose_body": body[:, 3:]}
    parts |= {name: np.zeros((frames, width)) for name, width in _FACE.items()}
    parts["pose_hand"] = _hands(motion)
    arrays = {
        "poses": np.concatenate(list(parts.values()), axis=1),
        **parts,
        "betas": np.zeros(_AMASS_BETAS),
        "num_betas": np.array(_AMASS_BETAS),
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(float(motion.fps)),
        "mocap_time_length": np.array(frames / motion.fps),
    }
    write_npz(path, arrays | _shared(motion, betas, body_model, source))


def _body(motion: WorldMotion) -> np.ndarray:
    """(T, 66) the joints that all of SMPL's family share."""
    return motion.poses[:, :_SHARED_JOINTS].reshape(len(motion.poses), -1)


def _hands(motion: WorldMotion) -> np.ndarray:
    """(T, 90) the fingers, straight where no hand was looked for."""
    frames = len(motion.poses)
    return np.zeros((frames, _HANDS)) if motion.hand_pose is None else motion.hand_pose.reshape(frames, _HANDS)


def _shared(motion: WorldMotion, betas: np.ndarray, body_model: str, source: str) -> dict[str, np.ndarray]:
    """What both files say."""
    return {
        "trans": motion.transl,
        "gender": np.array("neutral"),
        "source": np.array(source),
        "body_model": np.array(body_model),
        "body_betas": betas,
    }
