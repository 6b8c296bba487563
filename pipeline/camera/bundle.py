"""Bundle adjustment of a camera's path and of the background's points, each an inverse depth along its first ray.

A point found in keyframe a, on the ray b there, is seen by the camera of frame f at R_f^T (R_a b + rho (c_a - c_f)), up
to scale (Civera, Davison and Montiel 2008). rho may be 0: a camera that only turns is the case of no path. Levenberg
and Marquardt, with Cauchy's weights; points are eliminated first (Triggs et al. 2000, section 6.1), one number each.

A lens that bends lines makes a camera that turns look like one that travels, so the bend is an unknown, too: a picture
at x (focal lengths from the middle) is where a straight lens has x (1 + bend |x|^2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

_NEAREST = 0.02  # of a ray's length: what is nearer to the camera's plane, or behind it, is not seen
_BEHIND = 100.0  # px that such an observation is off by
_CONVERGED = 1e-4  # relative gain of a step, below which no other is taken
_DAMPING = 1e-3
_SPREAD = 10.0  # standard deviation of rho about 1: without it the scale of a long path runs away
_SMALLEST = 1e-4  # of rho, in which 1 is a usual point


@dataclass(frozen=True)
class Path:
    """The cameras of F frames, and P points."""

    turns: np.ndarray  # (F, 3, 3) camera to world
    centres: np.ndarray  # (F, 3)
    rho: np.ndarray  # (P,) one over the distance along the ray whose z is 1
    focal: float = 1.0  # focal length over that of K
    bend: float = 0.0  # negative where a straight lens has the edges of the picture nearer to the middle


@dataclass(frozen=True)
class Lens:
    """How sure one is of the lens; 0: it is known."""

    sigma_bend: float = 0.0
    sigma_focal: float = 0.0  # relative

    def off(self, path: Path) -> np.ndarray:
        """What is unknown of bend and logarithm of the focal length, in standard deviations. (0 to 2,)"""
        return np.array([path.bend, np.log(path.focal)])[self.free] / self.sigmas[self.free]

    @property
    def sigmas(self) -> np.ndarray:
        return np.array([self.sigma_bend, self.sigma_focal])

    @property
    def free(self) -> np.ndarray:
        return self.sigmas > 0


KNOWN = Lens()


@dataclass(frozen=True)
class Sightings:
    """M observations, none of them of a point in its own keyframe."""

    frame: np.ndarray  # (M,) index of the camera
    anchor: np.ndarray  # (M,) index of the camera in whose frame the point was found
    point: np.ndarray  # (M,)
    rays: np.ndarray  # (M, 3) the point's ray there, z = 1
    xy: np.ndarray  # (M, 2) px
    shape: np.ndarray  # (M, 2, 2) what counts of an error: little of it along an edge

    def chosen(self, rows: np.ndarray) -> Sightings:
        return Sightings(**{name: values[rows] for name, values in vars(self).items()})


def errors(K: np.ndarray, seen: Sightings, path: Path) -> np.ndarray:
    """(M,) px between where a point is expected and where it was seen."""
    return np.linalg.norm(_left(K, seen, path)[0], axis=1)


def _left(K: np.ndarray, seen: Sightings, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What is left of the pixels (M, 2), bent straight, and the points in the cameras (M, 3)."""
    rho = path.rho[seen.point, None]
    away = path.centres[seen.anchor] - path.centres[seen.frame]
    world = np.einsum("mij,mj->mi", path.turns[seen.anchor], straight(seen.rays, path)) + rho * away
    point = np.einsum("mji,mj->mi", path.turns[seen.frame], world)
    ahead = point[:, 2:] > _NEAREST
    focal = K[[0, 1], [0, 1]] * path.focal
    xy = point[:, :2] / np.where(ahead, point[:, 2:], 1) * focal
    from_middle = seen.xy - K[:2, 2]
    from_middle = from_middle * (1 + path.bend * ((from_middle / focal) ** 2).sum(1, keepdims=True))
    return np.where(ahead, np.einsum("mij,mj->mi", seen.shape, from_middle - xy), _BEHIND), point


def straight(rays: np.ndarray, path: Path) -> np.ndarray:
    """Rays (M, 3) of K, z = 1, as the path's lens has them."""
    rays = rays / [path.focal, path.focal, 1]
    longer = 1 + path.bend * (rays[:, :2] ** 2).sum(1, keepdims=True)
    return rays * np.concatenate([longer, longer, np.ones_like(longer)], 1)


