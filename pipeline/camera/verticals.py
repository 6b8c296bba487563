"""Gravity from the scene: edges of walls, doors and poles are upright, and their lines meet in one point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.camera.tilt import tilt_of, up_of

_FRAMES = 6  # looked at, over the clip
_SIDE = 640  # px: longest side that pictures are shrunk to
_SHORTEST = 0.06  # of the picture's height: shorter segments are noise
_ERROR = 1.0  # degrees between a segment and the line through the point where they meet
_TRIED, _STEP = 24.0, 1.0  # degrees on either side of what is expected, and between tries
_EXPECTED = 10.0  # degrees: error of what is expected
_NEAR = 35.0  # degrees from the vertical expected: segments farther off in the picture are of something else
_SHARE, _LENGTH = 0.3, 0.5  # least share of the segments' length that agrees, and heights of the picture, of each frame
_ROUNDS = 5
_MASKED = 127  # of a mask, from which a pixel is the person


@dataclass(frozen=True)
class Segments:
    """Straight edges in some frames, outside of the person."""

    normals: np.ndarray  # (S, 3) unit, in the track's world: of the plane through the camera and the edge
    lengths: np.ndarray  # (S,) heights of the picture
    frames: int  # that were looked at

    def up(self, expected: np.ndarray) -> np.ndarray | None:
        """Up (3,) in the track's world, near to what is expected (3,); None where too few edges agree.

        Edges vote for directions that lie in their planes; the best is refined by least squares.
        """
        # What is upright has a plane that nearly holds the direction expected.
        kept = _degrees(self.normals, expected[None])[:, 0] < _NEAR
        normals, lengths = self.normals[kept], self.lengths[kept]
        if not len(normals):
            return None
        pitch, roll = tilt_of(expected)
        steps = np.arange(-_TRIED, _TRIED + _STEP / 2, _STEP)
        ups = np.array([up_of(pitch + down, roll + turned) for down in steps for turned in steps])
        votes = lengths @ np.exp(-0.5 * (_degrees(normals, ups) / (1.5 * _ERROR)) ** 2)
        apart = np.degrees(np.arccos(np.clip(ups @ expected, -1, 1)))
        up = ups[(votes * np.exp(-0.5 * (apart / _EXPECTED) ** 2)).argmax()]
        for _ in range(_ROUNDS):
            weights = lengths * np.exp(-0.5 * (_degrees(normals, up[None])[:, 0] / _ERROR) ** 2)
            direction = np.linalg.eigh((normals * weights[:, None]).T @ normals)[1][:, 0]
            up = direction * np.sign(direction @ up)
        agreeing = lengths[_degrees(normals, up[None])[:, 0] < 1.5 * _ERROR].sum()
        enough = agreeing > _LENGTH * self.frames and agreeing > _SHARE * lengths.sum()
        return up if enough and up @ expected > np.cos(np.radians(_TRIED)) else None


def find_segments(
    frames: Sequence[np.ndarray], masks: Sequence[np.ndarray], K: np.ndarray, turns: np.ndarray
) -> Segments:
    """Edges by the line segment detector of von Gioi et al. (2010), OpenCV's, in a few frames over the clip.

    Args:
        frames: uint8 (H, W, 3).
        masks: uint8 (H, W), of the person.
        K: px. (3, 3)
        turns: rotations from the camera to the track's world. (T, 3, 3)
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, _FRAMES).astype(int))
    found = [_edges(frames[frame], masks[frame], K, turns[frame]) for frame in chosen]
    normals, lengths = (np.concatenate(parts) for parts in zip(*found))
    return Segments(normals, lengths, len(chosen))


def _degrees(normals: np.ndarray, ups: np.ndarray) -> np.ndarray:
    """(S, U) between planes and directions."""
    return np.degrees(np.arcsin(np.clip(np.abs(normals @ ups.T), 0, 1)))


def _edges(image: np.ndarray, mask: np.ndarray, K: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals (S, 3) in the track's world, and lengths (S,)."""
    import cv2

    scale = min(1.0, _SIDE / max(image.shape[:2]))
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    lines = cv2.createLineSegmentDetector().detect(grey)[0]
    ends = (np.zeros((0, 4)) if lines is None else lines.astype(float)).reshape(-1, 2, 2) / scale
    height, width = image.shape[:2]
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) / height
    middle = np.clip(ends.mean(1).astype(int), 0, [width - 1, height - 1])
    kept = (length > _SHORTEST) & (mask[middle[:, 1], middle[:, 0]] <= _MASKED)
    rays = np.concatenate([ends[kept] + 0.5, np.ones((kept.sum(), 2, 1))], axis=2) @ np.linalg.inv(K).T
    normals = np.cross(rays[:, 0], rays[:, 1]) @ turn.T
    return normals / np.linalg.norm(normals, axis=1, keepdims=True), length[kept]
