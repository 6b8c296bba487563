"""Colours, labels and layouts that all pictures share. Images here are uint8 (H, W, 3) RGB arrays."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

# Orange and sky blue of Okabe and Ito's palette ("Color Universal Design", 2008): told apart with any colour vision.
BEFORE: Colour = (230, 159, 0)
AFTER: Colour = (86, 180, 233)
INK: Colour = (24, 26, 30)
PAPER: Colour = (255, 255, 255)
_CHIP_SUPERSAMPLE = 4


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The image at another size: area-filtered when smaller, smooth when larger."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8, rounded and clipped."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def label_size(height: int) -> int:
    """Font size in px that reads well on a picture of this height."""
    return int(np.clip(round(height * 0.04), 11, 26))


def label(image: np.ndarray, text: str, size: int, swatch: Colour | None = None, corner: str = "top left") -> None:
    """Write `text` on a dark rounded chip into a corner of `image`, in place.

    Args:
        image: uint8 (H, W, 3), changed.
        text: what to write; made smaller where the image is too narrow for it.
        size: font size in px.
        swatch: a colour to show before the text.
        corner: "top left", "top right", "bottom left" or "bottom right".
    """
    height, width = image.shape[:2]
    margin = max(3, size // 2)
    chip = _chip(text, size, swatch)
    while chip.shape[1] > width - 2 * margin and size > 7:
        size -= 1
        chip = _chip(text, size, swatch)
    chip = chip[: max(0, height - margin), : max(0, width - margin)]
    rows, columns = chip.shape[:2]
    y = margin if corner.startswith("top") else max(0, height - margin - rows)
    x = margin if corner.endswith("left") else max(0, width - margin - columns)
    under = image[y : y + rows, x : x + columns]
    alpha = chip[: under.shape[0], : under.shape[1], 3:].astype(np.float32) / 255
    over = chip[: under.shape[0], : under.shape[1], :3]
    under[:] = (under * (1 - alpha) + over * alpha + 0.5).astype(np.uint8)


@lru_cache(maxsize=256)
def _chip(text: str, size: int, swatch: Colour | None) -> np.ndarray:
    """(h, w, 4) uint8: the text on a dark rounded rectangle."""
    factor = _CHIP_SUPERSAMPLE
    font = font_of(size * factor)
    pad, dot = round(size * 0.45) * factor, (round(size * 0.62) * factor if swatch else 0)
    gap = round(size * 0.4) * factor if swatch else 0
    ascent, descent = font.getmetrics()
    width, height = pad * 2 + dot + gap + round(font.getlength(text)), ascent + descent + pad
    width, height = -(-width // factor) * factor, -(-height // factor) * factor
    chip = Image.new("RGBA", (width, height), (*INK, 0))
    draw = ImageDraw.Draw(chip)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), radius=height * 0.28, fill=(*INK, 200))
    if swatch:
        top = (height - dot) // 2
        draw.rounded_rectangle((pad, top, pad + dot, top + dot), radius=dot * 0.25, fill=(*swatch, 255))
    draw.text((pad + dot + gap, height / 2), text, font=font, fill=(255, 255, 255, 255), anchor="lm")
    return np.asarray(chip.resize((width // factor, height // factor), Image.Resampling.BOX))


@lru_cache(maxsize=32)
def font_of(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def headed(image: np.ndarray, text: str, size: int) -> np.ndarray:
    """The image under a white band that holds `text`, dark and centred; the font shrinks until the text fits."""
    width = image.shape[1]
    band = Image.new("RGB", (width, round(size * 1.9)), PAPER)
    while size > 7 and font_of(size).getlength(text) > width:
        size -= 1
    ImageDraw.Draw(band).text((width / 2, band.height / 2), text, font=font_of(size), fill=INK, anchor="mm")
    return np.concatenate([np.asarray(band), image])


def muted(image: np.ndarray) -> np.ndarray:
    """The image with most of its colour taken out, so that a tint laid over it reads as that tint."""
    grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
    return (np.float32(0.35) * image + np.float32(0.65) * grey[..., None] + np.float32(0.5)).astype(np.uint8)


def row(images: list[np.ndarray], gap: int = 0, colour: Colour = PAPER) -> np.ndarray:
    """Images of one height side by side, `gap` px of `colour` between them."""
    return _joined(images, gap, colour, axis=1)


def column(images: list[np.ndarray], gap: int = 0, colour: Colour = PAPER) -> np.ndarray:
    """Images of one width below each other, `gap` px of `colour` between them."""
    return _joined(images, gap, colour, axis=0)


def _joined(images: list[np.ndarray], gap: int, colour: Colour, axis: int) -> np.ndarray:
    shape = list(images[0].shape)
    shape[axis] = gap
    between = np.broadcast_to(np.array(colour, np.uint8), shape)
    parts = [images[0]]
    for image in images[1:]:
        parts += [between, image]
    return np.concatenate(parts, axis=axis)
