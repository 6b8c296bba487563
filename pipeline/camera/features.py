"""Points of the background followed through a clip: corners outside the person's masks, by imageal Lucas-Kanade.

A point is looked for in each frame by its patch in a keyframe, not by the patch of the frame before: so a camera that
stands still, or comes back, gathers no drift. A new keyframe is made where little of the last one is left in view and
no older one shows more. Points that are still seen go on under their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

_SIDE = 640  # px: longest side of the pictures that are searched
_MOST = 350  # points of a keyframe
_SPACING = 0.02  # of the longest side, between points
_QUALITY = 0.002  # of the best corner: a floor has weak ones
_CORNER = 9  # px a side, of what is looked at to tell a corner from an edge
_ROUND = 0.05  # least eigenvalue of a corner over its other one
_LEAST_CORNER = 2e-4  # smallest eigenvalue of a corner, at 8 bits
_LK = {"winSize": (17, 17), "maxLevel": 4, "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)}
_BACK = 0.5  # px of the small picture: a point that does not come back nearer than this is not seen
_GROWN = 0.02  # of the longest side that masks are grown by: hair, shadows, soft edges
_ENOUGH = 0.5  # of a keyframe's points: with fewer another keyframe is looked for
_BETTER = 0.7  # of an older keyframe's points, for going back to it
_LOST = 0.2  # of the points that should be in view: with fewer the frame is lost
_LOST_FRAMES = 8  # one after another: the picture has changed for good
FEWEST = 24  # points, below which a frame tells nothing


@dataclass(frozen=True)
class Tracks:
    """What was seen: M observations of N points in T frames. Pixels are of the frames on disk, centres at +0.5."""

    frame: np.ndarray  # (M,) in rising order
    point: np.ndarray  # (M,)
    xy: np.ndarray  # (M, 2) px
    first: np.ndarray  # (N,) keyframe in which a point was found
    first_xy: np.ndarray  # (N, 2) px there
    shape: np.ndarray  # (N, 2, 2) what counts of an error there: all of it across an edge, little along it
    key: np.ndarray  # (T,) the keyframe that a frame was compared with, -1 where it is lost
    key_xy: np.ndarray  # (M, 2) px of the point in that keyframe
    broken: int | None  # frame from which on nothing is recognised
    bare: float  # share of the frames with fewer than FEWEST points

    def rows(self, frame: int) -> slice:
        """The observations of a frame."""
        return slice(*np.searchsorted(self.frame, [frame, frame + 1]))


@dataclass
class _Key:
    frame: int
    image: np.ndarray
    points: np.ndarray  # (N,) their numbers
    xy: np.ndarray  # (N, 2) px of the small picture
    from_first: np.ndarray  # (3, 3) homography from the first keyframe
    now: np.ndarray = field(default=None)  # (N, 2) where they were last looked for
    proven: np.ndarray = field(default=None)  # (N,) seen in another frame: weak corners are gone at once
    here: np.ndarray = field(default_factory=lambda: np.eye(3))  # homography from this keyframe to the last frame


def follow(frames: Sequence[Path], masks: Sequence[Path], size: tuple[int, int]) -> Tracks:
    """Follow the background through all frames.

    Args:
        frames: files of the frames.
        masks: files of the masks, 255 = person.
        size: width and height of the frames, px.
    """
    scale = max(1.0, max(size) / _SIDE)
    small = round(size[0] / scale), round(size[1] / scale)
    follower = _Follower(small)
    for index, (frame, mask) in enumerate(zip(frames, masks)):
        if not follower.step(index, _grey(frame, size, small), _background(mask, small)):
            break
    return follower.tracks(len(frames), np.array(size) / np.array(small))


def _grey(file: Path, size: tuple[int, int], small: tuple[int, int]) -> np.ndarray:
    half = size[0] >= 2 * small[0]
    image = cv2.imread(str(file), cv2.IMREAD_REDUCED_GRAYSCALE_2 if half else cv2.IMREAD_GRAYSCALE)
    return image if image.shape[::-1] == small else cv2.resize(image, small, interpolation=cv2.INTER_AREA)


def _background(file: Path, small: tuple[int, int]) -> np.ndarray:
    """255 where the person is not, nor near."""
    mask = cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), small, interpolation=cv2.INTER_AREA)
    grown = 2 * round(_GROWN * max(small)) + 1
    return np.where(cv2.dilate(mask, np.ones((grown, grown), np.uint8)) > 40, 0, 255).astype(np.uint8)


def _shapes(corners: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(N, 2, 2) the roots of the structure tensors at pixels (N, 2), over their larger eigenvalues' roots."""
    column, row = np.round(xy).astype(int).T
    values, across = corners[row, column, :2], corners[row, column, 2:4].astype(float)
    along = np.stack([-across[:, 1], across[:, 0]], 1)
    ratio = np.sqrt((values[:, 1] / np.maximum(values[:, 0], 1e-12)).clip(0, 1))
    return np.einsum("ni,nj->nij", across, across) + ratio[:, None, None] * np.einsum("ni,nj->nij", along, along)


