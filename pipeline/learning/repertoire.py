"""What the studio's people perform to be learnt from: captured motion, motions by formula, poses that they strike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.body.model import MIRRORED_JOINTS
from pipeline.learning.struck import struck
from pipeline.motion.library import lowest, motion, rest_joints
from pipeline.motion.mocap import RATE, Mocap
from pipeline.motion.moves import MOTIONS

_BY_FORMULA, _STRUCK = 0.25, 0.25  # of the performances; the rest is captured, where there is a file
_WHOLE = 5.0  # seconds of a motion by formula, of which a piece is taken
_MIXED = 0.25  # of the performances: arms of another motion
_ANKLES = [k for k, name in enumerate(JOINT_NAMES) if name.endswith("ankle")]
_BENT = np.radians(70)  # no ankle bends farther
_ARMS = [k for k, name in enumerate(JOINT_NAMES) if name.split("_")[-1] in ("collar", "shoulder", "elbow", "wrist")]


@dataclass(frozen=True)
class Performance:
    """A piece of motion in the y-up world, on the ground, around the origin."""

    name: str
    poses: np.ndarray  # (T, 24, 3) axis-angle
    trans: np.ndarray  # (T, 3) metres, as of `motion.library.Motion`


@dataclass(frozen=True)
class Repertoire:
    """Motions to choose from."""

    body: BodyModel
    mocap: Mocap | None

    def perform(self, rng: np.random.Generator, betas: np.ndarray, frames: int, fps: float) -> Performance:
        """A random piece of a random motion, `frames` long at `fps`, as a body of this shape performs it."""
        piece = self.piece(rng, betas, frames, fps)
        ground = lowest(self.body, piece.poses.reshape(frames, 72), betas, piece.trans).min()
        middle = (piece.trans.min(0) + piece.trans.max(0)) / 2
        return Performance(piece.name, piece.poses, piece.trans - [middle[0], ground, middle[2]])

    def piece(self, rng: np.random.Generator, betas: np.ndarray, frames: int, fps: float) -> Performance:
        """As `perform`, but anywhere in space."""
        piece = self._piece(rng, betas, frames, fps)
        if rng.uniform() < _MIXED:
            piece.poses[:, _ARMS] = self._piece(rng, betas, frames, fps).poses[:, _ARMS]
        return piece

    def _piece(self, rng: np.random.Generator, betas: np.ndarray, frames: int, fps: float) -> Performance:
        needed = int(np.ceil((frames - 1) * RATE / fps)) + 1  # frames of the file
        captured = [] if self.mocap is None else [k for k, c in self.mocap.clips.items() if len(c[0]) >= needed]
        kind = rng.uniform(0, _BY_FORMULA + _STRUCK if not captured else 1)
        if kind < _STRUCK:
            made = struck(rng, frames, fps, self.body, betas)
            name, poses, trans = made.name, made.poses, made.trans
        elif kind < _STRUCK + _BY_FORMULA:
            name = str(rng.choice(list(MOTIONS)))
            count = max(frames, int(_WHOLE * fps))
            made = motion(name, count, fps, int(rng.integers(2**31)), self.body, betas)
            taken = slice(first := int(rng.integers(count - frames + 1)), first + frames)
            poses, trans = made.poses[taken], made.trans[taken]
        else:
            lengths = np.array([len(self.mocap.clips[key][0]) for key in captured])
            chances = np.sqrt(lengths)
            chosen = rng.choice(len(captured), p=chances / chances.sum())
            name, first = captured[chosen], rng.integers(lengths[chosen] - needed + 1)
            taken = first + np.round(np.arange(frames) * RATE / fps).astype(int)
            poses, trans = self.mocap.performed(name, rest_joints(self.body, betas), taken)
            poses = with_possible_ankles(poses.reshape(frames, 24, 3))
        poses = poses.reshape(frames, 24, 3).copy()
        if rng.uniform() < 0.5:
            poses, trans = poses[:, MIRRORED_JOINTS] * [1, -1, -1], trans * [-1, 1, 1]
        return Performance(name, poses, trans)


def with_possible_ankles(poses: np.ndarray) -> np.ndarray:  # (T, 24, 3) axis-angle -> (T, 24, 3)
    """An ankle that bends farther than ankles do in any frame stays as at rest in all of them.

    In some captured dances feet turn over within a frame, by up to 180 degrees. No foot goes such a way.
    """
    poses = poses.copy()
    bent = (np.linalg.norm(poses[:, _ANKLES], axis=-1) > _BENT).any(0)
    poses[:, [ankle for ankle, far in zip(_ANKLES, bent) if far]] = 0
    return poses
