"""Second-order steps of all poses at once: a surface of coloured points aligned with video, masks and depth.

Adam moves what an image hardly tells of (a limb along the line of sight) as fast as what it tells exactly, and one
frame at a time. Here a body covered with points is linearised about the current poses, in every frame, and the poses of
the whole clip are the solution of one least-squares problem with the priors: a Gauss-Newton step. Evidence then counts
by what it is worth, and frames share it through the habit (what an estimator errs by all along) and through time.

A point sees, where it lies in the image: its colour (the mean of what it has shown over the clip), the depth map, and
the mask's signed distance; the mask's outline in turn looks for the point nearest to it. Each residual depends on the
point's place in image and depth only, so that a point's evidence is a small matrix W, and a frame's is sum B^T W B with
B the Jacobian of that place by the pose. Depth networks err smoothly over the image: a plane of relative error a frame
is solved for, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.fit.align_settings import Align
from pipeline.fit.alignment.evidence import Known, Outline, linearise
from pipeline.fit.alignment.footing import Footing, footing_equations
from pipeline.fit.alignment.landmarks import landmark_equations
from pipeline.fit.alignment.normal import normal_equations
from pipeline.fit.alignment.solve import Bend, Chain, Parts, Preconditioner, conjugate_gradients
from pipeline.fit.alignment.surface import Skeleton, Surface
from pipeline.fit.data import Clip
from pipeline.fit.marks import Marks
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.settings import FitSettings
from pipeline.fit.unknowns import Unknowns
from pipeline.runtime.progress import track
from pipeline.runtime.threads import run_parallel

RATE = 20.0  # frames a second that the sigmas of the evidence are stated for (the studio benchmark's)
PLANE = 3  # unknowns of a depth map's relative error: constant, and slopes across and down the image
_LONGEST = 0.3  # of a step, radians a joint
_HELD = 1e7  # weight of the prior of what is not to move
_STIFF = (3, 6, 9, 10, 11, 12, 13, 14, 15, 22, 23)  # spine, feet, neck, collars, head, hands
_STIFFNESS = 0.4  # their prior size, against the other joints'
_LIMBS = ("collar", "shoulder", "elbow", "hip", "knee")  # of `FittedStart`


def counts(
    gaps: Tensor,  # [F - 1]
) -> float:
    """How much each frame's evidence counts: what is wrong in one mask is wrong in the next, a sixtieth of a second on.

    Args:
        gaps: between neighbouring frames, seconds.

    Returns:
        1 up to `RATE` frames a second; above it as many frames tell as much as those of `RATE`.
    """
    return min(1.0, RATE * float(gaps.median())) if len(gaps) else 1.0  # the median: nobody may be seen for a while


class Look(NamedTuple):
    """What one frame says at its current pose."""

    hessian: Tensor  # [U, U]
    gradient: Tensor  # [U]
    colours: Tensor  # [3, N] of the image at the points
    shown: Tensor  # [N]


def align(
    unknowns: Unknowns,
    clip: Clip,
    marks: Marks | None,
    footing: Footing | None,
    fps: float,
    settings: FitSettings,
    fitted: bool,
) -> None:
    """Move poses, thickness, focal length and depth maps' planes to where the joint optimisation starts.

    The corrections that it finds become those that the priors pull back to. `fitted`: see `Alignment`.
    """
    body, betas, rows, use = unknowns.body, unknowns.initial_betas, unknowns.rows, settings.align
    alignment = Alignment(clip, body, betas, rows, marks, footing, use, fps, settings.seed, fitted)
    alignment.run()
    with torch.no_grad():
        unknowns.thickness.add_(alignment.thickness)
    if clip.has_depth:
        unknowns.focal = alignment.focal()
        alignment.zoom(unknowns.focal)
    unknowns.planes = alignment.planes_of_all()
    unknowns.rows.settle()


class Alignment:
    """Gauss-Newton over the corrections of all trained frames, the clothes' thickness and the depth maps' planes.

    Attributes:
        thickness: of clothes at each joint, metres. [24]
        lengths_known: whether limbs are taken to be as long as the body's. While the points learn their colours nothing
            is gained by doubt.
        planes: of each trained frame's depth map: true depth is the map's times 1 + plane . (1, x / z, y / z). [F, 3]
    """

    lengths_known = True

    def __init__(
        self,
        clip: Clip,
        body: BodyModel,
        betas: Tensor,
        rows: PoseRows,
        marks: Marks | None,
        footing: Footing | None,
        settings: Align,
        fps: float,
        seed: int,
        fitted: bool = False,
    ) -> None:
        """
        Args:
            rows: written: the rows of its trained frames and the constant of its knots.
            fps: of the clip.
            seed: of the points' places.
            fitted: whether the initial pose was fitted to landmarks in 3D, which errs in other ways than a network's.
        """
        self._limbs: dict[str, float] = {}  # prior sizes of joints that have one of their own, by name without side
        if fitted:
            start = vars(settings.fitted)
            self._limbs = {name: start[f"sigma_{name}"] for name in _LIMBS}
            settings = replace(settings, sigma_mask=start["sigma_mask"], sigma_root=start["sigma_root"])
        self.clip, self.rows, self.settings = clip, rows, settings
        self.marks, self.footing = marks, footing
        self.surface = Surface(body, betas, seed)
        self.frames = rows.frames.tolist()
        self.thickness = betas.new_zeros(24)
        self.planes = betas.new_zeros(len(self.frames), PLANE)
        self._known = Known.nothing(self.surface)
        self._bend: Bend | None = None
        self._outlines: dict[tuple[int, str], Outline] = {}
        self._columns = rows.params["rows"].shape[1]
        gaps = torch.as_tensor(np.diff(self.frames), dtype=betas.dtype, device=betas.device) / fps
        self._chain = Chain(gaps, settings.correlation, self.sigmas().to(betas))
        self._counts = counts(gaps)

    def sigmas(self) -> Tensor:  # [75 + 3]
        """Prior sizes of a frame's own unknowns: rotations, place, depth plane."""
        settings, columns = self.settings, self._columns
        sigmas = torch.full((columns + PLANE,), settings.sigma_joint)
        sigmas[:3] = settings.sigma_root
        for joint in _STIFF:
            sigmas[3 * joint : 3 * joint + 3] *= _STIFFNESS
        for joint, name in enumerate(JOINT_NAMES):
            if (limb := name.split("_")[-1]) in self._limbs:
                sigmas[3 * joint : 3 * joint + 3] = self._limbs[limb]
        sigmas[columns - 3 : columns - 1] = settings.sigma_sideways
        sigmas[columns - 1] = settings.sigma_distance
        sigmas[columns:] = settings.sigma_plane
        return sigmas

    def run(self) -> None:
        """Take the steps that the settings ask for."""
        steps = [level for level in ("coarse", "middle") for _ in range(getattr(self.settings, level))]
        for level in track(steps, "align", unit="step"):
            self.step(level)

    def focal(self) -> float:
        """The factor on the focal length that the depth maps speak for.

        A person twice as far by a camera with twice the focal length looks the same: masks and colours place a body of
        the given size at a distance that goes with the focal length, and only the depth maps say another. What they
        disagree by in all frames is either's error, each the more, the less sure it is.
        """
        settings = self.settings
        share = settings.sigma_focal**2 / (settings.sigma_focal**2 + settings.sigma_plane**2)
        return float((1 + self.planes[:, 0].mean()) ** -share)

    def zoom(self, factor: float) -> None:
        """Follow a focal length `factor` times as long: all that was found keeps its place in the image."""
        with torch.no_grad():
            self.rows.zoom(factor)
            self.planes[:, 1:] *= factor**2  # their rays are x / z and y / z
            self.planes[:, 0] = (1 + self.planes[:, 0]) * factor - 1

    def planes_of_all(self) -> Tensor:  # [T, 3]
        """Planes of all frames of the clip, those between trained frames linear in time."""
        times = np.arange(len(self.clip))
        columns = [np.interp(times, self.frames, column) for column in self.planes.T.cpu().numpy()]
        return torch.as_tensor(np.stack(columns, axis=1), dtype=self.planes.dtype, device=self.planes.device)

    @torch.no_grad()
    def step(self, level: str) -> None:
        """One Gauss-Newton step of all frames, with crops of this level."""
        self._solve(*self.equations(level))

    @torch.no_grad()
    def equations(self, level: str) -> tuple[Tensor, Tensor]:  # [F, U, U], [F, U]
        """Hessians and gradients of the frames' evidence; what the points show in them is remembered."""
        skeletons = self.surface.skeletons(self.rows, self.rows.frames)
        looks: dict[int, Look] = {}

        @torch.no_grad()
        def look(worker: int, workers: int) -> None:
            for position in range(worker, len(self.frames), workers):
                looks[position] = self._look(position, skeletons[position], level)

        run_parallel(look)
        hessians, gradients, colours, shown = zip(*(looks[position] for position in range(len(self.frames))))
        seen = torch.stack(shown).sum(0)
        total = sum(part * colour for part, colour in zip(shown, colours))
        self._known = Known(total / seen.clamp(min=1e-6), seen, self._known.hairy)
        hessian, gradient = torch.stack(hessians), torch.stack(gradients)
        if self.marks is not None:
            frames, surface = self.rows.frames, self.surface
            told = landmark_equations(
                self.marks, frames, skeletons, surface.rest_joints, surface.subtree, self.settings
            )
            hessian, gradient = hessian + told[0], gradient + told[1]
        if self.footing is not None:
            frames, surface, sigma = self.rows.frames, self.surface, self.settings.sigma_stand
            told = footing_equations(self.footing, frames, skeletons, surface.rest_joints, surface.subtree, sigma)
            hessian, gradient = hessian + told[0], gradient + told[1]
        return self._counts * hessian, self._counts * gradient

    def _look(self, position: int, skeleton: Skeleton, level: str) -> Look:
        frame = self.frames[position]
        view = self.clip.views[frame][level]
        if (frame, level) not in self._outlines:
            self._outlines[frame, level] = Outline.of(view)
        posed = self.surface.posed(skeleton, self.thickness)
        evidence = linearise(
            posed, view, self._outlines[frame, level], self._known, self.planes[position], self.settings
        )
        # Copied, or the whole of what was sampled would be kept for every frame
        return Look(*normal_equations(self.surface, posed, evidence), evidence.colours.clone(), evidence.shown)

    def _solve(
        self,
        hessians: Tensor,  # [F, U, U]
        gradients: Tensor,  # [F, U]
    ) -> None:
        """Minimise the frames' evidence and the priors.

        Unknowns: the frames' own corrections and planes [F, 75 + 3], the habit, which is common to all corrections
        [75], and the thickness and what the bones' lengths are off by [48]. The lengths are forgotten.
        """
        columns, chain = self._columns, self._chain
        own = columns + PLANE
        rows, knots = self.rows.params["rows"], self.rows.params["knots"]
        # Clothes make a silhouette larger than the body, which would draw the person nearer: without depth maps the
        # mean distance stays.
        hold = 0.0 if self.clip.has_depth else _HELD
        habit_inverse = chain.inverse[:columns].clone()
        habit_inverse[-1] += hold
        lengths_inverse = _HELD if self.lengths_known else 1 / self.settings.sigma_length**2
        steady_inverse = gradients.new_tensor([1 / self.settings.sigma_thickness**2, lengths_inverse])
        steady_inverse = steady_inverse.repeat_interleave(24)

        def prior(parts: Parts) -> Parts:
            frames, habit, steady = parts
            pulled = chain(frames)
            if self._bend is not None:
                pulled += self._bend(frames)
            pulled[:, columns - 1] += hold * frames[:, columns - 1].mean()
            return pulled, habit_inverse * habit, steady_inverse * steady

        def gathered(pushed: Tensor) -> Parts:  # [F, U]
            return pushed[:, :own], pushed[:, :columns].sum(0), pushed[:, own:].sum(0)

        def apply(parts: Parts) -> Parts:
            frames, habit, steady = parts
            full = torch.cat([frames, steady.expand(len(frames), -1)], dim=1)
            full[:, :columns] += habit
            # A row times a symmetric matrix: as a column, torch takes seven times as long over many small ones.
            evidence = gathered((full[:, None] @ hessians).squeeze(1))
            return tuple(a + b for a, b in zip(evidence, prior(parts)))

        steady = torch.cat([self.thickness, torch.zeros_like(self.thickness)])
        state = torch.cat([rows[self.rows.frames], self.planes], dim=1), knots[0], steady
        right = tuple(-a - b for a, b in zip(gathered(gradients), prior(state)))
        total = hessians.sum(0)
        diagonal = chain.diagonal() + (0.0 if self._bend is None else self._bend.diagonal(state[0]))
        precondition = Preconditioner(
            hessians[:, :own, :own] + torch.diag_embed(diagonal),
            total[:columns, :columns] + torch.diag(habit_inverse),
            total[own:, own:] + torch.diag(steady_inverse),
        )
        frames, habit, steady = conjugate_gradients(apply, right, precondition)
        longest = (frames[:, : columns - 3] + habit[:-3]).abs().amax()
        part = float(_LONGEST / longest.clamp(min=_LONGEST))
        rows[self.rows.frames] += part * frames[:, :columns]
        knots[0] += part * habit
        self.planes += part * frames[:, columns:]
        self.thickness += part * steady[:24]
