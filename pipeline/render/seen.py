"""What of the avatar was never filmed, as stripes on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageDraw

from pipeline.avatar import Avatar
from pipeline.avatar.gaussians import SH_C0
from pipeline.geometry.ramp import smoothstep
from pipeline.render import draw
from pipeline.render.performer import Performer
from pipeline.render.turntable import standing, turntable_scene

_GAP = 4  # px between tiles
# At ease, turned left by so many degrees: which side is seen.
_SIDES = (("front", 0), ("right side", 90), ("back", 180), ("left side", 270))
_STRIPE = np.float32([222, 0, 140])  # magenta: neither skin nor hair, and few clothes
_GREY = 165  # what is between stripes is drawn to
_PERIODS = 38  # stripes in the height of a tile
_VISIBLE = 0.003  # of the person's pixels: stripes that one finds


def seen_sides(
    performer: Performer,
    seen: np.ndarray,  # (N,)
    width: int,
    height: int,
) -> np.ndarray:
    """The avatar at ease from four sides, striped where it was never filmed; a legend below.

    Args:
        seen: how well the frames show each Gaussian, 0 to 1. (N,)
        width, height: of a tile, px.
    """
    scene, tiles, shares, person = turntable_scene(performer, width, height), [], 0.0, 0.0
    unseen = replace(performer, avatar=_shaded(performer.avatar, 1 - seen))
    for name, degrees in _SIDES:
        pose = standing(performer, np.deg2rad(degrees))
        share, alpha = unseen.drawn(*unseen.to_camera(scene, *pose), scene.K, width, height)
        share = alpha * smoothstep(share[..., :1] / np.maximum(alpha, 1e-3), 0.5, 0.8)
        shares, person = shares + share.sum(), person + alpha.sum()
        tile = _striped(performer.perform(scene, *pose), share)
        draw.label(tile, name, draw.label_size(height))
        tiles.append(tile)
    row = draw.row(tiles, _GAP)
    amount = f"{100 * (1 - seen.mean()):.0f}% of the avatar" if seen.mean() < 0.99 else "less than 1% of the avatar"
    hidden = "" if shares > _VISIBLE * person else ", hidden from these sides"
    legend = f"never filmed, colours are a guess: {amount}{hidden}"
    return draw.column([row, _legend(row.shape[1], height, legend)], _GAP)


def _shaded(avatar: Avatar, grey: np.ndarray) -> Avatar:
    """The avatar in one grey for each Gaussian, (N,) in [0, 1], in whatever pose."""
    sh = torch.as_tensor((grey - 0.5) / SH_C0, dtype=torch.float32)[:, None, None].repeat(1, 1, 3)
    cloth = avatar.cloth and replace(avatar.cloth, colours=torch.zeros_like(avatar.cloth.colours))
    return replace(avatar, sh=sh, cloth=cloth)


def _striped(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The image (H, W, 3) uint8 with stripes, as much as `share` (H, W, 1) says."""
    height, width = image.shape[:2]
    across = np.add(*np.mgrid[:height, :width]) * _PERIODS / height
    line = smoothstep(2 * np.abs(across % 1 - 0.5), 0.4, 0.5)[..., None]
    faded = 0.25 * image + 0.75 * (_GREY + 0.2 * (draw.muted(image) - np.float32(128)))
    return draw.to_uint8((image + share * (_STRIPE + (faded - _STRIPE) * line - image)) / 255)


def _legend(width: int, tall: int, text: str) -> np.ndarray:
    """(H, width, 3) uint8: a striped patch and what it says, below tiles of `tall` px."""
    size = draw.label_size(tall)
    while size > 7 and draw.font_of(size).getlength(text) > width - 5 * size:
        size -= 1
    font, band = draw.font_of(size), np.full((round(2.2 * size), width, 3), draw.PAPER, np.uint8)
    left = max(size, round((width - font.getlength(text)) / 2 - 1.5 * size))
    top = (len(band) - size) // 2
    grey = np.full((tall, 2 * size, 3), _GREY, np.uint8)
    band[top : top + size, left : left + 2 * size] = _striped(grey, np.ones((tall, 1, 1)))[:size]
    picture = Image.fromarray(band)
    ImageDraw.Draw(picture).text((left + 2.6 * size, len(band) / 2), text, font=font, fill=draw.INK, anchor="lm")
    return np.array(picture)
