"""Named places on a body, such as other tools' joints, turned into rotations, place and shape of ours.

Gauss-Newton over all frames at once: a frame's rotations and translation only meet those of its neighbours through the
shape and the smoothness, so that each frame is a small system of its own, and the shape is solved for in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.body.anatomy import COCO, H36M, anatomical_centres
from pipeline.body.model import PARENTS
from pipeline.geometry.rotations import matrix_to_axis_angle
from pipeline.motion.limbs import limb_poses, torso_rotation
from pipeline.motion.priors import pose_prior
from pipeline.runtime.errors import UserError

MID_HIPS = "mid_hips"  # between the hip joints: H36M's pelvis, where SMPL's joint "pelvis" is higher
_CENTRES = {name: name for name in (*H36M, *COCO) if name != "pelvis"} | {MID_HIPS: "pelvis"}
_SIGMA = 0.005  # m of a point
_ROBUST = 0.1  # m: points farther off count less and less (Cauchy)
_SIGMA_POSE = 2.0  # rad from the relaxed pose, for a joint of stiffness 1: decides only what no point shows
_SIGMA_LIMITS = 0.2  # rad beyond a joint's range
_SIGMA_SMOOTH = 0.2  # rad from the middle between the neighbouring frames
_SHAPE_FRAMES = 0.1  # a beta counts as if this share of the frames told it to be 0 by its sigma of 1
_STEPS, _DONE = 120, 1e-4  # steps at most; share of the cost by which a step must lower it to be followed by another
_DAMPING, _MOST_DAMPING = 100.0, 1e9  # 1 / rad^2 at the start, and at most
_CHUNK = 256  # frames whose systems are in memory at a time
# mediapipe's numbers of the limbs' joints, as limb_poses takes them, and their names here.
_START = {
    11: "l_shoulder", 12: "r_shoulder", 13: "l_elbow", 14: "r_elbow", 15: "l_wrist", 16: "r_wrist",
    23: "l_hip", 24: "r_hip", 25: "l_knee", 26: "r_knee", 27: "l_ankle", 28: "r_ankle",
}  # fmt: skip
_SIDES = {"l": "left", "r": "right"}
_TORSO = (11, 12, 23, 24)


@dataclass(frozen=True)
class FittedPoints:
    """A motion of the body whose named places are where the points are."""

    rotations: np.ndarray  # (T, 24, 3) axis-angle
    transl: np.ndarray  # (T, 3) metres, added after the root offset of the body
    betas: np.ndarray  # (10,)
    residual: float  # metres, mean over the points that are known


@dataclass(frozen=True)
class _Places:
    """Rest places that are fixed in bones, linear in the betas: column 0 is the mean shape's."""

    rest: np.ndarray  # (P, 3, 11) metres
    bones: np.ndarray  # (P,)
    joints: np.ndarray  # (24, 3, 11)
    moved: np.ndarray  # (P, 24) whether a place moves with a joint


