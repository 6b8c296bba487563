"""Rotations, place and shape of a body by which places on it come to lie where they are told to.

Gauss-Newton over all frames at once: a frame's rotations and translation only meet those of its neighbours through the
shape and the smoothness, so that each frame is a small system of its own, and the shape is solved for in between.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body.model import PARENTS
from pipeline.motion.priors import pose_prior

_SIGMA_POSE = 2.0  # rad from the relaxed pose, for a joint of stiffness 1: decides only what no place shows
_SIGMA_LIMITS = 0.2  # rad beyond a joint's range
_SIGMA_SMOOTH = 0.2  # rad from the middle between the neighbouring frames
_SHAPE_FRAMES = 0.1  # a beta counts as if this share of the frames told it to be 0 by its sigma of 1
_STEPS = 120  # at most
_DAMPING, _MOST_DAMPING = 100.0, 1e9  # 1 / rad^2 at the start, and at most
_CHUNK = 6000  # places times frames whose systems are in memory at a time: 100 MB


@dataclass(frozen=True)
class Places:
    """Places on a body at rest, linear in the betas (column 0 is the mean shape's), and how well each is told."""

    rest: np.ndarray  # (P, 3, 11) metres
    weights: np.ndarray  # (P, 24) share that each joint's motion has in a place's; a row sums to 1
    joints: np.ndarray  # (24, 3, 11) metres, of the body at rest
    sigma: np.ndarray  # (P,) metres
    far: np.ndarray  # (P,) metres: places farther off count less and less (Cauchy)
    normals: np.ndarray  # (P, 3) of the skin at rest; zero where there is none
    along: np.ndarray  # (P,) share of what a place is off along the skin that counts; 1 where all does

    def and_more(self, more: Places) -> Places:
        """These places and then those, of the same body."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "joints"}
        joined = {name: np.concatenate([values, getattr(more, name)]) for name, values in own.items()}
        return Places(joints=self.joints, **joined)


@dataclass(frozen=True)
class Posed:
    """A body in T frames."""

    rotmats: np.ndarray  # (T, 24, 3, 3)
    transl: np.ndarray  # (T, 3) metres, added after the root offset of the body
    betas: np.ndarray  # (10,)

    @property
    def rotations(self) -> np.ndarray:
        """(T, 24, 3) axis-angle."""
        return _rotvecs(self.rotmats)


@dataclass(frozen=True)
class _Bones:
    """Joints in T frames, linear in the betas, without the translation."""

    world: np.ndarray  # (T, 24, 3, 3)
    axes: np.ndarray  # (T, 24, 3, 3) their parents' `world`
    joints: np.ndarray  # (T, 24, 3, 11) metres
    origins: np.ndarray  # (T, 24, 3, 11) where each joint's motion takes the origin of the rest pose


def posed_places(places: Places, body: Posed) -> np.ndarray:
    """(T, P, 3) metres."""
    return _placed(places, _bones(places, body.rotmats), body)[0]


def solve(places: Places, points: np.ndarray, body: Posed, done: float = 1e-4) -> Posed:
    """The body moved so that its places lie on the points.

    Args:
        points: metres; NaN where one is not told. (T, P, 3)
        body: where to start.
        done: share of the cost by which a step must lower it to be followed by another.
    """
    seen = np.isfinite(points).all(2)  # (T, P)
    points = np.where(seen[..., None], points, 0.0)
    damping = np.full(len(points), _DAMPING)
    cost = _cost(places, points, seen, body)
    total = np.inf
    for _ in range(_STEPS):
        turns, moves, shape = _step(places, points, seen, body, damping)
        turned = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(body.rotmats.shape) @ body.rotmats
        new = _cost(places, points, seen, Posed(turned, body.transl + moves, body.betas + shape))
        better = new < cost  # each frame on its own, as Levenberg and Marquardt do
        damping = np.where(better, damping / 4, np.minimum(damping * 8, _MOST_DAMPING))
        rotmats = np.where(better[:, None, None, None], turned, body.rotmats)
        transl = np.where(better[:, None], body.transl + moves, body.transl)
        body, reshaped = Posed(rotmats, transl, body.betas), Posed(rotmats, transl, body.betas + shape)
        kept, cost = _cost(places, points, seen, body), _cost(places, points, seen, reshaped)
        if cost.sum() + _shape_cost(reshaped) <= kept.sum() + _shape_cost(body):
            body = reshaped
        else:
            cost = kept
        total, before = float(cost.sum()) + _shape_cost(body), total
        if better.mean() > 0.5 and before - total < done * total:
            break
    return body


def _bones(places: Places, rotmats: np.ndarray) -> _Bones:
    world, axes = np.empty_like(rotmats), np.empty_like(rotmats)
    joints = np.empty((len(rotmats), *places.joints.shape))
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            axes[:, joint] = np.eye(3)
            joints[:, joint] = places.joints[joint]
        else:
            axes[:, joint] = world[:, parent]
            joints[:, joint] = joints[:, parent] + world[:, parent] @ (places.joints[joint] - places.joints[parent])
        world[:, joint] = axes[:, joint] @ rotmats[:, joint]
    return _Bones(world, axes, joints, joints - world @ places.joints)


def _placed(places: Places, bones: _Bones, body: Posed) -> tuple[np.ndarray, np.ndarray]:
    """Places (T, P, 3), and the blended turns that took them there (T, P, 3, 3)."""
    shape = np.append(1.0, body.betas)
    turns = _blended(places, bones.world)
    points = (turns @ (places.rest @ shape)[..., None])[..., 0] + places.weights @ (bones.origins @ shape)
    return points + body.transl[:, None], turns


def _blended(places: Places, values: np.ndarray) -> np.ndarray:
    """(T, 24, ...) of joints -> (T, P, ...) of places: equation 3 of the paper."""
    flat = places.weights @ values.reshape(*values.shape[:2], -1)
    return flat.reshape(*flat.shape[:2], *values.shape[2:])


def _counted(places: Places, turns: np.ndarray, off: np.ndarray) -> np.ndarray:
    """What counts of how far places are off, or of how they move: all of it across the skin, a share along it.

    Args:
        turns: (T, P, 3, 3)
        off: (T, P, 3, N)
    """
    normals = turns @ places.normals[..., None]  # (T, P, 3, 1); blended turns shorten some by a little
    along = places.along[:, None, None]
    return along * off + (1 - along) * normals * (normals.swapaxes(-1, -2) @ off)


def _step(
    places: Places,
    points: np.ndarray,  # (T, P, 3)
    seen: np.ndarray,  # (T, P)
    body: Posed,
    damping: np.ndarray,  # (T,)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turns of each joint in its parent's axes (T, 24, 3), moves (T, 3), change of the betas (10,)."""
    count = len(points)
    prior_H, prior_g = _priors(body.rotmats)
    own, by_shape = np.empty((count, 75)), np.empty((count, 75, 10))
    shape_H = (count * _SHAPE_FRAMES + 1) * np.eye(10)
    shape_g = (count * _SHAPE_FRAMES + 1) * body.betas
    frames = max(1, _CHUNK // len(places.rest))
    for begin in range(0, count, frames):
        part = slice(begin, begin + frames)
        here = Posed(body.rotmats[part], body.transl[part], body.betas)
        bones = _bones(places, here.rotmats)
        found, turns = _placed(places, bones, here)
        off = _counted(places, turns, (found - points[part])[..., None])
        weight = seen[part] / places.sigma**2 / (1 + (off[..., 0] ** 2).sum(2) / places.far**2)
        J = _counted(places, turns, _moves_by_pose(places, bones, here))
        J_shape = _counted(places, turns, turns @ places.rest[..., 1:] + _blended(places, bones.origins[..., 1:]))
        J, J_shape, off = (values.reshape(len(values), -1, values.shape[-1]) for values in (J, J_shape, off))
        flat_weight = np.repeat(weight, 3, axis=1)[..., None]
        weighted = (J * flat_weight).swapaxes(1, 2)
        H = weighted @ J
        H[:, :72, :72] += prior_H[part]
        H[:, range(75), range(75)] += damping[part, None]
        g = (weighted @ off)[..., 0]
        g[:, :72] += prior_g[part]
        cross = weighted @ J_shape  # (t, 75, 10)
        solved = np.linalg.solve(H, np.concatenate([g[..., None], cross], axis=2))
        own[part], by_shape[part] = solved[..., 0], solved[..., 1:]
        weighted_shape = (J_shape * flat_weight).swapaxes(1, 2)
        shape_H += (weighted_shape @ J_shape - cross.swapaxes(1, 2) @ solved[..., 1:]).sum(0)
        shape_g += ((weighted_shape @ off)[..., 0] - (cross.swapaxes(1, 2) @ solved[..., :1])[..., 0]).sum(0)
    shape = -np.linalg.solve(shape_H, shape_g)
    step = -own - by_shape @ shape
    return step[:, :72].reshape(count, 24, 3), step[:, 72:], shape


def _moves_by_pose(places: Places, bones: _Bones, body: Posed) -> np.ndarray:
    """(t, P, 3, 75): how places move with turns of each joint about its parent's axes, and with the translation."""
    shape = np.append(1.0, body.betas)
    at = (bones.world[:, None] @ (places.rest @ shape)[:, None, :, None])[..., 0] + (bones.origins @ shape)[:, None]
    arms = at * places.weights[..., None]  # (t, P, 24, 3), summed over what each joint moves
    shares = places.weights.copy()
    for joint in range(len(PARENTS) - 1, 0, -1):
        arms[:, :, PARENTS[joint]] += arms[:, :, joint]
        shares[:, PARENTS[joint]] += shares[:, joint]
    arms -= shares[..., None] * (bones.joints @ shape)[:, None]
    turned = np.cross(bones.axes.swapaxes(-1, -2)[:, None], arms[..., None, :])  # axis x arm: (t, P, 24, i, 3)
    by_turns = turned.reshape(*turned.shape[:2], 72, 3).swapaxes(-1, -2)
    return np.concatenate([by_turns, np.broadcast_to(np.eye(3), (*by_turns.shape[:3], 3))], axis=3)


def _cost(places: Places, points: np.ndarray, seen: np.ndarray, body: Posed) -> np.ndarray:
    """(T,) what `_step` makes less, but for the shape's own part."""
    found, turns = _placed(places, _bones(places, body.rotmats), body)
    off = (_counted(places, turns, (found - points)[..., None]) ** 2).sum((2, 3))
    fit = (seen * np.log1p(off / places.far**2) * (places.far / places.sigma) ** 2).sum(1) / 2
    _, pull, from_relaxed, beyond = _habits(body.rotmats)
    habit = (pull * from_relaxed**2).sum((1, 2)) / 2 + (beyond**2).sum((1, 2)) / 2 / _SIGMA_LIMITS**2
    return fit + habit + (_unsmooth(body.rotmats) ** 2).sum((1, 2)) / 2 / _SIGMA_SMOOTH**2


def _shape_cost(body: Posed) -> float:
    return float((len(body.transl) * _SHAPE_FRAMES + 1) * (body.betas**2).sum() / 2)


def _habits(rotmats: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of joints 1..23: vectors (T, 23, 3), weight of the relaxed pose (23, 3), difference to it, rad beyond ranges."""
    low, high, relaxed, stiffness = (values.numpy().reshape(23, 3) for values in pose_prior(torch.float64))
    vectors = _rotvecs(rotmats)[:, 1:]
    beyond = np.maximum(vectors - high, 0) - np.maximum(low - vectors, 0)
    return vectors, stiffness / _SIGMA_POSE**2, vectors - relaxed, beyond


def _unsmooth(rotmats: np.ndarray) -> np.ndarray:
    """(T, 24, 3) turns from the middle between the neighbouring frames to each frame."""
    count = len(rotmats)
    if count == 1:
        return np.zeros((1, 24, 3))
    before, after = rotmats[np.maximum(np.arange(count) - 1, 0)], rotmats[np.minimum(np.arange(count) + 1, count - 1)]
    half = Rotation.from_rotvec(_rotvecs(after @ before.swapaxes(-1, -2)).reshape(-1, 3) / 2)
    middle = half.as_matrix().reshape(rotmats.shape) @ before
    middle[0], middle[-1] = rotmats[1], rotmats[-2]
    return _rotvecs(rotmats @ middle.swapaxes(-1, -2))


def _priors(rotmats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the relaxed pose, the joints' ranges and the neighbouring frames: matrices (T, 72, 72), gradients (T, 72)."""
    count = len(rotmats)
    vectors, pull, from_relaxed, beyond = _habits(rotmats)
    force = pull * from_relaxed + beyond / _SIGMA_LIMITS**2
    weight = pull + (beyond != 0) / _SIGMA_LIMITS**2
    J = _inverse_jacobian(vectors)  # (T, 23, 3, 3)
    blocks = np.broadcast_to(np.eye(3) / _SIGMA_SMOOTH**2, (count, 24, 3, 3)).copy()
    gradient = _unsmooth(rotmats) / _SIGMA_SMOOTH**2
    blocks[:, 1:] += J.swapaxes(-1, -2) @ (weight[..., None] * J)
    gradient[:, 1:] += (J.swapaxes(-1, -2) @ force[..., None])[..., 0]
    full = np.zeros((count, 24, 3, 24, 3))
    full[:, range(24), :, range(24), :] = blocks.swapaxes(0, 1)
    return full.reshape(count, 72, 72), gradient.reshape(count, 72)


def _rotvecs(rotmats: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 3)."""
    return Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_rotvec().reshape(rotmats.shape[:-1])


def _inverse_jacobian(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) -> (..., 3, 3): how a small turn, applied after the rotation, changes its vector."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    safe = np.maximum(angle, 1e-4)
    factor = 1 / safe**2 - (1 + np.cos(safe)) / (2 * safe * np.sin(np.minimum(safe, 3.1)))
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape, 3)
    return np.eye(3) - cross / 2 + factor * (cross @ cross)
