"""Whether the GPU draws and fits as the CPU does: gsplat against our own rasterizer, and a short fit on both."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.body import BodyModel, load_body
from pipeline.camera.world import stand_in_clip
from pipeline.fit.data import load_clip
from pipeline.fit.loop import JointFit
from pipeline.fit.settings import FitSettings
from pipeline.formats.images import write_frame
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.landmarks.on_body import landmark_map
from pipeline.runtime.settings import load_settings
from pipeline.studio.clip import ClipRequest, make_clip
from pipeline.video.decode import DecodeSettings, read_frames
from pipeline.video.probe import probe

PARAMETERS = ("means", "quats", "scales", "opacities", "colors", "backgrounds")
# Both compute in float32 and add in different orders; where a pixel just turns opaque one Gaussian more or less counts.
LARGEST_ERROR = 1e-2  # norm of a difference over that of the expected tensor
LEAST_COSINE = 0.9999
_CLIP = ClipRequest(
    seed=3, frames=20, fps=Fraction(15), width=192, height=256, motion="walk", outfit="shirt", camera="static", views=0
)
_FIT = {
    "gaussians": 4000,
    "steps": {"colours": 20, "coarse": 60, "middle": 40, "full": 80, "heldout": 0},
    "holdout_every": 0,
    "crop_sides": {"coarse": 96, "middle": 160, "full": 240},
}


@dataclass(frozen=True)
class Difference:
    """How far one tensor is from what it should be."""

    name: str
    error: float  # norm of the difference over the norm of the expected
    cosine: float
    largest: float  # of an element

    @property
    def ok(self) -> bool:
        return self.error <= LARGEST_ERROR and self.cosine >= LEAST_COSINE


@dataclass(frozen=True)
class FitRun:
    """A short fit on one device."""

    rate: float  # steps a second
    peak: float  # bytes: allocated on the GPU; on the CPU, of the whole process
    psnr: float  # dB on the person, of the last steps
    joints: np.ndarray  # (T, 24, 3) metres


def make_scene(count: int = 4000, width: int = 320, height: int = 240, seed: int = 0) -> dict[str, Any]:
    """Gaussians of all sizes in a box before the camera, for `pipeline.splatting.rasterization`, on the CPU."""
    rng = np.random.default_rng(seed)
    K = np.array([[1.1 * width, 0, 0.52 * width], [0, 1.15 * width, 0.47 * height], [0, 0, 1]])
    arrays = {
        "means": rng.uniform([-1.2, -1, 2], [1.2, 1, 4], (count, 3)),
        "quats": rng.normal(size=(count, 4)),
        "scales": np.exp(rng.uniform(np.log(0.005), np.log(0.08), (count, 3))),
        "opacities": rng.uniform(0.02, 0.98, count),
        "colors": 0.5 * rng.normal(size=(count, 4, 3)),
        "viewmats": np.eye(4)[None],
        "Ks": K[None],
        "backgrounds": rng.uniform(size=(1, 3)),
    }
    scene = {name: torch.tensor(value, dtype=torch.float32) for name, value in arrays.items()}
    return scene | {"width": width, "height": height, "sh_degree": 1, "render_mode": "RGB+ED"}


def render_with_gradients(
    rasterize: Callable[..., tuple], scene: Mapping[str, Any], device: torch.device, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Image, alphas, and the gradients of a fixed random sum over them by everything that takes one; on the CPU."""
    inputs = {
        name: value.detach().to(device, dtype) if torch.is_tensor(value) else value for name, value in scene.items()
    }
    for name in PARAMETERS:
        inputs[name].requires_grad_()
    image, alphas, *_ = rasterize(**inputs)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator).to(x) for x in (image, alphas)]
    ((image * weights[0]).sum() + (alphas * weights[1]).sum()).backward()
    found = {"image": image, "alphas": alphas} | {f"d {name}": inputs[name].grad for name in PARAMETERS}
    return {name: value.detach().double().cpu() for name, value in found.items()}


