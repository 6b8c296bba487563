"""What correcting a frame's landmarks takes, on one core: the linear map, the network, and the rotations it tells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.rows import Row, timed
from benchmarks.timing import interleave
from pipeline.estimators.smplify.corrector import corrected_world
from pipeline.estimators.smplify.rotations import expected_pose
from pipeline.estimators.smplify.temporal import corrected_over_time
from pipeline.landmarks.detector import LANDMARK_NAMES

SECTION = "start"
ALL = "network and rotations"
FPS = 30.0


def bench(frames: int, rounds: int) -> list[Row]:
    """Milliseconds a frame of a clip of so many."""
    seen, count = _landmarks(frames), np.arange(frames)
    calls: dict[str, Callable[[], object]] = {
        "linear map": lambda: corrected_world(*seen),
        "network": lambda: corrected_over_time(count, FPS, *seen),
        ALL: lambda: (corrected_over_time(count, FPS, *seen), expected_pose(count, FPS, *seen)),
    }
    timings = interleave(calls, rounds, "start", budget=20)
    return timed(timings, SECTION, f"{frames} frames", calls=frames)


def _landmarks(frames: int) -> tuple[np.ndarray, ...]:
    """xy (T, 33, 2), visibility, world and K of points that wander four metres away: what they are costs nothing."""
    random = np.random.default_rng(0)
    steps = 0.01 * random.normal(size=(frames, len(LANDMARK_NAMES), 3))
    world = random.uniform(-0.8, 0.8, (len(LANDMARK_NAMES), 3)) + np.cumsum(steps, axis=0)
    K = np.array([[600.0, 0.0, 240.0], [0.0, 600.0, 320.0], [0.0, 0.0, 1.0]])
    image = (world + np.array([0.0, 0.0, 4.0])) @ K.T
    return image[..., :2] / image[..., 2:], np.ones(world.shape[:2]), world, K
