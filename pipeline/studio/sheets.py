"""Pieces of surface tied to the body: cut out of its skin and offset (sheets), or hung around it (tubes).

Everything here is in the rest pose of the body's mean shape ("the template": metres, y up, facing +z, left at +x). A
piece keeps, for each vertex, a row of weights over the body's vertices, so that it follows any shape and pose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial import ConvexHull, cKDTree

from pipeline.geometry.raycast import smooth_normals

Field = Callable[[np.ndarray], np.ndarray]  # (N, 3) template points -> (N,) metres


@dataclass(frozen=True)
class Sheet:
    """A piece of surface of P vertices over a body of V vertices."""

    anchor: sp.csr_matrix  # (P, V) rows sum to 1: the point of the body that a vertex belongs to
    offset: np.ndarray  # (P, 3) from that point to the vertex, metres
    faces: np.ndarray  # (F, 3)

    def points(self, body_vertices: np.ndarray) -> np.ndarray:
        """(P, 3) rest positions over a body of any shape."""
        return self.anchor @ body_vertices + self.offset


def body_sheet(vertices: np.ndarray, faces: np.ndarray) -> Sheet:
    """The body's own skin."""
    return Sheet(sp.identity(len(vertices), format="csr"), np.zeros_like(vertices), faces)


def fitted_sheet(points: np.ndarray, faces: np.ndarray, vertices: np.ndarray, reach: float) -> Sheet:
    """A mesh of its own (P, 3) that follows the nearest body vertices, blended over `reach` metres."""
    anchor = _blended_anchor(points, vertices, np.ones(len(vertices), bool), reach)
    return Sheet(anchor, points - anchor @ vertices, faces)


def keep_faces(sheet: Sheet, keep: np.ndarray) -> Sheet:
    """The sheet with some of its faces (F,) bool, without the vertices that no face uses any more."""
    faces = sheet.faces[keep]
    used = np.unique(faces)
    renumber = np.zeros(len(sheet.offset), int)
    renumber[used] = np.arange(len(used))
    return Sheet(sheet.anchor[used], sheet.offset[used], renumber[faces])


def subdivide(sheet: Sheet) -> Sheet:
    """Each triangle in four, new vertices at the middle of the edges."""
    edges, index = _edges(sheet.faces)
    middle = _mixing(edges, np.full(len(edges), 0.5), len(sheet.offset))
    a, b, c = (sheet.faces[:, k] for k in range(3))
    ab, bc, ca = (index[:, k] + len(sheet.offset) for k in range(3))
    triangles = [np.stack(t, 1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    return _extended(sheet, middle, np.concatenate(triangles))


def clip(sheet: Sheet, values: np.ndarray) -> Sheet:
    """Keep the part where `values` (P,), linear over each triangle, is positive: a straight, crisp cut."""
    values = np.where(np.abs(values) < 1e-6, 1e-6, values)
    edges, index = _edges(sheet.faces)
    first, second = values[edges[:, 0]], values[edges[:, 1]]
    crossing = first * second < 0
    share = np.where(crossing, first / np.where(crossing, first - second, 1), 0)
    cut = _extended(sheet, _mixing(edges, share, len(sheet.offset)), sheet.faces)
    inside = values[sheet.faces] > 0
    count = inside.sum(1)
    pieces = [sheet.faces[count == 3]]
    on_edge = index + len(sheet.offset)
    for lone in (1, 2):  # one corner inside, or one outside: turn each triangle so that this corner is first
        chosen = count == lone
        corner = np.argmax(inside[chosen] == (lone == 1), axis=1)
        order = (corner[:, None] + np.arange(3)) % 3
        a, b, c = np.take_along_axis(sheet.faces[chosen], order, 1).T
        ab, _, ca = np.take_along_axis(on_edge[chosen], order, 1).T
        if lone == 1:
            pieces.append(np.stack([a, ab, ca], 1))
        else:
            pieces += [np.stack([ab, b, c], 1), np.stack([ab, c, ca], 1)]
    whole = Sheet(cut.anchor, cut.offset, np.concatenate(pieces))
    return keep_faces(whole, np.ones(len(whole.faces), bool))


def inflate(
    sheet: Sheet,
    template: np.ndarray,  # (V, 3)
    thickness: np.ndarray,  # (P,) metres off the body
    smoothing: int,
    hug: bool = True,
) -> Sheet:
    """The sheet smoothed `smoothing` times, then moved outwards by `thickness`.

    With `hug` no vertex sinks under its own place on the body while smoothing; without it, toes become a shoe. The
    border is smoothed along itself only, so that hems stay where they were cut.
    """
    skin = sheet.points(template)
    skin_normals = smooth_normals(skin, sheet.faces)
    average = laplacian(sheet)
    points = skin
    for _ in range(smoothing):
        points = points + 0.7 * (average @ points - points)
        if hug:
            sunk = 0.002 - ((points - skin) * skin_normals).sum(1)
            points = points + np.clip(sunk, 0, None)[:, None] * skin_normals
    normals = smooth_normals(points, sheet.faces)
    for _ in range(4):
        normals = average @ normals
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Sheet(sheet.anchor, points + normals * thickness[:, None] - skin + sheet.offset, sheet.faces)


def laplacian(sheet: Sheet) -> sp.csr_matrix:
    """(P, P) mean over the neighbours of each vertex; of a border vertex, over its two border neighbours."""
    edges, index = _edges(sheet.faces)
    border_edges = np.bincount(index.ravel(), minlength=len(edges)) == 1
    border = np.zeros(len(sheet.offset), bool)
    border[edges[border_edges]] = True
    both = np.concatenate([edges, edges[:, ::-1]])
    use = ~border[both[:, 0]] | np.concatenate([border_edges, border_edges])
    both = both[use]
    size = len(sheet.offset)
    adjacency = sp.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), (size, size))
    degree = np.asarray(adjacency.sum(1)).ravel()
    return (sp.diags(1 / np.maximum(degree, 1)) @ adjacency + sp.diags((degree == 0).astype(float))).tocsr()