def adjust(
    K: np.ndarray,
    seen: Sightings,
    path: Path,
    free: np.ndarray,  # (F,) bool: cameras that may move
    width: float,  # px: errors beyond count less and less
    steps: int,
    travels: bool = True,  # False: the cameras only turn
    points: bool = True,  # False: points stay where they are
    lens: Lens = KNOWN,
) -> Path:
    """The path that explains the observations best, near the one given."""

    def cost_of(path: Path) -> float:
        prior = float((lens.off(path) ** 2).sum())
        if travels and points:
            prior += (((path.rho - 1) / _SPREAD) ** 2).sum()
        return float(np.log1p((_left(K, seen, path)[0] ** 2).sum(1) / width**2).sum() + prior)

    damping, cost = _DAMPING, cost_of(path)
    for _ in range(steps):
        terms = _Terms(K, seen, path, free, width, travels, points, lens)
        for _ in range(6):
            trial = terms.step(path, damping)
            now = cost_of(trial)
            if now < cost:
                break
            damping *= 8
        else:
            return path
        gain, path, cost, damping = cost - now, trial, now, max(damping / 8, 1e-9)
        if gain < _CONVERGED * cost:
            break
    return path


def fit_points(K: np.ndarray, seen: Sightings, path: Path, width: float, steps: int = 8) -> Path:
    """The points' inverse depths, the cameras held; for points that `adjust` has not seen."""
    held = np.zeros(len(path.turns), bool)
    for _ in range(steps):
        terms = _Terms(K, seen, path, held, width, True, True)
        change = terms.pull / terms.curvature
        path = replace(path, rho=np.clip(path.rho + change, path.rho / 3, path.rho * 3))
    return path


def variances(
    K: np.ndarray, seen: Sightings, path: Path, free: np.ndarray, width: float, travels: bool, lens: Lens
) -> tuple[np.ndarray, float]:
    """(F, 6) variances of turn (radians) and place for pixels with a standard deviation of 1, 0 of a held camera; and 1
    over the relative variance of the focal length by the pixels alone, 0 where it is known.

    The path's scale, which nothing tells, is taken for known.
    """
    terms = _Terms(K, seen, path, free, width, travels, travels, lens)
    normal = terms.reduced(1e-9)[0].toarray()
    cameras = int(free.sum()) * terms.unknowns
    if travels:
        larger = np.zeros(len(normal))
        larger[:cameras].reshape(-1, 6)[:, 3:] = path.centres[free]
        larger /= max(np.linalg.norm(larger), 1e-12)
        normal += normal.diagonal().max() * np.outer(larger, larger)
    inverse = np.diag(np.linalg.pinv(normal, rcond=1e-13, hermitian=True)).clip(0)
    each = np.zeros((len(free), 6))
    each[free, : terms.unknowns] = inverse[:cameras].reshape(-1, terms.unknowns)
    if not lens.sigma_focal:
        return each, 0.0
    return each, max(0.0, 1 / float(inverse[-1]) - (width / lens.sigma_focal) ** 2)


