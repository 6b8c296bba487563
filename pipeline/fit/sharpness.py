"""How sharp each frame shows the person, and what its colours count for that.

A frame that is blurred by motion or out of focus shows colours that the person has not, and an avatar that learns from
it as much as from others gets softer than the sharp ones are. Blur takes fine detail before coarse. So the sharpness of
a frame is how large its second differences are beside its first, inside the person: that hardly depends on how much
texture this side of the person has, which either alone would.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.fit.data import FULL, Clip, View

_SMOOTHED = 1.0  # px by which a picture is smoothed first: noise has more of the finest detail than what is filmed
_WINDOW, _REACH = 5, 7  # px across: what the smoothing looks at, and the differences after it
_WAYS = (1, 0), (0, 1)
_INSIDE = 250  # of the mask, of 255, from which a pixel has nothing of the background
_FEWEST = 50  # pixels: a frame that has fewer is taken for as sharp as others
_BLURRED = 0.65  # of the clip's median sharpness: what turning around and mild streaks leave, and a blur does not
_LEAST = 0.2  # of what sharp frames count


def sharpness(view: View) -> float:
    """The mean square of the Laplacian over that of the gradient, of the person's brightness; 1 / px^2.

    NaN where too little of the person is seen, or nothing differs.
    """
    inside = (view.known.cpu().numpy() >= _INSIDE).astype(np.uint8)
    core = cv2.erode(inside, np.ones((_REACH, _REACH)), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    if core.sum() < _FEWEST:
        return float("nan")
    grey = cv2.cvtColor(view.image.cpu().numpy(), cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (_WINDOW, _WINDOW), _SMOOTHED)
    bends = np.square(cv2.Laplacian(grey, cv2.CV_32F)[core]).mean()
    slopes = sum(np.square(cv2.Sobel(grey, cv2.CV_32F, *way, ksize=1, scale=0.5)[core]).mean() for way in _WAYS)
    return float(bends / slopes) if slopes > 0 else float("nan")


def frame_weights(clip: Clip) -> np.ndarray:
    """What each frame's colours count. (T,)

    Frames nearly as sharp as the median of the trained ones count alike; those that are not less, by the square of
    what they lack. The mean over the trained frames is 1. Frames that are not trained have 1.
    """
    frames = np.flatnonzero(clip.train)
    found = np.array([sharpness(clip.view(frame, FULL)) for frame in frames.tolist()])
    known = np.isfinite(found)
    share = np.ones(len(frames))
    if known.any():
        share[known] = np.square(found[known] / (_BLURRED * np.median(found[known]))).clip(_LEAST, 1)
    weights = np.ones(len(clip))
    weights[frames] = share / share.mean()
    return weights
