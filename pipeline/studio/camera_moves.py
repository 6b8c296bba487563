"""How the studio's cameras move: paths of a camera that keeps one person in the picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from pipeline.studio.look import look_at

# (points on the person (T, N, 3) y up, metres; unit direction from the person to the camera; its height; frames a
# second; random numbers) -> for a distance in metres the (T, 4, 4) matrices, world to camera.
Path = Callable[[float], np.ndarray]
Move = Callable[[np.ndarray, np.ndarray, float, float, np.random.Generator], Path]


def _panning(points: np.ndarray, direction: np.ndarray, height: float, fps: float, rng: np.random.Generator) -> Path:
    """On a tripod: it stands, turns after the person, and sweeps a little to both sides."""
    aims, target = _centres(points, fps, 0.3), (points.min((0, 1)) + points.max((0, 1))) / 2
    time = np.arange(len(points)) / fps
    sweep = np.radians(5) * np.sin(2 * np.pi * rng.uniform(0.2, 0.3) * time + rng.uniform(0, 7))
    aside = np.cross([0.0, 1.0, 0.0], direction)

    def at(distance: float) -> np.ndarray:
        eye = np.array([0, height, 0]) + (target + distance * direction) * [1, 0, 1]
        return np.stack([look_at(eye, aim + distance * turn * aside) for aim, turn in zip(aims, sweep)])

    return at


def _following(points: np.ndarray, direction: np.ndarray, height: float, fps: float, rng: np.random.Generator) -> Path:
    """It goes with the person at one distance, in a slow arc around them."""
    aims, time = _centres(points, fps, 0.4), np.arange(len(points)) / fps
    arc = rng.choice([-1, 1]) * 0.25 * np.sin(2 * np.pi * 0.1 * time)
    around = Rotation.from_rotvec(arc[:, None] * [0.0, 1.0, 0.0]).apply(direction)

    def at(distance: float) -> np.ndarray:
        eyes = np.array([0, height, 0]) + (aims + distance * around) * [1, 0, 1]
        return np.stack([look_at(eye, aim) for eye, aim in zip(eyes, aims)])

    return at


def _handheld(points: np.ndarray, direction: np.ndarray, height: float, fps: float, rng: np.random.Generator) -> Path:
    """In the hand of someone who stands: turns after the person, sways by centimetres, trembles and tilts."""
    aims, target = _centres(points, fps, 0.5), (points.min((0, 1)) + points.max((0, 1))) / 2
    count = len(points)
    place = 0.06 * _noise(rng, count, 0.8 * fps) + 0.004 * _noise(rng, count, 0.07 * fps)
    turns = np.radians(1.0) * _noise(rng, count, 0.6 * fps) + np.radians(0.15) * _noise(rng, count, 0.07 * fps)
    shake = np.tile(np.eye(4), (count, 1, 1))
    shake[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix()

    def at(distance: float) -> np.ndarray:
        eye = np.array([0, height, 0]) + (target + distance * direction) * [1, 0, 1]
        return shake @ np.stack([look_at(eye + off, aim) for off, aim in zip(place, aims)])

    return at


MOVES: dict[str, Move] = {"panning": _panning, "following": _following, "handheld": _handheld}


def _centres(points: np.ndarray, fps: float, seconds: float) -> np.ndarray:
    """(T, 3) the person's middle, as smoothly as a camera follows it."""
    middles = (points.min(1) + points.max(1)) / 2
    return gaussian_filter1d(middles, max(seconds * fps, 1e-3), axis=0, mode="nearest")


def _noise(rng: np.random.Generator, count: int, frames: float) -> np.ndarray:
    """(count, 3) smooth random numbers with a standard deviation of 1."""
    reach = int(4 * frames) + 1
    white = rng.standard_normal((count + 2 * reach, 3))
    smooth = gaussian_filter1d(white, frames, axis=0)[reach : reach + count]
    return smooth * np.sqrt(2 * np.sqrt(np.pi) * max(frames, 0.3))
