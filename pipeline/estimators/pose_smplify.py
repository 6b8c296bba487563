"""Initial pose from landmarks: the body fitted to those of the whole clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pipeline.body import load_body
from pipeline.camera.intrinsics import clip_camera
from pipeline.camera.world import load_track
from pipeline.estimators.settings import PoseSettings
from pipeline.estimators.smplify.corrector import corrected_world
from pipeline.estimators.smplify.doubt import fit_surely
from pipeline.estimators.smplify.fit import FittedPose, Observations
from pipeline.estimators.smplify.gaps import fill_rotations, fill_values
from pipeline.estimators.smplify.rotations import expected_pose
from pipeline.estimators.smplify.start import NEEDED
from pipeline.estimators.smplify.temporal import corrected_over_time
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import Box, clip, mask_box
from pipeline.landmarks.detector import LANDMARK_NAMES, SOURCE, VISIBLE
from pipeline.runtime.errors import UserError

_LEGS = ("left_knee", "right_knee", "left_ankle", "right_ankle")


def check(settings: PoseSettings) -> None:
    """Nothing is needed that is not installed."""


def estimate(directory: VideoDir, settings: PoseSettings, body_model: str, provenance: Provenance) -> Pose:
    """The motion of the person whose landmarks landmarks.npz holds.

    Raises:
        UserError: there are no landmarks, or not those of limbs; too few frames show the person, or only the head and
            shoulders.
    """
    torch.set_num_threads(
        1
    )  # the operations are small: on two busy cores two threads took 45 s for what one does in 1 s
    body = load_body(body_model)
    info, camera = VideoInfo.load(directory.video), clip_camera(directory)
    masks, landmarks = MaskFolder(directory.masks), Landmarks.load(directory.landmarks)
    for path, count in ((directory.masks, len(masks)), (directory.landmarks, len(landmarks))):
        if count != info.frames:
            raise UserError(f"{path}: {info.frames} frames expected, found {count}; rerun the stage {path.stem}")
    _check_names(directory, landmarks)
    boxes = [mask_box(mask) for mask in masks]
    known = np.flatnonzero((landmarks.visibility > 0).any(1))
    xy, visibility = landmarks.xy[known], landmarks.visibility[known]
    _check_enough(info.source, landmarks.names, visibility, info.frames, settings)

    corrected = settings.smplify.corrector != "none" and landmarks.source == SOURCE  # learnt of this detector's errors
    world = None if landmarks.world is None else _believed(landmarks, known, info, camera, settings, corrected)
    span = np.arange(known[0], known[-1] + 1)
    there = known - known[0]

    def of_all(values: np.ndarray) -> torch.Tensor:  # (B, ...) of the frames known -> of those between them, too
        filled = np.zeros((len(span), *values.shape[1:]), np.float32)
        filled[there] = values
        return torch.as_tensor(filled)

    seen = Observations(
        frames=torch.as_tensor(span),
        xy=of_all(xy),
        visibility=of_all(visibility),
        world=None if world is None else of_all(world),
        K=torch.as_tensor(camera.K, dtype=torch.float32),
        fps=float(info.fps),
        names=landmarks.names,
        source=landmarks.source,
        corrected=corrected,
        world_from_camera=_axes(load_track(directory, info.frames, provenance.warn), span),
    )
    if world is not None and corrected and settings.smplify.corrector == "temporal" and settings.smplify.rotations:
        pose, error = expected_pose(known, float(info.fps), *_bodies(landmarks, known), camera.K)
        error = np.where(np.isin(span, known)[:, None], of_all(error), np.inf).astype(np.float32)
        seen = replace(seen, expected=of_all(pose), expected_error=torch.as_tensor(error))
    fitted, good = fit_surely(body, seen, settings.smplify, settings.height)
    source = f"{landmarks.source} landmarks, fitted"
    pose = _whole_clip(fitted, span, span[good.numpy()], boxes, known, xy, info, camera.K, body.name, source)
    pose = replace(pose, fitted_in_3d=world is not None)
    _report(provenance, info.source, pose.valid, landmarks.names, visibility, fitted)
    return pose


def _axes(camera: CameraTrack, span: np.ndarray) -> torch.Tensor | None:
    """(B, 3, 3) from the camera's axes to the world's; None where they are the same."""
    if camera.kind == "static":
        return None
    return torch.as_tensor(camera.world_from_camera[span, :3, :3], dtype=torch.float32)


def _check_names(directory: VideoDir, landmarks: Landmarks) -> None:
    if not landmarks.names:
        raise UserError(
            f"{directory.landmarks}: holds no landmarks, and pose.backend smplify is fitted to them; set "
            "landmarks.backend to a detector, or pose.backend to one that needs none"
        )
    if absent := [name for name in NEEDED if name not in landmarks.names]:
        raise UserError(
            f"{directory.landmarks}: expected landmarks {', '.join(NEEDED)}, found none called {absent[0]} (by "
            f"{landmarks.source}); docs/landmarks.md tells the names"
        )


def _believed(
    landmarks: Landmarks, known: np.ndarray, info: VideoInfo, camera: Camera, settings: PoseSettings, corrected: bool
) -> np.ndarray:
    """World landmarks (B, L, 3) of the frames `known`; corrected: without the errors known of mediapipe."""
    world = landmarks.world[known].astype(float)
    if corrected:
        body = [landmarks.names.index(name) for name in LANDMARK_NAMES]
        seen = *_bodies(landmarks, known), camera.K
        if settings.smplify.corrector == "linear":
            world[:, body] = corrected_world(*seen)
        else:
            world[:, body] = corrected_over_time(known, float(info.fps), *seen)
    return world


def _bodies(landmarks: Landmarks, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The body's landmarks as detected in the frames `known`: xy (B, 33, 2), visibility (B, 33), world (B, 33, 3)."""
    body = [landmarks.names.index(name) for name in LANDMARK_NAMES]
    xy, visibility, world = (values[known][:, body] for values in (landmarks.xy, landmarks.visibility, landmarks.world))
    return xy, visibility, world.astype(float)


