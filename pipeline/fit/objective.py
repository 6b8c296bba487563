"""What the unknowns are compared with: the video, and what is believed of Gaussians and poses (equation 16)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.avatar.skinning_grid import SkinningGrid
from pipeline.fit.data import COARSE, Clip, View
from pipeline.fit.embedding import Embedding
from pipeline.fit.gaussian_part import GaussianPart
from pipeline.fit.marks import Marks
from pipeline.fit.rendering import Rendered, draw
from pipeline.fit.schedule import Plan
from pipeline.fit.settings import FitSettings
from pipeline.fit.sharpness import frame_weights
from pipeline.fit.terms import ImageTerms, PoseTerms, landmark_term
from pipeline.fit.unknowns import Unknowns


@dataclass(frozen=True)
class Compared:
    """A frame as it was rendered, and what it costs."""

    view: View  # what it was compared with
    rendered: Rendered
    names: tuple[str, ...]  # of the terms
    terms: Tensor  # weighted

    def total(self) -> Tensor:
        return self.terms.sum()


class Objective:
    """The loss of one frame, term by term.

    Attributes:
        clip: the video, corrected by what was found of its camera and depth maps.
        marks: landmarks on the body, where the clip has some.
        part: what is captured as CUDA graphs.
    """

    def __init__(self, unknowns: Unknowns, clip: Clip, fps: float, settings: FitSettings) -> None:
        """
        Args:
            unknowns: as they begin: the surface is sampled where their Gaussians are.
        """
        self.clip, self._weights, self._settings = clip, settings.weights, settings
        body, anchors = unknowns.body, unknowns.gaussians.anchors
        seen = clip.landmarks
        self.marks = None if seen is None else Marks.of(seen, body, unknowns.initial_betas, unknowns.rows)
        self._embedding = Embedding(body, unknowns.initial_betas, anchors, settings)
        replays = settings.replays and anchors.points.is_cuda
        self.part = GaussianPart(self._embedding, settings, replays)
        self._image_terms = ImageTerms(settings)
        self._sharp = frame_weights(clip) if settings.frame_sharpness else None
        self._pose_terms = PoseTerms(unknowns.rows, fps, clip.has_depth, settings)

    def __call__(self, unknowns: Unknowns, frame: int, plan: Plan, background: Tensor) -> Compared:
        """Render a frame's crop over a background colour [3] and compare it."""
        view = self.clip.view(frame, plan.level)
        if plan.searches:
            self.search(unknowns)
        correction = unknowns.rows.correction(frame)
        placed = self.part(unknowns, frame, correction, plan.full, plan.sh_degree)
        rendered = draw(
            placed.values, placed.means, placed.quats, view, background, self.clip.has_depth, plan.sh_degree
        )
        coarse_view = self.clip.view(frame, COARSE) if self.clip.has_depth else None
        sharp = 1.0 if self._sharp is None else float(self._sharp[frame])
        terms = self._image_terms(view, coarse_view, rendered, background, plan.full, sharp)
        if plan.poses_move:
            terms |= self._pose_terms(frame, correction)
            if self.marks is not None:
                terms["landmarks"] = landmark_term(
                    self.marks, unknowns.body, unknowns.betas, unknowns.rows, frame, correction, self._settings
                )
        terms["thickness"] = self._weights.thickness * unknowns.thickness.square().mean()
        terms |= placed.terms
        if unknowns.gaussians.skinning is not None and plan.skinning_moves:
            terms["skinning"] = self._roughness(unknowns.gaussians.skinning)
        return Compared(view, rendered, tuple(terms), torch.stack(list(terms.values())))

    def _roughness(self, grid: SkinningGrid) -> Tensor:
        """Of the differences of skinning weights."""
        variation = self._weights.skinning_variation * grid.variation()
        return variation + self._weights.skinning_size * grid.size()

    def search(self, unknowns: Unknowns) -> None:
        """Search the neighbours of the Gaussians anew."""
        self._embedding.refresh(unknowns.at_rest())

    def follow(self, unknowns: Unknowns) -> None:
        """There are other Gaussians: their neighbours are others, and what was captured of a step is void."""
        self.search(unknowns)
        self.part.forget()

    def correct(self, unknowns: Unknowns) -> None:
        """See the video by the focal length, and the depth maps without the errors, that were found."""
        self.clip = self.clip.corrected(unknowns.focal, unknowns.planes)
        if self.marks is not None:
            self.marks = self.marks.zoomed(unknowns.focal)
