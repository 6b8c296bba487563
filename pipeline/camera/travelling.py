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

from pipeline.camera.bundle import Path, Sightings, adjust, covariance, errors
from pipeline.camera.features import Tracks
from pipeline.camera.turning import tolerance_of

_SPACING = 0.25  # seconds between the frames that are adjusted together
_FIRST = 8  # of them make the first points
_WINDOW = 8  # are adjusted with each new one
_STARTS = 4  # guesses of the first points' distances
_SEEN = 160  # points a frame, at most: a track of 10,000 frames must fit into memory
_CORRELATED = 20.0  # points whose errors can be taken for independent, at most: neighbours err together


@dataclass(frozen=True)
class Solution:
    """A path of all T frames; a distance of 1 is about that of the background at the beginning."""

    turns: np.ndarray  # (T, 3, 3) camera to world, the first frame's
    centres: np.ndarray  # (T, 3)
    rho: np.ndarray  # (N,) of all points of the tracks; NaN where it is not known
    off: np.ndarray  # (M,) px that each observation is off; 0 of a point in its own keyframe
    sigma: np.ndarray  # (T, 2) of turn (radians) and place


def solve(
    tracks: Tracks, K: np.ndarray, size: tuple[int, int], turns: np.ndarray, fps: float, travels: bool
) -> Solution:
    """The path of a camera that travels, or turns.

    Args:
        tracks: what was seen.
        K: (3, 3) px.
        size: of the frames, px.
        turns: (T, 3, 3) camera to world, a first guess.
        fps: frames a second.
        travels: False: it stands, and the path is of turns alone.
    """
    width, count = tolerance_of(size), len(tracks.key)
    stride = max(1, round(_SPACING * fps))
    seen_frames = np.unique(tracks.frame)
    chosen = np.unique(np.concatenate([seen_frames[::stride], tracks.key[tracks.key >= 0], seen_frames[-1:]]))
    some = _sightings(tracks, K, chosen)
    path = Path(turns[chosen], np.zeros((len(chosen), 3)), np.ones(len(tracks.first)))
    if travels:
        path = _grown(K, some, path, tracks, size, width)
    free = np.arange(len(chosen)) > 0
    path = adjust(K, some, path, free, width, 60, travels)
    spread = np.median(errors(K, some, path)) / 1.177  # px, of a coordinate: Rayleigh's distribution
    variances = covariance(K, some, path, free, width, travels) * spread**2
    known = np.bincount(some.point, minlength=len(path.rho)) > 0

    all_frames = _sightings(tracks, K, np.arange(count))
    start = _between(path, chosen, count, turns)
    moving = ~np.isin(np.arange(count), chosen) & np.isin(np.arange(count), seen_frames)
    rows = moving[all_frames.frame] & known[all_frames.point]
    whole = adjust(K, all_frames.chosen(rows), start, moving, width, 10, travels, points=False)
    lost = ~np.isin(np.arange(count), seen_frames)
    if lost.any():
        there = np.flatnonzero(~lost)
        held = Path(whole.turns[there], whole.centres[there], whole.rho)
        whole = replace(_between(held, there, count, turns), rho=whole.rho)
    off = np.zeros(len(tracks.frame))
    other = tracks.frame != tracks.first[tracks.point]
    off[other] = errors(K, _sightings(tracks, K, np.arange(count), most=None), whole)
    sigma = np.sqrt(np.stack([variances[:, :3].mean(1), variances[:, 3:].mean(1)], 1))
    few = np.sqrt(max(1.0, len(some.frame) / len(chosen) / _CORRELATED))
    sigma = interp1d(chosen, sigma * few, axis=0, bounds_error=False, fill_value="extrapolate")(np.arange(count))
    return Solution(whole.turns, whole.centres, np.where(known, whole.rho, np.nan), off, np.maximum(sigma, 0))


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
    return Sightings(camera[tracks.frame[rows]], camera[tracks.first[point]], point, rays, tracks.xy[rows])


def _grown(K: np.ndarray, seen: Sightings, path: Path, tracks: Tracks, size: tuple[int, int], width: float) -> Path:
    """A path frame by frame; `path` holds a guess of the turns."""
    guess, count = path.turns, len(path.turns)
    first = min(_FIRST, count)
    rows = seen.chosen((seen.frame < first) & (seen.anchor < first))
    free = (np.arange(count) < first) & (np.arange(count) > 0)
    trials = []
    for start in range(_STARTS):
        # What is lower in a picture is mostly nearer; else by chance. A wrong guess may end in a hollow mask.
        rng = np.random.default_rng(start)
        rho = 0.6 + 0.8 * tracks.first_xy[:, 1] / size[1] if start == 0 else rng.uniform(0.6, 1.4, len(path.rho))
        trial = adjust(K, rows, replace(path, rho=rho), free, 4 * width, 15)
        trial = adjust(K, rows, trial, free, width, 40)
        trials.append((np.log1p((errors(K, rows, trial) / width) ** 2).sum(), start, trial))
    path = min(trials)[2]
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
            path = adjust(K, mine, path, alone, 4 * width, 10, points=False)
            path = adjust(K, mine, path, alone, width, 10, points=False)
        free = (np.arange(count) <= new) & (np.arange(count) > max(0, new - _WINDOW))
        of_window = np.isin(seen.point, seen.point[free[seen.frame]])
        rows = (seen.frame <= new) & (seen.anchor <= new) & of_window & (seen.frame > new - 2 * _WINDOW)
        path = adjust(K, seen.chosen(rows), path, free, width, 4)
        known[seen.point[rows]] = True
    return path


def _between(path: Path, frames: np.ndarray, count: int, turns: np.ndarray) -> Path:
    """The path at all frames: the given ones, and between them by their shares of time, on the guessed turns."""
    if len(frames) == 1:
        return Path(np.repeat(path.turns, count, 0), np.repeat(path.centres, count, 0), path.rho)
    every = np.clip(np.arange(count), frames[0], frames[-1])
    centres = interp1d(frames, path.centres, axis=0)(every)
    # The guess knows the tremble between; how far it is off changes slowly.
    off = Rotation.from_matrix(path.turns @ turns[frames].transpose(0, 2, 1))
    whole = Slerp(frames, off)(every).as_matrix() @ turns
    whole[frames] = path.turns
    return Path(whole, centres, path.rho)
