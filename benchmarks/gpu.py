"""`make bench-gpu`: the step of the fit on a GPU against the plain eager loop that one would write on gsplat.

Both take one frame a step with the same losses: L1 and SSIM, mask, depth in 2D and 3D, CAMEL, smoothness, pose priors.
The plain loop keeps everything on the GPU, searches neighbours by `torch.cdist` (for CAMEL as seldom as the fit does),
and has torch's own Adam; it has no fused kernels, no graphs, and no rows that stay where they are. The fit's step is
measured as it is and with `fit.cuda_graphs`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.clips import make_clip, on_device, settings
from benchmarks.rows import table, timed
from benchmarks.scene import person
from benchmarks.steps import fit_of
from benchmarks.timing import interleave
from pipeline.avatar import render_avatar
from pipeline.body import load_body, vertex_normals
from pipeline.fit.data import COARSE, FULL, Clip
from pipeline.fit.settings import FitSettings
from pipeline.formats.pose import Pose
from pipeline.formats.records import write_json
from pipeline.geometry.rotations import (
    axis_angle_to_matrix,
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_to_matrix,
)
from pipeline.losses.camel import coverage, flatness, point_to_mesh, protrusion, surface_alignment, tips
from pipeline.losses.depth import back_project, depth_2d
from pipeline.losses.image import photometric
from pipeline.losses.priors import robust
from pipeline.losses.silhouette import silhouette
from pipeline.runtime.progress import setup_logging
from pipeline.splatting import rasterization

SECTION = "GPU"
_FRAMES, _GAUSSIANS, _SIDE, _IMAGE = 24, 7000, 256, 512
_STEPS, _ROUNDS = 50, 9
_PLAIN = "plain eager loop on gsplat"


class PlainLoop:
    """Call it to make one step. On a GPU `rasterization` is gsplat's own."""

    def __init__(self, clip: Clip, pose: Pose, chosen: FitSettings, device: torch.device) -> None:
        self.clip, self.chosen = clip, chosen
        self.body = load_body("free").to(device=device)
        avatar = person(chosen.gaussians, chosen.crop_sides.full).avatar
        self.rest = avatar.means.to(device)
        self.weights = avatar.weights.to(device)
        self.betas = avatar.betas.to(device)
        self.surface = self.body.shaped(self.betas)
        self.normals = vertex_normals(self.surface, self.body.faces)
        angles = torch.cat([torch.as_tensor(pose.global_orient), torch.as_tensor(pose.body_pose)], 1)
        self.initial = angles.float().view(-1, 24, 3).to(device)
        values = {
            "offsets": torch.zeros_like(avatar.means),
            "quats": avatar.quats,
            "log_scales": avatar.scales.log(),
            "logits": torch.logit(avatar.opacities),
            "sh": torch.zeros_like(avatar.sh),
            "angles": self.initial,
            "transl": torch.as_tensor(pose.transl, dtype=torch.float32),
        }
        self.params = {name: value.detach().clone().to(device).requires_grad_(True) for name, value in values.items()}
        self.adam = torch.optim.Adam(list(self.params.values()), lr=1e-3)
        self.viewmats = torch.eye(4, device=device)[None]
        self.clouds: dict[int, Tensor] = {}
        self.number = 0

    def __call__(self) -> Tensor:
        """Make a step; returns the loss before it, on the device."""
        params, chosen = self.params, self.chosen
        frame = self.number % len(self.clip)
        means, scales = self.rest + params["offsets"], params["log_scales"].exp()
        if self.number % chosen.neighbours_every == 0:
            self._search(means.detach())
        self.number += 1

        view = self.clip.views[frame][FULL]
        width, height = view.size
        rotmats = axis_angle_to_matrix(params["angles"][frame])
        transforms = self.body.transforms(rotmats[None], self.betas, params["transl"][frame][None])[0]
        blended = (self.weights @ transforms.flatten(1)).view(-1, 4, 4)
        posed = (blended[:, :3, :3] @ means[..., None]).squeeze(-1) + blended[:, :3, 3]
        quats = quaternion_multiply(matrix_to_quaternion(blended[:, :3, :3]), params["quats"])
        background = torch.rand(3, device=means.device)
        images, alphas, _ = rasterization(
            posed,
            quats,
            scales,
            params["logits"].sigmoid(),
            params["sh"],
            self.viewmats,
            view.K[None],
            width,
            height,
            sh_degree=1,
            backgrounds=background[None],
            render_mode="RGB+ED",
        )
        mask = view.mask.float() / 255
        target = view.image.float() / 255 * mask[..., None] + background * (1 - mask[..., None])
        weights = chosen.weights
        loss = photometric(images[0, ..., :3], target, weights.ssim)
        loss = loss + weights.mask_full * silhouette(alphas[0, ..., 0], mask)
        loss = loss + weights.depth * self._depth(frame, images[0, ..., 3], posed)
        loss = loss + weights.camel * self._camel(means) + self._smoothness() + self._pose(frame)
        loss.backward()
        self.adam.step()
        self.adam.zero_grad()
        return loss.detach()

    @torch.no_grad()
    def _search(self, means: Tensor) -> None:
        apart = torch.cdist(means, self.surface)
        self.to_surface, self.to_mean = apart.argmin(1), apart.argmin(0)
        ends = tips(means, quaternion_to_matrix(self.params["quats"]), self.params["log_scales"])
        self.tips_to_surface = torch.cdist(ends.flatten(0, 1), self.surface).argmin(1).view(-1, 6)
        self.around = torch.cdist(means, means).topk(5, largest=False).indices[:, 1:]

    def _depth(self, frame: int, depth: Tensor, posed: Tensor) -> Tensor:
        weights, view = self.chosen.weights, self.clip.views[frame][FULL]
        if frame not in self.clouds:
            coarse = self.clip.views[frame][COARSE]
            self.clouds[frame] = back_project(coarse.depth, coarse.K, (coarse.depth > 0) & (coarse.mask > 127))
        cloud = self.clouds[frame]
        with torch.no_grad():
            near = cloud[torch.cdist(posed, cloud).argmin(1)]
        flat = depth_2d(depth, view.depth, (view.depth > 0) & (view.mask > 127))
        epsilon = self.chosen.margins.depth_epsilon
        cloudward = 0.5 * (((posed - near).square().sum(-1) + epsilon**2).sqrt() - epsilon).mean()
        return weights.depth_2d * flat + weights.depth_3d * cloudward

    def _camel(self, means: Tensor) -> Tensor:
        weights, margins, log_scales = self.chosen.weights, self.chosen.margins, self.params["log_scales"]
        rotations = quaternion_to_matrix(self.params["quats"])
        ends, near = tips(means, rotations, log_scales), (self.to_surface, self.tips_to_surface)
        return (
            weights.point_to_mesh * point_to_mesh(means, self.surface, self.normals, self.to_surface, margins.cloth)
            + weights.coverage * coverage(means, self.surface, self.to_mean, margins.cloth)
            + weights.flatness * flatness(log_scales, margins.flatness_ratio)
            + weights.surface * surface_alignment(rotations, log_scales, self.normals[self.to_surface])
            + weights.tips * protrusion(means, ends, self.surface, self.normals, *near, margins.tips)
        )

    def _smoothness(self) -> Tensor:
        weights, params = self.chosen.weights, self.params
        shapes = torch.cat([params["log_scales"], params["logits"][:, None]], 1)
        colours = _roughness(params["sh"].flatten(1), self.around)
        return weights.smooth_colours * colours + weights.smooth_shapes * _roughness(shapes, self.around)

    def _pose(self, frame: int) -> Tensor:
        weights, change = self.chosen.weights, self.params["angles"] - self.initial
        stay = robust(change[frame].square().sum(-1), self.chosen.margins.initial_pose).sum()
        before, after = max(0, frame - 1), min(len(change) - 1, frame + 1)
        apart = (change[frame] - 0.5 * (change[before] + change[after]).detach()).square().sum()
        return weights.initial_pose * stay + weights.smooth_correction * apart


