"""Outfits: which pieces a subject wears, how they are cut, and what colours they have; all chosen by a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.studio import patterns as paint
from pipeline.studio.sheets import Field, Sheet, clip, inflate, keep_faces, subdivide, tube


@dataclass(frozen=True)
class Piece:
    """One piece of the subject and what it looks like."""

    sheet: Sheet
    pattern: paint.Pattern
    gloss: float = 0.0  # strength of the highlight
    hangs: np.ndarray | None = None  # (P,) 0..1: how far a vertex hangs free of the body; None: nowhere


@dataclass(frozen=True)
class Template:
    """The body's mean shape at rest, and where things are on it."""

    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3)
    weights: np.ndarray  # (V, 24)
    skin: Sheet

    @property
    def ground(self) -> float:
        return float(self.vertices[:, 1].min())

    def trunk_and_legs(self) -> np.ndarray:
        """(V,) bool: without arms and head."""
        return self.weights[:, [12, 15, *range(16, 24)]].sum(1) < 0.5

    def head(self) -> np.ndarray:
        return self.weights[:, [12, 15]].sum(1) > 0.5


CROTCH = -0.36  # y where the legs of the template part
ARM = 0.19  # |x| where its arms begin


# -- where cloth is: fields over template points, positive inside ----------------------------------------------------


def top_field(hem: float, sleeve: float, neckline: float) -> Field:
    """From `hem` (y) to the neck, sleeves to |x| = `sleeve`; `neckline` metres lower in front than a crew neck."""

    def field(points: np.ndarray) -> np.ndarray:
        across, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
        neck = 0.238 - (0.035 + neckline) * paint.smoothstep(z, -0.04, 0.07) - 0.15 * np.clip(across - 0.09, 0, None)
        neck = np.where(across > 0.13, 9.0, neck)
        return np.minimum(np.minimum(y - hem, sleeve - across), neck - y)

    return field


def trouser_field(waist: float, ankle: float) -> Field:
    return lambda points: np.where(
        (np.abs(points[:, 0]) > 0.4), -1.0, np.minimum(waist - points[:, 1], points[:, 1] - ankle)
    )


def shoe_field(top: float) -> Field:
    return lambda points: top - points[:, 1] + 0.25 * np.clip(points[:, 2] - 0.02, 0, 0.05)


def hair_field(fringe: float, length: float) -> Field:
    """The scalp: above a line that runs from the brow over the ears to the nape."""

    def field(points: np.ndarray) -> np.ndarray:
        across, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
        line = np.interp(z, [-0.1, -0.03, 0.0, 0.03, 0.055, 0.08, 0.13], [0.305, 0.31, 0.36, 0.395, 0.43, 0.46, 0.473])
        line = line - np.where(z < 0.03, length, 0) - fringe * (z > 0.06)
        line = line - 0.012 * np.cos(across * 45) * (z > 0.07)
        ear = (across > 0.076) & (z > -0.03) & (y < 0.425) & (y > 0.34)
        return np.where(ear, np.minimum(y - line, -0.001), y - line)

    return field


# -- pieces ----------------------------------------------------------------------------------------------------------


def garment(
    template: Template, field: Field, thickness: Callable[[np.ndarray], np.ndarray], smoothing: int, divide: int = 1
) -> Sheet:
    """Cut the region out of the skin and move it off the body by `thickness` of the template points."""
    sheet = template.skin
    values = field(sheet.points(template.vertices))
    sheet = keep_faces(sheet, (values[sheet.faces] > -0.06).any(1))
    for _ in range(divide):
        sheet = subdivide(sheet)
    sheet = clip(sheet, field(sheet.points(template.vertices)))
    return inflate(sheet, template.vertices, thickness(sheet.points(template.vertices)), smoothing)