def _check_enough(
    source: str,
    names: tuple[str, ...],
    visibility: np.ndarray,  # (B, L) of the frames in which the person is found
    frames: int,
    settings: PoseSettings,
) -> None:
    found, least = len(visibility), settings.least(frames)
    if frames < settings.min_frames:
        raise UserError(
            f"{source}: has {frames} frame(s), at least {settings.min_frames} are needed; use a longer clip"
        )
    if found < least:
        raise UserError(
            f"{source}: the person is found in {found} of {frames} frames, at least {least} are needed; use a "
            "clip in which one person is seen from head to feet, or cut it to where they are (video.start, video.stop)"
        )
    hips = int((visibility[:, [names.index("left_hip"), names.index("right_hip")]] > VISIBLE).any(1).sum())
    if hips < least:
        raise UserError(
            f"{source}: only head and shoulders are seen (hips in {hips} of {frames} frames, at least {least} are "
            "needed); use a clip that shows the body from head to feet"
        )


def _whole_clip(
    fitted: FittedPose,
    span: np.ndarray,  # (B,) its frames
    good: np.ndarray,  # those of which landmarks were believed
    boxes: list[Box | None],
    known: np.ndarray,  # (C,) those that have landmarks
    xy: np.ndarray,  # (C, N, 2) px, these
    info: VideoInfo,
    K: np.ndarray,
    body_name: str,
    source: str,
) -> Pose:
    """The fitted frames; before the first and after the last the person stands still."""
    if not len(good):
        raise UserError(f"{info.source}: no frame's landmarks fit a body; use a clip that shows one person clearly")
    count = info.frames
    rotvecs = torch.cat([fitted.global_orient, fitted.body_pose], dim=1).numpy().reshape(-1, 24, 3)
    rotvecs = fill_rotations(rotvecs, span, count)
    valid = np.zeros(count, bool)
    valid[good] = True
    around = {int(i): boxes[i] or (*points.min(0), *points.max(0)) for i, points in zip(known, xy)}
    bbox = fill_values(np.array(list(around.values()), float), known, count)
    bbox = np.array([clip(box, info.width, info.height) for box in bbox], float)
    return Pose(
        global_orient=rotvecs[:, 0].astype(np.float32),
        body_pose=rotvecs[:, 1:].reshape(count, 69).astype(np.float32),
        betas=fitted.betas.numpy(),
        transl=fill_values(fitted.transl.numpy(), span, count).astype(np.float32),
        valid=valid,
        bbox=bbox,
        K=K,
        fps=float(info.fps),
        body_model=body_name,
        source=source,
    )


def _report(
    provenance: Provenance,
    source: str,
    valid: np.ndarray,
    names: tuple[str, ...],
    visibility: np.ndarray,
    fitted: FittedPose,
) -> None:
    trusted = fitted.residual[fitted.weights > VISIBLE / 2]
    legs = float((visibility[:, [names.index(name) for name in _LEGS]] > VISIBLE).any(1).mean())
    provenance.facts |= {
        "frames": len(valid),
        "found_frames": len(visibility),
        "valid_frames": int(valid.sum()),
        "invalid_frames": [int(i) for i in np.flatnonzero(~valid)],
        "legs_seen_fraction": round(legs, 3),
        "landmark_residual_median_px": round(float(trusted.median()), 2),
    }
    if not valid.all():
        provenance.warn(
            f"{source}: the pose of {int((~valid).sum())} of {len(valid)} frames is filled in from their neighbours: "
            "not seen there"
        )
    if legs < 0.3:
        provenance.warn(f"{source}: the legs are seen in {legs:.0%} of the frames; elsewhere their pose is a guess")
