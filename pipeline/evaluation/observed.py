"""What can be measured on any video, without ground truth: pictures, outlines, landmarks, smoothness."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.avatar import Avatar, render_avatar
from pipeline.evaluation.clip import Clip, Raster, body_outlines, joints_of, spread
from pipeline.evaluation.image_metrics import crop, iou, over_white, person_box, psnr, ssim
from pipeline.evaluation.lpips import MIN_SIDE as LPIPS_MIN_SIDE
from pipeline.evaluation.lpips import Lpips
from pipeline.evaluation.parts import PARTS, part_boxes
from pipeline.evaluation.pose_metrics import PELVIS, accelerations, jitter
from pipeline.evaluation.table import HELD_OUT, TRAIN, MetricTable
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.landmarks.on_body import LandmarkMap, landmark_map
from pipeline.runtime.progress import track

_POSES_FITTED = {
    TRAIN: "training frames, poses as optimised with the avatar",
    HELD_OUT: "held-out frames, avatar frozen and test poses fitted, as GART does",
}
_POSES_KEPT = {TRAIN: "training frames, poses as estimated", HELD_OUT: "held-out frames, poses as estimated"}
_GAINS = {TRAIN: "their light as found by the fit", HELD_OUT: "their light that of the training frames around them"}
_REGIONS = {  # by what a figure's name ends with
    "crop": "box around the person plus {padding:.0%}",
    "head": "square around the head of the initial pose",
    "hands": "squares around the hands of the initial pose",
}


@dataclass(frozen=True)
class EvaluateSettings:
    """Section `evaluate` of the configuration; config/config.yaml says what each does."""

    image_frames: int
    outline_frames: int
    outline_side: int
    crop_padding: float
    min_visibility: float
    lpips_weights: str


@dataclass(frozen=True)
class Outlines:
    """Outlines of some frames, kept to be compared with the masks found and with the true ones."""

    frames: np.ndarray  # (F,)
    raster: Raster
    body: dict[str, np.ndarray]  # "initial" and "refined": bool (F, height, width)
    avatar_frames: np.ndarray  # (A,)
    avatar: np.ndarray  # bool (A, height, width)


def outline_bodies(clip: Clip, settings: EvaluateSettings) -> tuple[np.ndarray, Raster, dict[str, np.ndarray]]:
    """Cast the body mesh of both poses into at most `outline_frames` frames."""
    frames = spread(np.arange(len(clip)), settings.outline_frames)
    raster = Raster.of(clip.camera, settings.outline_side)
    outlines = {
        when: body_outlines(clip.body, pose, frames, raster, f"outlines, {when}") for when, pose in clip.poses()
    }
    return frames, raster, outlines


@torch.no_grad()
def picture_quality(
    table: MetricTable, clip: Clip, settings: EvaluateSettings, raster: Raster, lpips: Lpips | None, poses_fitted: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Render the avatar in frames of both splits, add PSNR, SSIM and LPIPS; returns the frames and its outlines there.

    The person is compared over white, cut out by the mask, as InstantAvatar and GART do; in the crop also by the mask
    that the fit refined. A frame in whose mask nobody is has no value. `poses_fitted` tells whether the fit moved the
    poses, those of held-out frames too. Head and hands have PSNR and SSIM of their own.
    """
    avatar = Avatar.from_file(clip.avatar, clip.body)
    white = torch.ones(3)
    all_frames, outlines = [], []
    for split in (TRAIN, HELD_OUT):
        candidates = np.flatnonzero(clip.splits == split)
        frames = spread(candidates, settings.image_frames)
        if not len(frames):
            continue
        values = {name: np.full(len(frames), np.nan) for name in ("psnr", "ssim", "lpips")}
        values |= {f"{name}_crop": column.copy() for name, column in values.items()}
        if clip.masks_refined is not None:
            values |= {f"{name}_crop_refined": values[name].copy() for name in ("psnr", "ssim")}
        if clip.masks_unknown is not None:
            values["psnr_crop_known"], unknown = values["psnr"].copy(), values["psnr"].copy()
        values |= {f"{name}_{part}": np.full(len(frames), np.nan) for part in PARTS for name in ("psnr", "ssim")}
        boxes = part_boxes(clip, frames)
        for row, frame in enumerate(track(frames, f"pictures, {split}", unit="frame")):
            mask = torch.from_numpy(clip.masks[frame].astype(np.float32) / 255)
            image, alpha = draw_refined(avatar, clip, frame, white)
            outlines.append(raster.mask((alpha.numpy() * 255).round().astype(np.uint8)))
            box = person_box(mask.numpy(), settings.crop_padding)
            if box is None:
                continue
            picture = torch.from_numpy(clip.frames[frame].astype(np.float32) / 255)
            target = over_white(picture, mask)
            if clip.masks_refined is not None:
                refined = torch.from_numpy(clip.masks_refined[frame].astype(np.float32) / 255)
                pair = crop(image, box), crop(over_white(picture, refined), box)
                values["psnr_crop_refined"][row], values["ssim_crop_refined"][row] = psnr(*pair), ssim(*pair)
                if clip.masks_unknown is not None:
                    known = crop(torch.from_numpy(clip.masks_unknown[frame] == 0), box)
                    unknown[row] = 1 - known.float().mean()
                    if known.any():
                        values["psnr_crop_known"][row] = psnr(*(each[known][:, None] for each in pair))
            for suffix, pair in (("", (image, target)), ("_crop", (crop(image, box), crop(target, box)))):
                values[f"psnr{suffix}"][row] = psnr(*pair)
                values[f"ssim{suffix}"][row] = ssim(*pair)
                if lpips is not None and min(pair[0].shape[:2]) >= LPIPS_MIN_SIDE:
                    values[f"lpips{suffix}"][row] = lpips(*pair)
            for part in PARTS:
                pairs = [(crop(image, box), crop(target, box)) for box in boxes[part][row]]
                if pairs:
                    values[f"psnr_{part}"][row] = np.mean([psnr(*pair) for pair in pairs])
                    values[f"ssim_{part}"][row] = np.mean([ssim(*pair) for pair in pairs])
        all_frames.append(frames)
        counted = f"{len(frames)} of {len(candidates)} {(_POSES_FITTED if poses_fitted else _POSES_KEPT)[split]}"
        if clip.avatar.gains is not None:
            counted += f", {_GAINS[split]}"
        for name, column in values.items():
            where = _where(name, settings.crop_padding)
            if name.endswith("_known"):
                where += f" but for {np.nanmean(unknown):.1%} of it, of which nothing is known"
            table.add(name, "avatar", f"{where}; {counted}", column, frames)
    return np.concatenate(all_frames), np.stack(outlines)


