"""Moves that a body makes by formula: walk, run, turn, wave, squat, dance, sit, cross, jump; each turns
joints of a rig.

In the angles below, for a person standing: x turns about the left-right axis (thigh and arm forward: negative; knee
bend: positive), y about the vertical (to the left: positive), z about the front-back axis (left arm down from the
T-pose: negative).
"""

from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES

_TAU = 2 * np.pi


class Rig:
    """Collects rotations of joints, in degrees, and gives SMPL poses."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.rotations = [Rotation.identity(frames) for _ in JOINT_NAMES]

    def turn(self, joint: str, **degrees: np.ndarray | float) -> None:
        """Turn a joint about its parent's axes, in the order given, after what it has been turned by so far."""
        index = JOINT_NAMES.index(joint)
        for axis, angle in degrees.items():
            angles = np.broadcast_to(angle, (self.frames,))
            self.rotations[index] = Rotation.from_euler(axis, angles[:, None], degrees=True) * self.rotations[index]

    def both(self, joint: str, **degrees: np.ndarray | float) -> None:
        """Turn the left joint so, and the right one in mirror image."""
        self.turn(f"left_{joint}", **degrees)
        self.turn(f"right_{joint}", **_mirrored(degrees))

    def arms_down(self, elbow: float = 18, swing_out: float = 0) -> None:
        """From the T-pose to arms hanging relaxed, elbows a little bent, hands turned to the thighs."""
        self.both("collar", z=-7)
        self.both("shoulder", x=8, z=-66 + swing_out, y=-6)
        self.both("elbow", y=-elbow)
        self.both("wrist", x=-8, z=-6)

    def sway(self, time: np.ndarray, rng: np.random.Generator) -> None:
        """Breath and small slow wandering of the upper body: nobody holds a pose exactly."""
        for joint, size in (
            ("spine2", 1.2),
            ("neck", 1.5),
            ("head", 2.0),
            ("left_shoulder", 1.5),
            ("right_shoulder", 1.5),
        ):
            for axis in "xyz":
                rate, phase = rng.uniform(0.15, 0.45), rng.uniform(0, _TAU)
                self.turn(joint, **{axis: size * np.sin(_TAU * rate * time + phase)})
        self.turn("spine3", x=0.8 * np.sin(_TAU * 0.28 * time + rng.uniform(0, _TAU)))

    def poses(self) -> np.ndarray:
        return np.concatenate([rotation.as_rotvec() for rotation in self.rotations], axis=1)


def _mirrored(degrees: dict[str, np.ndarray | float]) -> dict[str, np.ndarray | float]:
    return {axis: angle if axis == "x" else -np.asarray(angle) for axis, angle in degrees.items()}


