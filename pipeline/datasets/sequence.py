"""What every reader gives: one person's sequence, its SMPL motion in the frame of the camera at each instant."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

# What a dataset may ship beside its frames and the reference motion, and the stage that it then stands in for.
PARTS = {"camera": "depth", "masks": "masks", "depth": "depth", "pose": "pose"}


@dataclass(frozen=True)
class Motion:
    """SMPL parameters of the neutral body in the camera's frame: OpenCV axes, metres, radians, as in formats.pose."""

    global_orient: np.ndarray  # (T, 3) axis-angle
    body_pose: np.ndarray  # (T, 69) axis-angle
    betas: np.ndarray  # (10,)
    transl: np.ndarray  # (T, 3) metres, added after the root offset
    valid: np.ndarray  # (T,) bool; where False the nearest valid row is repeated


@dataclass(frozen=True)
class Located:
    """Where a sequence lies, found without reading it."""

    inputs: tuple[Path, ...]  # files and folders that it is read from; all exist
    parts: frozenset[str]  # of PARTS, that it ships


@dataclass(frozen=True)
class Sequence:
    """A sequence as its reader found it; pictures are read when they are asked for."""

    title: str  # of the dataset, for people
    images: tuple[Path, ...]  # (T,) in order of time
    fps: Fraction
    K: np.ndarray  # (3, 3) px of the images after undistortion; a pixel's centre lies at +0.5
    metric: bool  # whether K was calibrated
    reference: Motion  # what the dataset states the motion to be
    reference_source: str  # how it was had, for people
    distortion: np.ndarray | None = None  # (5,) k1 k2 p1 p2 k3 of the images, as OpenCV orders them
    initial: Motion | None = None  # an estimate that the dataset ships
    initial_source: str = ""
    mask: Callable[[int], np.ndarray] | None = None  # frame -> uint8 (H, W), 255 = person, as large as the image
    depth: Callable[[int], np.ndarray] | None = None  # frame -> (H, W) metres, 0 = unknown
    world_from_camera: np.ndarray | None = None  # (T, 4, 4) how the camera moved, in any world; None: not stated
    notes: tuple[str, ...] = ()  # what the user should know