class _Follower:
    def __init__(self, small: tuple[int, int]) -> None:
        self.small = small
        self.keys: list[_Key] = []
        self.key: _Key | None = None
        self.last: tuple[int, np.ndarray, np.ndarray, np.ndarray] | None = None  # the last frame not lost
        self.found: list[tuple[int, np.ndarray, np.ndarray]] = []  # keyframe, pixels and shapes of points found in it
        self.seen: list[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]] = []
        self.count, self.lost, self.bare = 0, 0, 0
        self.broken: int | None = None

    def step(self, index: int, image: np.ndarray, background: np.ndarray) -> bool:
        """Take in a frame. False where nothing has been recognised for long."""
        if self.key is None:
            self.key = self._add(index, image, background, np.eye(3))
        near, share = self._search(self.key, image, background)
        if share < _ENOUGH or near.sum() < FEWEST:
            near, share = self._other_key(index, image, background, near, share)
        if share < _LOST:
            self.lost += 1
            if self.lost == _LOST_FRAMES:
                self.broken = index - _LOST_FRAMES + 1
            return self.broken is None
        self.lost = 0
        self.bare += near.sum() < FEWEST
        self._note(index, near)
        if share < _ENOUGH and self.key.frame != index:
            self._renew(index, image, background, near)
        self.last = index, image, background, near
        return True

    def _search(self, key: _Key, image: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, float]:
        """Look for a keyframe's points: which are seen (N,), and their share of those that could be."""
        if not len(key.xy):
            return np.zeros(0, bool), 1.0
        ahead = {"flags": cv2.OPTFLOW_USE_INITIAL_FLOW, "minEigThreshold": _LEAST_CORNER, **_LK}
        start = np.float32(key.now)
        moved, ok, _ = cv2.calcOpticalFlowPyrLK(key.image, image, np.float32(key.xy), start.copy(), **ahead)
        back, ok_back, _ = cv2.calcOpticalFlowPyrLK(image, key.image, moved, np.float32(key.xy), **ahead)
        seen = (ok.ravel() == 1) & (ok_back.ravel() == 1) & (np.linalg.norm(back - key.xy, axis=1) < _BACK)
        seen &= self._inside(moved, background)
        if seen.sum() >= 8:
            found, _ = cv2.findHomography(key.xy[seen], moved[seen], cv2.RANSAC, 3.0, maxIters=200)
            if found is not None and np.linalg.det(found) > 0.05:
                key.here = found
        expected = cv2.perspectiveTransform(np.float32(key.xy)[None], key.here)[0]
        key.now = np.where(seen[:, None], moved, expected)
        proven = key.proven if key.proven.any() else np.ones_like(seen)
        possible = proven & (seen | self._inside(expected, background))
        key.proven = key.proven | seen
        return seen, float((seen & proven).sum() / max(possible.sum(), 0.25 * proven.sum(), 1))

    def _inside(self, xy: np.ndarray, background: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            column, row = np.nan_to_num(np.round(xy), nan=-1, posinf=-1, neginf=-1).clip(-1, 1e6).astype(int).T
        width, height = self.small
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        inside[inside] = background[row[inside], column[inside]] > 0
        return inside

    def _other_key(
        self, index: int, image: np.ndarray, background: np.ndarray, near: np.ndarray, share: float
    ) -> tuple[np.ndarray, float]:
        """Go to an older keyframe that shows more, or to the last frame where this one has been lost."""
        to_now = self.key.here @ self.key.from_first
        others = [key for key in self.keys if key is not self.key and len(key.xy)]
        for key in sorted(others, key=lambda key: -self._overlap(to_now @ np.linalg.inv(key.from_first)))[:2]:
            key.here = to_now @ np.linalg.inv(key.from_first)
            if self._overlap(key.here) < _BETTER:
                continue
            key.now = cv2.perspectiveTransform(np.float32(key.xy)[None], key.here)[0]
            seen, more = self._search(key, image, background)
            if more > max(_BETTER, share):
                self.key = key
                return seen, more
        if share < _LOST and self.last is not None and self.last[0] > self.key.frame:
            old = self.key
            self._renew(*self.last)
            seen, more = self._search(self.key, image, background)
            if more > _ENOUGH:
                return seen, more
            self.keys.remove(self.key)
            self.key = old
        return near, share

    def _overlap(self, homography: np.ndarray) -> float:
        """Share of a keyframe that lies in the frame."""
        grid = np.stack(np.meshgrid(*(np.linspace(0.05, 0.95, 6) * side for side in self.small)), -1).reshape(1, -1, 2)
        xy = cv2.perspectiveTransform(np.float32(grid), homography)[0]
        return float(((xy > 0) & (xy < self.small)).all(1).mean())

    def _renew(self, index: int, image: np.ndarray, background: np.ndarray, near: np.ndarray) -> None:
        """A frame becomes the keyframe; the points that it shows go on."""
        old = self.key
        going = (old.points[near], old.now[near]) if len(near) == len(old.points) else None
        self.key = self._add(index, image, background, old.here @ old.from_first, going)

    def _add(
        self,
        index: int,
        image: np.ndarray,
        background: np.ndarray,
        from_first: np.ndarray,
        going: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> _Key:
        points, xy = going if going is not None else (np.zeros(0, int), np.zeros((0, 2)))
        free = background.copy()
        spacing = max(4, round(_SPACING * max(self.small)))
        for x, y in xy:
            cv2.circle(free, (round(float(x)), round(float(y))), spacing, 0, -1)
        wanted = _MOST - len(xy)
        corners = cv2.cornerEigenValsAndVecs(image, _CORNER, 3)
        free[corners[..., 1] < _ROUND * corners[..., 0]] = 0  # along an edge a point slides
        fresh = cv2.goodFeaturesToTrack(image, wanted, _QUALITY, spacing, mask=free) if wanted > 0 else None
        fresh = np.zeros((0, 2)) if fresh is None else fresh.reshape(-1, 2).astype(float)
        numbers = self.count + np.arange(len(fresh))
        self.count += len(fresh)
        self.found.append((index, fresh, _shapes(corners, fresh)))
        all_xy = np.concatenate([xy, fresh])
        key = _Key(index, image, np.concatenate([points, numbers]), all_xy, from_first)
        key.now, key.proven = all_xy.copy(), np.zeros(len(all_xy), bool)
        self.keys.append(key)
        return key

    def _note(self, index: int, near: np.ndarray) -> None:
        key = self.key
        self.seen.append((index, key.frame, key.points[near], key.now[near], key.xy[near]))

    def tracks(self, frames: int, scale: np.ndarray) -> Tracks:
        key = np.full(frames, -1)
        for index, of, *_ in self.seen:
            key[index] = of
        rows = self.seen or [(0, 0, np.zeros(0, int), np.zeros((0, 2)), np.zeros((0, 2)))]

        def pixels(xy: list[np.ndarray]) -> np.ndarray:
            return (np.concatenate(xy) + 0.5) * scale

        return Tracks(
            frame=np.concatenate([np.full(len(row[2]), row[0]) for row in rows]),
            point=np.concatenate([row[2] for row in rows]),
            xy=pixels([row[3] for row in rows]),
            first=np.concatenate([np.full(len(xy), index) for index, xy, _ in self.found]),
            first_xy=pixels([xy for _, xy, _ in self.found]),
            shape=np.concatenate([shapes for *_, shapes in self.found]),
            key=key,
            key_xy=pixels([row[4] for row in rows]),
            broken=self.broken,
            bare=self.bare / max(len(self.seen), 1),
        )
