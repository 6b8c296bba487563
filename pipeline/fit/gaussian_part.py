"""What a step does before there is an image: Gaussians from their parameters, placed in a pose, and their own losses.

A function of tensors alone, whose shapes change only where the Gaussians grow. On a GPU a step's many small operations
take longer to launch than to run; with `fit.cuda_graphs` this part, most of them, is captured once and replayed as two
CUDA graphs, forward and backward. The rest of a step has the shape of its frame's crop, and gsplat reads the number of
intersections back: it cannot be captured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.avatar.binding import HELD
from pipeline.avatar.gaussians import Gaussians, Posable
from pipeline.fit.embedding import Embedding
from pipeline.fit.pose_rows import apply_correction
from pipeline.fit.rendering import place
from pipeline.fit.settings import FitSettings
from pipeline.fit.unknowns import Unknowns
from pipeline.losses.priors import breadth

Function = Callable[..., tuple[Tensor, ...]]
_FIELDS = len(Posable._fields)


class Placed(NamedTuple):
    """Gaussians in a pose."""

    values: Posable  # in the rest pose
    means: Tensor  # [N, 3] metres in the camera frame
    quats: Tensor  # [N, 4]
    terms: dict[str, Tensor]  # weighted losses


class GaussianPart:
    """Call it with what a step moves.

    With `replays` it is captured as CUDA graphs, one pair for each phase; `forget` them when there are other Gaussians.
    """

    def __init__(self, embedding: Embedding, settings: FitSettings, replays: bool) -> None:
        self._embedding, self._settings, self.replays = embedding, settings, replays
        self._captured: dict[tuple[bool, int, bool], Function] = {}

    def forget(self) -> None:
        self._captured.clear()

    def __call__(
        self,
        unknowns: Unknowns,
        frame: int,
        correction: Tensor,  # [75]
        full: bool,
        sh_degree: int,
    ) -> Placed:
        """Gaussians as they are drawn in a frame, and what they cost.

        Args:
            correction: of the frame's pose, see `PoseRows`.
            full: whether this is the full phase, in which Gaussians are held by the surface.
            sh_degree: of the harmonics in use.
        """
        gaussians, betas, betas_change = unknowns.gaussians, unknowns.betas, unknowns.betas_change
        initial = unknowns.rows.initial(frame)
        names = self._names(full)

        def compute(*tensors: Tensor) -> tuple[Tensor, ...]:
            *params, thickness, change, initial_rotmats, initial_pelvis = tensors
            own = gaussians.with_params(dict(zip(gaussians.params, params)), thickness)
            values = own.posable(betas_change, sh_degree)
            pose = apply_correction(change, initial_rotmats, initial_pelvis)
            placed = place(values, unknowns.body, betas, *pose, own.field)
            return *values, *placed, *(self._term(name, values, own) for name in names)

        inputs = *gaussians.params.values(), gaussians.thickness, correction, *initial
        if self.replays:
            key = full, sh_degree, correction.requires_grad
            if key not in self._captured:
                _mean_the_streams_to_differ()
                own = (tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in inputs[-3:])
                # Some bindings ignore some parameters
                self._captured[key] = torch.cuda.make_graphed_callables(
                    compute, (*inputs[:-3], *own), allow_unused_input=True
                )
            compute = self._captured[key]
        outputs = compute(*inputs)
        values, placed, terms = outputs[:_FIELDS], outputs[_FIELDS : _FIELDS + 2], outputs[_FIELDS + 2 :]
        return Placed(Posable(*values), *placed, dict(zip(names, terms)))

    def _names(self, full: bool) -> list[str]:
        """Of the terms that count."""
        held, slender = self._settings.binding in HELD, self._settings.weights.large_scales > 0
        return ["neighbours", *["camel"] * (full and held), *["large"] * (full and slender)]

    def _term(self, name: str, values: Posable, gaussians: Gaussians) -> Tensor:
        if name == "neighbours":
            return self._embedding.smoothness(gaussians)
        if name == "camel":
            return self._embedding.camel(values, gaussians)
        return self._settings.weights.large_scales * breadth(values.scales)


def _mean_the_streams_to_differ() -> None:
    """Graphs are captured on a stream of their own, of which newer versions of torch warn."""
    warn = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if warn is not None:
        warn(False)
