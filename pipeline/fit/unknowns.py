"""What is unknown: Gaussians, the poses of all frames, the clothes' thickness, the body's shape; and how they move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.avatar.binding import WEIGHTS_LEARNT, anchor
from pipeline.avatar.deformation_field import DeformationField
from pipeline.avatar.gaussians import Gaussians, Posable
from pipeline.avatar.seeding import seed_surface
from pipeline.avatar.skinning_grid import SkinningGrid
from pipeline.body import BodyModel
from pipeline.fit.adam import RowAdam
from pipeline.fit.data import View
from pipeline.fit.motion_field import corrections
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.rendering import Draw, render
from pipeline.fit.schedule import Plan
from pipeline.fit.settings import FitSettings
from pipeline.formats.pose import Pose

_COLOURS = "sh0", "sh_rest"
_DETACHING = "skinning_weights", "field"  # what lets Gaussians leave the body: freed last
_BREADTH = 0.6  # standard deviation of a surface Gaussian over the distance to its neighbours: no gaps when opaque


@dataclass
class Unknowns:
    """All that the fit looks for, each group with its optimiser.

    The Gaussians hold the clothes' thickness, the differences of skinning weights and the deformation field, too. Focal
    length and planes are found before the loop (`pipeline.fit.alignment.align`), and stay.
    """

    body: BodyModel
    initial_betas: Tensor  # [10]
    gaussians: Gaussians
    rows: PoseRows
    betas_change: Tensor | None  # [10]; None where the shape is held
    max_scale: float  # of the Gaussians, metres
    gaussian_adam: RowAdam
    pose_adam: RowAdam
    shared_adam: RowAdam  # of what all frames and Gaussians share
    planes: Tensor  # [T, 3] of the depth maps' relative errors, see `Alignment`
    focal: float = 1.0  # factor on the focal length
    stature: Tensor | None = None  # [] metres, kept where the shape moves; None: nobody told it
    told: Tensor | None = None  # share in which the video tells each colour, once they have been spread [N]

    @staticmethod
    def begin(body: BodyModel, pose: Pose, frames: np.ndarray, settings: FitSettings, device: torch.device) -> Unknowns:
        """Grey Gaussians on the body's surface, in the initial poses.

        Args:
            frames: indices of those that are trained. [T']
        """
        body = body.to(device=device)
        betas = torch.as_tensor(pose.betas, dtype=torch.float32, device=device)
        rows = corrections(pose, body.rest_joints(betas)[0], frames, settings, device)
        gaussians = _on_surface(body, betas, settings)
        gaussians.thickness.requires_grad_()
        shared = {"thickness": gaussians.thickness}
        change = torch.zeros(10, device=device, requires_grad=True) if settings.refine_betas else None
        if change is not None:
            shared["betas"] = change
        if settings.binding in WEIGHTS_LEARNT:
            gaussians.skinning = SkinningGrid.around(body, betas)
            shared["skinning_weights"] = gaussians.skinning.differences
        if settings.binding == "field":
            gaussians.field = DeformationField.still(settings.seed, device)
            shared["field"] = gaussians.field.values
        return Unknowns(
            body=body,
            initial_betas=betas,
            gaussians=gaussians,
            rows=rows,
            betas_change=change,
            max_scale=settings.margins.max_scale,
            gaussian_adam=RowAdam(gaussians.params, {}),
            pose_adam=rows.optimiser(settings.rates),
            shared_adam=RowAdam(shared, {}),
            planes=torch.zeros(len(pose), 3, device=device),
            stature=None if change is None or pose.told_height is None else body.stature(betas),
        )

    @property
    def thickness(self) -> Tensor:  # [24] metres
        return self.gaussians.thickness

    @property
    def betas(self) -> Tensor:  # [10]
        return self.initial_betas if self.betas_change is None else self.initial_betas + self.betas_change

    @property
    def colours(self) -> list[Tensor]:
        """Harmonics of all degrees, without gradient, in the same memory. [N, 1, 3], [N, 3, 3]"""
        return [self.gaussians.params[name].detach() for name in _COLOURS]

    @torch.no_grad()
    def at_rest(self) -> Posable:
        """The Gaussians in the rest pose, with colours of degree 0, without gradient."""
        return self.gaussians.posable(self.betas_change, 0)

    @torch.no_grad()
    def artist(self, sh_degree: int) -> Draw:
        """Draws the Gaussians as they are now in the pose that a frame has when it is drawn."""
        values, rows = self.gaussians.posable(self.betas_change, sh_degree), self.rows
        known = self.body, self.betas

        @torch.no_grad()
        def draw(frame: int, view: View, background: Tensor) -> tuple[Tensor, Tensor]:
            pose = rows.apply(frame, rows.correction(frame))
            drawn = render(values, *known, *pose, view, background, False, sh_degree, self.gaussians.field)
            return drawn.image, drawn.alpha

        return draw

    def avatar(self, sh_degree: int) -> Avatar:
        return self.gaussians.avatar(self.betas.detach(), self.betas_change, sh_degree)

    def free(self, plan: Plan) -> None:
        """Let the gradient reach what this step moves, and nothing else: the rest then costs nothing."""
        for name, value in self.gaussians.params.items():
            value.requires_grad_(name == "sh0" or (plan.full and (name != "sh_rest" or plan.sh_degree > 0)))
        for value in self.rows.params.values():
            value.requires_grad_(plan.poses_move)
        for name, value in self.shared_adam.params.items():
            value.requires_grad_(plan.skinning_moves if name in _DETACHING else plan.poses_move)

    def move(self, frame: int, plan: Plan) -> None:
        """One step of Adam. Of the poses only this frame's moves, and what it shares with others."""
        self.gaussian_adam.rates, self.shared_adam.rates = plan.gaussian_rates, plan.shared_rates
        colours = [] if self.told is None else self.colours
        before = [colour.clone() for colour in colours]
        self.gaussian_adam.step()
        for colour, old in zip(colours, before):
            torch.lerp(old, colour, self.told.view(-1, 1, 1), out=colour)
        if plan.poses_move:
            self.pose_adam.step(self.rows.touched(frame), factor=plan.pose_factor)
        self.shared_adam.step()
        with torch.no_grad():
            if self.betas_change is not None and self.stature is not None and plan.poses_move:
                self.betas_change.copy_(self.body.with_stature(self.betas, self.stature) - self.initial_betas)
            self.gaussians.params["log_scales"].clamp_(max=math.log(self.max_scale))
        for adam in (self.gaussian_adam, self.pose_adam, self.shared_adam):
            adam.zero_grad()

    def follow(self, index: Tensor, fresh: Tensor) -> None:
        """Let the optimiser follow Gaussians that were cloned, split or pruned; arguments as of `RowAdam.select`."""
        self.gaussian_adam.params = self.gaussians.params
        self.gaussian_adam.select(index, fresh)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of them."""
        anchors = {"faces": self.gaussians.anchors.faces, "barycentric": self.gaussians.anchors.barycentric}
        return {
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
            "told": self.told,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.gaussians.anchors = anchor(self.body, self.initial_betas, **state["anchors"])
        self.gaussians.params = state["gaussians"]
        self.gaussian_adam.params = self.gaussians.params
        self.gaussian_adam.load_state(state["gaussian_adam"])
        with torch.no_grad():
            for params, stored in ((self.rows.params, "rows"), (self.shared_adam.params, "shared")):
                for name, value in params.items():
                    value.copy_(state[stored][name])
        self.rows.reference, self.planes, self.focal = state["reference"], state["planes"], state["focal"]
        self.rows.initial_pelvis[:, 2] *= self.focal  # as `PoseRows.zoom` left it
        self.pose_adam.load_state(state["pose_adam"])
        self.shared_adam.load_state(state["shared_adam"])
        self.told = state["told"]


def _on_surface(body: BodyModel, betas: Tensor, settings: FitSettings) -> Gaussians:
    """Gaussians spread evenly over the body's surface, that cover it without gaps."""
    vertices, faces = body.shaped(betas).cpu().numpy(), body.faces.cpu().numpy()
    index, barycentric = seed_surface(vertices, faces, settings.gaussians, settings.seed)
    where = (torch.as_tensor(part, device=betas.device) for part in (index, barycentric))
    anchors = anchor(body, betas, *where)
    corners = vertices[faces]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    breadth = _BREADTH * math.sqrt(area / settings.gaussians)
    return Gaussians.on_surface(anchors, settings.binding, breadth, settings.opacity, settings.margins.flatness_ratio)