def fit_points(points: np.ndarray, names: tuple[str, ...], body: BodyModel) -> FittedPoints:
    """Pose the body so that its places `names` come to lie on the points.

    Args:
        points: metres in a camera's frame or a world's; NaN where one is not known. (T, P, 3)
        names: what each is: a joint of SMPL (`JOINT_NAMES`), an anatomical centre (`H36M`, `COCO` of body/anatomy.py;
            `MID_HIPS` for their pelvis), or a landmark vertex of the body (`LBigToe`). Others are left alone.
        body: which body.

    Raises:
        UserError: hips or shoulders are not among the names, or never seen.
    """
    known = [index for index, name in enumerate(names) if name in _known_names(body)]
    points, names = np.asarray(points, float)[:, known], tuple(names[index] for index in known)
    places = _places(body, names)
    rotmats = _start(points, names)
    seen = np.isfinite(points).all(2)  # (T, P)
    points = np.where(seen[..., None], points, 0.0)
    betas, transl = np.zeros(10), np.zeros((len(points), 3))
    first = _forward(places, rotmats, betas, transl)[0]
    transl += ((points - first) * seen[..., None]).sum(1) / np.maximum(seen.sum(1), 1)[:, None]
    damping = np.full(len(points), _DAMPING)
    cost = _cost(places, points, seen, rotmats, betas, transl)
    total = np.inf
    for _ in range(_STEPS):
        turns, moves, shape = _step(places, points, seen, rotmats, betas, transl, damping)
        turned = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(rotmats.shape) @ rotmats
        new = _cost(places, points, seen, turned, betas + shape, transl + moves)
        better = new < cost  # each frame on its own, as Levenberg and Marquardt do
        damping = np.where(better, damping / 4, np.minimum(damping * 8, _MOST_DAMPING))
        rotmats = np.where(better[:, None, None, None], turned, rotmats)
        transl = np.where(better[:, None], transl + moves, transl)
        kept = _cost(places, points, seen, rotmats, betas, transl)
        cost = _cost(places, points, seen, rotmats, betas + shape, transl)
        if cost.sum() + _shape_cost(len(points), betas + shape) <= kept.sum() + _shape_cost(len(points), betas):
            betas = betas + shape
        else:
            cost = kept
        total, before = float(cost.sum()) + _shape_cost(len(points), betas), total
        if better.mean() > 0.5 and before - total < _DONE * total:
            break
    off = np.linalg.norm(_forward(places, rotmats, betas, transl)[0] - points, axis=2)
    return FittedPoints(_rotvecs(rotmats), transl, betas, float(off[seen].mean()))


def _known_names(body: BodyModel) -> set[str]:
    return {*JOINT_NAMES, *_CENTRES, *body.vertex_ids}


def _places(body: BodyModel, names: tuple[str, ...]) -> _Places:
    shaped = torch.cat([body.v_template[..., None], body.shapedirs], dim=2).double()  # [V, 3, 11]
    joints = torch.einsum("jv,vcb->jcb", body.J_regressor.double(), shaped)
    wanted = (*(_CENTRES[name] for name in names if name in _CENTRES), "pelvis")  # one that needs no face at least
    centres = anatomical_centres(body, wanted)
    at = dict(zip(wanted, zip(torch.einsum("pv,vcb->pcb", centres.regressor.double(), shaped), centres.bones)))
    rest, bones = [], []
    for name in names:
        if name in _CENTRES:
            place, bone = at[_CENTRES[name]]
        elif name in JOINT_NAMES:
            bone = JOINT_NAMES.index(name)
            place = joints[bone]
        else:
            place = shaped[body.vertex_ids[name]]
            bone = int(body.weights[body.vertex_ids[name]].argmax())
        rest.append(place)
        bones.append(bone)
    chains = np.zeros((24, 24), bool)  # joint, which joints move it
    for joint, parent in enumerate(PARENTS):
        chains[joint] = chains[parent] if parent >= 0 else False
        chains[joint, joint] = True
    return _Places(torch.stack(rest).numpy(), np.array(bones), joints.numpy(), chains[bones])


