"""Ray casting of triangle meshes with embree: what a pinhole camera sees of a mesh, and how it is lit.

Conventions: OpenCV camera axes (x right, y down, z forward), metres; `viewmat` takes world points to camera
points. The pixel in column i and row j covers [i, i + 1) x [j, j + 1) and its ray goes through its centre
(i + 0.5, j + 0.5), as in gsplat's rasterizer: a projected point (u, v) lies in pixel (floor(u), floor(v)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene


@dataclass(frozen=True)
class Hits:
    """The nearest surface along each pixel's ray.

    face (H, W) int32: index of the triangle, -1 where the ray meets nothing.
    bary (H, W, 3) float32: weights of that triangle's three vertices, 0 where nothing is met.
    depth (H, W) float32: the camera z of the point in metres (not the ray's length), 0 where nothing is met.
    """

    face: np.ndarray
    bary: np.ndarray
    depth: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: where the mesh is seen."""
        return self.face >= 0


def check_mesh(vertices: np.ndarray, faces: np.ndarray) -> None:
    """Raise ValueError where vertices are not (V, 3), or faces not (F, 3) indices of them."""
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"vertices must be (V, 3), got {vertices.shape}")
    if faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
        raise ValueError(f"faces must be (F, 3) with F > 0, got {faces.shape}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"faces index vertices {faces.min()}..{faces.max()}, the mesh has {len(vertices)}")


class MeshCaster:
    """One triangle mesh made ready for rays; build once, then cast from as many cameras and points as wanted.

    A mesh that one camera sees once is drawn faster by `pipeline.geometry.mesh_raster`."""

    def __init__(
        self,
        vertices: np.ndarray,  # (V, 3) metres
        faces: np.ndarray,  # (F, 3) int
    ) -> None:
        vertices, faces = np.asarray(vertices), np.asarray(faces)
        check_mesh(vertices, faces)
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(
            self._scene, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32)
        )

    def pinhole(
        self,
        K: np.ndarray,  # (3, 3) pixels
        viewmat: np.ndarray,  # (4, 4) world to camera
        width: int,
        height: int,
    ) -> Hits:
        """What a pinhole camera sees of the mesh. Skew in K is not supported (and ignored)."""
        origin, directions = pinhole_rays(K, viewmat, width, height)
        origins = np.broadcast_to(origin, directions.shape)
        # The directions have camera z = 1, so embree's distance along them is the camera z itself.
        out = self._scene.run(np.ascontiguousarray(origins), directions, output=1)
        face = out["primID"].astype(np.int32)
        hit = face >= 0
        u, v = np.where(hit, out["u"], 0), np.where(hit, out["v"], 0)
        bary = np.stack([np.where(hit, 1 - u - v, 0), u, v], axis=-1).astype(np.float32)
        depth = np.where(hit, out["tfar"], 0).astype(np.float32)
        shape = (height, width)
        return Hits(face.reshape(shape), bary.reshape(*shape, 3), depth.reshape(shape))

    def occluded(
        self,
        origins: np.ndarray,  # (N, 3)
        directions: np.ndarray,  # (N, 3), any length
        reach: float = np.inf,
    ) -> np.ndarray:
        """(N,) bool: whether the mesh blocks each ray within `reach` lengths of its direction.

        Start a little off the surface (see `lift`), or a ray meets the triangle that it starts from.
        """
        out = self._scene.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            dists=np.full(len(origins), min(reach, 1e30), np.float32),
            query="OCCLUDED",
        )
        return np.asarray(out) >= 0


def pinhole_rays(
    K: np.ndarray,  # (3, 3)
    viewmat: np.ndarray,  # (4, 4) world to camera
    width: int,
    height: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The camera centre (3,) and one world direction a pixel (H*W, 3) float32, row by row, of camera z = 1."""
    columns = (np.arange(width) + 0.5 - K[0, 2]) / K[0, 0]
    rows = (np.arange(height) + 0.5 - K[1, 2]) / K[1, 1]
    x, y = np.meshgrid(columns, rows)
    rotation, translation = np.asarray(viewmat)[:3, :3], np.asarray(viewmat)[:3, 3]
    directions = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) @ rotation
    return (-rotation.T @ translation).astype(np.float32), directions.astype(np.float32)


def interpolate(
    hits: Hits,
    faces: np.ndarray,  # (F, 3) int
    attribute: np.ndarray,  # (V, C) a value for each vertex
) -> np.ndarray:
    """The attribute at each pixel that sees the mesh: (M, C), M = hits.mask.sum(), in row-major pixel order."""
    seen = hits.mask
    corners, bary = faces[hits.face[seen]], hits.bary[seen]
    attribute = np.asarray(attribute)
    return sum(bary[:, k, None] * attribute[corners[:, k]] for k in range(3))


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) unit normals; counter-clockwise triangles point at the viewer. Zero for a degenerate triangle."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return _unit(np.cross(b - a, c - a))


def smooth_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit vertex normals: the mean of the faces around a vertex, weighted by area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    weighted = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(weighted[:, axis], 3), minlength=len(vertices)) for axis in range(3)],
        axis=-1,
    )
    return _unit(total)


def shade(
    hits: Hits,
    vertices: np.ndarray,  # (V, 3) in the camera frame
    faces: np.ndarray,  # (F, 3)
    colors: np.ndarray,  # (3,) or (V, 3) in [0, 1]
    light: tuple[float, float, float] = (-0.4, -0.7, -0.8),  # towards the light, camera axes (y down, z away)
    ambient: float = 0.35,
) -> np.ndarray:
    """A plain picture of the mesh: Lambert with smooth normals. (H, W, 3) float in [0, 1], 0 where it is not seen."""
    normals = _unit(interpolate(hits, faces, smooth_normals(vertices, faces)))
    lambert = np.clip(normals @ _unit(np.asarray(light, float)), 0, 1)
    colors = np.asarray(colors, float)
    albedo = colors if colors.ndim == 1 else interpolate(hits, faces, colors)
    image = np.zeros((*hits.face.shape, 3), np.float32)
    image[hits.mask] = np.clip(albedo * (ambient + (1 - ambient) * lambert)[:, None], 0, 1)
    return image


def supersampled(K: np.ndarray, factor: int) -> np.ndarray:
    """K of the same camera with `factor` times as many pixels a side; pair with `box_downsample`."""
    return np.diag([factor, factor, 1.0]) @ K


def box_downsample(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean of each factor x factor block: (H*factor, W*factor, ...) to (H, W, ...) float."""
    corners = [(row, column) for row in range(factor) for column in range(factor)]
    total = sum(image[row::factor, column::factor].astype(np.float32) for row, column in corners)
    return total / np.float32(factor**2)


def lift(points: np.ndarray, normals: np.ndarray, distance: float = 1e-3) -> np.ndarray:
    """Points moved off their surface, so that rays started there do not meet it at once."""
    return points + distance * normals


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
