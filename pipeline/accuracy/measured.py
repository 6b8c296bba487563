"""Real video against joints that were measured: the figures of one fit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import torch

from pipeline.body import JOINT_NAMES, load_body
from pipeline.body.anatomy import LIMBS, anatomical_centres
from pipeline.evaluation.joint_errors import calibration, joint_errors
from pipeline.formats.joint_truth import NAMES, JointTruth
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.runtime.errors import UserError

COLUMNS = ("method", "metric", "frames", "value")
BEFORE, AFTER = "before", "after"
OWN = {BEFORE: "before, the body's own joints", AFTER: "after, the body's own joints"}
assert LIMBS == NAMES  # the body's centres are compared with the file's joints in this order
_OWN_JOINTS = [JOINT_NAMES.index(f"{'left' if name[0] == 'l' else 'right'}{name[1:]}") for name in NAMES]


def score_measured(paths: VideoDir, truth: JointTruth, body_model: str) -> pd.DataFrame:
    """Errors of the motion before and after the fit, and of the other methods in the truth's file.

    Each decoded frame is paired with the truth by its time in the file.

    Args:
        paths: where the fit is.
        body_model: "free" or the path of the body that the motions are of.

    Returns:
        COLUMNS, the method BEFORE, AFTER, one of OWN (the same motions, their joints where the body bends), or a key of
        the truth's file; `frames` were measured.

    Raises:
        UserError: a file is missing, or no frame was measured.
    """
    times = frame_times(paths)
    known, paired = truth.at(times)
    if not paired.ok.any():
        raise UserError(
            f"{truth.source}: no joint measured in the frames decoded, {times[0]:.3f} to {times[-1]:.3f} s of the "
            f"video; found rows from {truth.seconds[0]:.3f} to {truth.seconds[-1]:.3f} s"
        )
    motions, sigmas = {}, {}
    for name, path in ((BEFORE, paths.pose_init), (AFTER, paths.pose_refined)):
        pose = Pose.load(path)
        anatomical, own = limb_joints(pose, body_model, len(times), path)
        motions |= {name: anatomical[known], OWN[name]: own[known]}
        if pose.sigma is not None:
            sigmas |= dict.fromkeys((name, OWN[name]), pose.sigma[:, _OWN_JOINTS][known])
    rows = []
    for name, joints in (motions | dict(paired.others)).items():
        figures = joint_errors(joints, paired.joints, paired.ok, in_camera=truth.K is not None)
        if name in sigmas:
            figures |= calibration(joints, paired.joints, paired.ok, truth.K is not None, sigmas[name])
        rows += [(name, metric, len(joints), value) for metric, value in figures.items() if np.isfinite(value)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def frame_times(paths: VideoDir) -> np.ndarray:
    """When each decoded frame is shown in the file, (T,) seconds; of an older result, at the rate that it was made."""
    video = VideoInfo.load(paths.video)
    if video.seconds is not None:
        return np.array(video.seconds)
    decode = read_provenance(paths.provenance("decode"))
    return video.source_frames(decode["settings"]) / float(Fraction(decode["facts"]["plays at"]))


def limb_joints(pose: Pose, body_model: str, frames: int, path: object) -> tuple[np.ndarray, np.ndarray]:
    """The joints of a motion in the camera's axes, (T, 12, 3) metres: anatomical, and the body's own."""
    if len(pose) != frames:
        raise UserError(f"{path}: is of {len(pose)} frames, the video of {frames}; run the stages again")
    body = load_body(body_model, torch.float64)
    if body.name != pose.body_model:
        raise UserError(f"{path}: its body is {pose.body_model!r}, found {body.name!r}; name it with --body-model")
    orient, body_pose, betas, transl = (
        torch.as_tensor(each, dtype=torch.float64)
        for each in (pose.global_orient, pose.body_pose, pose.betas, pose.transl)
    )
    rotmats = axis_angle_to_matrix(torch.cat([orient, body_pose], 1).unflatten(1, (-1, 3)))
    with torch.no_grad():
        anatomical = anatomical_centres(body).posed(body, body.transforms(rotmats, betas, transl), betas)
        own = body.world_joints(rotmats, betas, transl)[:, _OWN_JOINTS, :3, 3]
    return anatomical.numpy(), own.numpy()
