"""A clip in memory, as the fit sees it: the person of `scene` moving a little, with masks and depth maps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.scene import Scene, camera, person
from pipeline.avatar import render_avatar
from pipeline.fit.data import LEVELS, Clip, View
from pipeline.fit.settings import FitSettings
from pipeline.formats.pose import Pose
from pipeline.runtime.settings import load_settings

_DISTINCT = 12  # frames that are rendered; longer clips repeat them, each with memory of its own
_FPS = 30.0
_SWING = 0.15  # radians
_ERROR = 0.03  # radians: of the initial pose
_NEVER = 1_000_000  # steps: more than any benchmark takes


def settings(gaussians: int, side: int, cuda_graphs: bool = False) -> FitSettings:
    """The fit's own settings, but in the full phase from its first step, with no growth of the Gaussians."""
    return load_settings(
        "fit",
        {
            "gaussians": gaussians,
            "binding": "camel",
            "cuda_graphs": cuda_graphs,
            "crop_sides": {"full": side},
            "sh_start": 0.0,
            "pose_start": 0.0,
            "steps": {"colours": 0, "coarse": 0, "middle": 0, "full": _NEVER, "clip_frames": _NEVER},
            "densify": {"start": 1.0, "stop": 1.0},
            "spread": {"at": 1.0},
        },
        FitSettings,
    )


def make_clip(frames: int, chosen: FitSettings) -> tuple[Clip, Pose]:
    """Every frame to train on, and an initial pose that is a little wrong; the crops are square."""
    scene = person(chosen.gaussians, chosen.crop_sides.full)
    angles = _angles(_DISTINCT, scene)
    distinct = [_views(scene, angles[frame], chosen) for frame in range(min(frames, _DISTINCT))]
    views = tuple(
        {level: _copied(view) for level, view in distinct[frame % _DISTINCT].items()} for frame in range(frames)
    )
    train = np.ones(frames, bool)
    clip = Clip(views, train, ~train, True, "benchmark")
    rng = np.random.default_rng(0)
    noise = rng.normal(0, _ERROR, (frames, 24, 3))
    poses = angles.numpy()[np.arange(frames) % _DISTINCT].astype(np.float64) + noise
    return clip, Pose(
        global_orient=poses[:, 0],
        body_pose=poses[:, 1:].reshape(frames, 69),
        betas=np.zeros(10),
        transl=np.tile(scene.transl.numpy().astype(np.float64), (frames, 1)),
        valid=train,
        bbox=np.tile([0.0, 0.0, scene.size, scene.size], (frames, 1)),
        K=scene.K.numpy().astype(np.float64),
        fps=_FPS,
        body_model="free",
        source="benchmark",
    )


def on_device(clip: Clip, device: torch.device) -> Clip:
    """The clip with every view on a device."""
    moved = (
        {level: _each(view, lambda value: value.to(device)) for level, view in views.items()} for views in clip.views
    )
    return dataclasses.replace(clip, views=tuple(moved))


def _angles(frames: int, scene: Scene) -> Tensor:  # [frames, 24, 3]
    """The stance, every joint but the root swinging about it once through the frames."""
    generator = torch.Generator().manual_seed(2)
    phase = 2 * math.pi * torch.rand(1, 24, 3, generator=generator)
    time = 2 * math.pi * torch.arange(frames)[:, None, None] / frames
    swing = _SWING * torch.sin(time + phase)
    swing[:, 0] = 0
    return scene.pose + swing


@torch.no_grad()
def _views(scene: Scene, pose: Tensor, chosen: FitSettings) -> dict[str, View]:
    views = {}
    for level in LEVELS:
        size = min(getattr(chosen.crop_sides, level), scene.size)
        K = camera(size)
        where = pose[0], pose[1:].flatten(), scene.transl, K, size, size
        image, alpha = render_avatar(scene.avatar, scene.body, *where, render_mode="RGB+ED")
        colours = (image[..., :3].clamp(0, 1) * 255).round().byte()
        mask = (alpha * 255).round().byte()
        views[level] = View(colours, mask, torch.where(alpha > 0.5, image[..., 3], 0), K)
    return views


def _copied(view: View) -> View:
    return _each(view, torch.Tensor.clone)


def _each(view: View, of: Callable[[Tensor], Tensor]) -> View:
    """The view with a function's value in place of each tensor that it has."""
    return dataclasses.replace(view, **{name: of(value) for name, value in vars(view).items() if value is not None})
