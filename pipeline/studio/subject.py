"""The person in front of the camera: a body shape dressed by a seed, as one triangle mesh with colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from pipeline.body import BodyModel
from pipeline.formats.arrays import read_npz
from pipeline.studio import outfits
from pipeline.studio import patterns as paint
from pipeline.studio.outfits import Piece, Template
from pipeline.studio.sheets import body_sheet, keep_faces, laplacian

OUTFITS = ("shirt", "loose", "skirt", "coat", "shorts")
_MESHES = Path(__file__).with_name("data") / "clothes.npz"
_LAG = 0.05  # seconds by which the freest cloth trails what it hangs from
_LARGEST_LAG = 0.05  # metres
_CLEAR = 0.01  # metres between legs and hanging cloth
_HIDDEN_BELOW = 0.02  # metres inside a garment's border from which on the skin under it is left out


@dataclass(frozen=True)
class Subject:
    """A dressed person as a mesh of P vertices and F triangles in pieces; skinned like the body itself."""

    name: str  # outfit
    betas: np.ndarray  # (10,)
    rest: np.ndarray  # (P, 3) rest pose of this shape, metres
    template: np.ndarray  # (P, 3) the same vertices on the mean shape: what colours are a function of
    weights: np.ndarray  # (P, 24)
    hangs: np.ndarray  # (P,) 0 on the body, towards 1 where cloth hangs free
    faces: np.ndarray  # (F, 3)
    piece: np.ndarray  # (F,) index into the next two
    patterns: tuple[paint.Pattern, ...]
    gloss: tuple[float, ...]
    sole: float  # metres that the shoes reach below the bare feet
    joints: np.ndarray  # (24, 3) rest joints of this shape
    leg_radii: np.ndarray  # (4, 2) metres, of the dressed legs: what hangs stays outside
    spread: sp.csr_matrix  # (P, P) mean over a hanging vertex's neighbours, itself elsewhere

    def posed(self, transforms: np.ndarray, before: np.ndarray, seconds: float) -> np.ndarray:
        """(P, 3) posed vertices, metres.

        Linear blend skinning as of the body; then what hangs lags behind its motion, and stays outside the legs.

        Args:
            transforms: motions of the joints (24, 4, 4), rest to world.
            before: those of the frame before (the same ones for the first frame).
            seconds: between the two.
        """
        vertices = _skinned(self.rest, self.weights, transforms)
        loose = np.flatnonzero(self.hangs > 0)
        if len(loose) == 0:
            return vertices
        moved = vertices[loose] - _skinned(self.rest[loose], self.weights[loose], before)
        lag = -self.hangs[loose, None] * moved * (_LAG / seconds)
        length = np.linalg.norm(lag, axis=1, keepdims=True)
        vertices[loose] += lag * (_LARGEST_LAG / np.maximum(length, _LARGEST_LAG))
        posed_joints = np.einsum("kij,kj->ki", transforms[:, :3, :3], self.joints) + transforms[:, :3, 3]
        for _ in range(3):
            push = np.zeros_like(vertices)
            share = np.minimum(1, 6 * self.hangs[loose, None])
            push[loose] = share * _out_of_legs(vertices[loose], posed_joints, self.leg_radii)
            spread = push
            for _ in range(6):
                spread = 0.5 * (spread + self.spread @ spread)
            further = np.linalg.norm(push, axis=1) > np.linalg.norm(spread, axis=1)
            vertices = vertices + np.where(further[:, None], push, spread)
        return vertices


def _skinned(rest: np.ndarray, weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    motion = (weights @ transforms[:, :3, :].reshape(24, 12)).reshape(-1, 3, 4)
    return np.einsum("pij,pj->pi", motion[..., :3], rest) + motion[..., 3]


_LEG_BONES = ((1, 4), (2, 5), (4, 7), (5, 8))  # hips to knees, knees to ankles


def _out_of_legs(points: np.ndarray, joints: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(N, 3) the shortest way out of the legs, taken as cones with round ends; zero outside them."""
    way = np.zeros_like(points)
    for (top, bottom), (wide, narrow) in zip(_LEG_BONES, radii):
        bone = joints[bottom] - joints[top]
        share = np.clip((points - joints[top]) @ bone / (bone @ bone), 0, 1)[:, None]
        away = points - joints[top] - share * bone
        distance = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
        deep = np.clip(wide + share * (narrow - wide) - distance, 0, None)
        way = np.where(deep > np.linalg.norm(way, axis=1, keepdims=True), away / distance * deep, way)
    return way


