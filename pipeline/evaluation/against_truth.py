"""Errors against ground truth: the studio's clips and datasets."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.body import JOINT_NAMES, BodyModel, load_body
from pipeline.body.anatomy import H36M, anatomical_joints
from pipeline.evaluation.clip import Clip, joints_of, posed
from pipeline.evaluation.observed import Outlines, add_overlaps, add_smoothness, overlap
from pipeline.evaluation.pose_metrics import (
    PELVIS,
    acceleration_errors,
    aligned_joint_errors,
    distances,
    joint_errors,
    pelvis_aligned,
    within_sigma,
)
from pipeline.evaluation.table import REAL, STUDIO, MetricTable
from pipeline.formats.images import MaskFolder
from pipeline.formats.pose import Pose
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track

log = logging.getLogger(__name__)
_MM = 1000.0
STUDIO_SOURCE = "studio"
# Of H36M's joints those of LSP, which HMR papers score 3DPW on (SPIN's H36M_TO_J14): no pelvis, spine and nose.
JOINTS_14 = [index for index, name in enumerate(H36M) if name not in ("pelvis", "spine", "nose")]
HIPS = [JOINT_NAMES.index(f"{side}_hip") for side in ("left", "right")]
LIMBS = [
    JOINT_NAMES.index(f"{side}_{part}")
    for side in ("left", "right")
    for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
]


@dataclass(frozen=True)
class Truth:
    """The true motion in the frames of a clip."""

    pose: Pose  # cut to the clip's frames
    body: BodyModel
    masks: MaskFolder | None
    rows: np.ndarray  # (T,) number of each of the clip's frames in the truth's files

    @property
    def footage(self) -> str:
        return STUDIO if self.pose.source.startswith(STUDIO_SOURCE) else REAL

    def pose_in(self, clip: Clip) -> Pose | None:
        """The true pose with K for the pixels of the clip, where both have one body; the studio's camera looks through
        the middle of its images, of other sources the size is not known."""
        if self.footage != STUDIO or self.body.name != clip.body.name:
            return None
        scale = np.array([[clip.camera.width / 2], [clip.camera.height / 2]]) / self.pose.K[:2, 2:]
        return replace(self.pose, K=np.concatenate([self.pose.K[:2] * scale, self.pose.K[2:]]))

    @property
    def name(self) -> str:
        return "studio truth (synthetic)" if self.footage == STUDIO else f"truth: {self.pose.source}"


def load_truth(folder: Path, clip: Clip, rows: np.ndarray, body_model: str) -> Truth:
    """Read the truth beside a video.

    Args:
        folder: videos/<video>.truth, with pose.npz and perhaps masks/.
        clip: the clip that it is the truth of.
        rows: for each frame of the clip its number in the source video. (T,)
        body_model: where SMPL is, for a truth made with it.

    Raises:
        UserError: the truth is missing, wrong, or has fewer frames than the clip.
    """
    path = folder / "pose.npz"
    pose = Pose.load(path)
    if len(rows) and rows.max() >= len(pose):
        found = f"{path}: holds {len(pose)} frames, {clip.paths.frames} reaches frame {rows.max()} of its video"
        raise UserError(f"{found}; it is not the truth of this video")
    masks = MaskFolder(folder / "masks") if (folder / "masks").is_dir() else None
    if masks is not None and len(masks) != len(pose):
        raise UserError(
            f"{masks.path}: holds {len(masks)} masks, {path} holds {len(pose)} frames; make the truth again"
        )
    if pose.body_model == clip.body.name:
        body = replace(clip.body, hands=None)  # the studio's hands are flat
    else:
        body = load_body(pose.body_model if pose.body_model == "free" else body_model)
        if body.name != pose.body_model:
            raise UserError(f"{path}: was made with the body {pose.body_model!r}; name its file with --body-model")
    return Truth(_rows_of(pose, rows), body, masks, rows)


def _rows_of(pose: Pose, rows: np.ndarray) -> Pose:
    step = int(rows[1] - rows[0]) if len(rows) > 1 else 1
    return Pose(
        global_orient=pose.global_orient[rows],
        body_pose=pose.body_pose[rows],
        betas=pose.betas,
        transl=pose.transl[rows],
        valid=pose.valid[rows],
        bbox=pose.bbox[rows],
        K=pose.K,
        fps=pose.fps / step,
        body_model=pose.body_model,
        source=pose.source,
    )


def pose_errors(table: MetricTable, clip: Clip, truth: Truth) -> None:
    """Add the errors of both poses. Frames whose truth is not valid are left out; vertices need one body for both."""
    frames = np.flatnonzero(truth.pose.valid)
    true_joints = joints_of(truth.body, truth.pose, frames)
    scale = "metric" if clip.camera.metric else "guessed focal length"
    base = f"{truth.name}, {len(frames)} of {len(clip)} frames"
    add_smoothness(table, "truth", joints_of(truth.body, truth.pose), truth.pose.fps)
    for when, pose in clip.poses():
        joints = joints_of(clip.body, pose, frames)

        def add(metric: str, values: np.ndarray, how: str, when: str = when) -> None:
            points = JOINT_NAMES if values.ndim == 2 and values.shape[1] == len(JOINT_NAMES) else ()
            table.add(metric, when, f"{base}; {how}", values, frames, points)

        add("mpjpe", joint_errors(joints, true_joints) * _MM, "24 SMPL joints, pelvis-aligned")
        add("pa_mpjpe", aligned_joint_errors(joints, true_joints) * _MM, "24 SMPL joints, Procrustes-aligned per frame")
        add("mpjpe_global", distances(joints, true_joints) * _MM, f"24 SMPL joints in the camera frame, {scale}")
        for metric, values in _h36m_errors(clip, pose, truth, frames).items():
            how = "aligned at the middle of the hips" if metric.startswith("mpjpe") else "Procrustes-aligned per frame"
            add(metric, values * _MM, f"{values.shape[1]} joints of Human3.6M as anatomical centres, {how}")
        if pose.sigma is not None:
            middled = (each - each[:, HIPS].mean(1, keepdims=True) for each in (joints, true_joints))
            error, seen = np.subtract(*middled)[:, LIMBS], joints[:, LIMBS]
            for where, values in zip(("across", "along"), within_sigma(error, seen, pose.sigma[frames][:, LIMBS])):
                add(f"within_{where}", 100 * values, "12 joints of arms and legs against the hips' middle")
        pelvis = distances(joints[:, PELVIS], true_joints[:, PELVIS])
        add("translation_error", pelvis * _MM, f"pelvis in the camera frame, {scale}")
        if len(frames) == len(clip) > 2:
            errors = acceleration_errors(joints, true_joints, pose.fps)
            protocol = f"{base}; second differences times fps², 24 joints in the camera frame, {pose.fps:g} frames/s"
            table.add_motion("acceleration_error", when, protocol, errors, frames[1:-1])
        if truth.body.name == clip.body.name:
            aligned, unaligned = _vertex_errors(clip, pose, truth, frames, when)
            add("v2v", aligned * _MM, f"all {len(clip.body.v_template)} vertices, pelvis-aligned")
            add("v2v_global", unaligned * _MM, f"all vertices in the camera frame, {scale}")
    if truth.body.name != clip.body.name:
        log.info("V2V is left out: the truth is of the body %s, the poses of %s", truth.body.name, clip.body.name)


def _h36m_errors(clip: Clip, pose: Pose, truth: Truth, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Errors (F, J) in metres of Human3.6M's 17 joints, and of the 14 that 3DPW is scored on.

    HMR papers find them by J_regressor_h36m, which is not free. Here they are anatomical centres, on every body alike.
    """
    joints, true = (
        anatomical_joints(body, *_rows(motion, frames), H36M).numpy().astype(np.float64)
        for body, motion in ((clip.body, pose), (truth.body, truth.pose))
    )
    hips = H36M.index("pelvis")
    aligned = distances(pelvis_aligned(joints, joints[:, hips]), pelvis_aligned(true, true[:, hips]))
    fourteen = [joints[:, JOINTS_14], true[:, JOINTS_14]]
    return {
        "mpjpe_h36m17": aligned,
        "pa_mpjpe_h36m17": aligned_joint_errors(joints, true),
        "mpjpe_h36m14": aligned[:, JOINTS_14],
        "pa_mpjpe_h36m14": aligned_joint_errors(*fourteen),
    }


