"""How sure the fit is of the body along the line of sight, as colours on it."""

from __future__ import annotations

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from pipeline.body import BodyModel
from pipeline.formats.images import FrameFolder
from pipeline.formats.pose import Pose
from pipeline.render import draw
from pipeline.render.crop import person_boxes, posed_vertices, tiles_of
from pipeline.render.overlay import mesh_layer

_TILE, _GAP = 360, 4  # px: height of a tile, and between tiles
_COLOURS = matplotlib.colormaps["viridis"]
_STEPS = (10, 20, 30, 50, 100, 200, 500, 1000)  # mm: where the scale may end
_SUPERSAMPLE = 3
_NEAR = 0.02  # metres: nearer than that, a joint says all


def sure_strip(frames: FrameFolder, pose: Pose, body: BodyModel, chosen: list[int]) -> np.ndarray:
    """Columns are the chosen frames: the video above the body, coloured by the sigma along the ray; a scale below.

    Args:
        pose: with `sigma`.
        chosen: frame numbers.
    """
    height, width = frames[0].shape[:2]
    colours, top = vertex_colours(pose.sigma[chosen, :, 1], body)
    columns = []
    crops = tiles_of(person_boxes((pose,), body, chosen, width, height), width, height, _TILE)
    for index, crop, tint in zip(chosen, crops, colours):
        video = crop.of(frames[index])
        vertices = posed_vertices(body, pose, index)
        layer = mesh_layer(
            vertices, body.faces.numpy(), crop.K(pose.K), crop.width, crop.height, tint, 1.0, _SUPERSAMPLE
        )
        coloured = layer.over(np.full_like(video, draw.PAPER))
        size = draw.label_size(_TILE)
        if not columns:
            draw.label(video, "video", size)
            draw.label(coloured, "one standard deviation, depth", size)
        heading = f"frame {index}, {index / pose.fps:.1f} s"
        columns.append(draw.headed(draw.column([video, coloured], _GAP), heading, size))
    strip = draw.row(columns, _GAP)
    return draw.column([strip, colour_scale(strip.shape[1], top)], _GAP)


def vertex_colours(
    sigma: np.ndarray,  # (F, 24) metres
    body: BodyModel,
) -> tuple[np.ndarray, int]:
    """Colours of the vertices (F, V, 3) in [0, 1], and the mm at which their scale ends, of all frames together.

    A vertex is as sure as the joints near it in the rest pose: its variance is a mean of theirs.
    """
    joints = (body.J_regressor @ body.v_template).double().numpy()
    apart = np.linalg.norm(body.v_template.double().numpy()[:, None] - joints, axis=2)
    weights = 1 / np.maximum(apart, _NEAR) ** 4
    weights /= weights.sum(1, keepdims=True)
    spread = 1000 * np.sqrt(sigma**2 @ weights.T)
    top = next((step for step in _STEPS if step >= spread.max()), _STEPS[-1])
    return _COLOURS(np.clip(spread / top, 0, 1))[..., :3], top


def colour_scale(width: int, top: int) -> np.ndarray:
    """A legend (H, width, 3): the colours from 0 to `top` mm."""
    size = draw.label_size(_TILE)
    left, right, bar = round(0.15 * width), round(0.85 * width), round(0.8 * size)
    image = np.full((bar + 3 * size, width, 3), draw.PAPER, np.uint8)
    image[size // 2 : size // 2 + bar, left:right] = draw.to_uint8(_COLOURS(np.linspace(0, 1, right - left))[:, :3])
    picture = Image.fromarray(image)
    for share in (0.0, 0.5, 1.0):
        text = f"{share * top:g} mm" + (" and more" if share == 1 and top == _STEPS[-1] else "")
        place = (left + share * (right - left), size // 2 + bar + size * 0.9)
        ImageDraw.Draw(picture).text(place, text, font=draw.font_of(size), fill=draw.INK, anchor="mm")
    return np.array(picture)
