"""The masks once more, late in the fit: the avatar is a witness beside the background plate and the detector."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.fit.data import FULL, Clip, View, resized
from pipeline.fit.matte import Drawn, Matte
from pipeline.fit.rendering import Draw
from pipeline.runtime.threads import map_parallel


def refined_again(clip: Clip, draw: Draw, frames: list[int]) -> Clip:
    """The clip with better masks of some frames, and with what is unknown there.

    Args:
        draw: draws the avatar in a frame's pose.
    """

    @torch.no_grad()
    def find(frame: int) -> Matte:
        view = clip.views[frame][FULL]
        colour, alpha = draw(frame, view, view.K.new_zeros(3))
        if clip.log_gains is not None:
            colour = colour * clip.log_gains[frame].exp()  # the plate is compared with the frame as it was filmed
        drawn = Drawn(colour.cpu().numpy(), alpha.cpu().numpy())
        return clip.refiner(frame, clip.boxes[frame], view.image.cpu().numpy(), view.found.cpu().numpy(), drawn)

    return _with_masks(clip, dict(zip(frames, map_parallel(find, frames))))


def packed(clip: Clip) -> list[Tensor | None]:
    """The clip's masks, and what of them is known, as a checkpoint keeps them: PNG, one above the other."""
    views = (levels and levels[FULL] for levels in clip.views)
    return [view and _png(torch.cat([view.mask, view.sure]).cpu().numpy()) for view in views]


def unpacked(clip: Clip, masks: list[Tensor | None]) -> Clip:
    """The clip with masks that were `packed`."""
    both = {frame: _picture(png) for frame, png in enumerate(masks) if png is not None}
    return _with_masks(clip, {frame: Matte(*np.split(each, 2)) for frame, each in both.items()})


def _png(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(cv2.imencode(".png", picture)[1].reshape(-1))


def _picture(png: Tensor) -> np.ndarray:
    return cv2.imdecode(png.cpu().numpy(), cv2.IMREAD_GRAYSCALE)


def _with_masks(clip: Clip, found: dict[int, Matte]) -> Clip:
    views = list(clip.views)
    for frame, each in found.items():
        views[frame] = {level: _with_mask(view, each) for level, view in views[frame].items()}
    return replace(clip, views=tuple(views)).with_facts()


def _with_mask(view: View, found: Matte) -> View:
    layers = (torch.from_numpy(resized(layer, list(view.size))) for layer in (found.alpha, found.sure))
    mask, sure = (layer.to(view.mask.device) for layer in layers)
    return replace(view, mask=mask, sure=sure)
