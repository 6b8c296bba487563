"""Colours of things as functions of a 3D point, so that they are crisp at any resolution.

Points are (N, 3) metres: rest-pose template points for the subject, room points for the scene. Colours are linear RGB
albedo in [0, 1]; a function is a frozen dataclass, so that it travels to worker processes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipeline.geometry.ramp import smoothstep

Color = tuple[float, float, float]


class Pattern(Protocol):
    def __call__(self, points: np.ndarray) -> np.ndarray: ...


def noise(points: np.ndarray, frequencies: tuple[float, ...], seed: int) -> np.ndarray:
    """Smooth pseudo-random values (N,), mostly in [-1, 1]: sums of plane waves, per metre, lower frequencies louder."""
    rng = np.random.default_rng(seed)
    total = np.zeros(len(points), np.float32)
    for octave, frequency in enumerate(frequencies):
        directions = rng.normal(size=(4, 3))
        directions *= 2 * np.pi * frequency / np.linalg.norm(directions, axis=1, keepdims=True)
        phases = points.astype(np.float32) @ directions.T.astype(np.float32) + rng.uniform(0, 7, 4).astype(np.float32)
        # A wave bent by another one does not look like a wave any more.
        total += np.sin(phases[:, :2] + 1.5 * np.sin(phases[:, 2:])).sum(1) / (octave + 1.4)
    return total / 2


def mix(first: np.ndarray, second: np.ndarray | Color, share: np.ndarray) -> np.ndarray:
    """(N, 3) colours: `first` where `share` (N,) is 0, `second` where it is 1."""
    return first + (np.asarray(second, np.float32) - first) * np.asarray(share, np.float32)[:, None]


def along_limbs(points: np.ndarray) -> np.ndarray:
    """(N,) metres along the body for stripes: height on trunk and legs, distance from the middle on the arms."""
    across = np.abs(points[:, 0])
    arm = (across > 0.19) & (points[:, 1] > -0.05)
    return np.where(arm, across, points[:, 1])


def around_limbs(points: np.ndarray) -> np.ndarray:
    """(N,) metres around trunk and legs, or around the arms: the other coordinate of a pattern on cloth."""
    x, y, z = points.T
    arm = (np.abs(x) > 0.19) & (y > -0.05)
    return np.where(arm, 0.055 * np.arctan2(y - 0.18, z), 0.16 * np.arctan2(x, z))


@dataclass(frozen=True)
class Plain:
    """One colour with a fabric's unevenness."""

    color: Color
    uneven: float = 0.12
    seed: int = 0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        shade = 1 + self.uneven * noise(points, (5, 23, 71), self.seed)
        return np.asarray(self.color, np.float32) * shade[:, None]


@dataclass(frozen=True)
class Stripes:
    """Bands across trunk and sleeves."""

    base: Pattern
    color: Color
    period: float  # metres
    share: float = 0.5  # of the period that is striped

    def __call__(self, points: np.ndarray) -> np.ndarray:
        at = np.mod(along_limbs(points) / self.period, 1)
        return mix(self.base(points), self.color, at < self.share)


@dataclass(frozen=True)
class Plaid:
    """Crossing translucent bands."""

    base: Pattern
    color: Color
    line: Color
    period: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        out = self.base(points)
        for at in (along_limbs(points) / self.period, around_limbs(points) / self.period):
            wave = np.mod(at, 1)
            out = mix(out, self.color, 0.5 * (wave < 0.4))
            out = mix(out, self.line, 0.8 * (np.abs(wave - 0.7) < 0.03))
        return out


@dataclass(frozen=True)
class Print:
    """A busy print: blobs of several colours."""

    base: Pattern
    colors: tuple[Color, ...]
    scale: float = 9.0  # blobs a metre, about
    seed: int = 0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        out = self.base(points)
        for k, color in enumerate(self.colors):
            out = mix(out, color, noise(points, (self.scale, 1.9 * self.scale), self.seed + 17 * k) > 0.45)
        return out


