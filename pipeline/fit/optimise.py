"""The joint optimisation of avatar and motion (section 3 of the paper; equation 16).

Four phases, coarse to fine. While poses are wrong, free Gaussians fade where limbs disagree, and then nothing pulls the
pose back; so Gaussians first stay opaque and on the surface, and only colours, poses and the clothes' thickness move.
Before all of them, second-order steps bring the poses of the whole clip near at once (pipeline/fit/alignment).

    colours   poses held, so that there is a texture to align to           small crops
    coarse    + poses, thickness                                           small crops
    middle    the same                                                     middling crops
    full      + places, shapes, opacities, harmonics; growth and pruning   large crops

Late in the full phase the colours of what is hardly seen are taken from what is around (pipeline/fit/spread.py).
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.avatar.binding import anchor
from pipeline.avatar.densify import ImageGradients, densify
from pipeline.avatar.gaussians import Gaussians
from pipeline.avatar.seeding import seed_surface
from pipeline.avatar.skinning_grid import SkinningGrid
from pipeline.body import BodyModel
from pipeline.fit.adam import RowAdam
from pipeline.fit.alignment import Alignment
from pipeline.fit.checkpoint import load_checkpoint, save_checkpoint
from pipeline.fit.data import COARSE, FULL, Clip, evenly
from pipeline.fit.embedding import Embedding
from pipeline.fit.gaussian_part import GaussianPart
from pipeline.fit.history import History
from pipeline.fit.motion_field import corrections
from pipeline.fit.objective import ImageTerms, PoseTerms, draw, render
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.schedule import Schedule
from pipeline.fit.settings import FitSettings
from pipeline.fit.spread import bone_axes, colour_evidence, spread
from pipeline.formats.pose import Pose
from pipeline.runtime.progress import track

log = logging.getLogger(__name__)
_COLOURS = "sh0", "sh_rest"
_LOOKS = 100  # frames that tell how well a colour is known
_BREADTH = 0.6  # standard deviation of a surface Gaussian over the distance to its neighbours: no gaps when opaque


@dataclass(frozen=True)
class FitResult:
    """What the joint optimisation ends with. Frames that were not trained have interpolated poses."""

    avatar: Avatar
    rows: PoseRows
    betas: Tensor  # [10]
    clip: Clip  # corrected by what was found of its camera and depth maps
    focal: float  # factor on the focal length
    history: list[dict[str, float]]


class JointFit:
    """The state of the optimisation, and its step."""

    def __init__(self, clip: Clip, body: BodyModel, pose: Pose, settings: FitSettings, device: torch.device) -> None:
        settings = replace(settings, steps=settings.steps.for_frames(int(clip.train.sum())))
        self.clip, self.settings, self.device = clip, settings, device
        self.schedule = Schedule(settings)
        self.body = body.to(device=device)
        self.initial_betas = torch.as_tensor(pose.betas, dtype=torch.float32, device=device)
        rest_pelvis = self.body.rest_joints(self.initial_betas)[0]
        self.train_frames = np.flatnonzero(clip.train)
        self.rows = corrections(pose, rest_pelvis, self.train_frames, settings, device)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self._make_gaussians()
        self.told: Tensor | None = None  # share in which the video tells each colour, once they have been spread [N]
        self.thickness = torch.zeros(len(self.gaussians.thickness), device=device, requires_grad=True)
        self.gaussians.thickness = self.thickness
        self.betas_change = torch.zeros(10, device=device, requires_grad=settings.refine_betas)

        rates = settings.rates
        self.pose_adam = self.rows.optimiser(rates)
        shared = {"thickness": self.thickness} | ({"betas": self.betas_change} if settings.refine_betas else {})
        if settings.binding == "lsw":
            self.gaussians.skinning = SkinningGrid.around(self.body, self.initial_betas)
            shared["skinning_weights"] = self.gaussians.skinning.differences
        self.shared_adam = RowAdam(shared, self.schedule.shared_rates(0))
        self.gaussian_adam = RowAdam(self.gaussians.params, self.schedule.gaussian_rates(0))
        self._fps = pose.fps
        replays = settings.cuda_graphs and device.type == "cuda"
        self.part = GaussianPart(self.body, self.embedding, settings, replays)
        self.image_terms = ImageTerms(settings)
        self.pose_terms = PoseTerms(self.rows, pose.fps, clip.has_depth, settings)
        self.gradients = ImageGradients(len(self.gaussians), device)
        self.order = torch.zeros(0, dtype=torch.int64)
        self.planes = torch.zeros(len(clip), 3, device=device)  # of the depth maps' relative errors, see `Alignment`
        self.focal = 1.0  # factor on the focal length
        self.step_number = 0
        self.history = History()

    def _make_gaussians(self) -> None:
        settings, body = self.settings, self.body
        vertices = body.shaped(self.initial_betas).cpu().numpy()
        faces = body.faces.cpu().numpy()
        index, barycentric = seed_surface(vertices, faces, settings.gaussians, settings.seed)
        anchors = anchor(
            body,
            self.initial_betas,
            torch.as_tensor(index, device=self.device),
            torch.as_tensor(barycentric, device=self.device),
        )
        corners = vertices[faces]
        area = (
            0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
        )
        breadth = _BREADTH * math.sqrt(area / settings.gaussians)
        self.gaussians = Gaussians.on_surface(
            anchors, settings.binding, breadth, settings.opacity, settings.margins.flatness_ratio
        )
        self.embedding = Embedding(body, self.initial_betas, anchors, settings)

    def betas(self) -> Tensor:  # [10]
        return self.initial_betas + self.betas_change if self.settings.refine_betas else self.initial_betas

    def _change(self) -> Tensor | None:
        return self.betas_change if self.settings.refine_betas else None

    def run(self, checkpoint: Path | None, mark: str) -> FitResult:
        """Optimise to the end, from the checkpoint where there is one with this fingerprint."""
        total, every = self.settings.steps.total, self.settings.checkpoint_every
        state = load_checkpoint(checkpoint, mark, self.device) if checkpoint else None
        if state is not None:
            self.load_state(state)
            log.info("fit: goes on from step %d, kept in %s", self.step_number, checkpoint)
        elif self.aligns:
            self.align()
        for _ in track(range(self.step_number, total), "fit", unit="step"):
            self.step()
            if checkpoint and (self.step_number % every == 0 or self.step_number == total):
                save_checkpoint(checkpoint, mark, self.state())
        betas = self.betas().detach()
        avatar = self.gaussians.avatar(betas, self._change(), self.settings.sh_degree)
        return FitResult(avatar, self.rows, betas, self.clip, self.focal, self.history.rows)

    @property
    def aligns(self) -> bool:
        """Whether second-order steps come before the joint optimisation."""
        settings = self.settings
        return settings.optimise_pose and settings.corrections == "rows" and settings.align.steps > 0

    def align(self) -> None:
        """Second-order steps of all poses at once; what they find is where the joint optimisation starts."""
        alignment = Alignment(
            self.clip, self.body, self.initial_betas, self.rows, self.settings.align, self._fps, self.settings.seed
        )
        alignment.run()
        with torch.no_grad():
            self.thickness += alignment.thickness
        if self.clip.has_depth:
            self.focal = alignment.focal()
            alignment.zoom(self.focal)
        self.planes = alignment.planes_of_all()
        self.clip = self.clip.corrected(self.focal, self.planes)
        self.rows.settle()

    def step(self) -> None:
        """Draw one frame and move what the phase frees."""
        settings, schedule, number = self.settings, self.schedule, self.step_number
        full, poses_move, sh_degree = schedule.full(number), schedule.poses_move(number), schedule.sh_degree(number)
        self._free(full, poses_move, sh_degree)

        frame = self._next_frame()
        view = self.clip.view(frame, schedule.level(number))
        background = torch.rand(3, generator=self.generator).to(self.device, non_blocking=True)
        if number % settings.neighbours_every == 0:
            self._search()
        correction = self.rows.correction(frame)
        placed = self.part(
            self.gaussians, self.betas(), self._change(), correction, self.rows.initial(frame), full, sh_degree
        )
        rendered = draw(placed.values, placed.means, placed.quats, view, background, self.clip.has_depth, sh_degree)
        if schedule.growing(number):
            rendered.meta["means2d"].retain_grad()

        terms = self.image_terms(view, self.clip.view(frame, COARSE), rendered, background, full)
        if poses_move:
            terms |= self.pose_terms(frame, correction)
        terms["thickness"] = settings.weights.thickness * self.thickness.square().mean()
        terms |= placed.terms
        grid = self.gaussians.skinning
        if grid is not None and grid.differences.requires_grad:
            variation = settings.weights.skinning_variation * grid.variation()
            terms["skinning"] = variation + settings.weights.skinning_size * grid.size()
        weighted = torch.stack(list(terms.values()))
        weighted.sum().backward()

        self._move(frame)
        self.history.add(number, tuple(terms), weighted.detach(), rendered, view)
        if schedule.growing(number):
            self.gradients.add(rendered.meta["means2d"], rendered.meta["radii"], *view.size)
        self.step_number += 1
        if schedule.smooths_after(number):
            self.rows.smooth(self.train_frames, settings.smooth_seconds * self._fps)
        if schedule.grows_after(number):
            self._grow()
        if schedule.spreads_after(number):
            self._spread()

    def _free(self, full: bool, poses_move: bool, sh_degree: int) -> None:
        """Let the gradient reach what this step moves, and nothing else: the rest then costs nothing."""
        for name, value in self.gaussians.params.items():
            value.requires_grad_(name == "sh0" or (full and (name != "sh_rest" or sh_degree > 0)))
        for value in self.rows.params.values():
            value.requires_grad_(poses_move)
        skinning_moves = self.schedule.skinning_moves(self.step_number)
        for name, value in self.shared_adam.params.items():
            value.requires_grad_(skinning_moves if name == "skinning_weights" else poses_move)

    def _move(self, frame: int) -> None:
        schedule, number = self.schedule, self.step_number
        self.gaussian_adam.rates = schedule.gaussian_rates(number)
        colours = [] if self.told is None else [self.gaussians.params[name].detach() for name in _COLOURS]
        before = [colour.clone() for colour in colours]
        self.gaussian_adam.step()
        for colour, old in zip(colours, before):
            torch.lerp(old, colour, self.told.view(-1, 1, 1), out=colour)
        if schedule.poses_move(number):
            self.pose_adam.step(self.rows.touched(frame), factor=schedule.pose_factor(number))
        self.shared_adam.rates = schedule.shared_rates(number)
        self.shared_adam.step()
        with torch.no_grad():
            largest = math.log(self.settings.margins.max_scale)
            self.gaussians.params["log_scales"].clamp_(max=largest)
        for adam in (self.gaussian_adam, self.pose_adam, self.shared_adam):
            adam.zero_grad()

    def _next_frame(self) -> int:
        """Frames in random order, each once before any comes again."""
        if len(self.order) == 0:
            self.order = torch.randperm(len(self.train_frames), generator=self.generator)
        chosen, self.order = int(self.order[0]), self.order[1:]
        return int(self.train_frames[chosen])

    def _search(self) -> None:
        """Who is whose neighbour."""
        with torch.no_grad():
            self.embedding.refresh(self.gaussians.posable(self._change(), 0))

    def _grow(self) -> None:
        chosen = self.settings.densify
        index, fresh = densify(
            self.gaussians,
            self.gradients.mean(),
            chosen.gradient,
            chosen.split_scale,
            chosen.prune_opacity,
            chosen.max_gaussians,
            self.generator,
        )
        self.gaussian_adam.params = self.gaussians.params
        self.gaussian_adam.select(index, fresh)
        self.gradients = ImageGradients(len(self.gaussians), self.device)
        if self.step_number % self.settings.neighbours_every:  # else the next step searches
            self._search()
        self.part.forget()

    def _spread(self) -> None:
        """Take the colours of what is hardly seen from what is around."""
        settings, body, frames = self.settings, self.body, self.train_frames
        with torch.no_grad():
            values, betas = self.gaussians.posable(self._change(), 0), self.betas()
        black = torch.zeros(3, device=self.device)

        def draw(frame: int, sh: Tensor) -> Tensor:
            with torch.no_grad():
                rotmats, pelvis = self.rows.apply(frame, self.rows.correction(frame))
            view = self.clip.view(frame, FULL)
            return render(values._replace(sh=sh), body, betas, rotmats, pelvis, view, black, False, 0).image

        looked_at = frames[evenly(len(frames), min(len(frames), _LOOKS))].tolist()
        evidence = colour_evidence(draw, looked_at, len(self.gaussians), settings.seed, self.device)
        colours = [self.gaussians.params[name] for name in _COLOURS]
        self.told = spread(colours, values, evidence, bone_axes(body.rest_joints(betas)), settings.spread.strength)

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on as if never stopped; neighbours are searched anew after either."""
        anchors = {"faces": self.gaussians.anchors.faces, "barycentric": self.gaussians.anchors.barycentric}
        return {
            "step": self.step_number,
            "anchors": anchors,
            "gaussians": {name: value.detach() for name, value in self.gaussians.params.items()},
            "gaussian_adam": self.gaussian_adam.state(),
            "rows": {name: value.detach() for name, value in self.rows.params.items()},
            "reference": self.rows.reference,
            "planes": self.planes,
            "focal": self.focal,
            "pose_adam": self.pose_adam.state(),
            "shared": {name: value.detach() for name, value in self.shared_adam.params.items()},
            "shared_adam": self.shared_adam.state(),
            "gradients": {"total": self.gradients.total, "seen": self.gradients.seen},
            "order": self.order,
            "generator": self.generator.get_state(),
            "told": self.told,
            "history": self.history.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.step_number = state["step"]
        self.gaussians.anchors = anchor(self.body, self.initial_betas, **state["anchors"])
        self.gaussians.params = state["gaussians"]
        self.gaussian_adam.params = self.gaussians.params
        self.gaussian_adam.load_state(state["gaussian_adam"])
        with torch.no_grad():
            for params, stored in ((self.rows.params, "rows"), (self.shared_adam.params, "shared")):
                for name, value in params.items():
                    value.copy_(state[stored][name])
        self.rows.reference, self.planes, self.focal = state["reference"], state["planes"], state["focal"]
        self.clip = self.clip.corrected(self.focal, self.planes)
        self.rows.initial_pelvis[:, 2] *= self.focal
        self.pose_adam.load_state(state["pose_adam"])
        self.shared_adam.load_state(state["shared_adam"])
        self.gradients.total, self.gradients.seen = state["gradients"]["total"], state["gradients"]["seen"]
        self.order = state["order"].cpu()
        self.generator.set_state(state["generator"].cpu())
        self.told = state["told"]
        self.history.load_state(state["history"])
