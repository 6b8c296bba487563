"""Kernels of the pictures: a shaded mesh, the ground with a shadow on it, one picture over another."""

import math

import numpy as np

from pipeline.runtime.jit import inline, kernel

f4 = np.float32
ZERO, HALF, ONE = f4(0), f4(0.5), f4(1)
AMBIENT, DIFFUSE = f4(0.5), f4(0.62)  # of the light on a mesh
RIM_SHADE = f4(0.4)  # by which the colour is darker at grazing surfaces
LARGEST, TINY = f4(255), f4(1e-12)


@kernel()
def vertex_normals(vertices, faces, normals):
    """Add to `normals` [V, 3], zero before, the normal times twice the area of each face around a vertex."""
    for index in range(faces.shape[0]):
        a, b, c = faces[index, 0], faces[index, 1], faces[index, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in range(3):
            vertex = faces[index, corner]
            normals[vertex, 0] += nx
            normals[vertex, 1] += ny
            normals[vertex, 2] += nz
    for vertex in range(normals.shape[0]):
        nx, ny, nz = _unit(normals[vertex, 0], normals[vertex, 1], normals[vertex, 2])
        normals[vertex, 0], normals[vertex, 1], normals[vertex, 2] = nx, ny, nz


@inline
def _unit(x, y, z):
    length = max(math.sqrt(x * x + y * y + z * z), TINY)
    return x / length, y / length, z / length


@inline
def _at(values, a, b, c, weights):
    """A value (3,) of three vertices at a point between them."""
    return (
        weights[0] * values[a, 0] + weights[1] * values[b, 0] + weights[2] * values[c, 0],
        weights[0] * values[a, 1] + weights[1] * values[b, 1] + weights[2] * values[c, 1],
        weights[0] * values[a, 2] + weights[1] * values[b, 2] + weights[2] * values[c, 2],
    )


@kernel()
def shade_mesh(face, bary, vertices, faces, normals, tints, light, opacity, factor, colour, alpha):
    """Add to colour [h, w, 3] and alpha [h, w], zero before, the mean over factor x factor samples of the mesh.

    face, bary: hits [h * factor, w * factor], of `geometry.raycast.Hits`. vertices, normals, tints: [V, 3]. light [3].
    """
    share = ONE / f4(factor * factor)
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            if face[row, column] < 0:
                continue
            corners, weights = faces[face[row, column]], bary[row, column]
            a, b, c = corners[0], corners[1], corners[2]
            nx, ny, nz = _at(normals, a, b, c, weights)
            nx, ny, nz = _unit(nx, ny, nz)
            px, py, pz = _at(vertices, a, b, c, weights)
            px, py, pz = _unit(px, py, pz)
            grazing = ONE - abs(nx * px + ny * py + nz * pz)
            rim = grazing * grazing * grazing
            lit = AMBIENT + DIFFUSE * min(max(nx * light[0] + ny * light[1] + nz * light[2], ZERO), ONE)
            covered = (opacity + (ONE - opacity) * rim) * share
            shade = lit * (ONE - RIM_SHADE * rim) * covered
            red, green, blue = _at(tints, a, b, c, weights)
            y, x = row // factor, column // factor
            colour[y, x, 0] += red * shade
            colour[y, x, 1] += green * shade
            colour[y, x, 2] += blue * shade
            alpha[y, x] += covered


@kernel()
def lay_shadow(backdrop, ground, seen, shadow, x, z, reach, cell, tint, out):
    """Write the backdrop [H, W, 3], darkened towards `tint` [3] by the shadow map [R, R] about (x, z).

    ground: x and z of the ground in each pixel [H, W, 2], metres. seen: 1 where a pixel sees the ground [H, W].
    """
    last = f4(shadow.shape[0] - 1)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            u = f4((ground[row, column, 0] - x + reach) / cell - 0.5)
            v = f4((ground[row, column, 1] - z + reach) / cell - 0.5)
            dark = ZERO
            if seen[row, column] > 0 and u >= 0 and v >= 0 and u <= last and v <= last:
                i, j = min(int(u), shadow.shape[0] - 2), min(int(v), shadow.shape[1] - 2)
                s, t = u - f4(i), v - f4(j)
                near = shadow[i, j] * (ONE - t) + shadow[i, j + 1] * t
                far = shadow[i + 1, j] * (ONE - t) + shadow[i + 1, j + 1] * t
                dark = near * (ONE - s) + far * s
            for channel in range(3):
                out[row, column, channel] = backdrop[row, column, channel] * (ONE - dark * (ONE - tint[channel]))


@kernel()
def lay_over(colour, alpha, under, out):
    """Write uint8 [H, W, 3]: colour [H, W, 3], which is multiplied by alpha [H, W] already, over `under` [H, W, 3]."""
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            through = ONE - alpha[row, column]
            for channel in range(3):
                value = colour[row, column, channel] + through * under[row, column, channel]
                out[row, column, channel] = np.uint8(min(max(value, ZERO), ONE) * LARGEST + HALF)