def wrinkled(base: Callable[[np.ndarray], np.ndarray], size: float, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Thickness with folds, deeper where joints bend: elbows, waist, crotch, knees and above the shoes."""

    def thickness(points: np.ndarray) -> np.ndarray:
        across, y = np.abs(points[:, 0]), points[:, 1]
        bends = [(y + 0.16) / 0.09, (y + 0.36) / 0.07, (y + 0.72) / 0.09, (y + 1.08) / 0.07]
        near = sum(np.exp(-(b**2)) for b in bends) * (across < 0.3) + np.exp(-(((across - 0.44) / 0.08) ** 2))
        near = near + 0.6 * np.exp(-(((across - 0.22) / 0.06) ** 2)) * (y > 0)
        folds = paint.noise(points * np.array([0.8, 1.5, 0.8]), (6, 13, 24), seed)
        return np.clip(base(points) + size * (0.35 + 0.65 * near) * folds, 0.003, None)

    return thickness


def top(template: Template, hem: float, sleeve: float, neckline: float, loose: float, seed: int) -> Sheet:
    """A shirt: `loose` metres away from the body at belly and cuffs, less at the shoulders."""

    def thickness(points: np.ndarray) -> np.ndarray:
        across, y = np.abs(points[:, 0]), points[:, 1]
        hang = np.where(across > ARM, 0.75 * paint.smoothstep(across, ARM, sleeve), paint.smoothstep(-y, -0.16, 0.15))
        return 0.005 + loose * (0.25 + 0.75 * hang)

    return garment(template, top_field(hem, sleeve, neckline), wrinkled(thickness, 0.004 + 0.25 * loose, seed), 14)


def trousers(template: Template, ankle: float, loose: float, seed: int) -> Sheet:
    def thickness(points: np.ndarray) -> np.ndarray:
        return 0.005 + loose * paint.smoothstep(-points[:, 1], 0.2, 0.85)

    return garment(template, trouser_field(-0.11, ankle), wrinkled(thickness, 0.004 + 0.2 * loose, seed), 12)


def shoes(template: Template, height: float, sole: float) -> Sheet:
    """Shoes that enclose the toes, with a flat sole `sole` metres under the foot."""
    field = shoe_field(height)
    sheet = keep_faces(template.skin, (field(template.vertices)[template.faces] > -0.03).any(1))
    sheet = clip(sheet, field(sheet.points(template.vertices)))
    sheet = inflate(sheet, template.vertices, np.full(len(sheet.offset), 0.011), 60, hug=False)
    points = sheet.points(template.vertices)
    ground = template.ground
    flat = paint.smoothstep(-points[:, 1], -(ground + 0.03), -(ground + 0.004))
    lowered = points[:, 1] + flat * (ground - sole - points[:, 1])
    offset = sheet.offset.copy()
    offset[:, 1] += lowered - points[:, 1]
    return Sheet(sheet.anchor, offset, sheet.faces)


def hair(template: Template, fringe: float, length: float, volume: float, seed: int) -> Sheet:
    def thickness(points: np.ndarray) -> np.ndarray:
        crown = paint.smoothstep(points[:, 1], 0.36, 0.5)
        return 0.004 + volume * (0.45 + 0.55 * crown) * (1 + 0.3 * paint.noise(points, (9, 25, 50), seed))

    return garment(template, hair_field(fringe, length), thickness, 6)


def bun(template: Template) -> Sheet:
    """A knot at the back of the head."""
    back = template.head() & (template.vertices[:, 2] < -0.02) & (np.abs(template.vertices[:, 1] - 0.44) < 0.07)
    heights = np.linspace(0.497, 0.395, 14)
    ring = np.sqrt(np.clip(1 - ((heights - 0.446) / 0.052) ** 2, 0, 1)) * 0.045
    angles = np.deg2rad(np.arange(0, 360, 12))
    points = np.array([[r * np.sin(a), h, -0.115 + r * np.cos(a)] for h, r in zip(heights, ring) for a in angles])
    nearest = np.flatnonzero(back)[0]
    anchor = template.skin.anchor[np.full(len(points), nearest)]
    index = np.arange(len(points)).reshape(len(heights), len(angles))
    index = np.concatenate([index, index[:, :1]], 1)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, c], 1)])
    return Sheet(anchor, points - anchor @ template.vertices, faces)


def pleats(size: float, count: int, seed: int) -> Field:
    """Folds of a hanging cloth: none at its top, `size` metres at its hem."""
    phase = np.random.default_rng(seed).uniform(0, 7, 3)

    def fold(grid: np.ndarray) -> np.ndarray:
        share, angle = grid[:, 0], grid[:, 1]
        wave = np.sin(count * angle + phase[0] + 0.8 * np.sin(3 * angle + phase[1])) + 0.4 * np.sin(
            5 * angle + phase[2]
        )
        return size * share**1.3 * wave

    return fold


def skirt(template: Template, waist: float, hem: float, flare: float, gap: float, folds: Field) -> Sheet:
    """Cloth hanging from the waist; `flare` metres wider for each metre down."""
    heights = np.linspace(waist, hem, 34)
    return tube(
        template.vertices,
        template.trunk_and_legs(),
        heights,
        gap + flare * (waist - heights),
        reach=0.07,
        folds=folds,
    )


def long_hair(template: Template, end: float, seed: int) -> Sheet:
    heights = np.linspace(0.44, end, 26)
    gap = 0.014 + 0.05 * paint.smoothstep(-heights, -0.36, -0.12)
    return tube(
        template.vertices,
        template.head(),
        heights,
        gap,
        arc=(72, 288),
        columns=90,
        reach=0.04,
        folds=pleats(0.004, 19, seed),
    )