@dataclass(frozen=True)
class Dots:
    """Round dots on a hexagonal grid."""

    base: Pattern
    color: Color
    spacing: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        u, v = around_limbs(points) / self.spacing, along_limbs(points) / (0.866 * self.spacing)
        row = np.floor(v)
        du, dv = np.mod(u + 0.5 * np.mod(row, 2), 1) - 0.5, np.mod(v, 1) - 0.5
        return mix(self.base(points), self.color, du**2 + dv**2 < 0.075)


@dataclass(frozen=True)
class Logo:
    """A round badge with a bar on the chest, and a number-like block on the back."""

    base: Pattern
    color: Color
    second: Color
    height: float  # y of its middle
    size: float = 0.075

    def __call__(self, points: np.ndarray) -> np.ndarray:
        x, y, front = points[:, 0], points[:, 1] - self.height, points[:, 2] > 0.02
        radius = np.hypot(x, y)
        out = mix(self.base(points), self.color, front & (radius < self.size))
        out = mix(out, self.second, front & (np.abs(y) < 0.018) & (radius < self.size * 0.86))
        out = mix(out, self.second, front & (np.abs(radius - 0.9 * self.size) < 0.005))
        ring = (np.abs(x) < 0.06) & (np.abs(y) < 0.09) & ~((np.abs(x) < 0.03) & (np.abs(y) < 0.06))
        back = ~front & (np.abs(x) < 0.19) & (ring | ((np.abs(y) < 0.015) & (np.abs(x) < 0.06)))
        return mix(out, self.color, back)


@dataclass(frozen=True)
class Trimmed:
    """Darker seams and hems where one of the planes is near: (axis 0..2, value, half width)."""

    base: Pattern
    color: Color
    lines: tuple[tuple[int, float, float], ...]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        out = self.base(points)
        for axis, value, half in self.lines:
            at = np.abs(points[:, 0]) if axis == 0 and value > 0 else points[:, axis]
            out = mix(out, self.color, np.abs(at - value) < half)
        return out


@dataclass(frozen=True)
class Buttoned:
    """A front placket with buttons, a collar line and pocket slits: for coats."""

    base: Pattern
    color: Color
    top: float
    bottom: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        x, y, front = points[:, 0], points[:, 1], points[:, 2] > 0
        out = self.base(points) * np.where(front & (np.abs(x - 0.018) < 0.0035), 0.45, 1)[:, None]
        at = np.mod((self.top - y) / 0.11, 1) - 0.5
        button = front & (y < self.top) & (y > self.bottom) & (np.hypot(at * 0.11, np.abs(x) - 0.0) < 0.011)
        out = mix(out, self.color, button)
        slit = front & (np.abs(np.abs(x) - 0.13 - 0.25 * (y + 0.25)) < 0.004) & (np.abs(y + 0.25) < 0.07)
        return out * np.where(slit, 0.35, 1)[:, None]


@dataclass(frozen=True)
class Denim:
    """Trousers: worn thighs, side seams, pockets, a fly."""

    color: Color
    crotch: float  # y
    seed: int = 0
    base: Plain = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", Plain(self.color, 0.16, self.seed))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        x, y, z = points.T
        out = self.base(points)
        worn = np.exp(-(((y + 0.45) / 0.16) ** 2)) * smoothstep(z, 0.03, 0.09)
        out = mix(out, tuple(min(1.0, 1.9 * c + 0.03) for c in self.color), 0.35 * worn)
        seam = (np.abs(z - 0.01) < 0.003) & (np.abs(x) > 0.09)
        pocket = (z < 0) & (np.abs(np.abs(x) - 0.085) < 0.055) & (np.abs(y + 0.285) < 0.06)
        edge = pocket & ~((np.abs(np.abs(x) - 0.085) < 0.051) & (np.abs(y + 0.285) < 0.056))
        fly = (np.abs(x - 0.012) < 0.002) & (z > 0) & (y > self.crotch)
        return out * np.where(seam | edge | fly, 0.5, 1)[:, None]