def _cycle(*points: tuple[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """A smooth periodic curve of phase in [0, 1) through (phase, degrees) points."""
    phases, values = zip(*points)
    spline = CubicSpline([*phases, phases[0] + 1], [*values, values[0]], bc_type="periodic")
    return lambda phase: spline(np.mod(phase - phases[0], 1) + phases[0])


# Sagittal angles over one gait cycle, heel strike at 0, toe-off near 0.62; after Winter, "Biomechanics and Motor
# Control of Human Movement", natural cadence, rounded.
_GAIT_HIP = _cycle((0.0, 24), (0.12, 19), (0.3, 5), (0.5, -13), (0.62, -6), (0.75, 17), (0.88, 27))
_GAIT_KNEE = _cycle((0.0, 4), (0.14, 16), (0.38, 5), (0.5, 11), (0.62, 40), (0.72, 61), (0.85, 36), (0.96, 5))
_GAIT_ANKLE = _cycle((0.0, 4), (0.08, -5), (0.3, 6), (0.47, 10), (0.62, -16), (0.75, 4), (0.88, 8))  # up: positive
_RUN_HIP = _cycle((0.0, 32), (0.2, 10), (0.38, -12), (0.55, 5), (0.75, 45), (0.9, 42))
_RUN_KNEE = _cycle((0.0, 18), (0.15, 38), (0.35, 18), (0.5, 60), (0.65, 100), (0.8, 75), (0.93, 22))
_RUN_ANKLE = _cycle((0.0, 5), (0.18, 18), (0.38, -22), (0.55, -10), (0.8, 2))


def _legs(rig: Rig, phase: np.ndarray, hip: Callable, knee: Callable, ankle: Callable, size: float) -> None:
    for side, shift in (("left", 0.0), ("right", 0.5)):
        at = phase + shift
        rig.turn(f"{side}_hip", x=-size * hip(at))
        rig.turn(f"{side}_knee", x=size * knee(at))
        rig.turn(f"{side}_ankle", x=-size * ankle(at))
        rig.turn(f"{side}_foot", x=-25 * size * np.exp(-(((np.mod(at, 1) - 0.56) / 0.06) ** 2)))  # heel off: toes bend
    rig.both("hip", z=-1.5)


def _arm_swing(rig: Rig, phase: np.ndarray, swing: float, elbow: float) -> None:
    for side, shift in (("left", 0.0), ("right", 0.5)):
        back = np.cos(_TAU * (phase + shift))  # the arm is back when the leg of its side is forward
        mirror = 1 if side == "left" else -1
        rig.turn(f"{side}_shoulder", x=swing * (back - 0.1))
        rig.turn(f"{side}_elbow", y=-mirror * elbow * (0.5 - 0.5 * back))


def _gait(rig: Rig, phase: np.ndarray, size: float) -> None:
    """Pelvis and trunk of a walk: the pelvis goes forward with the swinging leg, the shoulders against it."""
    wave, list_ = np.cos(_TAU * phase), np.sin(_TAU * phase)
    rig.turn("pelvis", z=2.5 * size * list_, y=-4.5 * size * wave, x=2)
    rig.turn("spine1", z=-2.5 * size * list_, y=4 * size * wave)
    rig.turn("spine2", y=3 * size * wave)
    rig.turn("spine3", y=3 * size * wave)
    rig.turn("neck", y=-4 * size * wave)


def _walk(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> float:
    """A walk once round a circle, so that a camera sees all sides."""
    cadence, size = rng.uniform(0.88, 1.0), rng.uniform(0.85, 1.0)
    phase = cadence * time + rng.uniform()
    rig.arms_down()
    _legs(rig, phase, _GAIT_HIP, _GAIT_KNEE, _GAIT_ANKLE, size)
    _arm_swing(rig, phase, 20 * size, 18 * size)
    _gait(rig, phase, size)
    side = rng.choice([-1, 1])
    rig.turn("head", y=side * 12)  # looks where it goes
    rig.turn("pelvis", z=-side * 2, y=rng.uniform(-20, 20) + side * 360 * time / length)
    return 0.0


def _run(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """A run once round a circle, with a short flight after each push."""
    phase = rng.uniform(1.3, 1.45) * time + rng.uniform()
    rig.arms_down()
    _legs(rig, phase, _RUN_HIP, _RUN_KNEE, _RUN_ANKLE, 0.8)
    _arm_swing(rig, phase, 34, 25)
    rig.both("elbow", y=-55)
    _gait(rig, phase, 1.3)
    rig.turn("spine1", x=7)
    side = rng.choice([-1, 1])
    rig.turn("pelvis", z=-side * 4, y=side * 360 * time / length)
    return 0.05 * np.clip(np.sin(_TAU * 2 * (phase - 0.3)), 0, 1) ** 2


def _turn(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> float:
    """On the spot once round, in small steps, the head leading."""
    phase = rng.uniform(0.85, 1.0) * time + rng.uniform()
    rig.arms_down(swing_out=4)
    for side, shift in (("left", 0.0), ("right", 0.5)):
        raised = np.clip(np.sin(_TAU * (phase + shift)), 0, None) ** 1.5
        rig.turn(f"{side}_hip", x=-3 - 20 * raised)
        rig.turn(f"{side}_knee", x=6 + 40 * raised)
        rig.turn(f"{side}_ankle", x=-3 - 6 * raised)
    _arm_swing(rig, phase, 6, 8)
    rig.both("hip", z=2)
    direction = rng.choice([-1, 1])
    rig.turn("pelvis", z=2 * np.sin(_TAU * phase), y=direction * 360 * time / length)
    rig.turn("spine3", z=-2 * np.sin(_TAU * phase))
    rig.turn("neck", y=direction * 8)
    rig.turn("head", y=direction * 10)
    return 0.0


def _wave(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> float:
    """Raise one hand and wave, weight on one leg, then lower it."""
    side = "right" if rng.uniform() < 0.7 else "left"
    mirror = 1 if side == "left" else -1
    up = np.clip(np.minimum(time / (0.22 * length), (length - time) / (0.22 * length)), 0, 1)
    up = up * up * (3 - 2 * up)
    rig.arms_down()
    rig.both("hip", z=3, y=4)
    beat = np.sin(_TAU * rng.uniform(1.5, 1.9) * time)
    rig.turn(f"{side}_collar", z=mirror * 10 * up)
    rig.turn(f"{side}_shoulder", z=mirror * 78 * up, y=-mirror * 22 * up)
    rig.turn(f"{side}_elbow", z=mirror * up * (62 + 22 * beat), y=mirror * 10 * up)
    rig.turn(f"{side}_wrist", z=mirror * up * 12 * np.sin(_TAU * 1.7 * time - 0.8))
    rig.turn("pelvis", z=-mirror * 2 * up, y=mirror * 6 * np.sin(_TAU * 0.3 * time))
    rig.turn("spine2", z=mirror * 3 * up)
    rig.turn("head", z=mirror * 5 * up, y=mirror * 6 * up)
    rig.turn("left_knee", x=4 + 3 * up)
    rig.turn("left_hip", x=-2 - 1.5 * up)
    return 0.0


def _squat(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> float:
    """Down and up, arms reaching forward for balance."""
    repeats = max(1, round(length / rng.uniform(1.9, 2.3)))
    down = (0.5 - 0.5 * np.cos(_TAU * repeats * time / length)) * rng.uniform(0.85, 1.0)
    rig.arms_down()
    rig.both("hip", x=-92 * down, y=9 + 7 * down, z=2 + 5 * down)
    rig.both("knee", x=103 * down)
    rig.both("ankle", x=-29 * down)
    rig.turn("pelvis", x=20 * down, y=rng.uniform(-35, 35))
    rig.turn("spine1", x=8 * down)
    rig.turn("neck", x=-14 * down)
    rig.both("shoulder", x=-62 * down)
    rig.both("elbow", y=-14 * down)
    return 0.0


def _sit(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> float:
    """As if onto a chair and up again, hands to the thighs; stays down for the middle third."""
    down = gaussian_filter1d(np.clip(1.5 - np.abs(3 * time / length - 1.5), 0, 1), 0.06 * len(time), mode="nearest")
    rig.arms_down()
    lean = np.sin(np.pi * down)  # forward on the way, upright at both ends
    rig.both("hip", x=-80 * down - 18 * lean, y=4, z=3)
    rig.both("knee", x=84 * down + 4 * lean)
    rig.both("ankle", x=-6 * down - 8 * lean)
    rig.turn("pelvis", x=-4 * down + 18 * lean, y=rng.uniform(-45, 45))
    rig.turn("spine2", x=10 * lean)
    rig.turn("neck", x=-10 * lean)
    rig.both("shoulder", x=-26 * down, y=-4 * down)
    rig.both("elbow", y=-48 * down)
    return 0.0


def _cross(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> float:
    """Arms crossed before the chest in the middle third, hanging before and after; the weight shifts a little."""
    held = gaussian_filter1d(np.clip(1.5 - np.abs(3 * time / length - 1.5), 0, 1), 0.06 * len(time), mode="nearest")
    upper = rng.choice(["left", "right"])  # the forearm that lies on top
    rig.both("collar", z=-7)
    rig.both("shoulder", x=8 + 52 * held, z=-66 - 6 * held, y=-6)
    rig.both("shoulder", x=-24 * held)
    rig.turn(f"{upper}_shoulder", x=-9 * held)
    rig.both("elbow", y=-18 - 84 * held)
    rig.both("wrist", x=-8, z=-6)
    shift = np.sin(_TAU * 0.2 * time + rng.uniform(0, _TAU))
    rig.turn("pelvis", z=2 * shift, y=rng.uniform(-40, 40) + 8 * shift)
    rig.turn("spine1", z=-2 * shift)
    return 0.0


def _jump(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """Up from both feet on the spot: crouch, push, flight, land on bent knees, stand; again where there is time."""
    repeats = max(1, int(length / 2.4))
    flight, depth = rng.uniform(0.32, 0.43), rng.uniform(75, 95)  # seconds, and degrees of the knees
    landing, reach = rng.uniform(55, 75), rng.uniform(0, 50)  # degrees of the knees and of the arms
    fps = len(time) / length
    end = max(1, round(flight * fps)) / fps  # seconds after the take-off; both are at a frame
    starts = np.round(((np.arange(repeats) + 0.5) * length / repeats - end / 2) * fps) / fps
    at = time - starts[(time * repeats / length).astype(int).clip(0, repeats - 1)]

    def curve(*points: tuple[float, float]) -> np.ndarray:
        return PchipInterpolator(*zip(*points))(np.clip(at, points[0][0], points[-1][0]))

    knee = curve(
        (-0.95, 4), (-0.34, depth), (-0.1, 0.75 * depth), (0, 30), (0.07, 8),
        (end - 0.08, 12), (end, 28), (end + 0.08, 0.3 * 28 + 0.7 * landing), (end + 0.22, landing), (end + 0.85, 4),
    )  # fmt: skip
    toes = curve((-0.14, 0), (0, 30), (0.07, 38), (end - 0.05, 28), (end, 22), (end + 0.1, 0))  # pointed down
    lean = 0.35 * knee
    rig.arms_down()
    rig.both("hip", x=-0.6 * knee - lean, y=6, z=3)
    rig.both("knee", x=knee)
    rig.both("ankle", x=-0.4 * knee + toes)
    rig.both("foot", x=-0.6 * toes)
    rig.turn("pelvis", x=lean, y=rng.uniform(-40, 40))
    rig.turn("neck", x=-0.5 * lean)
    rig.both("shoulder", x=curve((-0.95, 0), (-0.4, 40), (0, -60 - reach), (end, -50), (end + 0.5, 0)))
    flies = (at > 0.5 / fps) & (at < end - 0.5 / fps)
    flies[[0, -1]] = False
    return np.where(flies, np.nan, 0.0)


def _dance(rig: Rig, time: np.ndarray, length: float, rng: np.random.Generator) -> float:
    """Side steps on the beat with swinging hips, arms from low to overhead, the body turning to and fro."""
    beat = rng.uniform(0.85, 1.0) * time + rng.uniform()  # one cycle is two steps
    sway, bounce = np.sin(_TAU * beat), 0.5 - 0.5 * np.cos(2 * _TAU * beat)
    rig.arms_down(elbow=35)
    for side, sign in (("left", 1), ("right", -1)):
        free = np.clip(sign * sway, 0, 1) ** 1.5  # the unloaded leg
        rig.turn(f"{side}_hip", x=-14 * bounce - 26 * free, z=sign * (5 + 5 * free), y=sign * (8 + 8 * free))
        rig.turn(f"{side}_knee", x=22 * bounce + 42 * free)
        rig.turn(f"{side}_ankle", x=-8 * bounce - 8 * free)
        lifted = 0.5 - 0.5 * np.cos(_TAU * (0.5 * beat + (0.25 if side == "left" else 0.6)))
        rig.turn(f"{side}_collar", z=sign * 14 * lifted)
        rig.turn(f"{side}_shoulder", z=sign * 105 * lifted, y=-sign * 35 * (1 - lifted) - sign * 12)
        rig.turn(f"{side}_elbow", y=-sign * (25 + 25 * np.sin(_TAU * beat + sign)), z=sign * 35 * lifted)
        rig.turn(f"{side}_wrist", z=sign * 15 * np.sin(_TAU * beat + 1))
    rig.turn("pelvis", z=6 * sway, x=4 * bounce, y=10 * np.sin(_TAU * beat + 0.6))
    rig.turn("spine1", z=-5 * sway, y=-8 * np.sin(_TAU * beat + 0.6))
    rig.turn("spine3", z=-5 * np.sin(_TAU * beat - 0.5), y=-6 * np.sin(_TAU * beat))
    rig.turn("head", z=5 * np.sin(_TAU * beat - 0.9), x=5 * bounce)
    rig.turn("pelvis", y=50 * np.sin(_TAU * 0.23 * time))
    return 0.0


# Each gives the height of the lowest vertex above the ground, metres; NaN: in free flight.
MOTIONS: dict[str, Callable[[Rig, np.ndarray, float, np.random.Generator], np.ndarray | float]] = {
    "walk": _walk,
    "run": _run,
    "turn": _turn,
    "wave": _wave,
    "squat": _squat,
    "dance": _dance,
    "sit": _sit,
    "cross": _cross,
    "jump": _jump,
}
