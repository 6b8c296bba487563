"""The refinement: an avatar of the anchor frames, frozen, and a motion field that fits it to all frames.

Our Gaussian avatar stands where NeuHMR has a renderer that was trained on other people and is given the anchor frames.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.avatar.gaussians import Posable
from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.fit.data import MIDDLE, Clip, View
from pipeline.fit.loop import FitResult, JointFit
from pipeline.fit.motion_field import MotionField
from pipeline.fit.neuhmr.anchors import count_anchors, facing, farthest_points
from pipeline.fit.neuhmr.features import FeatureMap, choose_features
from pipeline.fit.neuhmr.joint_matching import MATCHED, match, matching_loss, project, register, visible
from pipeline.fit.rendering import Rendered, render
from pipeline.fit.settings import FitSettings
from pipeline.formats.pose import Pose
from pipeline.losses.silhouette import jaccard
from pipeline.runtime.progress import track

log = logging.getLogger(__name__)
_LEVEL = MIDDLE  # of the crops; NeuHMR shrinks its videos to a quarter or an eighth
_HISTORY_EVERY = 20
_EXTREMITIES = [
    index for index, name in enumerate(JOINT_NAMES) if name.endswith(("head", "wrist", "hand", "ankle", "foot"))
]


class NeuHMRFit:
    """The refiner "neuhmr"; `run` does all of it.

    Attributes:
        facts: what the provenance tells of it.
    """

    def __init__(self, clip: Clip, body: BodyModel, pose: Pose, settings: FitSettings, device: torch.device) -> None:
        self.clip, self.pose, self.settings, self.device = clip, pose, settings, device
        self.body = body.to(device=device)
        self.frames = np.flatnonzero(clip.train)
        self.betas = torch.as_tensor(pose.betas, dtype=torch.float32, device=device)
        rest_pelvis = self.body.rest_joints(self.betas)[0]
        self.field = MotionField(
            pose, rest_pelvis, self.frames, settings.motion_field, settings.rates, settings.seed, device
        )
        self.extract = choose_features(Path(settings.neuhmr.features), device)
        self._maps: dict[int, FeatureMap] = {}
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.facts: dict[str, Any] = {"features": self.extract.name}
        self.history: list[dict[str, float]] = []
        log.info("fit: features for the joints: %s", self.extract.name)

    def run(self) -> FitResult:
        """Choose anchors, make the avatar of them, register the joints, and refine the poses of all trained frames."""
        begun = time.monotonic()
        anchors = self.choose_anchors()
        log.info("fit: anchor frames %s", ", ".join(map(str, anchors)))
        self.facts["anchor_frames"] = anchors.tolist()
        avatar = self._avatar(anchors, self.settings.neuhmr.anchor_steps)
        registered, known = self.register(avatar, anchors)
        self.facts["joints_registered"] = int(known.sum())
        refining = time.monotonic()
        self.refine(avatar, registered, known)
        spent = {"registration": refining - begun, "refinement": time.monotonic() - refining}  # the rows of its table 3
        self.facts |= {f"seconds of {part}": round(seconds, 2) for part, seconds in spent.items()}
        return FitResult(avatar, self.field, self.betas, self.clip, 1.0, self.history, facts=self.facts)

    def choose_anchors(self) -> np.ndarray:  # (N,)
        """The frames whose poses look right, out of candidates that face many ways."""
        chosen = self.settings.neuhmr
        count, more = count_anchors(len(self.frames), chosen.anchors, chosen.candidates)
        candidates = self.frames[farthest_points(facing(self.pose.global_orient[self.frames]), more)]
        avatar = self._avatar(candidates, 0)
        losses = []
        with torch.no_grad():
            for frame in candidates:
                view, background = self.clip.views[frame][_LEVEL], torch.rand(3, generator=self.generator)
                rendered, _ = self._render(avatar, frame, self.field.correction(frame), background.to(self.device))
                losses.append(float(sum(self._image_terms(view, rendered, background.to(self.device)).values())))
        return np.sort(candidates[np.argsort(losses, kind="stable")[:count]])

    def _avatar(self, frames: np.ndarray, full_steps: int) -> Avatar:
        """An avatar of some frames, their poses held: colours on the body's surface, then all that is free."""
        steps = dataclasses.replace(
            self.settings.steps, colours=self.settings.neuhmr.candidate_steps, coarse=0, middle=0, full=full_steps
        )
        held = {"refiner": "joint", "optimise_pose": False, "frame_gains": False, "frame_sharpness": False}
        settings = dataclasses.replace(self.settings, **held, steps=steps)
        clip = dataclasses.replace(self.clip, train=np.isin(np.arange(len(self.clip)), frames))
        result = JointFit(clip, self.body, self.pose, settings, self.device).run()
        self.history = result.history
        return result.avatar

    @torch.no_grad()
    def register(self, avatar: Avatar, anchors: np.ndarray) -> tuple[Tensor, Tensor]:  # [J, C], [J] bool
        """Equations 8 and 9 on the anchor frames, in their initial poses."""
        features, seen = [], []
        for frame in anchors:
            black = torch.zeros(3, device=self.device)
            rendered, joints = self._render(avatar, frame, self.field.correction(frame), black)
            view = self.clip.views[frame][_LEVEL]
            places = project(joints, view.K)
            features.append(self._features(frame).at(places))
            seen.append(self._visible(rendered, places, joints))
        return register(torch.stack(features), torch.stack(seen))

    def refine(self, avatar: Avatar, registered: Tensor, known: Tensor) -> None:
        """Train the motion field: each epoch draws every frame once."""
        chosen = self.settings.neuhmr
        network = [value for name, value in self.field.params.items() if name != "rows"]
        self.field.params["rows"].requires_grad_(False)
        optimiser = torch.optim.AdamW(network, lr=chosen.rate, weight_decay=chosen.weight_decay)
        total = chosen.epochs * len(self.frames)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total, chosen.rate * chosen.rate_final)
        order = torch.cat([torch.randperm(len(self.frames), generator=self.generator) for _ in range(chosen.epochs)])
        record = _Record(self.history, len(avatar.means))
        for frame in track(self.frames[order.numpy()].tolist(), "NeuHMR", unit="step"):
            view = self.clip.views[frame][_LEVEL]
            background = torch.rand(3, generator=self.generator).to(self.device)
            correction = self.field.correction(frame)
            rendered, joints = self._render(avatar, frame, correction, background)
            terms = self._image_terms(view, rendered, background)
            terms["joint"] = chosen.joint * self._matching(frame, rendered, background, joints, registered, known)
            turns = correction[:-3].view(-1, 3)[_EXTREMITIES]
            terms["extremities"] = chosen.extremities * turns.square().sum(-1).mean()
            loss = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            record.add(terms, loss, rendered, view)

    def _image_terms(self, view: View, rendered: Rendered, background: Tensor) -> dict[str, Tensor]:
        """The weighted photometric and geometric terms."""
        mask = view.mask.float() / 255
        target = _over(view, background)
        return {
            "rgb": self.settings.neuhmr.rgb * (rendered.image - target).square().mean(),
            "geo": self.settings.neuhmr.geo * jaccard(rendered.alpha, mask),
        }

    def _matching(
        self,
        frame: int,
        rendered: Rendered,
        background: Tensor,  # [3]
        joints: Tensor,  # [J, 3]
        registered: Tensor,  # [J, C]
        known: Tensor,  # [J] bool
    ) -> Tensor:
        """Equation 12, over the joints that this frame shows: a hidden one has no feature to be found by.

        Without registered features (NeuHMR's table 4) a joint looks in the frame as it does in the rendering.
        """
        places = project(joints, self.clip.views[frame][_LEVEL].K)
        targets, counted = self._targets(frame, rendered, background, places.detach(), joints, registered, known)
        return matching_loss(places, targets, counted)

    @torch.no_grad()
    def found(
        self, avatar: Avatar, frame: int, registered: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:  # [J, 2], [J] bool, [3, 3]
        """Where the joints of a frame are found from the pose as it is, px of its crop; which count; the crop's K."""
        black, view = torch.zeros(3, device=self.device), self.clip.views[frame][_LEVEL]
        rendered, joints = self._render(avatar, frame, self.field.correction(frame), black)
        places = project(joints, view.K)
        return *self._targets(frame, rendered, black, places, joints, registered, known), view.K

    @torch.no_grad()
    def _targets(
        self,
        frame: int,
        rendered: Rendered,
        background: Tensor,  # [3]
        places: Tensor,  # [J, 2]
        joints: Tensor,  # [J, 3]
        registered: Tensor,  # [J, C]
        known: Tensor,  # [J] bool
    ) -> tuple[Tensor, Tensor]:  # [J, 2], [J] bool
        """Where each joint is found (equation 12), and which count."""
        counted = self._visible(rendered, places, joints)
        chosen = self.settings.neuhmr
        if chosen.registered:
            counted &= known
        else:
            grey = (0.5 - background) * (1 - rendered.alpha[..., None])
            registered = self.extract((rendered.image + grey).clamp(0, 1)).at(places)
        features = self._features(frame)
        return match(features, registered, places, chosen.sigma, chosen.samples, self.generator), counted

    def _features(self, frame: int) -> FeatureMap:
        """Features of a frame's person, before grey: what is behind changes from frame to frame."""
        if frame not in self._maps:
            grey = torch.full((3,), 0.5, device=self.device)
            self._maps[frame] = self.extract(_over(self.clip.views[frame][_LEVEL], grey))
        return self._maps[frame]

    def _visible(self, rendered: Rendered, places: Tensor, joints: Tensor) -> Tensor:
        tolerance = self.settings.neuhmr.depth_tolerance
        return visible(rendered.depth, rendered.alpha, places, joints[:, 2], tolerance)

    def _render(
        self, avatar: Avatar, frame: int, correction: Tensor, background: Tensor
    ) -> tuple[Rendered, Tensor]:  # [J, 3]
        """The avatar in a frame's corrected pose, with depth, and the joints to be matched, metres."""
        rotmats, pelvis = self.field.apply(frame, correction)
        view = self.clip.views[frame][_LEVEL]
        values = Posable(avatar.means, avatar.quats, avatar.scales, avatar.opacities, avatar.sh, avatar.weights)
        rendered = render(
            values, self.body, self.betas, rotmats, pelvis, view, background, True, avatar.sh_degree, avatar.field
        )
        transl = pelvis - self.body.rest_joints(self.betas)[0]
        joints = self.body.world_joints(rotmats[None], self.betas, transl[None])[0, MATCHED, :3, 3]
        return rendered, joints


class _Record:
    """Appends means over some steps to a history."""

    def __init__(self, history: list[dict[str, float]], gaussians: int) -> None:
        self._history, self._gaussians = history, gaussians
        self._step = int(history[-1]["step"]) if history else 0
        self._before = history[-1]["seconds"] if history else 0.0
        self._started, self._sums = time.monotonic(), {}

    @torch.no_grad()
    def add(self, terms: dict[str, Tensor], loss: Tensor, rendered: Rendered, view: View) -> None:
        self._step += 1
        for name, value in (terms | {"total": loss}).items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value) / _HISTORY_EVERY
        if self._step % _HISTORY_EVERY == 0:
            error = (rendered.image - view.image.float() / 255)[view.mask > 127].square().mean()
            row = {"step": self._step} | self._sums | {"psnr_person": float(-10 * torch.log10(error + 1e-10))}
            seconds = self._before + time.monotonic() - self._started
            self._history.append(row | {"n_gaussians": self._gaussians, "seconds": round(seconds, 2)})
            self._sums = {}


def _over(
    view: View,
    background: Tensor,  # [3]
) -> Tensor:  # [h, w, 3]
    """The person of a frame before a plain background, in [0, 1]."""
    mask = view.mask.float()[..., None] / 255
    return view.image.float() / 255 * mask + background * (1 - mask)
