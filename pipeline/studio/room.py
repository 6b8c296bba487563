"""A furnished room by a seed: floor, walls, shelves, sofas, pictures, windows, and a light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.studio import patterns as paint
from pipeline.studio.scene import Light, Rectangle, Scene, bake

_BACKSIDE = 0.02  # metres that the thin front of a picture stands off its wall


def build_scene(half: float, seed: int, least_height: float = 0.0) -> Scene:
    """A furnished room of 2 `half` x 2 `half` metres around the origin."""
    rng = np.random.default_rng([seed, 3])
    height = max(rng.uniform(2.9, 3.4), least_height)
    style = _STYLES[rng.integers(len(_STYLES))]
    wall = paint.Plain(style.wall, 0.02, int(rng.integers(999)))
    rectangles = [
        Rectangle(
            np.array([-half, 0, half]), np.array([2 * half, 0, 0]), np.array([0, 0, -2 * half]), style.floor(rng)
        ),
        Rectangle(
            np.array([-half, height, -half]),
            np.array([2 * half, 0, 0]),
            np.array([0, 0, 2 * half]),
            paint.Plain((0.92, 0.91, 0.88), 0.02),
        ),
    ]
    up = np.array([0, height, 0])
    for quarter in range(4):
        turn = _about_y(quarter * np.pi / 2)
        left = turn @ np.array([-half, 0, -half])
        along = turn @ np.array([2 * half, 0, 0])
        pattern = _Wall(wall, style.accent if rng.uniform() < 0.35 else style.wall, style.trim)
        rectangles.append(Rectangle(left, along, up, pattern))
        rectangles += _furniture(turn, half, style, rng)
    angle = rng.uniform(np.pi / 6, np.pi / 3) * rng.choice([-1, 1])
    center = np.array([2.6 * np.sin(angle), 3.6, 2.6 * np.cos(angle)])
    warm = rng.uniform(0, 1)
    light = Light(
        center=center,
        radius=0.45,
        key=np.array([1.0, 0.93 - 0.08 * warm, 0.86 - 0.2 * warm]) * 1.1,
        sky=np.array([0.62, 0.66, 0.72]) * 0.8,
        bounce=np.array([0.36, 0.33, 0.3]) * 0.8,
    )
    return bake(light, rectangles)


def _about_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


@dataclass(frozen=True)
class _Wall:
    """A wall with a skirting board and a painted lower part."""

    base: paint.Pattern
    lower: paint.Color
    trim: paint.Color

    def __call__(self, points: np.ndarray) -> np.ndarray:
        v = points[:, 1]
        out = paint.mix(self.base(points), self.lower, v < 1.0)
        out = paint.mix(out, self.trim, (v < 0.11) | (np.abs(v - 1.0) < 0.012))
        return out * (1 - 0.35 * np.exp(-v / 0.05) - 0.3 * np.exp(-np.abs(v - 0.11) / 0.012) * (v > 0.11))[:, None]


@dataclass(frozen=True)
class _Planks:
    color: paint.Color
    seed: int

    def __call__(self, points: np.ndarray) -> np.ndarray:
        u, v = points[:, 0], points[:, 1]
        row = np.floor(v / 0.14)
        along = u / 1.1 + np.mod(row * 0.37, 1)
        plank = row * 31 + np.floor(along) * 17
        tint = 0.75 + 0.5 * np.mod(np.sin(plank * 12.9898 + self.seed) * 43758.5453, 1)
        grain = paint.noise(points * np.array([0.12, 1.0, 1.0]), (30, 80), self.seed)
        edge = np.minimum(np.mod(v, 0.14), np.mod(along, 1) * 1.1) < 0.004
        return np.asarray(self.color) * (tint * (1 + 0.12 * grain) * np.where(edge, 0.45, 1))[:, None]


@dataclass(frozen=True)
class _Tiles:
    color: paint.Color
    second: paint.Color
    size: float
    seed: int

    def __call__(self, points: np.ndarray) -> np.ndarray:
        u, v = points[:, 0] / self.size, points[:, 1] / self.size
        out = paint.Plain(self.color, 0.1, self.seed)(points)
        out = paint.mix(out, self.second, np.mod(np.floor(u) + np.floor(v), 2) == 1)
        grout = np.minimum(np.mod(u, 1), np.mod(v, 1)) * self.size < 0.008
        return out * np.where(grout, 0.6, 1)[:, None]


@dataclass(frozen=True)
class _Carpet:
    color: paint.Color
    seed: int

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(self.color) * (1 + 0.22 * paint.noise(points, (1.5, 9, 60, 80), self.seed))[:, None]


@dataclass(frozen=True)
class _Shelf:
    """The front of a shelf full of books."""

    wood: paint.Color
    seed: int

    def __call__(self, points: np.ndarray) -> np.ndarray:
        u, v = points[:, 0], points[:, 1]
        board = (np.mod(v, 0.34) < 0.03) | (np.mod(u, 0.7) < 0.03)
        book = np.floor(u / 0.045) + 57 * np.floor(v / 0.34)
        chance = [np.mod(np.sin(book * k + self.seed) * 43758.5453, 1) for k in (12.9, 78.2, 37.7, 5.3)]
        out = np.stack([0.05 + 0.5 * c**2 for c in chance[:3]], 1)
        gone = (np.mod(v, 0.34) > 0.2 + 0.1 * chance[3]) | (chance[3] > 0.85) | (np.mod(u, 0.045) < 0.003)
        out = np.where(gone[:, None], np.asarray(self.wood) * 0.3, out)
        return paint.mix(out, self.wood, board)


@dataclass(frozen=True)
class _Picture:
    frame: paint.Color
    width: float
    height: float
    seed: int

    def __call__(self, points: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        out = np.tile(rng.uniform(0.1, 0.7, 3), (len(points), 1))
        for k in range(4):
            out = paint.mix(out, tuple(rng.uniform(0.03, 0.7, 3)), paint.noise(points, (1.5, 3), self.seed + k) > 0.3)
        edge = np.minimum.reduce([points[:, 0], points[:, 1], self.width - points[:, 0], self.height - points[:, 1]])
        out = paint.mix(out, (0.8, 0.79, 0.75), edge < 0.09)
        return paint.mix(out, self.frame, edge < 0.035)


@dataclass(frozen=True)
class _Window:
    """Daylight through panes."""

    width: float
    height: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        u, v = points[:, 0], points[:, 1]
        out = paint.mix(np.tile([0.62, 0.74, 0.9], (len(points), 1)), (0.9, 0.9, 0.88), v / self.height)
        hills = 0.35 * self.height + 0.12 * paint.noise(points * np.array([1, 0, 0]), (0.7, 2.1), 5)
        out = paint.mix(out, (0.2, 0.32, 0.16), v < hills)
        bar = np.minimum(np.mod(u, self.width / 2), np.mod(v, self.height / 2))
        return paint.mix(out, (0.8, 0.8, 0.78), bar < 0.05)


@dataclass(frozen=True)
class _Style:
    wall: paint.Color
    accent: paint.Color
    trim: paint.Color
    wood: paint.Color
    sofa: paint.Color
    ground: str  # planks, tiles or carpet

    def floor(self, rng: np.random.Generator) -> paint.Pattern:
        seed = int(rng.integers(999))
        if self.ground == "planks":
            return _Planks(self.wood, seed)
        if self.ground == "tiles":
            return _Tiles((0.5, 0.48, 0.45), (0.4, 0.39, 0.37), 0.45, seed)
        return _Carpet((0.25, 0.26, 0.29), seed)


_STYLES = (
    _Style((0.66, 0.63, 0.57), (0.3, 0.36, 0.33), (0.8, 0.79, 0.76), (0.36, 0.21, 0.11), (0.12, 0.2, 0.28), "planks"),
    _Style((0.5, 0.56, 0.58), (0.22, 0.3, 0.36), (0.75, 0.75, 0.73), (0.28, 0.17, 0.09), (0.5, 0.3, 0.12), "tiles"),
    _Style((0.6, 0.52, 0.42), (0.42, 0.22, 0.16), (0.7, 0.67, 0.6), (0.2, 0.12, 0.07), (0.2, 0.26, 0.16), "carpet"),
    _Style((0.58, 0.58, 0.56), (0.16, 0.2, 0.26), (0.3, 0.3, 0.31), (0.45, 0.32, 0.2), (0.4, 0.4, 0.38), "planks"),
)


def _off(at: np.ndarray, *by: float) -> np.ndarray:
    return at + np.array(by)


def _box(turn: np.ndarray, low: np.ndarray, high: np.ndarray, front: paint.Pattern, rest: paint.Pattern) -> list:
    """Front (towards the room), two sides and top of a box; `low` and `high` are corners before the turn."""
    x0, y0, z0 = low
    x1, y1, z1 = high
    w, h, d = np.array([x1 - x0, 0, 0]), np.array([0, y1 - y0, 0]), np.array([0, 0, z1 - z0])
    faces = [
        ((x0, y0, z1), w, h, front),
        ((x1, y0, z1), -d, h, rest),
        ((x0, y0, z0), d, h, rest),
        ((x0, y1, z1), w, -d, rest),
    ]
    return [Rectangle(turn @ np.array(corner), turn @ u, turn @ v, pattern) for corner, u, v, pattern in faces]


def _furniture(turn: np.ndarray, half: float, style: _Style, rng: np.random.Generator) -> list[Rectangle]:
    """What stands along one wall (before the turn: the wall at z = -half), from left to right."""
    out: list[Rectangle] = []
    wood, cloth = paint.Plain(style.wood, 0.1), paint.Plain(style.sofa, 0.1, 4)
    x = -half + rng.uniform(0.3, 0.9)
    while x < half - 1.6:
        kind = rng.choice(["shelf", "sofa", "picture", "window", "cabinet", "gap"])
        width = {"shelf": 1.43, "sofa": 1.9, "picture": 0.9, "window": 1.5, "cabinet": 1.2, "gap": 0.5}[kind]
        at = np.array([x, 0.0, -half])
        seed = int(rng.integers(999))
        if kind == "shelf":
            front = _Shelf(style.wood, seed)
            out += _box(turn, at, _off(at, width, rng.choice([1.39, 2.07]), 0.33), front, wood)
        elif kind == "cabinet":
            out += _box(
                turn, at, _off(at, width, 0.8, 0.45), paint.Trimmed(wood, (0.03, 0.02, 0.02), ((1, 0.4, 0.006),)), wood
            )
        elif kind == "sofa":
            out += _box(turn, at, _off(at, width, 0.85, 0.3), cloth, cloth)
            out += _box(turn, _off(at, 0, 0, 0.3), _off(at, width, 0.43, 0.95), cloth, cloth)
            for side in (0, width - 0.22):
                out += _box(turn, _off(at, side, 0, 0.3), _off(at, side + 0.22, 0.62, 0.95), cloth, cloth)
        if kind in ("picture", "sofa"):
            wide, high = rng.uniform(0.6, 0.9), rng.uniform(0.5, 1.0)
            corner = _off(at, (width - wide) / 2, 1.3, _BACKSIDE)
            picture = _Picture((0.03, 0.03, 0.03), wide, high, seed)
            out.append(Rectangle(turn @ corner, turn @ [wide, 0, 0], np.array([0, high, 0]), picture))
        elif kind == "window":
            corner = _off(at, 0, 0.9, _BACKSIDE)
            window = _Window(width, 1.4)
            out.append(Rectangle(turn @ corner, turn @ [width, 0, 0], np.array([0, 1.4, 0]), window))
        x += width + rng.uniform(0.15, 0.7)
    return out