def tube(
    template: np.ndarray,  # (V, 3)
    follow: np.ndarray,  # (V,) bool: the body's vertices that the tube goes around and follows
    heights: np.ndarray,  # (L,) y of its rings, from the top down
    gap: np.ndarray,  # (L,) metres between the body's hull and the ring
    arc: tuple[float, float] = (0.0, 360.0),  # degrees about y from +z towards +x; all around, or a part of it
    columns: int = 112,
    reach: float = 0.05,  # metres over which a vertex blends what it follows
    folds: Field | None = None,  # moves vertices outwards, by (level share 0..1, radians) rows (N, 3): share, angle, 0
) -> Sheet:
    """A surface hung around the body: each ring is the convex hull of the body at its height, widened by `gap`.

    A ring is never narrower than those above it, as cloth hangs.
    """
    closed = arc[1] - arc[0] >= 360
    angles = np.deg2rad(np.linspace(arc[0], arc[1], columns, endpoint=not closed))
    points_of = template[follow]
    centre = points_of[np.abs(points_of[:, 1] - heights[0]) < 0.03][:, [0, 2]].mean(0)
    outward = np.stack([np.sin(angles), np.cos(angles)], 1)
    radii, hull = [], np.zeros(columns)
    for height in heights:
        slab = points_of[np.abs(points_of[:, 1] - height) < 0.025][:, [0, 2]] - centre
        if len(slab) >= 3:
            hull = np.maximum(hull, _hull_radius(slab, outward))
        radii.append(hull)
    radius = np.array(radii) + np.asarray(gap)[:, None]
    kernel = np.exp(-((np.arange(-5, 6) / 2.5) ** 2))
    radius = np.stack([_smoothed_ring(row, kernel / kernel.sum(), closed) for row in radius])
    if folds is not None:
        share = np.linspace(0, 1, len(heights))
        grid = np.stack(np.broadcast_arrays(share[:, None], angles, 0.0), -1).reshape(-1, 3)
        radius = radius + folds(grid).reshape(radius.shape)
    flat = centre + radius[..., None] * outward
    points = np.stack([flat[..., 0], np.repeat(np.asarray(heights)[:, None], columns, 1), flat[..., 1]], -1)
    points = points.reshape(-1, 3)
    anchor = _blended_anchor(points, template, follow, reach)
    return Sheet(anchor, points - anchor @ template, _grid_faces(len(heights), columns, closed))


def _hull_radius(slab: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """How far the convex hull of 2D points reaches from the origin in each direction."""
    equations = ConvexHull(slab).equations  # normal . x + offset <= 0 inside
    along = outward @ equations[:, :2].T
    distance = np.where(along > 1e-9, -equations[:, 2] / np.where(along > 1e-9, along, 1), np.inf)
    return np.clip(distance.min(1), 0, None)


def _smoothed_ring(row: np.ndarray, kernel: np.ndarray, closed: bool) -> np.ndarray:
    pad = len(kernel) // 2
    return np.convolve(np.pad(row, pad, mode="wrap" if closed else "edge"), kernel, mode="valid")


def _blended_anchor(points: np.ndarray, template: np.ndarray, follow: np.ndarray, reach: float) -> sp.csr_matrix:
    candidates = np.flatnonzero(follow)
    distance, nearest = cKDTree(template[candidates]).query(points, k=60)
    weight = np.exp(-(((distance - distance[:, :1]) / reach) ** 2))
    weight /= weight.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), nearest.shape[1])
    return sp.csr_matrix((weight.ravel(), (rows, candidates[nearest].ravel())), (len(points), len(template)))


def _grid_faces(rows: int, columns: int, closed: bool) -> np.ndarray:
    index = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        index = np.concatenate([index, index[:, :1]], 1)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    return np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, c], 1)])


def _edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique edges (E, 2), and for each face the index of its edges 01, 12, 20 (F, 3)."""
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return edges, inverse.reshape(3, -1).T


def _mixing(edges: np.ndarray, share: np.ndarray, size: int) -> sp.csr_matrix:
    """(E, size) rows that take (1 - share) of an edge's first vertex and share of its second."""
    rows = np.repeat(np.arange(len(edges)), 2)
    return sp.csr_matrix((np.stack([1 - share, share], 1).ravel(), (rows, edges.ravel())), (len(edges), size))


def _extended(sheet: Sheet, mixing: sp.csr_matrix, faces: np.ndarray) -> Sheet:
    anchor = sp.vstack([sheet.anchor, mixing @ sheet.anchor], format="csr")
    return Sheet(anchor, np.concatenate([sheet.offset, mixing @ sheet.offset]), faces)
