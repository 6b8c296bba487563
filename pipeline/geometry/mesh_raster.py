"""Rasterization of triangle meshes: what a pinhole camera sees of a mesh that is drawn once.

A ray caster first sorts a mesh into a tree, which only pays for many views or many rays; a body that moves is a new
mesh in each frame. Conventions and results are those of `pipeline.geometry.raycast`.

How: homogeneous rasterization (Olano and Greer 1997, "Triangle scan conversion using 2D homogeneous coordinates").
With corners a, b, c in the camera frame and the ray d = (x, y, 1) through a pixel's centre, the weight of a over the
depth is d . (b x c) / (a . (b x c)), and so for b and c; the ray meets the triangle where none is negative, and their
sum is one over the depth. No corner is divided by its depth, so a triangle that reaches behind the camera needs no
clipping.
"""

import math

import numpy as np

from pipeline.geometry.raycast import Hits, check_mesh
from pipeline.runtime.jit import inline, kernel

f4 = np.float32
NEAR = 1e-6  # metres: a triangle with a corner nearer than this is looked for in the whole image


def rasterize(
    vertices: np.ndarray,  # (V, 3) metres, camera frame
    faces: np.ndarray,  # (F, 3) int
    K: np.ndarray,  # (3, 3) pixels; skew is ignored
    width: int,
    height: int,
) -> Hits:
    """What a pinhole camera sees of a mesh from either side; see `Hits`.

    Raises:
        ValueError: shapes or indices are not as said.
    """
    vertices, faces = np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int64)
    check_mesh(vertices, faces)
    face = np.full((height, width), -1, np.int32)
    bary, depth = np.zeros((height, width, 3), f4), np.zeros((height, width), f4)
    draw(vertices, faces, float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]), face, bary, depth)
    return Hits(face, bary, depth)


@inline
def _cross(ax, ay, az, bx, by, bz):
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


@inline
def _pixels(low, high, size):
    """First and end of the pixels whose centres lie in [low, high]."""
    return max(0, math.ceil(max(low, 0.0) - 0.5)), math.floor(min(high, size) - 0.5) + 1


@kernel()
def draw(vertices, faces, fx, fy, cx, cy, face, bary, depth):
    """Write the nearest triangle [H, W], its weights [H, W, 3] and its depth [H, W] where a ray meets one.

    In float64: the cross products of a triangle's corners are small differences of large numbers.
    """
    height, width = face.shape
    nearest = np.zeros((height, width))  # one over the depth
    for index in range(faces.shape[0]):
        a, b, c = faces[index, 0], faces[index, 1], faces[index, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        bx, by, bz = vertices[b, 0], vertices[b, 1], vertices[b, 2]
        cx_, cy_, cz = vertices[c, 0], vertices[c, 1], vertices[c, 2]
        if max(az, bz, cz) <= 0:
            continue
        left, right, top, bottom = 0, width, 0, height
        if min(az, bz, cz) > NEAR:
            ua, ub, uc = ax / az, bx / bz, cx_ / cz
            va, vb, vc = ay / az, by / bz, cy_ / cz
            left, right = _pixels(fx * min(ua, ub, uc) + cx, fx * max(ua, ub, uc) + cx, width)
            if left >= right:
                continue
            top, bottom = _pixels(fy * min(va, vb, vc) + cy, fy * max(va, vb, vc) + cy, height)
            if top >= bottom:
                continue
        px, py, pz = _cross(bx, by, bz, cx_, cy_, cz)
        volume = ax * px + ay * py + az * pz
        if volume == 0:
            continue  # seen edge-on
        scale = 1 / volume
        qx, qy, qz = _cross(cx_, cy_, cz, ax, ay, az)
        rx, ry, rz = _cross(ax, ay, az, bx, by, bz)
        for row in range(top, bottom):
            y = (row + 0.5 - cy) / fy
            p, q, r = (py * y + pz) * scale, (qy * y + qz) * scale, (ry * y + rz) * scale
            for column in range(left, right):
                x = (column + 0.5 - cx) / fx
                by_a, by_b, by_c = p + px * scale * x, q + qx * scale * x, r + rx * scale * x
                total = by_a + by_b + by_c
                if min(by_a, by_b, by_c) >= 0 and total > nearest[row, column]:
                    nearest[row, column] = total
                    face[row, column] = index
                    bary[row, column, 0] = by_a / total
                    bary[row, column, 1] = by_b / total
                    bary[row, column, 2] = by_c / total
                    depth[row, column] = 1 / total
