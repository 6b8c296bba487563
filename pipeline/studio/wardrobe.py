"""What a subject wears, in what cut and colours: all chosen by a random generator."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from pipeline.studio import outfits
from pipeline.studio import patterns as paint
from pipeline.studio.outfits import Piece, Template
from pipeline.studio.sheets import keep_faces

T = TypeVar("T")
OUTFITS = ("shirt", "loose", "skirt", "coat", "shorts")
_HIDDEN_BELOW = 0.02  # metres inside a garment's border from which on the skin under it is left out


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


class Wardrobe:
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

    def pick(self, options: tuple[T, ...]) -> T:
        return options[self.rng.integers(len(options))]

    def seed(self) -> int:
        return int(self.rng.integers(2**31))
