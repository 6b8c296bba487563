"""The terms of equation 16 that look at a frame: what compares it with the video, and what is believed of its pose."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.fit.data import View
from pipeline.fit.marks import Marks, mark_loss
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.rendering import Rendered
from pipeline.fit.settings import FitSettings
from pipeline.losses.depth import depth_3d, in_sight
from pipeline.losses.pixels import pixel_terms
from pipeline.losses.priors import robust

_VISIBLE_WITHIN = 0.03  # metres behind the rendered surface up to which a Gaussian counts as visible
_HEAD = [JOINT_NAMES.index("neck"), JOINT_NAMES.index("head")]
_REFERENCE_FPS = 15.0  # the frame rate that the temporal weights and margins are stated for


class ImageTerms:
    """Everything that compares a rendering with the video."""

    def __init__(self, settings: FitSettings) -> None:
        self._weights, self._margins = settings.weights, settings.margins
        self._silhouette = settings.silhouette

    def __call__(
        self,
        view: View,
        coarse_view: View | None,
        rendered: Rendered,
        background: Tensor,
        full: bool,
        sharp: float = 1.0,
    ) -> dict[str, Tensor]:
        """Weighted terms of a frame.

        Args:
            view, coarse_view: what was rendered, and a coarse view of the same frame for the depth cloud; None where
                there are no depth maps.
            background: the colour [3] that was rendered behind; put behind the person of the video, too.
            full: whether this is the full phase: SSIM counts, and the mask less.
            sharp: what the frame's colours count then, see `pipeline.fit.sharpness`; small crops hide a blur.
        """
        weights = self._weights
        colour, outline, flat = pixel_terms(
            rendered.pixels,
            rendered.alpha,
            view.image,
            view.mask,
            view.depth,
            background,
            weights.ssim if full else 0.0,
            self._silhouette,
            view.sure,
        )
        terms = {
            "colour": sharp * colour if full else colour,
            "mask": (weights.mask_full if full else weights.mask) * outline,
        }
        if flat is not None:
            on_person = coarse_view.depth * (coarse_view.known > 127)
            cloud = depth_3d(rendered.means, _visible(rendered), on_person, coarse_view.K, self._margins.depth_epsilon)
            terms["depth"] = weights.depth * (weights.depth_2d * flat + weights.depth_3d * cloud)
        return terms


@torch.no_grad()
def _visible(rendered: Rendered) -> Tensor:  # [N] bool
    """Which Gaussians have their centre in the crop and not behind the rendered surface."""
    return in_sight(rendered.meta["means2d"].squeeze(0), rendered.means[:, 2], rendered.depth, _VISIBLE_WITHIN)


class PoseTerms:
    """Everything that is believed of a pose without looking at the video."""

    def __init__(self, rows: PoseRows, fps: float, has_depth: bool, settings: FitSettings) -> None:
        self._rows, self._weights, self._margins = rows, settings.weights, settings.margins
        self._holds_distance = not has_depth
        self._squared_frame_time = (_REFERENCE_FPS / fps) ** 2
        self._stay = rows.reference.new_full((len(JOINT_NAMES),), self._weights.initial_pose)
        self._stay[_HEAD] *= self._weights.initial_head

    def __call__(self, frame: int, correction: Tensor) -> dict[str, Tensor]:
        """Weighted terms of a frame, given its index and its correction [75], differentiable."""
        weights, margins = self._weights, self._margins
        change = correction - self._rows.reference[frame]
        stay = robust(change[:-3].view(-1, 3).square().sum(-1), margins.initial_pose)
        terms = {"initial": self._stay @ stay}
        if self._holds_distance:
            # Clothes make a silhouette larger than the body, which would draw the person nearer. How far frames differ
            # is seen; the mean is not, and stays. Its gradient goes to this frame's part alone.
            depthwise = change[-1]
            mean = depthwise + (self._rows.mean_depthwise() - depthwise).detach()
            terms["distance"] = weights.initial_distance * mean.square()
        expected = self._rows.expected(frame)
        if expected is not None:
            between, gaps = expected
            # Second differences grow with the square of time. Knots are smooth already, and would only get noise.
            apart = (self._rows.params["rows"][frame] - between).square().sum() / (gaps * self._squared_frame_time)
            terms["smooth"] = weights.smooth_correction * apart
        return terms


def landmark_term(
    marks: Marks,
    body: BodyModel,
    betas: Tensor,  # [10]
    rows: PoseRows,
    frame: int,
    correction: Tensor,  # [75]
    settings: FitSettings,
) -> Tensor:  # []
    """How far a frame's landmarks are from where its pose puts them, weighted; differentiable by the correction."""
    rotmats, pelvis = rows.apply(frame, correction)
    rest = body.rest_joints(betas)
    world = body.world_joints(rotmats[None], betas, (pelvis - rest[0])[None])[0]
    error, _ = marks.errors(marks.posed(world, rest), marks.xy[frame])
    return settings.weights.landmarks * mark_loss(error, marks.weights[frame], settings.margins.landmarks)
