"""Initial pose from mediapipe's landmarks: detected in each frame, put right, and the body fitted to the whole clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from pipeline.body import load_body
from pipeline.estimators.settings import PoseSettings
from pipeline.estimators.smplify.corrector import corrected_world
from pipeline.estimators.smplify.fit import FittedPose, Observations, fit_pose
from pipeline.estimators.smplify.gaps import fill_rotations, fill_values
from pipeline.estimators.smplify.swaps import find_swaps, swapped, swapped_world
from pipeline.formats.camera import Camera
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import Box, clip, grow, iou, mask_box, union
from pipeline.landmarks.detector import LANDMARK_NAMES, SOURCE, VISIBLE, Detection, check_mediapipe, follow
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track

Follow = Callable[..., Iterator[tuple[int, Detection | None]]]  # arguments as of landmarks.detector.follow
_SURE = 0.6  # overlap of the boxes of landmarks and mask above which both are of one person
_HIPS = tuple(LANDMARK_NAMES.index(name) for name in ("left_hip", "right_hip"))
_LEGS = tuple(LANDMARK_NAMES.index(name) for name in ("left_knee", "right_knee", "left_ankle", "right_ankle"))


def check(settings: PoseSettings) -> None:
    """Raise a UserError, before any work, where mediapipe is not installed."""
    check_mediapipe()


def estimate(
    directory: VideoDir, settings: PoseSettings, body_model: str, provenance: Provenance
) -> tuple[Pose, Landmarks]:
    """The motion of the person that the masks show. Raises as `estimate_from`."""
    return estimate_from(follow, SOURCE, directory, settings, body_model, provenance)


def estimate_from(
    detect: Follow, source: str, directory: VideoDir, settings: PoseSettings, body_model: str, provenance: Provenance
) -> tuple[Pose, Landmarks]:
    """The motion of the person that the masks show, from a detector's landmarks.

    Args:
        detect: follows one person through frames; called as `landmarks.detector.follow` is.
        source: name of the detector, for people.

    Raises:
        UserError: too few frames show the person, or only the head and shoulders.
    """
    torch.set_num_threads(
        1
    )  # the operations are small: on two busy cores two threads took 45 s for what one does in 1 s
    body = load_body(body_model)
    info, camera = VideoInfo.load(directory.video), Camera.load(directory.camera)
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    if len(masks) != len(frames):
        raise UserError(f"{directory.masks}: {len(frames)} masks expected, found {len(masks)}; rerun the masks stage")
    boxes = [mask_box(mask) for mask in masks]
    found = _detect(detect, frames, masks, boxes, settings)
    known = np.array(sorted(found))
    _check_enough(info.source, found, len(frames), (info.width, info.height), settings)

    xy = np.stack([found[i].xy for i in known])
    world = np.stack([found[i].world for i in known])
    visibility = np.stack([found[i].visibility for i in known])
    visibility = visibility * _inside(xy, info.width, info.height)
    limits = settings.smplify
    chosen = find_swaps(xy, world, visibility, known / float(info.fps), limits.swap_change, limits.swap_doubt)
    xy, world, visibility = swapped(xy, chosen), swapped_world(world, chosen), swapped(visibility, chosen)
    learnt = settings.smplify.corrector and source == SOURCE  # of this detector's errors
    believed = corrected_world(xy, visibility, world, camera.K) if learnt else world

    seen = Observations(
        frames=torch.as_tensor(known),
        xy=torch.as_tensor(xy, dtype=torch.float32),
        visibility=torch.as_tensor(visibility, dtype=torch.float32),
        world=torch.as_tensor(believed, dtype=torch.float32),
        K=torch.as_tensor(camera.K, dtype=torch.float32),
        fps=float(info.fps),
    )
    fitted = fit_pose(body, seen, settings.smplify, settings.height)
    good = ~_outliers(fitted, xy, settings.smplify.outlier)
    pose = _whole_clip(fitted, known, good, boxes, xy, info, camera.K, body.name, f"{source} landmarks, fitted")
    _report(provenance, info.source, pose.valid, len(known), chosen, visibility, fitted)
    return pose, _landmarks(known, xy, visibility, world, len(frames))


def _detect(
    detect: Follow,
    frames: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    boxes: list[Box | None],
    settings: PoseSettings,
) -> dict[int, Detection]:
    """Detections of the frames in which the masks' person is found, and not somebody who stands before them."""
    known = [box for box in boxes if box is not None]
    if not known:
        return {}
    window = grow(union(known), 1.4)

    def expected(index: int, last: Box | None) -> Box | None:
        return boxes[index] or last

    detections = detect(frames, range(len(frames)), expected, window, False, settings.min_confidence)
    tracked = track(detections, "landmarks", len(frames), "frame")
    return {
        index: found
        for index, found in tracked
        if found is not None
        and (box := boxes[index]) is not None
        and (iou(found.box, box) > _SURE or _lies_on(found, masks[index]))
    }


def _lies_on(found: Detection, mask: np.ndarray) -> bool:
    """Whether half of the landmarks that are seen lie on the mask."""
    size = mask.shape[1], mask.shape[0]
    points = np.floor(found.xy[_seen(found, size)]).astype(int)
    return len(points) > 0 and float((mask[points[:, 1], points[:, 0]] > 127).mean()) > 0.5