def _rows(pose: Pose, frames: np.ndarray) -> tuple[torch.Tensor, ...]:
    rows = (pose.global_orient[frames], pose.body_pose[frames], pose.betas, pose.transl[frames])
    return tuple(torch.as_tensor(values, dtype=torch.float32) for values in rows)


def _vertex_errors(
    clip: Clip, pose: Pose, truth: Truth, frames: np.ndarray, when: str
) -> tuple[np.ndarray, np.ndarray]:
    """Mean vertex error of each frame in metres, pelvis-aligned and not: (F,) and (F,)."""
    aligned, unaligned = [], []
    pairs = zip(posed(clip.body, pose, frames), posed(truth.body, truth.pose, frames))
    for (_, found), (_, true) in track(pairs, f"vertices, {when}", unit="batch"):
        vertices, true_vertices = found.vertices.numpy(), true.vertices.numpy()
        unaligned.append(distances(vertices, true_vertices).mean(1))
        roots = found.joints[:, PELVIS].numpy(), true.joints[:, PELVIS].numpy()
        pair = (pelvis_aligned(points, root) for points, root in zip((vertices, true_vertices), roots))
        aligned.append(distances(*pair).mean(1))
    return np.concatenate(aligned), np.concatenate(unaligned)


def true_mask_overlap(table: MetricTable, clip: Clip, truth: Truth, outlines: Outlines) -> None:
    """Add the IoU with the true masks of both bodies, of the avatar, and of the masks: found ("input"), and refined."""
    if truth.masks is None:
        return
    raster = outlines.raster
    masks = {
        int(frame): raster.mask(truth.masks[truth.rows[frame]]) for frame in (*outlines.frames, *outlines.avatar_frames)
    }
    against = f"mask of the {truth.name}, {raster.width}x{raster.height} px"
    add_overlaps(table, clip, outlines, masks, against, suffix="_truth")
    frames = outlines.frames
    protocol = f"mask found, and refined by the fit, against the {against}; {len(frames)} of {len(clip)} frames"
    for when, folder in (("input", clip.masks), ("refined", clip.masks_refined)):
        if folder is not None:
            values = np.array([overlap(raster.mask(folder[frame]), masks[int(frame)]) for frame in frames])
            table.add("iou_mask_truth", when, protocol, values, frames)
