"""Scores that need the studio: pictures against true masks, side cameras and poses never trained, V2V by surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.accuracy.surface import vertex_shares
from pipeline.avatar import Avatar, render_avatar
from pipeline.body import BodyModel, load_body
from pipeline.evaluation.clip import posed, spread
from pipeline.evaluation.image_metrics import crop, over_white, person_box, psnr, ssim
from pipeline.evaluation.lpips import MIN_SIDE as LPIPS_MIN_SIDE
from pipeline.evaluation.lpips import Lpips
from pipeline.evaluation.pose_metrics import PELVIS, distances, pelvis_aligned
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track

COLUMNS = ("metric", "where", "frames", "value")
HELD_OUT, SIDE, NOVEL = "held-out frames", "side cameras", "novel poses"
INITIAL, REFINED = "initial", "refined"
_MM = 1000.0


@dataclass(frozen=True)
class _Pictures:
    """What one camera saw, and how to draw the avatar into it."""

    frames: FrameFolder
    masks: MaskFolder
    pose: Pose


@torch.no_grad()
def score(
    paths: VideoDir, truth: Path, view_frames: int, image_frames: int, crop_padding: float, lpips: Lpips | None
) -> pd.DataFrame:
    """Score a fit of a studio clip, decoded whole.

    Args:
        paths: where the fit is.
        truth: the clip's truth, with views/ and, where a second motion was filmed, novel/.
        view_frames: of each side camera so many frames are scored, evenly spread.
        image_frames: so many held-out frames at most.
        crop_padding: the crop is the person's box plus this share of its longer side.
        lpips: None leaves it out.

    Returns:
        COLUMNS; `frames` says how many.

    Raises:
        UserError: a file is missing or the truth is not of this clip.
    """
    file = AvatarFile.load(paths.avatar)
    body = load_body(file.body_model)
    avatar = Avatar.from_file(file, body)
    initial, refined = Pose.load(paths.pose_init), Pose.load(paths.pose_refined)
    true_pose, true_masks = Pose.load(truth / "pose.npz"), MaskFolder(truth / "masks")
    counts = {len(true_pose), len(true_masks), len(initial), len(refined)}
    if len(counts) > 1:
        raise UserError(
            f"{truth}: is of {len(true_pose)} frames, {paths.root} of {len(refined)}; decode the whole clip"
        )
    rows = []
    frames = spread(np.flatnonzero(initial.valid & ~file.train_frames), image_frames)
    if len(frames):
        seen = _Pictures(FrameFolder(paths.frames), true_masks, refined)
        rows += _picture_rows(HELD_OUT, [(seen, frame) for frame in frames], avatar, body, crop_padding, lpips)
    views = sorted((truth / "views").iterdir()) if (truth / "views").is_dir() else []
    novel = [truth / "novel"] if (truth / "novel").is_dir() else []
    for where, folders in ((SIDE, views), (NOVEL, novel)):
        pictures = []
        for folder in folders:
            pose = in_body_of(avatar.betas, Pose.load(folder / "pose.npz"), body)
            seen = _Pictures(FrameFolder(folder / "frames"), MaskFolder(folder / "masks"), pose)
            pictures += [(seen, frame) for frame in spread(np.arange(len(pose)), view_frames)]
        if pictures:
            rows += _picture_rows(where, pictures, avatar, body, crop_padding, lpips)
    for where, pose in ((INITIAL, initial), (REFINED, refined)):
        rows += _surface_rows(where, pose, true_pose, body)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def in_body_of(betas: Tensor, pose: Pose, body: BodyModel) -> Pose:
    """The pose with the pelvis where it is, for a body of another shape (10,)."""
    own = torch.as_tensor(pose.betas, dtype=torch.float32)
    shift = (body.rest_joints(own) - body.rest_joints(betas))[PELVIS].double().numpy()
    return Pose(**vars(pose) | {"betas": betas.double().numpy(), "transl": pose.transl + shift})


def _picture_rows(
    where: str,
    pictures: list[tuple[_Pictures, int]],
    avatar: Avatar,
    body: BodyModel,
    crop_padding: float,
    lpips: Lpips | None,
) -> list[tuple]:
    """PSNR, SSIM and LPIPS of full images and crops, the person over white by the true mask: means over pictures."""
    values: dict[str, list[float]] = {}
    for seen, frame in track(pictures, where, unit="picture"):
        mask = torch.from_numpy(seen.masks[frame].astype(np.float32) / 255)
        box = person_box(mask.numpy(), crop_padding)
        if box is None:
            continue
        target = over_white(torch.from_numpy(seen.frames[frame].astype(np.float32) / 255), mask)
        image = draw_in_frame(avatar, body, seen.pose, frame, mask.shape)
        for suffix, pair in (("", (image, target)), ("_crop", (crop(image, box), crop(target, box)))):
            values.setdefault(f"psnr{suffix}", []).append(psnr(*pair))
            values.setdefault(f"ssim{suffix}", []).append(ssim(*pair))
            if lpips is not None and min(pair[0].shape[:2]) >= LPIPS_MIN_SIDE:
                values.setdefault(f"lpips{suffix}", []).append(lpips(*pair))
    return [(metric, where, len(found), float(np.mean(found))) for metric, found in values.items()]


def draw_in_frame(avatar: Avatar, body: BodyModel, pose: Pose, frame: int, shape: Sequence[int]) -> Tensor:
    """The avatar in a frame's pose over white, (H, W, 3) in [0, 1], for a picture of this shape (H, W)."""
    rows = (pose.global_orient[frame], pose.body_pose[frame], pose.transl[frame], pose.K)
    tensors = (torch.as_tensor(values, dtype=torch.float32) for values in rows)
    image, _ = render_avatar(avatar, body, *tensors, shape[1], shape[0], background=torch.ones(3))
    return image.clamp(0, 1)


def _surface_rows(where: str, pose: Pose, truth: Pose, body: BodyModel) -> list[tuple]:
    """V2V pelvis-aligned and in the camera frame, mm, each vertex counted by its share of the surface."""
    shares = vertex_shares(body)
    aligned, unaligned = [], []
    every = np.arange(len(truth))
    for (_, found), (_, true) in zip(posed(body, pose, every), posed(body, truth, every)):
        pair = [out.vertices.double().numpy() for out in (found, true)]
        roots = [out.joints[:, PELVIS].double().numpy() for out in (found, true)]
        unaligned.append(distances(*pair) @ shares)
        aligned.append(distances(*(pelvis_aligned(v, root) for v, root in zip(pair, roots))) @ shares)
    both = (("v2v_surface", aligned), ("v2v_surface_global", unaligned))
    return [(name, where, len(truth), float(np.concatenate(values).mean() * _MM)) for name, values in both]