def _check_enough(
    source: str, found: dict[int, Detection], frames: int, size: tuple[int, int], settings: PoseSettings
) -> None:
    least = max(settings.min_frames, int(np.ceil(settings.min_valid_fraction * frames)))
    if frames < settings.min_frames:
        raise UserError(
            f"{source}: has {frames} frame(s), at least {settings.min_frames} are needed; use a longer clip"
        )
    if len(found) < least:
        raise UserError(
            f"{source}: the person is found in {len(found)} of {frames} frames, at least {least} are needed; use a "
            "clip in which one person is seen from head to feet, or cut it to where they are (decode.start, .stop)"
        )
    hips = [_seen(detection, size)[list(_HIPS)].any() for detection in found.values()]
    if sum(hips) < least:
        raise UserError(
            f"{source}: only head and shoulders are seen (hips in {sum(hips)} of {frames} frames, at least {least} are "
            "needed); use a clip that shows the body from head to feet"
        )


def _seen(detection: Detection, size: tuple[int, int]) -> np.ndarray:
    return (detection.visibility > VISIBLE) & _inside(detection.xy, *size)


def _inside(xy: np.ndarray, width: int, height: int) -> np.ndarray:
    """Whether each landmark lies in the image."""
    return (xy[..., 0] >= 0) & (xy[..., 0] < width) & (xy[..., 1] >= 0) & (xy[..., 1] < height)


def _outliers(fitted: FittedPose, xy: np.ndarray, limit: float) -> np.ndarray:
    """(B,) bool: frames whose landmarks the fit, held by its neighbours and the joints' limits, does not explain."""
    heights = np.maximum(np.ptp(xy[..., 1], axis=1), np.ptp(xy[..., 0], axis=1))
    weights, residual = fitted.weights.numpy(), fitted.residual.numpy()
    mean = (weights * residual).sum(1) / np.maximum(weights.sum(1), 1e-6)
    return mean > limit * np.median(heights)


def _whole_clip(
    fitted: FittedPose,
    known: np.ndarray,
    good: np.ndarray,
    boxes: list[Box | None],
    xy: np.ndarray,
    info: VideoInfo,
    K: np.ndarray,
    body_name: str,
    source: str,
) -> Pose:
    """The fitted frames with the others filled in between."""
    if not good.any():
        raise UserError(f"{info.source}: no frame's landmarks fit a body; use a clip that shows one person clearly")
    count, kept = info.frames, known[good]
    rotvecs = torch.cat([fitted.global_orient, fitted.body_pose], dim=1).numpy()[good].reshape(-1, 24, 3)
    rotvecs = fill_rotations(rotvecs, kept, count)
    valid = np.zeros(count, bool)
    valid[kept] = True
    around = {int(i): boxes[i] or (*points.min(0), *points.max(0)) for i, points in zip(known, xy)}
    bbox = fill_values(np.array(list(around.values()), float), known, count)
    bbox = np.array([clip(box, info.width, info.height) for box in bbox], float)
    return Pose(
        global_orient=rotvecs[:, 0].astype(np.float32),
        body_pose=rotvecs[:, 1:].reshape(count, 69).astype(np.float32),
        betas=fitted.betas.numpy(),
        transl=fill_values(fitted.transl.numpy()[good], kept, count).astype(np.float32),
        valid=valid,
        bbox=bbox,
        K=K,
        fps=float(info.fps),
        body_model=body_name,
        source=source,
    )


def _landmarks(known: np.ndarray, xy: np.ndarray, visibility: np.ndarray, world: np.ndarray, count: int) -> Landmarks:
    """For all frames; zero where the visibility is zero."""
    shown = (visibility > 0)[..., None]
    full = {}
    for name, values in (("xy", xy * shown), ("visibility", visibility), ("world", world * shown)):
        full[name] = np.zeros((count, *values.shape[1:]), np.float32)
        full[name][known] = values
    return Landmarks(LANDMARK_NAMES, **full)


def _report(
    provenance: Provenance,
    source: str,
    valid: np.ndarray,
    found: int,
    chosen: np.ndarray,
    visibility: np.ndarray,
    fitted: FittedPose,
) -> None:
    trusted = fitted.residual[fitted.weights > VISIBLE / 2]
    legs = float((visibility[:, list(_LEGS)] > VISIBLE).any(1).mean())
    provenance.facts |= {
        "frames": len(valid),
        "found_frames": found,
        "valid_frames": int(valid.sum()),
        "invalid_frames": [int(i) for i in np.flatnonzero(~valid)],
        "swapped_frames": int(chosen.any(1).sum()),
        "legs_seen_fraction": round(legs, 3),
        "landmark_residual_median_px": round(float(trusted.median()), 2),
    }
    if not valid.all():
        provenance.warn(
            f"{source}: the pose of {int((~valid).sum())} of {len(valid)} frames is interpolated: not seen there"
        )
    if chosen.any():
        provenance.warn(f"{source}: left and right were exchanged in {int(chosen.any(1).sum())} frames, and put right")
    if legs < 0.3:
        provenance.warn(f"{source}: the legs are seen in {legs:.0%} of the frames; elsewhere their pose is a guess")