def compare(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[Difference]:
    """Each tensor of `expected` against that of `found` by its name. NaN differs from everything."""
    differences = []
    for name, right in expected.items():
        left = found[name]
        norms = left.norm() * right.norm()
        error = float((left - right).norm() / right.norm().clamp(min=1e-12))
        cosine = float((left * right).sum() / norms) if norms > 0 else float(left.norm() == right.norm())
        differences.append(Difference(name, error, cosine, float((left - right).abs().max())))
    return differences


def time_rendering(
    rasterize: Callable[..., tuple], scene: Mapping[str, Any], device: torch.device, times: int
) -> float:
    """Renderings with their backward pass a second, after three to warm up."""
    for count in (3, times):
        started = time.perf_counter()
        for _ in range(count):
            render_with_gradients(rasterize, scene, device)  # ends by copying to the CPU, so all work is done
    return times / (time.perf_counter() - started)


def make_results(folder: Path) -> VideoDir:
    """results/check of a small studio clip: true masks, depth, landmarks and camera; the true motion with errors."""
    video = make_clip(folder, "check", _CLIP)
    truth, paths = video.with_name("check.truth"), VideoDir(folder / "results")
    paths.frames.mkdir(parents=True)
    for index, frame in enumerate(read_frames(probe(video), load_settings("video", {}, DecodeSettings), print)):
        write_frame(paths.frames / f"{index:06d}.jpg", frame)
    for name in ("masks", "depth"):
        shutil.copytree(truth / name, paths.root / name)
    shutil.copy(truth / "camera.json", paths.camera)
    shutil.copy(truth / "camera_track.npz", paths.camera_track)
    pose = Pose.load(truth / "pose.npz")
    body = load_body("free")
    _seen(pose, body).save(paths.landmarks)
    noise = np.random.default_rng(0).normal(0, 0.06, pose.body_pose.shape)
    wrong = replace(pose, body_pose=pose.body_pose + noise, source="truth with errors")
    stand_in_clip(wrong, body, paths, print).pose.save(paths.pose_init)  # with contact, so that all of the fit runs
    return paths


def _seen(pose: Pose, body: BodyModel) -> Landmarks:
    """The landmarks of a detector without errors."""
    on_body = landmark_map(body)
    betas, transl = (torch.as_tensor(part, dtype=torch.float32) for part in (pose.betas, pose.transl))
    world = body.world_joints(_rotmats(pose), betas, transl)
    rest = on_body.rest(betas, torch.zeros(len(on_body.names), 3))
    points = on_body.posed(world, body.rest_joints(betas), rest).double().numpy() @ pose.K.T
    return Landmarks(on_body.names, points[..., :2] / points[..., 2:], np.ones(points.shape[:2]), source="truth")


def _rotmats(pose: Pose) -> Tensor:  # [T, 24, 3, 3]
    rotvecs = np.concatenate([pose.global_orient, pose.body_pose], axis=1).reshape(-1, 24, 3)
    return axis_angle_to_matrix(torch.as_tensor(rotvecs, dtype=torch.float32))


def short_fit(paths: VideoDir, device: torch.device, overrides: Mapping[str, Any] | None = None) -> FitRun:
    """Run the fit of the pipeline for some steps."""
    settings = load_settings("fit", {**_FIT, **(overrides or {})}, FitSettings)
    body, pose = load_body("free"), Pose.load(paths.pose_init)
    fit = JointFit(load_clip(paths, pose, settings, device), body, pose, settings, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    result = fit.run()
    if device.type == "cuda":
        torch.cuda.synchronize()
        peak = float(torch.cuda.max_memory_allocated())
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    rate = settings.steps.total / (time.perf_counter() - started)
    betas = result.betas.cpu()
    refined = result.rows.pose(pose, body.rest_joints(betas)[0].to(device), result.betas, "check")
    transl = torch.as_tensor(refined.transl, dtype=torch.float32)
    joints = body.world_joints(_rotmats(refined), betas, transl)[..., :3, 3].numpy()
    psnr = float(result.history[-1]["psnr_person"])
    return FitRun(rate, peak, psnr, joints)


def fit_difference(one: FitRun, other: FitRun) -> tuple[float, float]:
    """Mean distance of the joints of two fits, millimetres, and the difference of their PSNR, dB."""
    return float(1000 * np.linalg.norm(one.joints - other.joints, axis=-1).mean()), abs(one.psnr - other.psnr)
