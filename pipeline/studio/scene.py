"""The room around the subject: textured rectangles in a y-up world, ground at y = 0, lit once and for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.geometry.raycast import MeshCaster
from pipeline.studio import patterns as paint

FLOOR = 0  # index of the ground's rectangle
_TEXEL = 0.006  # metres
_LARGEST_TEXTURE = 700  # texels a side; larger rectangles repeat theirs, mirrored


@dataclass(frozen=True)
class Light:
    """A round window of light, and light from all around. Radiances are linear RGB."""

    center: np.ndarray  # (3,) metres
    radius: float
    key: np.ndarray  # (3,) what it sends to a surface that faces it
    sky: np.ndarray  # (3,) from above
    bounce: np.ndarray  # (3,) from below

    def spots(self, count: int) -> np.ndarray:
        """(count, 3) float32 points spread evenly over the disc, which faces the middle of the room (a sunflower)."""
        k = np.arange(count) + 0.5
        radius, angle = self.radius * np.sqrt(k / count), k * np.pi * (3 - np.sqrt(5))
        side = np.cross(self.center, [0.0, 1.0, 0.0])
        side /= np.linalg.norm(side)
        up = np.cross(side, self.center) / np.linalg.norm(self.center)
        across = (radius * np.cos(angle))[:, None] * side + (radius * np.sin(angle))[:, None] * up
        return (self.center + across).astype(np.float32)

    def around(self, directions: np.ndarray) -> np.ndarray:
        """(..., 3) light that comes in from unit directions."""
        share = 0.5 + 0.5 * directions[..., 1:2]
        return self.bounce.astype(np.float32) + (self.sky - self.bounce).astype(np.float32) * share


@dataclass(frozen=True)
class Rectangle:
    """corner + u * side_u + v * side_v, seen from the side that side_u x side_v points to."""

    corner: np.ndarray
    side_u: np.ndarray
    side_v: np.ndarray
    pattern: paint.Pattern  # over (u metres, v metres, 0)


@dataclass(frozen=True)
class Scene:
    """Rectangles with baked textures, in arrays, so that many pixels are looked up at once."""

    light: Light
    corners: np.ndarray  # (R, 3)
    sides: np.ndarray  # (R, 2, 3)
    normals: np.ndarray  # (R, 3)
    texels: np.ndarray  # (N, 3) float32 albedo of all textures, one after another
    first: np.ndarray  # (R,) index of a rectangle's first texel
    size: np.ndarray  # (R, 2) texels along u and v

    def mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (4R, 3) and faces (2R, 3); rectangle r is faces 2r and 2r + 1."""
        u, v = self.sides[:, 0], self.sides[:, 1]
        vertices = np.stack([self.corners, self.corners + u, self.corners + u + v, self.corners + v], 1)
        faces = np.array([[0, 1, 2], [0, 2, 3]]) + 4 * np.arange(len(self.corners))[:, None, None]
        return vertices.reshape(-1, 3), faces.reshape(-1, 3)

    def caster(self) -> MeshCaster:
        return MeshCaster(*self.mesh())

    def radiance(self, rectangle: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(N, 3) linear colour of lit points (N, 3) on rectangles (N,), with nobody in the room."""
        lengths = np.linalg.norm(self.sides, axis=2)
        per_texel = self.sides / (lengths**2)[..., None] * (lengths[..., None] / _TEXEL)
        start = np.einsum("ruk,rk->ru", per_texel, self.corners)
        texel = []
        for side in (0, 1):
            along = (points * per_texel[rectangle, side].astype(np.float32)).sum(1) - start[rectangle, side]
            size = self.size[rectangle, side]
            texel.append(np.clip(np.abs(np.mod(along + size, 2 * size) - size).astype(np.int32), 0, size - 1))
        albedo = self.texels[self.first[rectangle] + texel[1] * self.size[rectangle, 0] + texel[0]]
        return albedo * self.irradiance(points, self.normals[rectangle])

    def irradiance(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(N, 3) light on points with nothing in the way."""
        return self.key_light(points, normals) + self.light.around(normals)

    def key_light(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(N, 3) light from the middle of the key light; `key` at the origin if it is faced there."""
        to_light = self.light.center.astype(np.float32) - points
        squared = np.einsum("nk,nk->n", to_light, to_light)
        cosine = np.clip(np.einsum("nk,nk->n", to_light, normals) / np.sqrt(squared), 0, None)
        strength = cosine * np.float32((self.light.center**2).sum()) / squared
        return strength[:, None] * self.light.key.astype(np.float32)


def bake(light: Light, rectangles: list[Rectangle]) -> Scene:
    textures, sizes = [], []
    for rectangle in rectangles:
        lengths = [np.linalg.norm(side) for side in (rectangle.side_u, rectangle.side_v)]
        columns, rows = (int(np.clip(round(length / _TEXEL), 1, _LARGEST_TEXTURE)) for length in lengths)
        u, v = np.meshgrid((np.arange(columns) + 0.5) * _TEXEL, (np.arange(rows) + 0.5) * _TEXEL)
        points = np.stack([u, v, np.zeros_like(u)], -1).reshape(-1, 3).astype(np.float32)
        textures.append(np.clip(rectangle.pattern(points), 0.005, 0.95).astype(np.float32))
        sizes.append((columns, rows))
    size = np.array(sizes, np.int32)
    sides = np.array([[r.side_u, r.side_v] for r in rectangles], float)
    normals = np.cross(sides[:, 0], sides[:, 1])
    return Scene(
        light=light,
        corners=np.array([r.corner for r in rectangles], float),
        sides=sides,
        normals=(normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32),
        texels=np.concatenate(textures),
        first=np.cumsum([0, *size[:-1].prod(1)]),
        size=size,
    )
