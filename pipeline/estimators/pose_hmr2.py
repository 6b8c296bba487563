"""Initial pose by HMR2.0 (4D-Humans, Goel et al. 2023), frame by frame, on boxes from the masks.

It gives SMPL joint rotations, a shape, and a camera of its crop. One shape serves the clip (the frames' median), and
the person is placed under the clip's K at the distance that brings the joints to the network's own pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.body import BodyModel, load_body
from pipeline.camera.intrinsics import clip_camera
from pipeline.estimators.body_scale import ClipScale, betas_of_size, clip_scale, depth_quotient
from pipeline.estimators.hmr2_network import Prediction, import_models, load_model, predict
from pipeline.estimators.networks import choose_device
from pipeline.estimators.person_boxes import person_boxes
from pipeline.estimators.settings import Hmr2Settings, PoseSettings, refuse_height
from pipeline.estimators.smplify.gaps import fill_rotations, fill_values
from pipeline.formats.images import DepthFolder, FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import Box, clip
from pipeline.geometry.rotations import matrix_to_axis_angle
from pipeline.geometry.weak_perspective import crop_pixels, place_points
from pipeline.runtime.errors import UserError
from pipeline.setup.weights import needed, require, require_smpl

PACKAGES = ("hmr2", "torch", "torchvision", "timm", "smplx", "numpy", "opencv-contrib-python")
_NEAR, _FAR = 0.3, 100.0  # metres between which a person is believed to be
_SCALE_FRAMES = 60  # of the clip, for the scale against depth maps
_LIKELY_BETA = 5.0  # standard deviations
_JUMP = 0.5  # metres between neighbouring frames


def check(settings: PoseSettings) -> None:
    """Raise a UserError, before any work, where the weights, a GPU or the package are missing."""
    refuse_height(settings, "hmr2")
    require(needed("pose", {"backend": "hmr2", "hmr2": {"weights": settings.hmr2.weights}}))
    choose_device("hmr2", settings.hmr2.device)
    import_models()


def estimate(directory: VideoDir, settings: PoseSettings, body_model: str, provenance: Provenance) -> Pose:
    """The motion of the person on the masks.

    Raises:
        UserError: SMPL is missing, or the person is in too few frames.
    """
    require_smpl(body_model)
    body = load_body(body_model)
    if body.name != "smpl":
        raise UserError(f"{body_model}: backend hmr2 gives SMPL parameters, this is the body {body.name!r}")
    info, camera = VideoInfo.load(directory.video), clip_camera(directory)
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    boxes = person_boxes(masks, info, settings)
    known = np.array(list(boxes))
    model = load_model(Path(settings.hmr2.weights), body, choose_device("hmr2", settings.hmr2.device))
    predicted = predict(model, frames, boxes, settings.hmr2.batch)

    good, least = believable(body, predicted, camera.K), settings.least(info.frames)
    if good.sum() < least:
        raise UserError(
            f"{info.source}: HMR2.0 gives a person within {_NEAR} to {_FAR:.0f} m in {int(good.sum())} frames, at "
            f"least {least} are needed; are its weights and the masks right?"
        )
    predicted, known = predicted.rows(good), known[good]
    betas = predicted.betas.median(0).values
    transl = place(body, betas, predicted, camera.K)
    if directory.depth.is_dir() and camera.metric:
        depths = DepthFolder(directory.depth)
        scale = find_scale(body, betas, predicted, transl, known, depths, masks, camera.K)
        betas, transl = _apply_scale(scale, settings.hmr2, body, betas, predicted, transl, camera.K, provenance)
    _report(provenance, info, settings, betas, transl, known, model)
    return _whole_clip(predicted, betas, transl, known, boxes, info, camera.K)


def _joints(body: BodyModel, rotmats: Tensor, betas: Tensor) -> np.ndarray:  # (B, 24, 3)
    """Joints before translation, metres."""
    return body.world_joints(rotmats, betas, torch.zeros(len(rotmats), 3))[..., :3, 3].double().numpy()


def believable(body: BodyModel, predicted: Prediction, K: np.ndarray) -> np.ndarray:  # (B,) bool
    """Which crops show somebody before the camera, neither in the lens nor on the horizon."""
    good = predicted.camera[:, 0] > 0
    if good.any():
        seen = predicted.rows(good)
        distance = place(body, seen.betas.median(0).values, seen, K)[:, 2]
        good[good] = (distance > _NEAR) & (distance < _FAR)
    return good


def place(body: BodyModel, betas: Tensor, predicted: Prediction, K: np.ndarray) -> np.ndarray:  # (B, 3)
    """`transl` under K that puts the joints of a body of shape `betas` at the pixels that HMR2.0 gave its own."""
    own = [_joints(body, predicted.rotmats[i : i + 1], own_betas) for i, own_betas in enumerate(predicted.betas)]
    pixels = crop_pixels(np.concatenate(own), predicted.camera, predicted.centre, predicted.side)
    return place_points(_joints(body, predicted.rotmats, betas), pixels, K)


def find_scale(
    body: BodyModel,
    betas: Tensor,
    predicted: Prediction,
    transl: np.ndarray,
    known: np.ndarray,
    depths: DepthFolder,
    masks: MaskFolder,
    K: np.ndarray,
) -> ClipScale | None:
    """Depth maps over the placed body, over up to 60 frames of the clip."""
    quotients = []
    axis_angle = matrix_to_axis_angle(predicted.rotmats)
    for row in np.unique(np.linspace(0, len(known) - 1, _SCALE_FRAMES).round().astype(int)):
        pose = axis_angle[row : row + 1]
        moved = torch.as_tensor(transl[row : row + 1], dtype=torch.float32)
        vertices = body(pose[:, 0], pose[:, 1:].flatten(1), betas, moved).vertices[0].double().numpy()
        index = int(known[row])
        quotients.append(depth_quotient(vertices, body.faces, K, depths[index], masks[index]))
    return clip_scale(quotients)


def _apply_scale(
    scale: ClipScale | None,
    settings: Hmr2Settings,
    body: BodyModel,
    betas: Tensor,
    predicted: Prediction,
    transl: np.ndarray,
    K: np.ndarray,
    provenance: Provenance,
) -> tuple[Tensor, np.ndarray]:
    """The shape and translation after the choice between the body's size and the depth maps' scale."""
    if scale is None:
        provenance.facts["scale"] = {"chosen": "body", "why": "no frame with depth on the person"}
        return betas, transl
    facts: dict[str, Any] = {
        "depth over body": round(scale.quotient, 4),
        "spread": round(scale.spread, 4),
        "frames": scale.frames,
    }
    if scale.agrees(settings.scale_tolerance):
        betas = betas_of_size(body, betas, scale.quotient)
        moved = place(body, betas, predicted, K)
        facts |= {"chosen": "depth", "body grown by": round(float(np.median(moved[:, 2] / transl[:, 2])), 4)}
        transl = moved
    else:
        facts["chosen"] = "body"
        provenance.warn(
            f"the depth maps put the person {scale.quotient:.2f} times as far away as a body of that size is; nobody "
            "is so large or small: the body's size is kept. Set fit.use_depth to false, or depth.focal if you know it"
        )
    provenance.facts["scale"] = facts
    return betas, transl


def _whole_clip(
    predicted: Prediction,
    betas: Tensor,
    transl: np.ndarray,
    known: np.ndarray,
    boxes: dict[int, Box],
    info: VideoInfo,
    K: np.ndarray,
) -> Pose:
    """All frames, those without a prediction filled from their neighbours."""
    rotvecs = matrix_to_axis_angle(predicted.rotmats).double().numpy()
    rotvecs = fill_rotations(rotvecs, known, info.frames)
    valid = np.zeros(info.frames, bool)
    valid[known] = True
    bbox = fill_values(np.array(list(boxes.values()), float), np.array(list(boxes)), info.frames)
    bbox = np.array([clip(box, info.width, info.height) for box in bbox], float)
    return Pose(
        global_orient=rotvecs[:, 0].astype(np.float32),
        body_pose=rotvecs[:, 1:].reshape(info.frames, 69).astype(np.float32),
        betas=betas.numpy(),
        transl=fill_values(transl, known, info.frames).astype(np.float32),
        valid=valid,
        bbox=bbox,
        K=K,
        fps=float(info.fps),
        body_model="smpl",
        source="HMR2.0 (4D-Humans)",
    )


def _report(
    provenance: Provenance,
    info: VideoInfo,
    settings: PoseSettings,
    betas: Tensor,
    transl: np.ndarray,
    known: np.ndarray,
    model: torch.nn.Module,
) -> None:
    provenance.facts |= {
        "device": str(model.device),
        "frames": info.frames,
        "valid_frames": len(known),
        "median distance (m)": round(float(np.median(transl[:, 2])), 3),
        "betas": [round(float(beta), 2) for beta in betas],
    }
    if len(known) < info.frames:
        provenance.warn(
            f"the pose of {info.frames - len(known)} of {info.frames} frames is interpolated: not seen there"
        )
    jumps = np.linalg.norm(np.diff(transl, axis=0), axis=1)[np.diff(known) == 1]
    nonsense = []
    if betas.abs().max() > _LIKELY_BETA:
        nonsense.append(f"the shape is {float(betas.abs().max()):.1f} standard deviations from the mean")
    if len(jumps) and np.median(jumps) > _JUMP:
        nonsense.append(f"the person moves {float(np.median(jumps)):.1f} m from frame to frame")
    if nonsense:
        provenance.warn(f"the pose makes no sense: {' and '.join(nonsense)}; are the weights and the masks right?")