@dataclass(frozen=True)
class Shoe:
    """Upper, sole, toe cap and laces."""

    upper: Color
    sole: Color
    lace: Color
    ground: float  # y of the bare foot's lowest point

    def __call__(self, points: np.ndarray) -> np.ndarray:
        y, z = points[:, 1], points[:, 2]
        out = Plain(self.upper, 0.06)(points)
        out = mix(out, self.sole, y < self.ground + 0.012)
        tongue = (np.abs(np.abs(points[:, 0]) - 0.125) < 0.026) & (z > 0.02) & (z < 0.1)
        tongue &= (y > self.ground + 0.045) & (y < self.ground + 0.13)
        return mix(out, self.lace, tongue & (np.mod(z / 0.016, 1) < 0.45))


@dataclass(frozen=True)
class Hair:
    """Strands: noise that is fine across and long down."""

    color: Color
    seed: int = 0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        stretched = points * np.array([1.0, 0.18, 1.0])
        strands = noise(stretched, (45, 110, 190), self.seed)
        return np.clip(np.asarray(self.color, np.float32) * (1 + 0.45 * strands)[:, None], 0.004, 1)


@dataclass(frozen=True)
class Skin:
    """Skin with a face on the free body's template: eyes, brows, lips, a little red on cheeks, ears and knuckles."""

    tone: Color
    lips: Color
    iris: Color
    brows: Color
    stubble: float = 0.0  # how much the brow colour shows on the jaw

    def __call__(self, points: np.ndarray) -> np.ndarray:
        side, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
        out = Plain(self.tone, 0.035)(points)
        face = (z > 0.07) & (y > 0.27)
        red = np.exp(-((side - 0.05) ** 2 + (y - 0.352) ** 2) / 0.018**2) + np.exp(
            -(side**2 + (y - 0.357) ** 2) / 0.014**2
        )
        red = np.where(face, red, 0) + (np.abs(points[:, 0]) > 0.79) * 0.6
        out = out * (1 - np.clip(red, 0, 1)[:, None] * np.array([0.0, 0.14, 0.12]))
        jaw = smoothstep(-y, -0.345, -0.325) * smoothstep(z, 0.02, 0.06) * (y > 0.25)
        lip_line = 0.3215
        out = mix(out, self.brows, self.stubble * jaw)
        mouth = (
            face & (side < 0.025) & (np.abs(y - lip_line) < 0.0085 * np.sqrt(np.clip(1 - (side / 0.026) ** 2, 0, 1)))
        )
        out = mix(out, self.lips, mouth & (z > 0.1))
        out = mix(out, (0.08, 0.02, 0.02), mouth & (np.abs(y - lip_line) < 0.0011))
        eye_x, eye_y = side - 0.0305, y - 0.3985
        lid = 0.0056 * np.sqrt(np.clip(1 - (eye_x / 0.0145) ** 2, 0, 1))
        eye = face & (np.abs(eye_y) < lid)
        out = mix(out, (0.06, 0.03, 0.02), face & (np.abs(eye_y - lid) < 0.0016) & (np.abs(eye_x) < 0.0155))
        out = mix(out, (0.6, 0.57, 0.54), eye)
        out = mix(out, self.iris, eye & (np.hypot(eye_x, eye_y) < 0.0058))
        out = mix(out, (0.01, 0.01, 0.01), eye & (np.hypot(eye_x, eye_y) < 0.0027))
        arch = 0.4175 + 0.006 * np.sin(np.clip((side - 0.012) / 0.045, 0, 1) * 2.2)
        brow = face & (side > 0.012) & (side < 0.053) & (np.abs(y - arch) < 0.0036 * (1.15 - (side - 0.012) / 0.05))
        return mix(out, self.brows, 0.85 * brow)
