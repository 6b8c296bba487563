"""The joint optimisation of avatar and motion (section 3 of the paper): the loop over its steps.

Each step shows the five parts: what is unknown (unknowns.py), what it is compared with (objective.py), when what moves
(schedule.py), and what changes the Gaussians beside their gradients (growth.py, spread.py).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.body import BodyModel
from pipeline.fit.alignment import Footing, align
from pipeline.fit.checkpoint import load_checkpoint, save_checkpoint
from pipeline.fit.data import Clip
from pipeline.fit.gains import Gains
from pipeline.fit.growth import Growth
from pipeline.fit.history import History
from pipeline.fit.marks import Marks
from pipeline.fit.objective import Objective
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.refit import refit_poses
from pipeline.fit.remask import packed, refined_again, unpacked
from pipeline.fit.schedule import Schedule, drawn
from pipeline.fit.settings import FitSettings
from pipeline.fit.spread import spread_unseen
from pipeline.fit.unknowns import Unknowns
from pipeline.formats.pose import Pose
from pipeline.runtime.progress import track

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitResult:
    """What a fit ends with. Poses of held-out frames are found where the fit refits, else interpolated."""

    avatar: Avatar
    rows: PoseRows
    betas: Tensor  # [10]
    clip: Clip  # corrected by what was found of its camera, its light and its depth maps
    focal: float  # factor on the focal length
    history: list[dict[str, float]]
    marks: Marks | None = None  # landmarks on the body, as the fit used them
    thickness: Tensor | None = None  # [24] metres that clothes stand off; None: the body alone
    facts: dict[str, Any] = field(default_factory=dict)  # what the provenance tells of it


class JointFit:
    """The loop: the parts, and how far it has come.

    Attributes:
        frames: indices of those that are trained. [T']
        order: positions in `frames` that are still to be drawn before all are drawn again.
        gains: of the frames; None where they are not looked for.
    """

    def __init__(self, clip: Clip, body: BodyModel, pose: Pose, settings: FitSettings, device: torch.device) -> None:
        self.frames = np.flatnonzero(clip.train)
        self.settings = settings = settings.for_frames(len(self.frames))
        self.fps = pose.fps
        self.unknowns = Unknowns.begin(body, pose, self.frames, settings, device)
        self.gains = Gains(self.frames, len(clip), device) if settings.frame_gains else None
        if self.gains is not None:
            clip = replace(clip, log_gains=self.gains.log)
        self.objective = Objective(self.unknowns, clip, self.fps, settings)
        stands = settings.use_contact and pose.has_world
        self._footing = Footing.of(pose, body, self.unknowns.initial_betas) if stands else None
        self._fitted = pose.fitted_in_3d
        self.schedule = Schedule(settings)
        self.growth = Growth(self.unknowns, settings.densify)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.order = torch.zeros(0, dtype=torch.int64)
        self.step_number = 0
        self.remasked = False
        self.history = History()

    def run(self, checkpoint: Path | None = None, mark: str = "") -> FitResult:
        """Optimise to the end, from the checkpoint where there is one with this fingerprint."""
        settings, unknowns = self.settings, self.unknowns
        total = settings.steps.total
        state = load_checkpoint(checkpoint, mark, unknowns.thickness.device) if checkpoint else None
        if state is not None:
            self.load_state(state)
            log.info("fit: goes on from step %d, kept in %s", self.step_number, checkpoint)
        elif settings.aligns:
            self.align()
        for _ in track(range(self.step_number, total), "fit", unit="step"):
            self.step()
            if checkpoint and (self.step_number % settings.checkpoint_every == 0 or self.step_number == total):
                save_checkpoint(checkpoint, mark, self.state())
        if self.gains is not None:
            self.gains.settle()
        avatar, betas = unknowns.avatar(settings.sh_degree), unknowns.betas.detach()
        objective = self.objective
        return FitResult(
            avatar,
            unknowns.rows,
            betas,
            objective.clip,
            unknowns.focal,
            self.history.rows,
            objective.marks,
            unknowns.thickness.detach(),
        )

    def align(self) -> None:
        """Second-order steps of all poses at once; what they find is where the loop starts."""
        seen = self.objective.clip, self.objective.marks, self._footing
        align(self.unknowns, *seen, self.fps, self.settings, self._fitted)
        self.objective.correct(self.unknowns)

    def refit(self, sh_degree: int, masks: bool) -> None:
        """Second-order steps of the poses against the avatar as it is, in held-out frames, too; then the masks anew."""
        unknowns, objective = self.unknowns, self.objective
        clip = objective.clip
        frames = np.flatnonzero(clip.train | clip.heldout)
        if self.gains is not None:
            self.gains.settle()
        draw, betas = unknowns.artist(sh_degree), unknowns.betas.detach()
        known = unknowns.body, betas, unknowns.gaussians, unknowns.rows, objective.marks
        refit_poses(draw, clip, *known, frames, self.fps, self.settings, self._fitted)
        if masks and clip.refiner is not None:
            objective.clip = refined_again(clip, draw, frames.tolist())
            self.remasked = True

    def step(self) -> None:
        """Draw one frame, compare it, and move what the schedule frees."""
        unknowns, objective, growth = self.unknowns, self.objective, self.growth
        plan = self.schedule.plan(self.step_number)
        unknowns.free(plan)
        row, self.order = drawn(self.order, len(self.frames), self.generator)
        frame = int(self.frames[row])
        compared = objective(unknowns, frame, plan, self._background())
        if plan.growing:
            growth.watch(compared.rendered)
        compared.total().backward()
        unknowns.move(frame, plan)
        self.history.add(self.step_number, compared)
        self.step_number += 1
        if self.gains is not None and plan.full:
            self.gains.find(frame, compared.view, compared.rendered)
            if len(self.order) == 0:
                self.gains.centre()
        if plan.growing:
            growth.count(compared.rendered, compared.view)
        if plan.smooths:
            unknowns.rows.smooth(self.frames, self.settings.smooth_seconds * self.fps)
        if plan.refits or plan.settles:
            self.refit(plan.sh_degree, masks=plan.refits)
        if plan.grows:
            growth.grow(unknowns, self.generator)
            objective.follow(unknowns)
        if plan.spreads:
            spread_unseen(unknowns, objective.clip, self.settings.spread.strength, self.settings.seed)

    def _background(self) -> Tensor:  # [3]
        """A random colour, so that what is transparent is wrong somewhere."""
        return torch.rand(3, generator=self.generator).to(self.unknowns.thickness.device, non_blocking=True)

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on as if never stopped; neighbours are searched anew after either."""
        return {
            "step": self.step_number,
            **self.unknowns.state(),
            **self.growth.state(),
            "gains": self.gains and self.gains.log,
            "masks": packed(self.objective.clip) if self.remasked else None,
            "order": self.order,
            "generator": self.generator.get_state(),
            "history": self.history.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.step_number = state["step"]
        self.unknowns.load_state(state)
        self.objective.correct(self.unknowns)
        self.growth.load_state(state)
        if state["masks"] is not None:
            self.objective.clip = unpacked(self.objective.clip, state["masks"])
            self.remasked = True
        if self.gains is not None:
            self.gains.log.copy_(state["gains"])
        self.order = state["order"].cpu()
        self.generator.set_state(state["generator"].cpu())
        self.history.load_state(state["history"])
