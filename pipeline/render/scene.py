"""A photographer's corner for the avatar: camera, seamless backdrop, and the shadow that puts the feet on the ground.

The world here has y up, the ground at y = 0, and metres. Points go to the camera frame before they are drawn: there the
camera stands still and the person turns, as in the fit, so that colours depend on direction as they did there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from pipeline.render import kernels

_ELEVATION = np.deg2rad(9.0)  # the camera looks down by this much
_DISTANCE = 6.0  # metres from the origin of the world: a long lens, as for a portrait
_MARGIN = 0.07  # of the height and width that stays free around the person
_WALL = np.array([0.925, 0.93, 0.94])  # backdrop behind the head
_EDGE = np.array([0.70, 0.715, 0.74])  # backdrop in the corners
_FLOOR = np.array([0.86, 0.865, 0.875])  # backdrop at the feet
_SHADOW = np.array([0.16, 0.18, 0.22], np.float32)  # what the darkest shadow multiplies the floor by
_CELL = 0.02  # metres: cell of the shadow map
_REACH = 1.6  # metres: half side of the shadow map
_CELLS = round(2 * _REACH / _CELL)
# The body casts its shadow in slices: the higher a slice, the softer and fainter its shadow, under a sky of light.
# (from height, to height, blur in metres, strength)
_SLICES = ((0.0, 0.12, 0.025, 0.62), (0.12, 0.45, 0.09, 0.30), (0.45, 1.0, 0.20, 0.24), (1.0, 3.0, 0.34, 0.16))


@dataclass(frozen=True)
class Scene:
    """A fixed camera over a ground. Make one with `framed`."""

    K: np.ndarray  # (3, 3) px
    world_to_camera: np.ndarray  # (4, 4)
    width: int
    height: int

    @cached_property
    def _ground(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each pixel's ray meets the ground: x, z (H, W) in metres, and whether it does so nearby, 0..1."""
        rotation, translation = self.world_to_camera[:3, :3], self.world_to_camera[:3, 3]
        centre = -rotation.T @ translation
        u, v = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ (rotation.T @ np.linalg.inv(self.K)).T
        down = np.minimum(rays[..., 1], -1e-6)
        points = centre + rays * (-centre[1] / down)[..., None]
        return np.ascontiguousarray(points[..., ::2]), (rays[..., 1] < 0).astype(np.float32)

    @cached_property
    def backdrop(self) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]: a lit paper roll, with no line where the wall becomes the floor."""
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        y, x = (y + 0.5) / self.height, ((x + 0.5) / self.width - 0.5) * self.width / self.height
        glow = np.exp(-(((y - 0.36) / 0.62) ** 2 + (x / 0.62) ** 2))[..., None]
        floor = (1 / (1 + np.exp(-(y - 0.80) / 0.07)))[..., None]
        wall = _EDGE + (_WALL - _EDGE) * glow
        return (wall + (_FLOOR - wall) * 0.55 * floor).astype(np.float32)

    def background(
        self,
        vertices: np.ndarray,  # (V, 3) metres, world
    ) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]: the backdrop with the shadow of a body on it."""
        origin = np.array([vertices[:, 0].mean(), vertices[:, 2].mean()], np.float64)
        ground, seen = self._ground
        out = np.empty((self.height, self.width, 3), np.float32)
        shadow = _shadow_map(vertices, origin)
        kernels.lay_shadow(self.backdrop, ground, seen, shadow, *origin, _REACH, _CELL, _SHADOW, out)
        return out

    def to_camera(
        self,
        points: np.ndarray,  # (..., 3) metres, world
    ) -> np.ndarray:
        """The points in the camera frame."""
        return points @ self.world_to_camera[:3, :3].T + self.world_to_camera[:3, 3]


def framed(
    points: np.ndarray,  # (N, 3) metres, world: all that must be seen
    width: int,
    height: int,
    about_axis: bool = False,
) -> Scene:
    """The scene whose picture holds all `points` with a margin, as large as it can.

    Args:
        about_axis: keep the world's y axis in the middle of the picture, for a person who turns about it.
    """
    forward = np.array([0, -np.sin(_ELEVATION), -np.cos(_ELEVATION)])
    down = np.array([0, -np.cos(_ELEVATION), np.sin(_ELEVATION)])
    rotation = np.stack([np.cross(down, forward), down, forward])
    middle = np.array([0, 0.5 * (points[:, 1].min() + points[:, 1].max()), 0])
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = rotation
    world_to_camera[:3, 3] = [0, 0, _DISTANCE] - rotation @ middle

    seen = points @ rotation.T + world_to_camera[:3, 3]
    xy = seen[:, :2] / seen[:, 2:]
    low, high = xy.min(0), xy.max(0)
    if about_axis:
        high[0] = max(high[0], -low[0])
        low[0] = -high[0]
    free = 1 - 2 * _MARGIN
    focal = min(width * free / (high[0] - low[0]), height * free / (high[1] - low[1]))
    centre = np.array([width, height]) / 2 - focal * (low + high) / 2
    K = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]])
    return Scene(K, world_to_camera, width, height)


def _shadow_map(vertices: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """(2R, 2R) float32 in [0, 1]: how much of the light above is kept from each cell of the ground, by x and z."""
    lit = np.ones((_CELLS, _CELLS), np.float32)
    for bottom, top, blur, strength in _SLICES:
        inside = (vertices[:, 1] >= bottom) & (vertices[:, 1] < top)
        if bottom == 0.0:
            inside |= vertices[:, 1] < 0
        cells = np.floor((vertices[inside][:, ::2] - origin + _REACH) / _CELL).astype(int)
        x, z = cells[((cells >= 0) & (cells < _CELLS)).all(1)].T
        touched = np.zeros((_CELLS, _CELLS), np.float32)
        touched[x, z] = 1
        covered = _blurred(touched, 1.0) > 0.12  # closes the gaps between vertices
        lit *= 1 - strength * _blurred(covered.astype(np.float32), blur / _CELL)
    return 1 - lit


def _blurred(cells: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a shadow map: as products of matrices, for the widest kernel is nearly as wide as the map.

    Of torch: those of numpy start threads of their own, which get into the way of others that draw other frames.
    """
    blur = _blur_matrix(sigma)
    return (blur @ torch.from_numpy(cells) @ blur.T).numpy()


@cache
def _blur_matrix(sigma: float) -> torch.Tensor:
    """[R, R] float32: what blurs a column of the shadow map."""
    return torch.from_numpy(gaussian_filter1d(np.eye(_CELLS), sigma, axis=0).astype(np.float32))
