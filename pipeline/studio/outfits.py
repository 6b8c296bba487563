"""Outfits: which pieces a subject wears, how they are cut, and what colours they have; all chosen by a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.studio import patterns as paint
from pipeline.studio.sheets import Field, Sheet, clip, fitted_sheet, inflate, keep_faces, subdivide, tube


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
    feet: tuple[np.ndarray, np.ndarray]  # vertices and faces of feet without toes, a little larger: for shoes

    @property
    def ground(self) -> float:
        return float(self.vertices[:, 1].min())

    def trunk_and_legs(self) -> np.ndarray:
        """(V,) bool: without arms and head."""
        return self.weights[:, [12, 15, *range(16, 24)]].sum(1) < 0.5

    def head(self) -> np.ndarray:
        return self.weights[:, [12, 15]].sum(1) > 0.5


WAIST = -0.19  # y of the top of trousers, under the hem of any top
CROTCH = -0.36  # y where the legs of the template part
ARM = 0.19  # |x| where its arms begin


# -- where cloth is: fields over template points, positive inside ----------------------------------------------------


def top_field(hem: float, sleeve: float, neckline: float) -> Field:
    """From `hem` (y) to the neck, sleeves to |x| = `sleeve`; the neck is left out of an ellipsoid around its root.

    `neckline` makes the ellipsoid wider and, above all, deeper; 0 is a crew neck.
    """
    radii = np.array([0.083 + 0.5 * neckline, 0.07 + 1.2 * neckline, 0.125 + 0.5 * neckline])

    def field(points: np.ndarray) -> np.ndarray:
        across, y = np.abs(points[:, 0]), points[:, 1]
        neck = 0.07 * (np.linalg.norm((points - [0, 0.262, -0.012]) / radii, axis=1) - 1)
        return np.minimum.reduce([y - hem, sleeve - across, neck, 0.262 - y])

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
        line = line - np.where(z < 0.03, length, 0) - fringe * paint.smoothstep(z, 0.05, 0.1)
        line = line - 0.012 * np.cos(across * 45) * (z > 0.07)
        uneven = 0.004 * paint.noise(points * np.array([1, 0.3, 1]), (35, 90, 160), 3)
        ear = (across > 0.076) & (z > -0.03) & (y < 0.425) & (y > 0.34)
        return np.where(ear, np.minimum(y - line, -0.001), y - line + uneven)

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
        folds = paint.noise(points * np.array([0.7, 1.6, 0.7]), (6, 13, 24), seed)
        return np.clip(base(points) + size * (0.3 + 0.7 * near) * folds, 0.001, None)

    return thickness


def top(template: Template, hem: float, sleeve: float, neckline: float, loose: float, seed: int) -> Sheet:
    """A shirt: `loose` metres away from the body at belly and cuffs, less at the shoulders."""

    def thickness(points: np.ndarray) -> np.ndarray:
        across, y = np.abs(points[:, 0]), points[:, 1]
        hang = np.where(across > ARM, 0.75 * paint.smoothstep(across, ARM, sleeve), paint.smoothstep(-y, -0.16, 0.15))
        return 0.005 + loose * (0.25 + 0.75 * hang)

    return garment(template, top_field(hem, sleeve, neckline), wrinkled(thickness, 0.004 + 0.15 * loose, seed), 14)


def trousers(template: Template, ankle: float, loose: float, seed: int) -> Sheet:
    def thickness(points: np.ndarray) -> np.ndarray:
        y = points[:, 1]
        return 0.001 + 0.004 * paint.smoothstep(-y, -WAIST, 0.3) + loose * paint.smoothstep(-y, 0.25, 0.85)

    return garment(template, trouser_field(WAIST, ankle), wrinkled(thickness, 0.004 + 0.1 * loose, seed), 12)


def shoes(template: Template, height: float, sole: float) -> Sheet:
    """Shoes up to `height` (y), with a toe box and a flat sole `sole` metres under the foot."""
    feet, faces = template.feet
    sheet = fitted_sheet(feet, faces, template.vertices, reach=0.012)
    sheet = keep_faces(sheet, (feet[faces][:, :, 1] < height + 0.06).any(1))
    sheet = subdivide(subdivide(sheet))
    sheet = clip(sheet, shoe_field(height)(sheet.points(template.vertices)))
    sheet = inflate(sheet, template.vertices, np.full(len(sheet.offset), 0.010), 12)
    points = sheet.points(template.vertices)
    ground = template.ground
    low = paint.smoothstep(-points[:, 1], -(ground + 0.045), -(ground + 0.004))
    toes = paint.smoothstep(points[:, 2], 0.1, 0.17) * (1 - low)
    raised = low * (ground - sole - points[:, 1]) + 0.012 * toes
    return Sheet(sheet.anchor, sheet.offset + raised[:, None] * [0, 1, 0], sheet.faces)


def hair(template: Template, fringe: float, length: float, volume: float, seed: int) -> Sheet:
    field = hair_field(fringe, length)

    def thickness(points: np.ndarray) -> np.ndarray:
        crown = paint.smoothstep(points[:, 1], 0.36, 0.5)
        locks = 1 + 0.35 * paint.noise(points * np.array([1, 0.4, 1]), (9, 25, 50), seed)
        return 0.002 + volume * paint.smoothstep(field(points), -0.004, 0.03) * (0.5 + 0.5 * crown) * locks

    return garment(template, field, thickness, 6)


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


def skirt(template: Template, heights: np.ndarray, gap: np.ndarray, folds: Field | None = None) -> Sheet:
    """Cloth that hangs around trunk and legs; `gap` metres off their hull at each height (y, from the top down)."""
    return tube(template.vertices, template.trunk_and_legs(), heights, gap, reach=0.07, folds=folds)


def long_hair(template: Template, end: float, seed: int) -> Sheet:
    heights = np.linspace(0.44, end, 26)
    gap = 0.014 + 0.05 * paint.smoothstep(-heights, -0.36, -0.12)
    return tube(
        template.vertices,
        template.head(),
        heights,
        gap,
        arc=(88, 272),
        columns=90,
        reach=0.04,
        folds=pleats(0.004, 19, seed),
    )
