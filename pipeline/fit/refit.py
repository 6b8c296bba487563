"""Second-order steps of the poses against the avatar as it is: its picture is aligned with the frame.

As in `pipeline.fit.alignment`, the body's points are linearised in all frames, and evidence and priors are solved for
together. But a point compares the avatar's picture with the frame there, colours and coverage, and what its move would
change is the mean of both pictures' slopes: second-order convergence by first derivatives (ESM, Benhimane and Malis
2004). The avatar stands still, so that what drifts with its texture, as two that learn from each other do, is not
followed. Priors pull to the initial poses, as in the alignment.

How broad and how long a limb is drawn is never quite as it was filmed: clothes, edges of masks and of Gaussians, the
body's bones. By a millimetre too broad, and it would be turned 5 cm away, alike in all frames; by 5 mm too long, and it
would be turned out of the image plane by a fifth of a radian. So what the clothes of each joint stand off and what the
bones are longer are unknowns of every step, which then are dropped: the avatar stays as it is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar.gaussians import Gaussians
from pipeline.body import BodyModel
from pipeline.fit.alignment import Alignment
from pipeline.fit.alignment.alignment import Look
from pipeline.fit.alignment.evidence import Evidence, blurred, in_sight, projected, sample
from pipeline.fit.alignment.normal import normal_equations
from pipeline.fit.alignment.solve import Bend
from pipeline.fit.alignment.surface import Posed, Skeleton
from pipeline.fit.data import FULL, Clip, View
from pipeline.fit.marks import Marks
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.rendering import Draw
from pipeline.fit.settings import FitSettings
from pipeline.losses.priors import robust_weight

_GREY = 0.5  # put behind the person
_FAR = 0.3  # length of a difference of colours, and of coverage, from which it is no matter of pose
_COLOURS, _COVER, _DRAWN, _SURE = slice(0, 3), slice(3, 4), 4, 8  # layers: filmed, as many drawn, how much they count


def refit_poses(
    draw: Draw,
    clip: Clip,
    body: BodyModel,
    betas: Tensor,  # [10]
    gaussians: Gaussians,
    rows: PoseRows,
    marks: Marks | None,
    frames: np.ndarray,  # [F]
    fps: float,
    settings: FitSettings,
    fitted: bool,
) -> None:
    """Move the poses of some frames to where the avatar looks most like them; their rows are written.

    Args:
        draw: draws the avatar in a frame's pose, as `rows` has it.
        clip: as the fit corrected it.
        gaussians: of the avatar.
        frames: those that are moved; the others' rows follow linearly.
        fitted: whether the initial pose was fitted to landmarks in 3D: see `Alignment`.
    """
    trained = rows.frames
    rows.frames = torch.as_tensor(frames, device=betas.device)
    rows.gather()
    refit = Refit(clip, body, betas, rows, marks, None, settings.align, fps, settings.seed, fitted)
    refit.begin(draw, gaussians, fps)
    for _ in range(settings.align.refit):
        refit.step(FULL)
    rows.smooth(frames, 0.0)
    rows.frames = trained


class Refit(Alignment):
    """The alignment with an avatar in the place of coloured points."""

    lengths_known = False

    def begin(self, draw: Draw, gaussians: Gaussians, fps: float) -> None:
        self._draw = draw
        # Where trousers are loose, points on the body would lie inside the outline that the avatar is drawn with.
        self.surface.dress(gaussians.anchors.points, gaussians.stand_off())
        if self.clip.planes is not None:
            self.planes = self.clip.planes[self.rows.frames].clone()
        self._bend = Bend(self.rows.frames / fps, self.settings.bend * self.sigmas().to(self.thickness))

    def step(self, level: str) -> None:
        super().step(level)
        self.thickness.zero_()

    @torch.no_grad()
    def _look(self, position: int, skeleton: Skeleton, level: str) -> Look:
        frame = self.frames[position]
        view = self.clip.view(frame, level)
        image, alpha = self._draw(frame, view, self.thickness.new_full((3,), _GREY))
        posed = self.surface.posed(skeleton, self.thickness)
        evidence = compare(posed, view, image, alpha, self.settings.sigma_picture)
        return Look(*normal_equations(self.surface, posed, evidence), evidence.colours.clone(), evidence.shown)


def compare(
    posed: Posed,
    view: View,
    image: Tensor,  # [h, w, 3] over grey
    alpha: Tensor,  # [h, w]
    sigma: float,
) -> Evidence:
    """What the points see where the avatar's picture and the frame differ.

    Args:
        sigma: of a point's colours and coverage, in [0, 1].
    """
    means = posed.means
    u, v, project = projected(means, view.K)
    _, facing, visible = in_sight(posed, u, v, view)
    mask = view.mask.float() / 255
    sure = torch.ones_like(mask) if view.sure is None else view.sure.float() / 255
    drawn = torch.cat([image.permute(2, 0, 1), alpha[None]])
    filmed = torch.cat([view.image.permute(2, 0, 1).float() / 255 * mask + _GREY * (1 - mask), mask[None]])
    filmed = torch.lerp(drawn, filmed, sure)  # where nothing is known, the frame shows what is drawn
    values, slopes = sample(torch.cat([blurred(torch.cat([filmed, drawn])), sure[None]]), u, v)
    error = values[:_DRAWN] - values[_DRAWN:_SURE]
    slope = (slopes[:_DRAWN] + slopes[_DRAWN:_SURE]) / 2
    shown = visible * values[_SURE]
    weight, pull = means.new_zeros(4, 4, len(u)), means.new_zeros(4, len(u))
    for part in (_COLOURS, _COVER):
        scale = robust_weight(error[part].square().sum(0), _FAR) * shown / sigma**2
        scaled = scale * slope[part]
        weight[:2, :2] += (scaled[:, :, None] * slope[part][:, None]).sum(0)
        pull[:2] += (scaled * error[part][:, None]).sum(0)
    nothing = torch.zeros_like(means)
    return Evidence(weight, pull, project, nothing, values[:3], visible * facing.clamp(min=0))
