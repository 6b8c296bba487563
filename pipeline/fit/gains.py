"""Gains of the frames: what a camera's exposure and white balance change from frame to frame, three numbers a frame.

An avatar whose colours do not change cannot follow a camera that brightens, or drifts to yellow, and would learn a mean
of all frames. So each frame is divided by its own gain, one a channel, before anything is compared with it. A gain is
the least-squares answer to what was rendered, found in closed form whenever its frame is drawn:

    min_g  sum_p w_p (g r_p - t_p)^2 + lambda w_p (g - 1)^2

over the pixels of the person, r as rendered, t as filmed, w robust (a pixel that differs much says nothing of light).
What all frames have in common belongs to the colours: the mean logarithm over the trained frames is 0.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.fit.data import View
from pipeline.fit.gain_kernels import gain_sums
from pipeline.fit.rendering import Rendered
from pipeline.losses.priors import robust_weight
from pipeline.runtime.jit import array_of, has_kernels

_HELD = 0.003  # lambda: as much as pixels of a twentieth of full brightness have to say
_SURE = 0.95  # of mask and alpha, from which a pixel is the person's and nobody else's
_FAR = 0.3  # length of a difference of colours from which it is no matter of light
_FEWEST = 50  # pixels: with no more than so many a gain is held twice as much
_EVERY = 2  # of the rows and columns of a crop are looked at
_NEW = 0.5  # share of a new answer: poses and colours still move
_MOST = 0.4  # logarithm: what goes beyond it is no exposure


def gain_of(
    rendered: Tensor,  # [P, 3]
    filmed: Tensor,  # [P, 3]
    share: Tensor,  # [P]
    before: Tensor,  # [3]
) -> Tensor:  # [3]
    """The gain of a frame, by the equation above.

    Args:
        rendered: colours of pixels of the person, without a gain.
        filmed: the same pixels of the frame, not divided by any gain.
        share: how much each pixel counts. Where all are 0, the gain stays 1.
        before: the gain so far: pixels that differ much under it count less.
    """
    apart = (before * rendered - filmed).square().sum(1)
    weight = (share * robust_weight(apart, _FAR))[:, None]
    weighted = weight * rendered
    return _answer(weight.sum(), (weighted * filmed).sum(0), (weighted * rendered).sum(0))


def _answer(weight: Tensor | float, both: Tensor, squares: Tensor) -> Tensor:  # [3]
    """Where the sum of squares is least, given the sums of w, of w r t and of w r^2."""
    held = _HELD * (weight + _FEWEST)
    return (both + held) / (squares + held)


def _found_by_kernel(view: View, rendered: Rendered, before: Tensor) -> Tensor:  # [3]
    """`gain_of` the pixels that `Gains.find` looks at."""
    arrays = [array_of(part) for part in (view.image, view.known, rendered.pixels, rendered.alpha, before)]
    sums = np.zeros((2, 3))
    weight = gain_sums(*arrays, _EVERY, 255 * _SURE, np.float32(_SURE), np.float32(_FAR), *sums)
    return _answer(weight, *torch.from_numpy(sums)).to(before)


class Gains:
    """The gains of a clip while it is fitted.

    Attributes:
        log: their logarithms, changed in place. [T, 3]
    """

    def __init__(
        self,
        frames: np.ndarray,  # [T']
        count: int,
        device: torch.device,
    ) -> None:
        """
        Args:
            frames: those that are trained.
            count: T.
        """
        self.log = torch.zeros(count, 3, device=device)
        self._frames = torch.as_tensor(frames, device=device)

    @torch.no_grad()
    def find(self, frame: int, view: View, rendered: Rendered) -> None:
        """Find the gain of a frame anew.

        Args:
            view: what it was compared with, divided by its gain so far.
            rendered: the same, over any background.
        """
        before = self.log[frame].exp()
        if has_kernels(rendered.pixels):
            found = _found_by_kernel(view, rendered, before)
        else:
            some = slice(None, None, _EVERY), slice(None, None, _EVERY)
            sure = (view.known[some] > 255 * _SURE) & (rendered.alpha[some] > _SURE)
            filmed = view.image[some].reshape(-1, 3) * (before / 255)
            found = gain_of(rendered.image[some].reshape(-1, 3), filmed, sure.flatten().to(filmed), before)
        self.log[frame] = torch.lerp(self.log[frame], found.clamp(min=1e-3).log(), _NEW).clamp(-_MOST, _MOST)

    @torch.no_grad()
    def centre(self) -> None:
        """Take out what all trained frames have in common."""
        self.log -= self.log[self._frames].mean(0)

    @torch.no_grad()
    def settle(self) -> None:
        """The same once more, and the frames between trained ones get what lies between."""
        self.centre()
        places, known = self._frames.cpu().numpy(), self.log[self._frames].cpu().numpy()
        every = np.arange(len(self.log))
        between = np.stack([np.interp(every, places, column) for column in known.T], axis=1)
        self.log.copy_(torch.as_tensor(between))