def _start(points: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Rotations (T, 24, 3, 3) by the directions of torso and limbs."""
    world = np.full((len(points), 33, 3), np.nan)
    for number, name in _START.items():
        side, part = name.split("_")
        for each in (name, f"{_SIDES[side]}_{part}"):
            if each in names:
                world[:, number] = points[:, names.index(each)]
    for number in range(33):  # frames that lack it: as their neighbours
        there = np.flatnonzero(np.isfinite(world[:, number]).all(1))
        if len(there):
            world[:, number] = np.stack(
                [np.interp(np.arange(len(world)), there, world[there, number, axis]) for axis in range(3)], axis=1
            )
        elif number in _TORSO:
            raise UserError(f"joints: {_START[number]} is not among {', '.join(names)}; hips and shoulders are needed")
    given = torch.as_tensor(np.nan_to_num(world))
    root = torso_rotation(given)
    pose = torch.cat([matrix_to_axis_angle(root), limb_poses(given, root)], dim=1).reshape(-1, 24, 3).numpy()
    for ends, joints in (((13, 15), (16, 18)), ((14, 16), (17, 19)), ((25, 27), (1, 4)), ((26, 28), (2, 5))):
        if not np.isfinite(world[:, ends]).all():
            pose[:, joints] = 0
    return Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)


def _forward(
    places: _Places,
    rotmats: np.ndarray,  # (T, 24, 3, 3)
    betas: np.ndarray,  # (10,)
    transl: np.ndarray,  # (T, 3)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points (T, P, 3), change by each beta (T, P, 3, 10), joints (T, 24, 3), their parents' axes (T, 24, 3, 3)."""
    world = np.empty_like(rotmats)
    axes = np.empty_like(rotmats)
    joints = np.empty((len(rotmats), *places.joints.shape))  # (T, 24, 3, 11)
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            axes[:, joint] = np.eye(3)
            joints[:, joint] = places.joints[joint]
        else:
            axes[:, joint] = world[:, parent]
            joints[:, joint] = joints[:, parent] + world[:, parent] @ (places.joints[joint] - places.joints[parent])
        world[:, joint] = axes[:, joint] @ rotmats[:, joint]
    points = joints[:, places.bones] + world[:, places.bones] @ (places.rest - places.joints[places.bones])
    shape = np.append(1.0, betas)
    return points @ shape + transl[:, None], points[..., 1:], joints @ shape + transl[:, None], axes


def _step(
    places: _Places,
    points: np.ndarray,  # (T, P, 3)
    seen: np.ndarray,  # (T, P)
    rotmats: np.ndarray,
    betas: np.ndarray,
    transl: np.ndarray,
    damping: np.ndarray,  # (T,)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turns of each joint in its parent's axes (T, 24, 3), moves (T, 3), change of the betas (10,)."""
    count = len(points)
    prior_H, prior_g = _priors(rotmats)
    own, by_shape = np.empty((count, 75)), np.empty((count, 75, 10))
    shape_H = (count * _SHAPE_FRAMES + 1) * np.eye(10)
    shape_g = (count * _SHAPE_FRAMES + 1) * betas
    for begin in range(0, count, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        found, J_shape, joints, axes = _forward(places, rotmats[part], betas, transl[part])
        off = found - points[part]
        weight = seen[part] / _SIGMA**2 / (1 + (off**2).sum(2) / _ROBUST**2)
        arm = found[:, :, None] - joints[:, None]  # (t, P, 24, 3)
        # How each axis i of each joint's parent moves each place: axis x arm. (t, P, 24, i, 3)
        turned = np.cross(axes.swapaxes(-1, -2)[:, None], arm[..., None, :]) * places.moved[None, :, :, None, None]
        J = turned.reshape(*turned.shape[:2], 72, 3).swapaxes(-1, -2)  # (t, P, 3, 72)
        J = np.concatenate([J, np.broadcast_to(np.eye(3), (*J.shape[:3], 3))], axis=3)
        J = J.reshape(len(J), -1, 75)
        flat_weight = np.repeat(weight, 3, axis=1)[..., None]
        J_shape, off = J_shape.reshape(len(J), -1, 10), off.reshape(len(J), -1, 1)
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


def _cost(
    places: _Places,
    points: np.ndarray,
    seen: np.ndarray,
    rotmats: np.ndarray,
    betas: np.ndarray,
    transl: np.ndarray,
) -> np.ndarray:
    """(T,) what `_step` makes less, but for the shape's own part."""
    off = ((_forward(places, rotmats, betas, transl)[0] - points) ** 2).sum(2)
    fit = (seen * np.log1p(off / _ROBUST**2)).sum(1) * (_ROBUST / _SIGMA) ** 2 / 2
    _, pull, from_relaxed, beyond = _habits(rotmats)
    habit = (pull * from_relaxed**2).sum((1, 2)) / 2 + (beyond**2).sum((1, 2)) / 2 / _SIGMA_LIMITS**2
    return fit + habit + (_unsmooth(rotmats) ** 2).sum((1, 2)) / 2 / _SIGMA_SMOOTH**2


def _shape_cost(frames: int, betas: np.ndarray) -> float:
    return float((frames * _SHAPE_FRAMES + 1) * (betas**2).sum() / 2)


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
