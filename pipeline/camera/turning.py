"""A camera that turns: in each frame the rotation, and the zoom, that explain where the background went.

A far background, or a camera that stands, moves in the picture as K_t R K^-1 tells, whatever its depth (Hartley and
Zisserman, section 8.4). Robust Gauss-Newton on the pixels; Cauchy's weights, at first wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.camera.features import FEWEST, Tracks

_TOLERANCE = 1.5 / 1469  # of the diagonal: what counts as explained; 1.5 px at 1280x720
_LEAST_TOLERANCE = 0.8  # px: no smaller in small pictures, in which points are found no better
_WIDTHS = (16.0, 8.0, 4.0, 2.0, 1.0, 1.0, 1.0)  # of the robust weights, in tolerances
_CELLS = 8  # a side: each part of the picture counts the same, however many points it has


@dataclass(frozen=True)
class Turns:
    """What a frame's points say of the camera. A lost frame has NaN shares, and the turn of the last one seen."""

    turns: np.ndarray  # (T, 3, 3) camera to the first frame's camera
    zooms: np.ndarray  # (T,) focal length over that of the first frame
    turns_zoomed: np.ndarray  # (T, 3, 3) the same where the zoom is free
    still: np.ndarray  # (T,) share of the background that stays where it was in the frame's keyframe
    turning: np.ndarray  # (T,) share that a rotation explains
    zooming: np.ndarray  # (T,) share that a rotation and a zoom explain
    spread: np.ndarray  # (T,) median distance from what a rotation explains, px
    moved: np.ndarray  # (T,) median distance from where it was in the keyframe, px


def tolerance_of(size: tuple[int, int]) -> float:
    """How far off a point may be that counts as explained, px."""
    return max(_TOLERANCE * float(np.hypot(*size)), _LEAST_TOLERANCE)


def explained(tracks: Tracks, off: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(T,) share of each frame's background that is explained, NaN of a lost frame.

    Args:
        tracks: what was seen.
        off: (M,) px that each observation is off.
        size: of the frames, px.
    """
    shares = np.full(len(tracks.key), np.nan)
    for t in np.unique(tracks.frame):
        rows = tracks.rows(t)
        if rows.stop - rows.start >= FEWEST:
            shares[t] = _area_weights(tracks.xy[rows], size)[off[rows] < tolerance_of(size)].sum()
    return shares


def fit_turns(tracks: Tracks, K: np.ndarray, size: tuple[int, int]) -> Turns:
    """The rotation of each frame against its keyframe, chained over keyframes to the first frame.

    Args:
        tracks: what was seen.
        K: (3, 3) px.
        size: width and height, px.
    """
    count, tolerance = len(tracks.key), tolerance_of(size)
    turns, zoomed, zooms = np.tile(np.eye(3), (count, 1, 1)), np.tile(np.eye(3), (count, 1, 1)), np.ones(count)
    shares = np.full((3, count), np.nan)
    sizes = np.full((2, count), np.nan)
    guess, of = np.zeros(4), -1
    for t in range(count):
        key, rows = tracks.key[t], tracks.rows(t)
        xy, key_xy = tracks.xy[rows], tracks.key_xy[rows]
        if key < 0 or len(xy) < FEWEST:
            turns[t], zoomed[t], zooms[t] = (
                (turns[t - 1], zoomed[t - 1], zooms[t - 1]) if t else (np.eye(3),) * 2 + (1,)
            )
            continue
        if key != of:  # the last frame's turn, seen from the new keyframe
            last = turns[t - 1].T @ turns[key] if t else np.eye(3)
            guess, of = np.append(Rotation.from_matrix(last).as_rotvec(), 0.0), key
        weights = _area_weights(xy, size)
        shape = tracks.shape[tracks.point[rows]]
        moved = np.linalg.norm(np.einsum("nij,nj->ni", shape, xy - key_xy), axis=1)
        guess, off = _fit(K, key_xy, xy, shape, weights, guess * [1, 1, 1, 0], 3, tolerance)
        free, off_free = _fit(K, key_xy, xy, shape, weights, guess, 4, tolerance)
        turns[t] = turns[key] @ Rotation.from_rotvec(guess[:3]).as_matrix().T
        zoomed[t] = zoomed[key] @ Rotation.from_rotvec(free[:3]).as_matrix().T
        zooms[t] = zooms[key] * np.exp(free[3])
        shares[:, t] = [weights[errors < tolerance].sum() for errors in (moved, off, off_free)]
        sizes[:, t] = np.median(off), np.median(moved)
    return Turns(turns, zooms, zoomed, *shares, *sizes)


def _area_weights(xy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N,) that sum to 1, the same for each cell of the picture that has points."""
    cell = np.clip((_CELLS * xy / size).astype(int), 0, _CELLS - 1) @ [1, _CELLS]
    weights = 1 / np.bincount(cell, minlength=_CELLS**2)[cell]
    return weights / weights.sum()


def _fit(
    K: np.ndarray,
    start: np.ndarray,  # (N, 2) px in the keyframe
    end: np.ndarray,  # (N, 2) px in the frame
    shape: np.ndarray,  # (N, 2, 2) what counts of an error
    weights: np.ndarray,  # (N,)
    guess: np.ndarray,  # (4,) rotation vector, camera of the keyframe to that of the frame; logarithm of the zoom
    unknowns: int,  # 3: no zoom; 4
    tolerance: float,  # px
) -> tuple[np.ndarray, np.ndarray]:
    """The rotation and zoom, and what is left in pixels (N,)."""
    focal, centre = K[[0, 1], [0, 1]], K[:2, 2]
    rays = np.column_stack([(start - centre) / focal, np.ones(len(start))])
    turn, zoom = Rotation.from_rotvec(guess[:3]).as_matrix(), guess[3]

    def errors() -> tuple[np.ndarray, ...]:
        x, y, z = (rays @ turn.T).T
        u, v = x / np.maximum(z, 0.05), y / np.maximum(z, 0.05)
        left = np.einsum("nij,nj->ni", shape, end - centre - np.stack([u, v], 1) * focal * np.exp(zoom))
        return u, v, left, np.linalg.norm(left, axis=1)

    for width in _WIDTHS:
        u, v, left, off = errors()
        robust = weights / (1 + (off / (width * tolerance)) ** 2)
        # A small turn w moves u by (-uv, 1 + u^2, -v) w, and v by (-1 - v^2, uv, u) w.
        jacobian = np.stack([np.stack([-u * v, 1 + u * u, -v, u], 1), np.stack([-1 - v * v, u * v, u, v], 1)], 1)
        jacobian = shape @ (jacobian * (focal * np.exp(zoom))[:, None])[..., :unknowns]
        normal = np.einsum("nki,n,nkj->ij", jacobian, robust, jacobian) + 1e-9 * np.eye(unknowns)
        step = np.linalg.solve(normal, np.einsum("nki,n,nk->i", jacobian, robust, left))
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ turn
        zoom += step[3] if unknowns == 4 else 0.0
    return np.append(Rotation.from_matrix(turn).as_rotvec(), zoom), errors()[3]
