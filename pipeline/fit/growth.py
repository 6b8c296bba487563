"""What changes the number of Gaussians: they are cloned and split where the loss pulls at them, pruned where faint."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.avatar.densify import ImageGradients, densify
from pipeline.fit.data import View
from pipeline.fit.rendering import Rendered
from pipeline.fit.settings import Densify
from pipeline.fit.unknowns import Unknowns


class Growth:
    """How strongly the loss has pulled at each Gaussian since they last grew, and the growth that follows from it."""

    def __init__(self, unknowns: Unknowns, settings: Densify) -> None:
        self._settings = settings
        self._gradients = ImageGradients(len(unknowns.gaussians), unknowns.thickness.device)

    def watch(self, rendered: Rendered) -> None:
        """Before `backward`: keep the gradient of the places in the image."""
        rendered.meta["means2d"].retain_grad()

    def count(self, rendered: Rendered, view: View) -> None:
        """After `backward`: count the gradient of what was watched."""
        self._gradients.add(rendered.meta["means2d"], rendered.meta["radii"], *view.size)

    def grow(self, unknowns: Unknowns, generator: torch.Generator) -> None:
        """Clone, split and prune, and begin to count anew.

        Args:
            generator: of the random places of those that are split.
        """
        chosen = self._settings
        index, fresh = densify(
            unknowns.gaussians,
            self._gradients.mean(),
            chosen.gradient,
            chosen.split_scale,
            chosen.prune_opacity,
            chosen.max_gaussians,
            generator,
        )
        unknowns.follow(index, fresh)
        self._gradients = ImageGradients(len(unknowns.gaussians), index.device)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"gradients": {"total": self._gradients.total, "seen": self._gradients.seen}}

    def load_state(self, state: dict[str, Any]) -> None:
        self._gradients.total, self._gradients.seen = state["gradients"]["total"], state["gradients"]["seen"]
