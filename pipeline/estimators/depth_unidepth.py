"""Metric depth and the camera by UniDepthV2 (Piccinelli et al. 2025; CC BY-NC 4.0).

Its camera changes from frame to frame, and the one that it returns disagrees with its own rays by some pixels (the
input is resized to multiples of 14 px, the camera by the nominal factor). So K is fitted to the rays of some frames,
the clip's is their median, and all depth maps are made with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline.camera.intrinsics import DepthSettings, camera_from_settings, intrinsics_from_rays
from pipeline.estimators.networks import choose_device, import_package
from pipeline.formats.camera import Camera
from pipeline.formats.images import FrameFolder, write_depth
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.setup.weights import needed, require

PACKAGES = ("unidepth", "torch", "torchvision", "timm", "numpy")
_UNSTEADY = 0.15  # spread of the frames' focal lengths, as a share of the median, above which the user is warned
_LIKELY_FOCAL = (0.3, 5.0)  # image diagonals


def check(settings: DepthSettings) -> None:
    """Raise a UserError, before any work, where the weights, a GPU or the package are missing."""
    require(needed("depth", {"backend": "unidepth", "unidepth": {"weights": settings.unidepth.weights}}))
    choose_device("unidepth", settings.unidepth.device)
    _import_model()


def _import_model() -> type:
    # wandb, a logger of training runs, is imported by its drawing helpers.
    return import_package("unidepth", "unidepth.models", unused=("wandb",)).UniDepthV2


def estimate(directory: VideoDir, settings: DepthSettings, out: Path, provenance: Provenance) -> Camera:
    """Write metric depth, in metres along z, to out/%06d.png; return the camera.

    K is that of the calibration (video.calibration) or of the settings (depth.focal, depth.focal_mm) where one is set.
    The network's goes before the file's metadata, which do not know what stabilisation cuts off. `confidence` is the
    network's estimate of its error, which ranks the pixels of one image: the share depth.unidepth.discard with the
    largest is left unknown (0).
    """
    ours = settings.unidepth
    model = load_model(Path(ours.weights), ours.resolution_level, choose_device("unidepth", ours.device))
    frames, video = FrameFolder(directory.frames), VideoInfo.load(directory.video)
    if settings.focal is None and settings.focal_mm is None and video.K is None:
        camera = _find_camera(model, frames, video, ours.camera_frames, ours.batch, provenance)
    else:
        camera = camera_from_settings(video, settings, provenance)
    K = torch.as_tensor(camera.K, dtype=torch.float32)
    medians = []
    for indices, found in _infer(model, frames, range(len(frames)), ours.batch, K, "depth"):
        for index, depth, error in zip(indices, found["depth"][:, 0].cpu(), found["confidence"][:, 0].cpu()):
            depth = keep_certain(depth.float().numpy(), error.float().numpy(), ours.discard)
            write_depth(out / f"{index:06d}.png", depth)
            medians.append(float(np.median(depth[depth > 0])) if (depth > 0).any() else 0.0)
    provenance.facts |= {
        "model": Path(ours.weights).name,
        "device": str(model.device),
        "K": np.round(camera.K, 2).tolist(),
        "median depth (m)": round(float(np.median(medians)), 3),
    }
    return camera


def load_model(folder: Path, resolution_level: int, device: torch.device) -> torch.nn.Module:
    """UniDepthV2 from a folder with config.json and model.safetensors.

    Raises:
        UserError: the files do not fit the model: a key is missing or of another shape.
    """
    UniDepthV2 = _import_model()
    try:
        # Not strict, its default, loads a checkpoint that lacks keys without a word.
        model = UniDepthV2.from_pretrained(str(folder), strict=True, local_files_only=True)
    except Exception as error:  # damaged files raise errors of many kinds in safetensors, json and torch
        text = " ".join(str(error).split())[:300]
        raise UserError(
            f"{folder}: not the weights of UniDepthV2 ({text}); delete them and fetch them again"
        ) from error
    model.resolution_level = resolution_level
    return model.to(device).eval()


def _find_camera(
    model: torch.nn.Module, frames: FrameFolder, video: VideoInfo, count: int, batch: int, provenance: Provenance
) -> Camera:
    """The median over `count` frames of the cameras that fit the rays."""
    indices = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    each = []
    for _, found in _infer(model, frames, indices.tolist(), batch, None, "camera"):
        each += [intrinsics_from_rays(rays) for rays in found["rays"].float().cpu().numpy()]
    K = np.median(each, axis=0)
    focals = np.array([math.sqrt(abs(k[0, 0] * k[1, 1])) for k in each])
    spread = float(np.median(np.abs(focals - np.median(focals))) / np.median(focals))
    provenance.facts |= {"frames for K": len(each), "focal spread": round(spread, 4)}
    if not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise UserError(f"{video.source}: UniDepth finds no camera that its rays fit (K {K.round(1).tolist()})")
    diagonals = math.sqrt(K[0, 0] * K[1, 1]) / math.hypot(video.width, video.height)
    if not _LIKELY_FOCAL[0] < diagonals < _LIKELY_FOCAL[1]:
        provenance.warn(f"the focal length found is {diagonals:.2f} image diagonals, which hardly any camera has")
    if spread > _UNSTEADY:
        provenance.warn(f"the focal length differs by {spread:.0%} between frames; set depth.focal if you know it")
    return Camera(K, video.width, video.height, f"UniDepthV2, median of {len(each)} frames", True, "network")


@torch.inference_mode()
def _infer(
    model: torch.nn.Module, frames: FrameFolder, indices: Iterable[int], batch: int, K: torch.Tensor | None, what: str
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """The model's outputs for frames, `batch` at a time."""
    indices = list(indices)
    for start in track(range(0, len(indices), batch), f"UniDepth {what}", unit="batch"):
        chosen = indices[start : start + batch]
        rgb = torch.from_numpy(np.stack([frames[index] for index in chosen])).permute(0, 3, 1, 2)
        yield chosen, model.infer(rgb, K)


def keep_certain(depth: np.ndarray, error: np.ndarray, discard: float) -> np.ndarray:
    """The depth map with the share `discard` of its pixels unknown (0): those of the largest estimated error.

    Args:
        depth: (H, W) metres.
        error: (H, W), higher is worse, in no unit that holds across images.
    """
    known = np.isfinite(depth) & (depth > 0)
    if discard > 0:
        known &= error <= np.quantile(error, 1 - discard)
    return np.where(known, depth, 0)
