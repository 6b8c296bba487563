"""The background behind the person where the camera moves: what other frames show there, brought to where it lies now.

The camera's track says about where each part of the picture lies in another frame. Corners of the background around the
person, followed from one frame to the other, say it to a part of a pixel: by one homography, which is exact for a
camera that turns, and for a plane (Hartley and Zisserman 2004, section 8.4 and equation 13.2). What it does not
explain, such as a chair before a wall past which the camera goes, is noise: the frames differ there, and the plate
differs from the frame itself beside the person. So it decides little where it is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np

from pipeline.fit.plate import FEWEST, SHADE, Crop, Layer, Size, find_plate, frame_gain, in_plate

f4 = np.float32
_SPREAD = 16  # frames that are looked at: so many of the whole clip,
_BESIDE, _APART = 6, 0.12  # and so many before and after the one asked for, so many seconds apart
_KEPT = 48  # frames in memory
_LEAST_SEEN = 0.35  # share of a crop that another frame must show by the track
_AROUND = 0.5  # of the crop's longer side: so far around it corners are followed
_CORNERS, _QUALITY, _SPACING = 150, 0.005, 7  # how many, against the best one, px apart
_ENDS = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03
_FLOW = {"winSize": (15, 15), "maxLevel": 2, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW, "criteria": _ENDS}
_BACK = 0.7  # px that one followed there and back may be off
_TOLERANCE = 1.0  # px, of the homography
_FEWEST_CORNERS, _LEAST_SHARE = 16, 0.4  # that it must explain
_RADII = (12, 48, 192)  # px of the crop, from which the plate's error beside the person is taken, the nearest first
_ENOUGH = 0.05  # share of a window that must tell it
_NOTHING = 127.5  # of 255: noise where nothing is known
_WARP = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class Shot:
    """A frame at the plate's scale."""

    image: np.ndarray  # (h, w, 3) uint8
    hidden: np.ndarray  # (h, w) bool, where the person may be

    @cached_property
    def grey(self) -> np.ndarray:  # (h, w) uint8
        return cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY)

    @property
    def size(self) -> Size:
        height, width = self.hidden.shape
        return width, height


class MovingPlate:
    """The background of each frame of a clip, from the others."""

    def __init__(self, shot: Callable[[int], Shot], turns: np.ndarray, K: np.ndarray, fps: float) -> None:
        """
        Args:
            shot: gives a frame by its index.
            turns: (T, 3, 3) camera to world.
            K: (3, 3) px of the shots.
            fps: frames a second.
        """
        self._shot, self._turns, self._K = lru_cache(_KEPT)(shot), turns, K
        self._spread = np.unique(np.linspace(0, len(turns) - 1, _SPREAD).round().astype(int))
        self._beside = max(1, round(_APART * fps)) * np.delete(np.arange(-_BESIDE, _BESIDE + 1), _BESIDE)
        self._known: dict[int, float] = {}  # share of each frame's crop that others showed

    def crop(self, frame: int, box: Crop, full: Size, size: Size) -> Layer:
        """A part of the background as a frame sees it; arguments as of `Plate.crop`."""
        own = self._shot(frame)
        place = in_plate(box, full, own.size, size)
        corners, stack, gone = _corners(own, place, size), [], []
        for other in self._others(frame):
            there = self._homography(frame, other, corners, place, size)
            if there is not None:
                shot = self._shot(other)
                stack.append(cv2.warpPerspective(shot.image, there @ place, size, flags=_WARP))
                gone.append(_warped_mask(shot.hidden, there @ place, size))
        self._known[frame] = 0.0
        if len(stack) < FEWEST:
            unknown = np.full(size[::-1], _NOTHING, f4)
            return Layer(np.dstack([unknown] * 3), unknown)
        plate = find_plate(stack, gone, np.arange(len(stack)), len(stack))
        self._known[frame] = float(plate.known.mean())
        picture = cv2.warpPerspective(own.image, place, size, flags=_WARP, borderMode=cv2.BORDER_REPLICATE)
        beside = plate.known & ~_warped_mask(own.hidden, place, size)
        colour = plate.layer.colour * frame_gain(picture, ~beside, plate.layer.colour, plate.known).astype(f4)
        return Layer(colour, np.maximum(plate.layer.sigma, _error_beside(picture, colour, beside)))

    def facts(self) -> dict[str, str]:
        """What the provenance tells of it."""
        share = np.mean(list(self._known.values()) or [0.0])
        return {"background plate": f"of each frame, from the others: {100 * share:.0f}% of the crops was seen there"}

    def _others(self, frame: int) -> list[int]:
        """The frames that may show what is hidden in this one."""
        near = frame + self._beside
        near = near[(near >= 0) & (near < len(self._turns))]
        return [int(each) for each in np.union1d(near, self._spread) if each != frame]

    def _homography(
        self, frame: int, other: int, corners: np.ndarray, place: np.ndarray, size: Size
    ) -> np.ndarray | None:
        """(3, 3) from a frame's shot to another's, as the background around a crop moves; None where it is not seen."""
        own, shot = self._shot(frame), self._shot(other)
        turned = self._K @ self._turns[other].T @ self._turns[frame] @ np.linalg.inv(self._K)
        grid = np.stack(np.meshgrid(*(np.linspace(0, side - 1, 9) for side in size)), axis=-1).reshape(-1, 2)
        if _inside(_moved(grid, turned @ place), shot).mean() < _LEAST_SEEN or len(corners) < _FEWEST_CORNERS:
            return None
        guess = _moved(corners, turned).astype(f4)
        moved, there, _ = cv2.calcOpticalFlowPyrLK(own.grey, shot.grey, corners, guess, **_FLOW)
        back, here, _ = cv2.calcOpticalFlowPyrLK(shot.grey, own.grey, moved, corners.copy(), **_FLOW)
        seen = (there.ravel() == 1) & (here.ravel() == 1) & (np.linalg.norm(back - corners, axis=1) < _BACK)
        seen &= _inside(moved, shot)
        column, row = moved[seen].round().astype(int).T
        seen[seen] = ~shot.hidden[row, column]
        if seen.sum() < _FEWEST_CORNERS:
            return None
        found, kept = cv2.findHomography(corners[seen], moved[seen], cv2.USAC_MAGSAC, _TOLERANCE, maxIters=1000)
        explained = 0 if found is None else kept.sum()
        return found if explained >= max(_FEWEST_CORNERS, _LEAST_SHARE * seen.sum()) else None