def _roughness(values: Tensor, around: Tensor) -> Tensor:
    return (values - values[around].mean(1)).square().sum(-1).mean()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench-gpu.json"))
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("bench-gpu: torch finds no CUDA device here; nothing was measured")
    if importlib.util.find_spec("gsplat") is None:
        raise SystemExit("bench-gpu: gsplat is not installed; install it with: pip install gsplat==1.5.3")
    setup_logging(None)
    device = torch.device("cuda")
    print(torch.cuda.get_device_name(device))
    chosen = settings(_GAUSSIANS, _SIDE)
    clip, pose = make_clip(_FRAMES, chosen)
    steps = {
        "whole step": fit_of(_FRAMES, _GAUSSIANS, _SIDE, device).step,
        "whole step, with graphs": fit_of(_FRAMES, _GAUSSIANS, _SIDE, device, cuda_graphs=True).step,
    }
    plain = PlainLoop(on_device(clip, device), pose, chosen, device)
    calls = {name: _repeated(step) for name, step in (steps | {_PLAIN: plain}).items()}
    timings = interleave(calls, _ROUNDS, "step", least_seconds=0)
    rivals = dict.fromkeys(steps, _PLAIN)
    rows = timed(timings, SECTION, f"7k @ {_SIDE}", rivals, per_second=calls, calls=_STEPS)
    render = {"avatar rendering": _repeated(_renderer(device))}
    timings = interleave(render, _ROUNDS, "rendering", least_seconds=0)
    rows += timed(timings, SECTION, f"7k @ {_IMAGE}", per_second=render, calls=_STEPS)
    print(table(rows))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"gpu": torch.cuda.get_device_name(device), "torch": torch.__version__}
    write_json(args.out, {"machine": about, "rows": [dataclasses.asdict(row) for row in rows]})
    print(f"written to {args.out}")


def _repeated(call: Callable[[], object]) -> Callable[[], object]:
    """`_STEPS` calls, and a wait for the GPU at their end."""

    def run() -> None:
        for _ in range(_STEPS):
            call()
        torch.cuda.synchronize()

    return run


def _renderer(device: torch.device) -> Callable[[], object]:
    scene = person(_GAUSSIANS, _IMAGE)
    tensors = {name: value for name, value in vars(scene.avatar).items() if isinstance(value, Tensor)}
    avatar = dataclasses.replace(scene.avatar, **{name: value.to(device) for name, value in tensors.items()})
    body, pose, K = scene.body.to(device=device), scene.pose.to(device), scene.K.to(device)
    transl = scene.transl.to(device)

    @torch.no_grad()
    def render() -> None:
        render_avatar(avatar, body, pose[0], pose[1:].flatten(), transl, K, _IMAGE, _IMAGE)

    return render


if __name__ == "__main__":
    main()
