"""How well a motion explains a clip: what landmarks, outline and colours leave, frame by frame and part by part.

The residuals are the alignment's (pipeline/fit/alignment). All motions are judged in the same body, clothes and camera.
Where landmarks lie on the person is found for each motion anew: a detector's knee that lies 1 cm above the body's all
along speaks for no motion, and least of all for the one that was fitted to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.fit.align_settings import Align
from pipeline.fit.alignment.evidence import FAR_MASK, Known, Outline, linearise, projected
from pipeline.fit.alignment.landmarks import FAR_LANDMARK
from pipeline.fit.alignment.surface import Posed, Skeleton, Surface
from pipeline.fit.data import COARSE, Clip
from pipeline.fit.marks import Marks
from pipeline.fit.pose_rows import PoseRows
from pipeline.losses.priors import robust
from pipeline.runtime.threads import map_parallel

_LEG, _ARM = ("hip", "knee", "ankle", "foot"), ("collar", "shoulder", "elbow", "wrist", "hand")
TRUNK = 0  # which of the parts all others hang on
PARTS: dict[str, tuple[str, ...]] = {
    "trunk": ("pelvis", "spine1", "spine2", "spine3"),
    "head and neck": ("neck", "head"),
    "left leg": tuple(f"left_{name}" for name in _LEG),
    "right leg": tuple(f"right_{name}" for name in _LEG),
    "left arm": tuple(f"left_{name}" for name in _ARM),
    "right arm": tuple(f"right_{name}" for name in _ARM),
}
# [24] which of the parts each joint belongs to
PART_OF = torch.tensor([next(k for k, part in enumerate(PARTS.values()) if name in part) for name in JOINT_NAMES])
_HAIRY = [JOINT_NAMES.index(name) for name in PARTS["head and neck"]]
# metres, of a landmark. The alignment trusts them less, for it starts from what they said already.
_SIGMA_LANDMARK = 0.03
# The same where one of the motions was fitted to them: it follows their noise, and leaves half of what the true motion
# does (1.3 to 2.8 times, in the median of 13 studio clips 1.9; docs/trials.md).
_SIGMA_FITTED = 0.06
_OFTEN = 2.0  # frames in which a point must have been seen for its colour to be believed


def part_columns(device: torch.device) -> Tensor:
    """Which entries of a correction (`PoseRows`) belong to each part; the place goes with the trunk. [P, 75]"""
    parts = torch.arange(len(PARTS))[:, None]
    turns = (parts == PART_OF).repeat_interleave(3, dim=1)
    return torch.cat([turns, (parts == TRUNK).expand(-1, 3)], dim=1).to(device, torch.float32)


@dataclass(frozen=True)
class Explained:
    """Robust squared distances that a motion leaves in F frames, square metres."""

    marks: Tensor  # [F, L] of the landmarks, each times its weight
    out: Tensor  # [F, N] of the surface's points that stick out of the mask
    short: Tensor  # [F, M] of the outline's places that the surface falls short of; 0 after a frame's last
    owner: Tensor  # [F, M] the part whose surface is nearest to each place; -1 after a frame's last

    def cost(self, settings: Align, fitted: bool) -> Tensor:  # [F]
        """Of each frame: sums of squares over the errors expected.

        Args:
            fitted: whether one of the motions that are compared was fitted to the landmarks.
        """
        outline = self.out.sum(1) + self.short.sum(1)
        sigma = _SIGMA_FITTED if fitted else _SIGMA_LANDMARK
        return self.marks.sum(1) / sigma**2 + outline / settings.sigma_mask**2


class Witness:
    """Some frames of a clip, and the body that motions are judged in."""

    def __init__(
        self,
        clip: Clip,
        frames: list[int],
        body: BodyModel,
        betas: Tensor,  # [10]
        thickness: Tensor,  # [24] of the clothes, metres
        marks: Marks | None,
        settings: Align,
        seed: int,
    ) -> None:
        """
        Args:
            frames: that the person is seen in. [F]
            seed: of the places of the surface's points.
        """
        self.marks, self._body, self._betas, self._thickness = marks, body, betas, thickness
        self._settings = settings
        self._frames = torch.as_tensor(frames, device=betas.device)
        self._views = [replace(clip.view(frame, COARSE), depth=None) for frame in frames]
        self._outlines = [Outline.of(view) for view in self._views]
        self._surface = Surface(body, betas, seed)
        weights = self._surface.points.weights
        parts = PART_OF.to(betas.device)
        self._part_of_point = parts[weights.argmax(1)]  # [N]
        self._part_of_mark = parts[:0] if marks is None else parts[marks.joint]  # [L]
        self._hairy = weights[:, _HAIRY].sum(1)

    @torch.no_grad()
    def explained(
        self,
        rows: PoseRows,
        corrections: Tensor,  # [F, 75]
    ) -> Explained:
        """What a motion leaves: these corrections of the initial poses of `rows`."""
        world = self._world(rows, corrections)
        marks = world.new_zeros(len(world), 0)
        if self.marks is not None:
            where = self._frames, self._surface.rest_joints
            error, _ = self.marks.as_in(world, *where).errors_in(world, *where)
            marks = self.marks.weights[self._frames] * robust(error.square().sum(-1), FAR_LANDMARK)
        longest = max(outline.places.shape[1] for outline in self._outlines)

        @torch.no_grad()
        def look(index: int) -> tuple[Tensor, Tensor, Tensor]:
            means, K, outline = self._posed(world[index]).means, self._views[index].K, self._outlines[index]
            u, v, _ = projected(means, K)
            metre = K[0, 0] / means[2]  # px
            out = robust((outline.outside(u, v) / metre).clamp(min=0).square(), FAR_MASK)
            short, owner = u.new_zeros(longest), torch.full((longest,), -1, device=u.device)
            if count := outline.places.shape[1]:
                nearest, beyond = outline.beyond(u, v, metre)
                left = robust((beyond / metre[nearest]).clamp(min=0).square(), FAR_MASK)
                short[:count] = left * (1 - self._hairy[nearest])  # hair is no part of the body
                owner[:count] = self._part_of_point[nearest]
            return out, short, owner

        looks = map_parallel(look, range(len(world)))
        return Explained(marks, *(torch.stack(part) for part in zip(*looks)))

    def landmarks_mm(self, found: Explained, part: int) -> float | None:
        """Root mean square of what the landmarks of a part are off by, mm; None where none is seen."""
        own = self._part_of_mark == part if part != TRUNK else self._part_of_mark >= 0
        if self.marks is None or not (weight := float(self.marks.weights[self._frames][:, own].sum())):
            return None
        return 1000 * (float(found.marks[:, own].sum()) / weight) ** 0.5

    def outline_mm(self, found: Explained, other: Explained, part: int) -> float | None:
        """How far outline and mask lie apart at a part, mm, where in either of two motions it is the nearest part.

        Root of the sum of squares over the number of the outline's places; None where it is never at the outline.
        All parts hang on the trunk, whose are all places.
        """
        if part == TRUNK:
            places, points = found.owner >= 0, self._part_of_point >= 0
        else:
            places, points = (found.owner == part) | (other.owner == part), self._part_of_point == part
        if not (count := int(places.sum())):
            return None
        return 1000 * (float(found.short[places].sum() + found.out[:, points].sum()) / count) ** 0.5

    @torch.no_grad()
    def colour_error(
        self,
        rows: PoseRows,
        corrections: Tensor,  # [F, 75]
        judged: Tensor,  # [F] bool
    ) -> float:
        """How far, in [0, 1], colours in some frames are from what the same points of the surface show in the others.

        Root mean square. No avatar takes part: the fit's has learnt its colours in the fit's own poses.
        """
        world, rest = self._world(rows, corrections), self._surface.rest_joints
        nothing = Known(rest.new_zeros(3, len(self._hairy)), torch.zeros_like(self._hairy), self._hairy)

        @torch.no_grad()
        def look(index: int) -> tuple[Tensor, Tensor]:
            posed, view, outline = self._posed(world[index]), self._views[index], self._outlines[index]
            found = linearise(posed, view, outline, nothing, rest.new_zeros(3), self._settings)
            return found.colours.clone(), found.shown  # copied, or the whole of what was sampled would be kept

        colours, shown = (torch.stack(part) for part in zip(*map_parallel(look, range(len(world)))))
        learnt = shown * ~judged[:, None]
        seen = learnt.sum(0)
        mean = (learnt[:, None] * colours).sum(0) / seen.clamp(min=1e-6)
        weight = shown * judged[:, None] * (seen > _OFTEN)
        return float(((weight * (colours - mean).square().mean(1)).sum() / weight.sum().clamp(min=1e-6)).sqrt())

    def _world(self, rows: PoseRows, corrections: Tensor) -> Tensor:  # [F, 24, 4, 4]
        rotmats, pelvis = rows.apply(self._frames, corrections)
        return self._body.world_joints(rotmats, self._betas, pelvis - self._surface.rest_joints[0])

    def _posed(self, world: Tensor) -> Posed:  # [24, 4, 4]
        turns, joints = world[:, :3, :3].contiguous(), world[:, :3, 3]
        return self._surface.posed(Skeleton(turns, joints, turns, turns[0]), self._thickness)  # no step: no axes