def _corners(shot: Shot, place: np.ndarray, size: Size) -> np.ndarray:
    """(N, 2) px of the background's corners in and around a crop."""
    (x0, y0), (x1, y1) = _moved(np.array([[0, 0], [size[0] - 1, size[1] - 1]]), place)
    around = _AROUND * max(x1 - x0, y1 - y0)
    near = np.zeros_like(shot.grey)
    left, top = max(0, int(x0 - around)), max(0, int(y0 - around))
    near[top : int(y1 + around) + 1, left : int(x1 + around) + 1] = 255
    near[shot.hidden] = 0
    found = cv2.goodFeaturesToTrack(shot.grey, _CORNERS, _QUALITY, _SPACING, mask=near)
    return np.zeros((0, 2), f4) if found is None else found.reshape(-1, 2)


def _error_beside(
    picture: np.ndarray,  # (h, w, 3) uint8
    colour: np.ndarray,  # (h, w, 3) of the plate
    beside: np.ndarray,  # (h, w) bool, where both show the background
) -> np.ndarray:
    """(h, w) root mean square of what the plate is off by around each pixel; a shadow of the person is no error."""
    pixels = picture.astype(f4)
    shade = np.clip((pixels * colour).sum(2) / np.maximum((colour**2).sum(2), 1), SHADE, 1)[..., None]
    told = beside.astype(f4)
    sums = np.dstack([((pixels - shade * colour) ** 2).mean(2) * told, told])
    error, left = np.full_like(told, _NOTHING), np.ones_like(beside)
    for radius in _RADII:
        means = cv2.boxFilter(sums, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_CONSTANT)
        here = left & (means[..., 1] > _ENOUGH)
        error[here] = np.sqrt(means[here, 0] / means[here, 1])
        left &= ~here
    return error


def _warped_mask(mask: np.ndarray, place: np.ndarray, size: Size) -> np.ndarray:
    """(h, w) bool at a size: where `place` (3, 3) takes a pixel to what is masked, or out of the picture."""
    return cv2.warpPerspective(255 * mask.astype(np.uint8), place, size, flags=_WARP, borderValue=255) > 0


def _moved(xy: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """(N, 2) px by a homography (3, 3)."""
    return cv2.perspectiveTransform(xy[None].astype(np.float64), homography)[0]


def _inside(xy: np.ndarray, shot: Shot) -> np.ndarray:
    """(N,) bool: whether pixels (N, 2) lie in the picture; not where they are none."""
    with np.errstate(invalid="ignore"):
        return ((xy >= 0) & (xy <= np.array(shot.size) - 1)).all(axis=1)
