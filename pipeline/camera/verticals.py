"""Gravity from the scene: edges of walls, doors and poles are upright, and most others are level and run in few ways.

Upright edges meet in one point of the picture, those of each level way in one on the horizon. So each tilt of the
camera, and where it is not known each focal length, explains the edges more or less well. How broad the best is tells
how sure the tilt is. (Coughlan and Yuille 1999, for a camera of any tilt.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from pipeline.camera.tilt import up_of

_FRAMES = 3  # looked at, over the clip
_SIDE = 640  # px: longest side that pictures are shrunk to
_SHORTEST = 0.05  # of the picture's longer side: shorter edges are noise
_BORDER = 2.0  # px of the shrunk picture: what ends there may be its border
_MOST = 180  # edges, the longest
_WAYS = 2  # level ways
_CHANCE = 0.1  # of an edge that nothing explains
# Log-likelihood of edges as long as the picture: the errors of pitch are then as large as told, on 36 studio clips.
_WEIGHT = 4.0
_SHARP = 4.0  # degrees: where the pitch is less sure than that, nothing finer is looked for
_FOCALS, _FOCAL_ERROR = np.exp(np.linspace(-0.3, 0.47, 8)), 0.2  # times a guessed focal length, and its error
_ANY_FOCALS = np.exp(0.05 * np.arange(-9, 12))  # times a guessed one; each third is looked at over all tilts
_BETWEEN = np.arange(-0.8, 0.8, 0.005)  # logarithms, between which and beyond which the evidence is interpolated
_LIKELY, _SPREAD = np.array([10.0, 0.0]), np.array([20.0, 10.0])  # degrees: pitch and roll of a camera of any clip
_LEAST = 5.0  # degrees: where no direction is surer than that, edges tell nothing
_MASKED = 127  # of a mask, from which a pixel is the person


@dataclass(frozen=True)
class _Grid:
    """Tilts that are tried, degrees."""

    pitch: tuple[float, float]  # on either side of the middle, and between two
    roll: tuple[float, float]
    error: float  # between an edge and the point where it should meet the others, beyond which it does not
    expected: float  # error of the middle

    def tilts(self, middle: np.ndarray) -> np.ndarray:
        """(N, 2)"""
        pitches, rolls = (
            value + np.arange(-far, far + step / 2, step) for value, (far, step) in zip(middle, (self.pitch, self.roll))
        )
        return np.stack(np.meshgrid(pitches, rolls, indexing="ij"), axis=-1).reshape(-1, 2)


_COARSE, _FINE = _Grid((22.5, 2.5), (22.5, 2.5), 3.0, 10.0), _Grid((5.0, 1.25), (2.0, 0.5), 1.5, np.inf)
_ANY = _Grid((37.5, 2.5), (15.0, 2.5), 3.0, np.inf)


@dataclass(frozen=True)
class LineTilt:
    """What the edges tell of the camera's tilt."""

    tilt: np.ndarray  # (2,) pitch and roll, degrees
    covariance: np.ndarray  # (2, 2) of its error


@dataclass(frozen=True)
class Focal:
    """A focal length and how sure one is of it."""

    times: float  # over the guessed one
    sigma: float  # relative standard deviation

    def and_also(self, other: Focal) -> Focal:
        """What two say that do not know of each other: the mean by how sure each is."""
        ours, theirs = self.sigma**-2, other.sigma**-2
        mean = (ours * np.log(self.times) + theirs * np.log(other.times)) / (ours + theirs)
        return Focal(float(np.exp(mean)), float((ours + theirs) ** -0.5))


GUESS = Focal(1.0, _FOCAL_ERROR)


