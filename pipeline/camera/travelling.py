"""A camera's path from what was seen of the background: some frames adjusted together, then all others between them.

The frames are taken in one after another: each finds its place against the points known so far, then the last few are
adjusted with their points; at the end all together. A path has no scale of its own: the points of the first frames lie
about 1 away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import interp1d
from scipy.spatial.transform import Rotation, Slerp

from pipeline.camera.bundle import Lens, Path, Sightings, adjust, errors, fit_points, variances
from pipeline.camera.features import Tracks
from pipeline.camera.turning import tolerance_of

_AS_GOOD = 1.05  # times the best guess's cost: such guesses are followed to the end
_SPACING = 0.13  # seconds between the frames that are adjusted together
_FIRST = 14  # of them make the first points
_WINDOW = 14  # are adjusted with each new one
_STARTS = (2.0, 4.0, 8.0)  # guesses of the first points: a floor, and a wall so many heights of the camera away
_FEWEST = 12  # known points that tell the place of a frame between
_NARROWEST = 0.15  # px: of the robust weights, at the end
_SEEN = 160  # points a frame, at most: a track of 10,000 frames must fit into memory
_FOCAL_OFF = 1.5  # errors of the focal length over those that pixels with such errors would leave, on studio clips
_INDEPENDENT = {False: 20.0, True: 2.0}  # points a frame whose errors are independent: of one that turns, that travels


@dataclass(frozen=True)
class Solution:
    """A path of all T frames; a distance of 1 is about that of the background at the beginning."""

    turns: np.ndarray  # (T, 3, 3) camera to world, the first frame's
    centres: np.ndarray  # (T, 3)
    rho: np.ndarray  # (N,) of all points of the tracks: 1 over the distance along their ray
    off: np.ndarray  # (M,) px that each observation is off; 0 of a point in its own keyframe
    sigma: np.ndarray  # (T, 2) of turn (radians) and place
    focal: float  # focal length over that of K, by the pixels alone; 1 where K is known
    bend: float  # of the lens (`bundle.py`)
    sigma_focal: float  # relative, of that focal length; infinite where the pixels tell nothing


def solve(
    tracks: Tracks,
    K: np.ndarray,
    size: tuple[int, int],
    turns: np.ndarray,
    fps: float,
    travels: bool,
    lens: Lens,
    grown: bool = True,
) -> Solution:
    """The path of a camera that travels, or turns.

    Args:
        tracks: what was seen.
        K: (3, 3) px.
        size: of the frames, px.
        turns: (T, 3, 3) camera to world, a first guess.
        fps: frames a second.
        travels: False: it stands, and the path is of turns alone.
        lens: how sure K is.
        grown: whether a path is looked for frame by frame; False: all frames at once, from a camera that stands.
    """
    width, count = tolerance_of(size), len(tracks.key)
    stride = max(1, round(_SPACING * fps))
    seen_frames = np.unique(tracks.frame)
    chosen = np.unique(np.concatenate([seen_frames[::stride], tracks.key[tracks.key >= 0], seen_frames[-1:]]))
    some = _sightings(tracks, K, chosen)
    path = Path(turns[chosen], np.zeros((len(chosen), 3)), np.ones(len(tracks.first)))
    if travels:
        path = _grown(K, some, path, tracks, width) if grown else _at_once(K, some, path, tracks, width)
    free = np.arange(len(chosen)) > 0
    path = adjust(K, some, path, free, width, 60, travels, lens=lens)
    for _ in range(2):  # as narrow as the errors of most: what is off elsewhere pulls no more
        width = float(np.clip(2 * np.median(errors(K, some, path)), _NARROWEST, width))
        path = adjust(K, some, path, free, width, 30, travels, lens=lens)
    each, told = variances(K, some, path, free, width, travels, lens)
    pixel = np.median(errors(K, some, path)) / 1.177  # of a coordinate: Rayleigh's distribution
    pixel *= np.sqrt(max(1.0, len(some.frame) / len(chosen) / _INDEPENDENT[travels]))
    focal, sigma_focal = 1.0, np.inf
    if told > 0:  # what the guess has pulled is taken back, to first order
        focal = np.exp(np.clip(np.log(path.focal) * (1 + (width / lens.sigma_focal) ** 2 / told), -1, 1))
        sigma_focal = _FOCAL_OFF * pixel / np.sqrt(told)

    every, lost = np.arange(count), ~np.isin(np.arange(count), seen_frames)
    moving = ~np.isin(every, chosen) & ~lost
    sightings = _sightings(tracks, K, every, most=None)
    some = _sightings(tracks, K, every)
    known = np.isin(np.arange(len(path.rho)), np.unique(_sightings(tracks, K, chosen).point))
    whole = _between(path, chosen, count, turns)
    told = np.bincount(some.frame[known[some.point]], minlength=count) >= _FEWEST
    rows = (moving & told)[some.frame] & known[some.point]
    whole = adjust(K, some.chosen(rows), whole, moving & told, width, 10, travels, points=False)
    if travels:
        fresh = fit_points(K, sightings.chosen(~known[sightings.point]), whole, width).rho
        whole = replace(whole, rho=np.where(known, whole.rho, fresh))
    if lost.any():
        there = np.flatnonzero(~lost)
        whole = _between(replace(whole, turns=whole.turns[there], centres=whole.centres[there]), there, count, turns)
    off = np.zeros(len(tracks.frame))
    off[tracks.frame != tracks.first[tracks.point]] = errors(K, sightings, whole)
    sigma = pixel * np.sqrt(np.stack([each[:, :3].mean(1), each[:, 3:].mean(1)], 1))
    sigma = interp1d(chosen, sigma, axis=0, bounds_error=False, fill_value=(sigma[0], sigma[-1]))(every)
    return Solution(whole.turns, whole.centres, whole.rho, off, sigma, float(focal), path.bend, float(sigma_focal))


def _sightings(tracks: Tracks, K: np.ndarray, frames: np.ndarray, most: int | None = _SEEN) -> Sightings:
    """What these frames see of points found in other ones; at most `most` points a frame, always the same."""
    camera = np.full(len(tracks.key), -1)
    camera[frames] = np.arange(len(frames))
    first = tracks.first[tracks.point]
    rows = np.flatnonzero((camera[tracks.frame] >= 0) & (tracks.frame != first) & (camera[first] >= 0))
    if most is not None:
        order = np.argsort(np.random.default_rng(0).permutation(len(tracks.first))[tracks.point[rows]], kind="stable")
        rows = rows[order[np.argsort(tracks.frame[rows[order]], kind="stable")]]
        starts = np.searchsorted(tracks.frame[rows], tracks.frame[rows])
        rows = np.sort(rows[np.arange(len(rows)) - starts < most])
    point = tracks.point[rows]
    rays = np.column_stack([(tracks.first_xy[point] - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones(len(point))])
    return Sightings(
        camera[tracks.frame[rows]], camera[tracks.first[point]], point, rays, tracks.xy[rows], tracks.shape[point]
    )


def _at_once(K: np.ndarray, seen: Sightings, path: Path, tracks: Tracks, width: float) -> Path:
    """A path of all frames at once; `path` holds a guess of the turns."""
    path, free = replace(path, rho=_floor(K, tracks, max(_STARTS))), np.arange(len(path.turns)) > 0
    for factor in (4, 1):
        path = adjust(K, seen, path, free, factor * width, 40)
    return path


def _floor(K: np.ndarray, tracks: Tracks, start: float) -> np.ndarray:
    """(N,) rho of a floor below, and a wall `start` heights of the camera away."""
    return np.maximum(1.0, start * (tracks.first_xy[:, 1] - K[1, 2]) / K[1, 1])


def _grown(K: np.ndarray, seen: Sightings, path: Path, tracks: Tracks, width: float) -> Path:
    """A path frame by frame; `path` holds a guess of the turns."""
    guess, count = path.turns, len(path.turns)
    first = min(_FIRST, count)
    rows = seen.chosen((seen.frame < first) & (seen.anchor < first))
    free = (np.arange(count) < first) & (np.arange(count) > 0)
    trials = []
    for start in _STARTS:
        # A wrong guess may end in a hollow mask, where what is near is taken for far.
        trial = adjust(K, rows, replace(path, rho=_floor(K, tracks, start)), free, 4 * width, 15)
        trial = adjust(K, rows, trial, free, width, 40)
        trials.append((np.log1p((errors(K, rows, trial) / width) ** 2).sum(), start, trial))
    best = min(trials)[0]
    paths = [_continued(K, seen, trial, guess, rows, width) for cost, _, trial in trials if cost < _AS_GOOD * best]
    return min(paths, key=lambda path: np.log1p((errors(K, seen, path) / width) ** 2).sum())


def _continued(K: np.ndarray, seen: Sightings, path: Path, guess: np.ndarray, rows: Sightings, width: float) -> Path:
    """The frames after the first ones, one after another."""
    count, first = len(path.turns), min(_FIRST, len(path.turns))
    known = np.bincount(rows.point, minlength=len(path.rho)) > 0
    for new in range(first, count):
        turns, centres, rho = path.turns.copy(), path.centres.copy(), path.rho.copy()
        turns[new] = turns[new - 1] @ guess[new - 1].T @ guess[new]
        centres[new] = 2 * centres[new - 1] - centres[new - 2]
        here = seen.point[seen.frame == new]
        rho[~known] = np.median(rho[here[known[here]]]) if known[here].any() else np.median(rho[known])
        path = Path(turns, centres, rho)
        alone = np.arange(count) == new
        mine = seen.chosen((seen.frame == new) & known[seen.point] & (seen.anchor < new))
        if len(mine.frame) >= 8:
            path = adjust(K, mine, path, alone, 4 * width, 5, points=False)
            path = adjust(K, mine, path, alone, width, 5, points=False)
        free = (np.arange(count) <= new) & (np.arange(count) > max(0, new - _WINDOW))
        of_window = np.isin(seen.point, seen.point[free[seen.frame]])
        rows = (seen.frame <= new) & (seen.anchor <= new) & of_window & (seen.frame > new - 2 * _WINDOW)
        path = adjust(K, seen.chosen(rows), path, free, width, 4)
        known[seen.point[rows]] = True
    return path


def _between(path: Path, frames: np.ndarray, count: int, turns: np.ndarray) -> Path:
    """The path at all frames: the given ones, and between them by their shares of time, on the guessed turns."""
    if len(frames) == 1:
        return replace(path, turns=np.repeat(path.turns, count, 0), centres=np.repeat(path.centres, count, 0))
    every = np.clip(np.arange(count), frames[0], frames[-1])
    centres = interp1d(frames, path.centres, axis=0)(every)
    # The guess knows the tremble between; how far it is off changes slowly.
    off = Rotation.from_matrix(path.turns @ turns[frames].transpose(0, 2, 1))
    whole = Slerp(frames, off)(every).as_matrix() @ turns
    whole[frames] = path.turns
    return replace(path, turns=whole, centres=centres)