def _leg_radii(rest: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(4, 2) metres from each leg bone to what surrounds it, at a fifth and at four fifths of its length."""
    radii = []
    for top, bottom in _LEG_BONES:
        around = rest[weights[:, top] > 0.6]
        bone = joints[bottom] - joints[top]
        share = (around - joints[top]) @ bone / (bone @ bone)
        distance = np.linalg.norm(around - joints[top] - share[:, None] * bone, axis=1)
        radii.append([np.percentile(distance[np.abs(share - at) < 0.15], 95) + _CLEAR for at in (0.25, 0.8)])
    return np.array(radii)


def random_shape(seed: int) -> np.ndarray:
    """(10,) betas of a plausible adult."""
    return np.random.default_rng([seed, 1]).normal(size=10).clip(-1.6, 1.6) * 0.8


def dress(body: BodyModel, betas: np.ndarray, outfit: str, seed: int) -> Subject:
    """Dress the body.

    Args:
        body: the free body (garments are cut at its template's measures).
        betas: its shape (10,).
        outfit: one of OUTFITS.
        seed: colours, patterns, hair and cut.
    """
    vertices, faces = body.v_template.numpy().astype(float), body.faces.numpy()
    meshes = read_npz(_MESHES)
    feet = meshes["tights_v"].astype(float), meshes["tights_f"].astype(int)
    template = Template(vertices, faces, body.weights.numpy().astype(float), body_sheet(vertices, faces), feet)
    worn = _Wardrobe(template, np.random.default_rng([seed, OUTFITS.index(outfit), 2]))
    getattr(worn, outfit)()
    shaped = body.shaped(torch.as_tensor(np.asarray(betas), dtype=body.v_template.dtype)).numpy().astype(float)
    pieces = [worn.skin(), *worn.pieces]
    first = np.cumsum([0] + [len(piece.sheet.offset) for piece in pieces])
    rest = np.concatenate([piece.sheet.points(shaped) for piece in pieces])
    weights = np.concatenate([_skinning(piece, template) for piece in pieces])
    hangs = np.concatenate([np.zeros(len(p.sheet.offset)) if p.hangs is None else p.hangs for p in pieces])
    joints = body.rest_joints(torch.as_tensor(np.asarray(betas), dtype=torch.float32)).numpy().astype(float)
    return Subject(
        name=outfit,
        betas=np.asarray(betas, float),
        rest=rest,
        template=np.concatenate([piece.sheet.points(vertices) for piece in pieces]).astype(np.float32),
        weights=weights,
        hangs=hangs,
        faces=np.concatenate([piece.sheet.faces + start for piece, start in zip(pieces, first)]),
        piece=np.repeat(np.arange(len(pieces)), [len(piece.sheet.faces) for piece in pieces]),
        patterns=tuple(piece.pattern for piece in pieces),
        gloss=tuple(piece.gloss for piece in pieces),
        sole=worn.sole,
        joints=joints,
        leg_radii=_leg_radii(rest[hangs == 0], weights[hangs == 0], joints),
        spread=sp.block_diag([_spread(piece) for piece in pieces], format="csr"),
    )


def _spread(piece: Piece) -> sp.csr_matrix:
    return sp.identity(len(piece.sheet.offset)) if piece.hangs is None else laplacian(piece.sheet)


def _skinning(piece: Piece, template: Template) -> np.ndarray:
    weights = piece.sheet.anchor @ template.weights
    if piece.hangs is None:
        return weights
    # Hanging cloth follows the thighs, not the shins, and both thighs less the freer it hangs.
    weights = weights.copy()
    for side in (0, 1):
        shin = [4 + side, 7 + side, 10 + side]
        weights[:, 1 + side] += weights[:, shin].sum(1)
        weights[:, shin] = 0
    held = 0.3 * piece.hangs[:, None] * weights[:, 1:3]
    weights[:, 1:3] -= held
    weights[:, 0] += held.sum(1)
    return weights


def _linear(code: str) -> paint.Color:
    """Linear RGB of an sRGB hex code."""
    value = np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return tuple(float(c) for c in linear)


_TONES = ("f1c9ac", "e0ac88", "c98e66", "a66e4a", "7d4f35", "59382a")
_HAIRS = ("1a1412", "2b1c14", "4a2f1c", "6e4424", "a67c48", "7a2f1a", "8c8a86")
_IRISES = ("3b2416", "4f3a1e", "38566e", "4b6046")
_BRIGHT = ("c8322b", "e08a1e", "e5c42f", "3b8f4c", "1f7a8c", "2d5fb3", "7a3f9c", "d35c8d", "efe9dc", "f2f2f0")
_MUTED = ("2f3a4a", "51604a", "6b4a3a", "7b2d32", "4a4a4f", "8a7a5e", "35506b", "b9a98b", "9fb1b8")
_DARK = ("1c1f26", "23262b", "2a2430", "1d2a26")
_JEANS = ("2b4570", "3a5a86", "20304d", "6f88a8", "25272c")
_CHINOS = ("a8926c", "5d6350", "6e5a48", "3f4450", "2a2b30")
_SHOES = (("2a2a2c", "e8e6e0"), ("efeeea", "d8d5cc"), ("7a4a2a", "2b1d14"), ("a83232", "f0eeea"), ("3b4f6b", "efeee8"))


class _Wardrobe:
    """Picks and cuts what is worn; each public method is an outfit."""

    def __init__(self, template: Template, rng: np.random.Generator) -> None:
        self.template, self.rng = template, rng
        self.pieces: list[Piece] = []
        self.fields: list[outfits.Field] = []
        self.sole = 0.0
        self.hair_color = _linear(self.pick(_HAIRS))

    # -- outfits

    def shirt(self) -> None:
        """Close-fitting shirt and trousers."""
        self.shoes(-1.085)
        self.trousers(0.012)
        sleeve = self.rng.choice([0.33, 0.65])
        self.top(hem=-0.275, sleeve=sleeve, neckline=self.rng.choice([0.0, 0.05]), loose=0.008, pattern=self.print())
        self.hair()

    def loose(self) -> None:
        """A wide, long shirt over wide trousers."""
        self.shoes(-1.085)
        self.trousers(0.022)
        sleeve = self.rng.choice([0.4, 0.64])
        self.top(hem=-0.335, sleeve=sleeve, neckline=0.01, loose=0.042, pattern=self.print())
        self.hair()

    def skirt(self) -> None:
        """A fitted top and a skirt to the knee."""
        self.shoes(-1.125)
        self.top(hem=-0.2, sleeve=self.rng.choice([0.27, 0.5]), neckline=0.06, loose=0.004, pattern=self.print())
        pattern = self.rng.choice([0, 1])
        color = paint.Plain(_linear(self.pick(_MUTED + _BRIGHT)), 0.08, self.seed())
        skirt = paint.Plaid(color, _linear(self.pick(_DARK)), _linear(self.pick(_BRIGHT)), 0.09) if pattern else color
        folds = outfits.pleats(0.022, int(self.rng.integers(11, 16)), self.seed())
        heights = np.linspace(-0.085, self.rng.uniform(-0.75, -0.62), 34)
        self.hang(heights, 0.012 - 0.17 * (heights + 0.085), folds, skirt)
        self.belt(-0.085, 0.018)
        self.hair(long=True)

    def coat(self) -> None:
        """A belted coat over trousers."""
        self.shoes(-0.97)
        self.trousers(0.008, ankle=-1.0)
        color = paint.Plain(_linear(self.pick(_MUTED)), 0.1, self.seed())
        pattern = paint.Buttoned(color, _linear(self.pick(_DARK)), 0.14, -0.6)
        self.top(hem=-0.15, sleeve=0.665, neckline=-0.008, loose=0.022, pattern=pattern)
        folds = outfits.pleats(0.016, 8, self.seed())
        heights = np.linspace(-0.115, self.rng.uniform(-0.78, -0.6), 34)
        self.hang(heights, 0.026 - 0.1 * (heights + 0.115), folds, pattern)
        self.belt(-0.115, 0.034)
        self.hair()

    def shorts(self) -> None:
        """A T-shirt with a badge, shorts and trainers."""
        self.shoes(-1.1)
        self.trousers(0.03, ankle=self.rng.uniform(-0.68, -0.6))
        base = paint.Plain(_linear(self.pick(_BRIGHT + _MUTED)), 0.08, self.seed())
        logo = paint.Logo(base, _linear(self.pick(_DARK)), _linear(self.pick(_BRIGHT)), 0.04)
        self.top(hem=-0.29, sleeve=0.34, neckline=0.0, loose=0.018, pattern=logo)
        self.hair()

    # -- pieces

    def skin(self) -> Piece:
        """The body where no garment covers it."""
        tone = np.array(_linear(self.pick(_TONES))) * self.rng.uniform(0.92, 1.06)
        skin = paint.Skin(
            tone=tuple(tone),
            lips=tuple(tone * [0.78, 0.42, 0.42]),
            iris=_linear(self.pick(_IRISES)),
            brows=tuple(np.array(self.hair_color) * 0.8),
            stubble=float(self.rng.choice([0.0, 0.0, 0.25])),
        )
        deep = np.max([field(self.template.vertices) for field in self.fields], axis=0) > _HIDDEN_BELOW
        return Piece(keep_faces(self.template.skin, ~deep[self.template.faces].all(1)), skin, gloss=0.12)

    def top(self, hem: float, sleeve: float, neckline: float, loose: float, pattern: paint.Pattern) -> None:
        trim = paint.Trimmed(
            pattern,
            tuple(np.array(_linear(self.pick(_DARK)))),
            ((0, sleeve - 0.012, 0.0018),) if sleeve < 0.6 else ((0, sleeve - 0.02, 0.0025),),
        )
        self.fields.append(outfits.top_field(hem, sleeve, neckline))
        self.pieces.append(Piece(outfits.top(self.template, hem, sleeve, neckline, loose, self.seed()), trim))

    def trousers(self, loose: float, ankle: float = -1.12) -> None:
        if self.rng.uniform() < 0.6:
            pattern: paint.Pattern = paint.Denim(_linear(self.pick(_JEANS)), outfits.CROTCH, self.seed())
        else:
            pattern = paint.Denim(_linear(self.pick(_CHINOS)), outfits.CROTCH, self.seed())
        self.fields.append(outfits.trouser_field(outfits.WAIST, ankle))
        self.pieces.append(Piece(outfits.trousers(self.template, ankle, loose, self.seed()), pattern))

    def shoes(self, height: float) -> None:
        upper, sole = self.pick(_SHOES)
        self.sole = 0.016
        pattern = paint.Shoe(_linear(upper), _linear(sole), _linear("e9e6de"), self.template.ground)
        self.fields.append(outfits.shoe_field(height))
        self.pieces.append(Piece(outfits.shoes(self.template, height, self.sole), pattern, gloss=0.25))

    def hang(self, heights: np.ndarray, gap: np.ndarray, folds: outfits.Field, pattern: paint.Pattern) -> None:
        sheet = outfits.skirt(self.template, heights, gap, folds)
        height = sheet.points(self.template.vertices)[:, 1]
        free = paint.smoothstep(-height, 0.2, 0.6)
        self.pieces.append(Piece(sheet, pattern, hangs=free))

    def belt(self, middle: float, gap: float) -> None:
        leather = paint.Plain(_linear(self.pick(("3a2417", "17171a", "6b3f22"))), 0.05)
        heights = np.linspace(middle + 0.022, middle - 0.022, 6)
        sheet = outfits.skirt(self.template, heights, np.full(6, gap + 0.004))
        self.pieces.append(Piece(sheet, leather, gloss=0.3))

    def hair(self, long: bool = False) -> None:
        pattern = paint.Hair(self.hair_color, self.seed())
        style = "long" if long and self.rng.uniform() < 0.7 else self.pick(("short", "short", "bun", "bob"))
        length = {"short": 0.0, "bun": 0.0, "bob": 0.03, "long": 0.02}[style]
        volume = {"short": 0.018, "bun": 0.012, "bob": 0.026, "long": 0.02}[style]
        cap = outfits.hair(self.template, self.rng.uniform(0.0, 0.016), length, volume, self.seed())
        self.pieces.append(Piece(cap, pattern, gloss=0.07))
        if style == "long":
            self.pieces.append(
                Piece(outfits.long_hair(self.template, self.rng.uniform(0.06, 0.16), self.seed()), pattern, gloss=0.07)
            )
        if style == "bun":
            self.pieces.append(Piece(outfits.bun(self.template), pattern, gloss=0.07))

    def print(self) -> paint.Pattern:
        """A top's pattern: stripes, dark and plain, a busy print, plaid, dots or a badge."""
        base = paint.Plain(_linear(self.pick(_BRIGHT)), 0.08, self.seed())
        dark = paint.Plain(_linear(self.pick(_DARK)), 0.14, self.seed())
        other, third = _linear(self.pick(_BRIGHT + _MUTED)), _linear(self.pick(_MUTED))
        period = self.rng.uniform(0.045, 0.085)
        kind = self.pick(("stripes", "dark", "print", "plaid", "dots", "logo"))
        return {
            "stripes": paint.Stripes(base, other, period),
            "dark": paint.Logo(dark, other, third, 0.04, size=0.045),
            "print": paint.Print(base, (other, third, dark.color), seed=self.seed()),
            "plaid": paint.Plaid(base, dark.color, third, 1.6 * period),
            "dots": paint.Dots(dark, other, period),
            "logo": paint.Logo(base, dark.color, other, 0.04),
        }[kind]

    # -- chance

    def pick(self, options: tuple) -> object:
        return options[self.rng.integers(len(options))]

    def seed(self) -> int:
        return int(self.rng.integers(2**31))