@dataclass(frozen=True)
class Segments:
    """Straight edges in some frames, outside of the person."""

    normals: np.ndarray  # (S, 3) unit, in the camera's axes: of the plane through the camera and the edge
    turns: np.ndarray  # (S, 3, 3) rotations from those axes to the track's world
    lengths: np.ndarray  # (S,) longer sides of the picture, over the number of frames that were looked at
    guessed: bool  # whether the focal length is

    def tell(self, expected: np.ndarray) -> LineTilt | None:
        """Pitch and roll near to those expected (2,), degrees; None where the edges tell little."""
        if not len(self.lengths):
            return None
        told = self._told(_COARSE, expected)
        if told.covariance[0, 0] < _SHARP**2:
            told = self._told(_FINE, told.tilt)
        return None if np.linalg.eigvalsh(told.covariance)[0] > _LEAST**2 else told  # posts alone tell the roll

    def tell_focal(self, before: Focal = GUESS) -> Focal:
        """The focal length over that of K, a guess, by the edges and by what was known before.

        Whatever the tilt: of every focal length the evidence of all tilts near to its best one.
        """
        if not len(self.lengths):
            return before
        tilts, evidence = _ANY.tilts(_LIKELY), []
        best = [tilts[self._votes(tilts, focal, _ANY.error).argmax()] for focal in _ANY_FOCALS[1::3]]
        for number, focal in enumerate(_ANY_FOCALS):
            evidence.append(logsumexp(self._votes(_FINE.tilts(best[number // 3]), focal, _FINE.error)))
        known = -0.5 * ((_BETWEEN - np.log(before.times)) / before.sigma) ** 2
        shares = softmax(np.interp(_BETWEEN, np.log(_ANY_FOCALS), evidence) + known)
        mean = shares @ _BETWEEN
        return Focal(float(np.exp(mean)), float(np.sqrt(shares @ (_BETWEEN - mean) ** 2)))

    def _votes(self, tilts: np.ndarray, focal: float, error: float) -> np.ndarray:
        """Log-likelihood (N,) of the edges and of such tilts, where nothing else tells them."""
        return _WEIGHT * self._explained(tilts, focal, error) - 0.5 * (((tilts - _LIKELY) / _SPREAD) ** 2).sum(1)

    def _told(self, grid: _Grid, middle: np.ndarray) -> LineTilt:
        """The mean over the tilts of a grid, by how likely each is."""
        tilts = grid.tilts(middle)
        focals = _FOCALS if self.guessed else np.ones(1)
        total = np.stack([_WEIGHT * self._explained(tilts, focal, grid.error) for focal in focals])
        total -= 0.5 * (((tilts - middle) / grid.expected) ** 2).sum(1)
        total -= 0.5 * (np.log(focals) / _FOCAL_ERROR)[:, None] ** 2
        shares = np.exp(total - total.max()).sum(0)
        shares /= shares.sum()
        mean = shares @ tilts
        return LineTilt(mean, (tilts - mean).T @ ((tilts - mean) * shares[:, None]))

    def _explained(self, tilts: np.ndarray, focal: float, error: float) -> np.ndarray:
        """Log-likelihood (N,) of the edges for tilts (N, 2), with so many times the focal length."""
        kept = np.argsort(-self.lengths)[:_MOST]
        lengths = self.lengths[kept].astype(np.float32)
        normals = np.einsum("sij,sj->si", self.turns[kept], self.normals[kept] * [focal, focal, 1])
        normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
        ways = np.radians(np.arange(0, 180, error))
        ways = np.stack([np.cos(ways), np.sin(ways)]).astype(np.float32)
        out = np.empty(len(tilts))
        for number, up in enumerate(up_of(*tilt) for tilt in tilts):
            ahead = np.cross(up, [1.0, 0, 0])
            ahead /= np.linalg.norm(ahead)
            across = np.cross(up, ahead)
            best = _agreeing(normals @ up, error)
            level = _agreeing(normals @ np.stack([ahead, across], axis=1).astype(np.float32) @ ways, error)
            for _ in range(_WAYS):
                gain = lengths @ np.maximum(level - best[:, None], 0)
                best = np.maximum(best, level[:, gain.argmax()])
            out[number] = lengths @ np.log(_CHANCE + (1 - _CHANCE) * best)
        return out


def find_segments(
    frames: Sequence[np.ndarray], masks: Sequence[np.ndarray], K: np.ndarray, turns: np.ndarray, guessed: bool
) -> Segments:
    """Edges by the line segment detector of von Gioi et al. (2010), OpenCV's, in a few frames over the clip.

    Args:
        frames: uint8 (H, W, 3).
        masks: uint8 (H, W), of the person.
        K: px. (3, 3)
        turns: rotations from the camera to the track's world. (T, 3, 3)
        guessed: whether the focal length of K is.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, _FRAMES).astype(int))
    found = [_edges(frames[frame], masks[frame], K) for frame in chosen]
    normals, lengths = (np.concatenate(parts) for parts in zip(*found))
    turned = np.repeat(turns[chosen], [len(lengths) for _, lengths in found], axis=0)
    return Segments(normals, turned, lengths / len(chosen), guessed)


def _agreeing(sines: np.ndarray, error: float) -> np.ndarray:
    """From 1, where planes hold a direction, to 0 from `error` degrees on; of the sines of the angles between them."""
    return np.square(np.maximum(0, 1 - np.square(sines / np.float32(np.sin(np.radians(error))))))


def _edges(image: np.ndarray, mask: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals (S, 3) in the camera's axes, and lengths (S,) in longer sides of the picture."""
    import cv2

    scale = min(1.0, _SIDE / max(image.shape[:2]))
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lines = cv2.createLineSegmentDetector().detect(grey)[0]
    ends = (np.zeros((0, 4)) if lines is None else lines.astype(float)).reshape(-1, 2, 2) / scale
    size = np.array(image.shape[1::-1])
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) / size.max()
    middle = np.clip(ends.mean(1).astype(int), 0, size - 1)
    border = (ends.max(1) < _BORDER / scale).any(1) | (ends.min(1) > size - _BORDER / scale).any(1)
    kept = (length > _SHORTEST) & (mask[middle[:, 1], middle[:, 0]] <= _MASKED) & ~border
    rays = np.concatenate([ends[kept] + 0.5, np.ones((kept.sum(), 2, 1))], axis=2) @ np.linalg.inv(K).T
    normals = np.cross(rays[:, 0], rays[:, 1])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True), length[kept]
