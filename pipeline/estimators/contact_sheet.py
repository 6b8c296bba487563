"""people.jpg: who is in the clip, each with the number by which `masks.person` chooses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.estimators.boxes import area, clip, grow
from pipeline.estimators.everybody import Everybody
from pipeline.formats.atomic import atomic_path
from pipeline.formats.images import save_image

_WIDTH = 960  # px, of the sheet
_FRAME_HEIGHT = 540  # px, at most, of a frame
_CROP_HEIGHT = 210  # px, of a person's picture; the text stands beside it
_PER_ROW = 3
_MARGIN = 20  # px
_PAPER, _INK, _FAINT = (250, 250, 248), (28, 30, 34), (110, 114, 120)
_COLOURS = ((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))  # Okabe, Ito


def write_contact_sheet(
    path: Path, frames: Sequence[np.ndarray], everybody: Everybody, followed: int | None, name: str, fps: float
) -> None:
    """Draw the frames that show everybody, with boxes and numbers, and each person's picture.

    Args:
        path: of the JPEG.
        frames: uint8 (H, W, 3) RGB, of the clip.
        everybody: at least one person.
        followed: the number of the person who is followed, None where nobody is.
        name: of the video, for the heading.
        fps: of the frames.
    """
    shown = [_frame(frames[index], everybody, index, fps) for index in _frames_of_all(everybody)]
    cards = [_card(frames, everybody, number, number == followed, fps) for number in range(len(everybody.people))]
    rows = [cards[k : k + _PER_ROW] for k in range(0, len(cards), _PER_ROW)]
    heights = [70, *(image.height + _MARGIN for image in shown), *((_CROP_HEIGHT + _MARGIN) for _ in rows)]
    sheet = Image.new("RGB", (_WIDTH, sum(heights) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    count = len(everybody.people)
    heading = f"{name}: {count} people found" if count > 1 else f"{name}: one person found"
    draw.text((_MARGIN, 14), heading, _INK, _font(24))
    draw.text((_MARGIN, 44), "masks.person: a number, or a point of the first picture, x,y", _FAINT, _font(15))
    y = heights[0]
    for image in shown:
        sheet.paste(image, ((_WIDTH - image.width) // 2, y))
        y += image.height + _MARGIN
    step = (_WIDTH - 2 * _MARGIN) // _PER_ROW
    for row in rows:
        for k, card in enumerate(row):
            sheet.paste(card, (_MARGIN + k * step, y))
        y += _CROP_HEIGHT + _MARGIN
    with atomic_path(path) as temporary:
        save_image(sheet, temporary, quality=88, optimize=True)


def _frames_of_all(everybody: Everybody) -> list[int]:
    """The frame that shows the most people, and one more for each who is not on those before."""
    chosen = [everybody.shown]
    for track in everybody.people:
        if not any(index in track for index in chosen):
            chosen.append(max(track, key=lambda index: area(track[index].box)))
    return chosen


def _frame(image: np.ndarray, everybody: Everybody, index: int, fps: float) -> Image.Image:
    """A frame with its people's boxes, a ruler in shares of its sides, and its time."""
    height, width = image.shape[:2]
    factor = min((_WIDTH - 2 * _MARGIN) / width, _FRAME_HEIGHT / height)
    picture = Image.fromarray(image).resize((round(width * factor), round(height * factor)), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for tenth in range(1, 10):
        x, y = picture.width * tenth / 10, picture.height * tenth / 10
        for spot, line, anchor in (((x, 9), (x, 0, x, 6), "mt"), ((10, y), (0, y, 6, y), "lm")):
            draw.line(line, "white", 2)
            draw.text(spot, f".{tenth}", "white", _font(12), anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    for number, track in enumerate(everybody.people):
        if index in track:
            x0, y0, x1, y1 = clip(tuple(factor * side for side in track[index].box), *picture.size)
            draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=_colour(number), width=3)
            _badge(draw, x0, max(y0 - 22, 0), number, 22)
    time = f"frame {index}, {index / fps:.1f} s"
    draw.text((picture.width - 8, picture.height - 8), time, "white", _font(15), "rs", stroke_width=2, stroke_fill=0)
    return picture


def _card(frames: Sequence[np.ndarray], everybody: Everybody, number: int, followed: bool, fps: float) -> Image.Image:
    """A person's picture where they are largest, and beside it how long they are seen."""
    track = everybody.people[number]
    best = everybody.subject(number).seed
    x0, y0, x1, y1 = clip(grow(track[best].box, 1.1), *everybody.size)
    card = Image.new("RGB", ((_WIDTH - 2 * _MARGIN) // _PER_ROW - 10, _CROP_HEIGHT), _PAPER)
    factor = min(_CROP_HEIGHT / (y1 - y0), 150 / (x1 - x0))
    size = (max(round((x1 - x0) * factor), 1), max(round((y1 - y0) * factor), 1))
    crop = Image.fromarray(frames[best][y0:y1, x0:x1]).resize(size, Image.Resampling.LANCZOS)
    card.paste(crop, (0, 0))
    draw = ImageDraw.Draw(card)
    draw.rectangle((0, 0, crop.width - 1, crop.height - 1), outline=_colour(number), width=3)
    _badge(draw, 0, 0, number, 30)
    share = len(track) / len(everybody.sampled)
    lines = [f"seen in {share:.0%}", f"({len(track)} of {len(everybody.sampled)} frames)"]
    lines.append(f"{min(track) / fps:.1f} to {max(track) / fps:.1f} s")
    lines.append(f"{track[best].box[3] - track[best].box[1]:.0f} px high")
    x = crop.width + 12
    if followed:
        draw.text((x, 2), "followed", _colour(number), _font(20))
    for k, line in enumerate(lines):
        draw.text((x, 34 + 22 * k), line, _INK, _font(15))
    return card


def _badge(draw: ImageDraw.ImageDraw, x: int, y: int, number: int, side: int) -> None:
    """A person's number in a filled square."""
    draw.rectangle((x, y, x + side, y + side), fill=_colour(number))
    draw.text((x + side / 2, y + side / 2), str(number), "white", _font(round(0.75 * side)), "mm")


def _colour(number: int) -> tuple[int, int, int]:
    return _COLOURS[number % len(_COLOURS)]


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