class _Terms:
    """The normal equations at a path."""

    def __init__(
        self,
        K: np.ndarray,
        seen: Sightings,
        path: Path,
        free: np.ndarray,
        width: float,
        travels: bool,
        points: bool,
        lens: Lens = KNOWN,
    ) -> None:
        rays = straight(seen.rays, path)
        self.free, self.unknowns, self.points, self.lens = free, 6 if travels else 3, points and travels, lens
        left, point = _left(K, seen, path)
        K = K * [[path.focal, 1, 1], [1, path.focal, 1], [1, 1, 1]]
        ahead = point[:, 2] > _NEAREST
        weight = np.where(ahead, 1 / (1 + (left**2).sum(1) / width**2), 0)
        root = np.sqrt(weight)[:, None, None]
        depth = np.where(ahead, point[:, 2], 1)
        project = np.zeros((len(left), 2, 3))
        project[:, 0, 0], project[:, 1, 1] = K[0, 0] / depth, K[1, 1] / depth
        project[:, 0, 2], project[:, 1, 2] = -K[0, 0] * point[:, 0] / depth**2, -K[1, 1] * point[:, 1] / depth**2
        project = root * (seen.shape @ project)
        back = path.turns[seen.frame].transpose(0, 2, 1)  # world to the camera
        rho = path.rho[seen.point, None, None]
        frame = [project @ _skew(point)]
        anchor = [-project @ back @ path.turns[seen.anchor] @ _skew(rays)]
        if travels:
            frame.append(-rho * (project @ back))
            anchor.append(rho * (project @ back))
        self.cameras = self._blocks([(seen.frame, frame), (seen.anchor, anchor)])
        self.left = (left * root[..., 0]).ravel()
        # A longer focal length narrows the rays of the keyframe and widens the picture of the frame.
        first, from_middle = seen.rays[:, :, None] / [[path.focal], [path.focal], [1]], (seen.xy - K[:2, 2])[..., None]
        squared = (first[:, :2] ** 2).sum(1)[:, None]
        bends = ((from_middle / K[[0, 1], [0, 1], None]) ** 2).sum(1)[:, None] * from_middle
        ray = first * [[1], [1], [0]] * np.concatenate([squared, -1 - 3 * path.bend * squared], 2)
        pixel = (point[:, :2] / depth[:, None] * K[[0, 1], [0, 1]])[..., None]
        pixel = np.concatenate([-bends, 2 * path.bend * bends + pixel], 2)
        of_lens = project @ back @ path.turns[seen.anchor] @ ray + root * (seen.shape @ pixel)
        self.cameras = sparse.hstack([self.cameras, of_lens.reshape(-1, 2)[:, lens.free]], format="csr")
        self.prior = width**2 / lens.sigmas[lens.free]  # the weight of a pixel's square is 1
        self.off_lens = lens.off(path)
        if self.points:
            away = path.centres[seen.anchor] - path.centres[seen.frame]
            column = np.einsum("mij,mj->mi", project @ back, away)
            rows = np.arange(2 * len(left))
            of = np.repeat(seen.point, 2)
            self.depths = sparse.csr_matrix((column.ravel(), (rows, of)), (len(rows), len(path.rho)))
            usual = (width / _SPREAD) ** 2
            self.curvature = np.asarray(self.depths.multiply(self.depths).sum(0)).ravel() + usual
            self.pull = self.depths.T @ self.left + usual * (1 - path.rho)

    def _blocks(self, parts: list[tuple[np.ndarray, list[np.ndarray]]]) -> sparse.csr_matrix:
        """(2M, unknowns of the free cameras) from blocks (M, 2, 3) of turns, and of places."""
        column_of = np.cumsum(self.free) - 1
        data, rows, columns = [], [], []
        for camera, blocks in parts:
            block = np.concatenate(blocks, 2)
            kept = np.flatnonzero(self.free[camera])
            first = column_of[camera[kept]] * self.unknowns
            shape = (len(kept), 2, self.unknowns)
            data.append(block[kept].ravel())
            rows.append(np.broadcast_to((2 * kept[:, None] + np.arange(2))[..., None], shape).ravel())
            columns.append(np.broadcast_to(first[:, None, None] + np.arange(self.unknowns), shape).ravel())
        shape = (2 * len(parts[0][0]), int(self.free.sum()) * self.unknowns)
        entries = np.concatenate(data), (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_matrix(entries, shape)

    def reduced(self, damping: float) -> tuple[sparse.csc_matrix, np.ndarray]:
        """The normal equations of the cameras alone."""
        normal = (self.cameras.T @ self.cameras).tocsc()
        right = self.cameras.T @ self.left
        cameras = int(self.free.sum()) * self.unknowns
        added = damping * normal.diagonal() + 1e-9
        added[cameras:] += self.prior / self.lens.sigmas[self.lens.free]
        right[cameras:] -= self.prior * self.off_lens
        normal = normal + sparse.diags(added)
        if self.points:
            self.share = 1 / (self.curvature * (1 + damping))
            mixed = (self.cameras.T @ self.depths).tocsc()
            normal = normal - mixed @ sparse.diags(self.share) @ mixed.T
            right = right - mixed @ (self.share * self.pull)
        return normal.tocsc(), right

    def step(self, path: Path, damping: float) -> Path:
        normal, right = self.reduced(damping)
        moves = np.zeros((len(self.free), 6))
        try:
            solved = splu(normal).solve(right)
        except RuntimeError:  # singular: more damping helps
            return path
        cameras = int(self.free.sum()) * self.unknowns
        moves[self.free, : self.unknowns] = solved[:cameras].reshape(-1, self.unknowns)
        change = np.zeros(2)
        change[self.lens.free] = np.clip(solved[cameras:], -0.2, 0.2)
        path = replace(path, bend=path.bend + float(change[0]), focal=path.focal * float(np.exp(change[1])))
        turns = path.turns @ Rotation.from_rotvec(moves[:, :3]).as_matrix()
        path = replace(path, turns=turns, centres=path.centres + moves[:, 3:])
        if self.points:
            change = self.share * (self.pull - self.depths.T @ (self.cameras @ solved))
            path = replace(path, rho=np.maximum(path.rho + change, _SMALLEST))
        return path


def _skew(vectors: np.ndarray) -> np.ndarray:
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