def _where(name: str, padding: float) -> str:
    """What of a frame a figure looks at."""
    plain = name.removesuffix("_refined").removesuffix("_known")
    mask, region = "mask" if plain == name else "refined mask", _REGIONS.get(plain.split("_")[-1], "full image")
    return f"person over white by the {mask}, {region.format(padding=padding)}"


def draw_refined(avatar: Avatar, clip: Clip, frame: int, background: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The avatar in the refined pose of a frame, by that frame's light: image (H, W, 3) in [0, 1] and alpha (H, W)."""
    pose = clip.refined
    rows = (pose.global_orient[frame], pose.body_pose[frame], pose.transl[frame], pose.K)
    tensors = (torch.as_tensor(values, dtype=torch.float32) for values in rows)
    size = clip.camera.width, clip.camera.height
    image, alpha = render_avatar(avatar, clip.body, *tensors, *size, background=background)
    if clip.avatar.gains is not None:
        beside = (1 - alpha)[..., None] * background
        image = (image - beside) * torch.as_tensor(clip.avatar.gains[frame], dtype=torch.float32) + beside
    return image.clamp(0, 1), alpha.clamp(0, 1)


def mask_overlap(table: MetricTable, clip: Clip, outlines: Outlines) -> None:
    """Add the IoU of the body's and of the avatar's outline with the masks that the pipeline found, and with those that
    the fit made of them."""
    how = f"cut at one half, {outlines.raster.width}x{outlines.raster.height} px"
    kinds = [
        ("", clip.masks, "mask found by the pipeline"),
        ("_refined", clip.masks_refined, "mask refined by the fit"),
    ]
    for suffix, folder, name in kinds:
        if folder is not None:
            frames = (*outlines.frames, *outlines.avatar_frames)
            masks = {int(frame): outlines.raster.mask(folder[frame]) for frame in frames}
            add_overlaps(table, clip, outlines, masks, f"{name}, {how}", suffix)


def add_overlaps(
    table: MetricTable, clip: Clip, outlines: Outlines, masks: dict[int, np.ndarray], against: str, suffix: str
) -> None:
    """Add iou_body and iou_avatar, with `suffix`, of the outlines against a mask for each of their frames."""
    for when, found in outlines.body.items():
        values = [overlap(outline, masks[int(frame)]) for frame, outline in zip(outlines.frames, found)]
        protocol = f"outline of the body mesh against the {against}; {len(values)} of {len(clip)} frames"
        table.add(f"iou_body{suffix}", when, protocol, np.array(values), outlines.frames)
    frames = outlines.avatar_frames
    values = [overlap(outline, masks[int(frame)]) for frame, outline in zip(frames, outlines.avatar)]
    protocol = f"avatar's opacity above one half against the {against}; the frames rendered for PSNR"
    table.add(f"iou_avatar{suffix}", "avatar", protocol, np.array(values), frames)


def overlap(outline: np.ndarray, mask: np.ndarray) -> float:
    """IoU; NaN where nobody is in the mask."""
    return iou(outline, mask) if mask.any() else float("nan")


def kept_refined(table: MetricTable, verdict: Mapping[str, Any]) -> None:
    """Add how much of the refined motion the fit's verdict (`facts` of pipeline/fit/verdict.py) has kept."""
    kept = {name: 100 * part["kept"] for name, part in verdict["parts"].items()}
    protocol = f"mean over {', '.join(kept)}, each judged by landmarks, outline and colours of the video"
    table.add_motion("kept_refined", "refined", protocol, np.array([list(kept.values())]), [])


def smoothness(table: MetricTable, clip: Clip) -> None:
    """Add jitter and acceleration of the joints; a clip of fewer than 4 or 3 frames has none."""
    for when, pose in clip.poses():
        add_smoothness(table, when, joints_of(clip.body, pose), pose.fps)


def add_smoothness(table: MetricTable, when: str, joints: np.ndarray, fps: float) -> None:
    """Add jitter and acceleration of joints (T, 24, 3); each is filed under the middle of the frames that it spans."""
    frames = np.arange(len(joints))
    where = f"24 joints in the camera frame, {fps:g} frames/s"
    if len(joints) > 3:
        table.add_motion(
            "jitter", when, f"mean length of third differences times fps³, {where}", jitter(joints, fps), frames[1:-2]
        )
    if len(joints) > 2:
        values = np.linalg.norm(accelerations(joints, fps), axis=-1)
        table.add_motion(
            "acceleration", when, f"mean length of second differences times fps², {where}", values, frames[1:-1]
        )


@torch.no_grad()
def landmark_reprojection(
    table: MetricTable, clip: Clip, settings: EvaluateSettings, true_pose: Pose | None = None
) -> None:
    """Add the distance in the image between the detected landmarks and the same points of the body, in px and as a
    share of the person's height there. Without landmarks there is nothing to measure.

    The detector errs, too: `true_pose`, of the same body and in the clip's pixels, says by how much.
    """
    map_ = landmark_map(clip.body, clip.landmarks.names, clip.landmarks.source)
    names = list(map_.names)
    if not names:
        return
    xy = clip.landmarks.xy[:, map_.index]
    seen = clip.landmarks.visibility[:, map_.index] >= settings.min_visibility
    height = _height_px(clip)
    frames = np.arange(len(clip))
    where = f"detected landmarks of visibility {settings.min_visibility:g} or more, {len(names)} kinds"
    truth = [] if true_pose is None else [("truth", true_pose)]
    for when, pose in [*clip.poses(), *truth]:
        pixels = _project(_landmarks_of(clip, pose, map_), pose.K)
        errors = np.where(seen, np.linalg.norm(pixels - xy, axis=-1), np.nan)
        table.add("reprojection", when, where, errors, frames, names)
        share = f"{where}; share of the standing height in the image of the first pose"
        table.add("reprojection_percent", when, share, 100 * errors / height[:, None], frames, names)


def _landmarks_of(clip: Clip, pose: Pose, map_: LandmarkMap) -> np.ndarray:
    """The body's landmarks in the camera frame, (T, L, 3) metres."""
    orient, body_pose, betas, transl = (
        torch.as_tensor(values, dtype=torch.float32)
        for values in (pose.global_orient, pose.body_pose, pose.betas, pose.transl)
    )
    rotmats = axis_angle_to_matrix(torch.cat([orient, body_pose], dim=1).unflatten(1, (24, 3)))
    world = clip.body.world_joints(rotmats, betas, transl)
    rest = map_.rest(betas, torch.zeros_like(map_.template))
    return map_.posed(world, clip.body.rest_joints(betas), rest).double().numpy()


def _project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Points (..., 3) in the camera frame -> pixels (..., 2); NaN for points that are not before the camera."""
    depth = np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
    return (points / depth) @ K[:2].T


def _height_px(clip: Clip) -> np.ndarray:
    """Height in the image of the person standing where the initial pose is, (T,) px: the same whether one squats or
    not, and the same for both poses."""
    stature = float(clip.body.stature(torch.as_tensor(clip.initial.betas, dtype=torch.float32)))
    pelvis = joints_of(clip.body, clip.initial)[:, PELVIS]
    return clip.initial.K[1, 1] * stature / np.maximum(pelvis[:, 2], 1e-3)
