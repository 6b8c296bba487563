"""Feet that rest do not move: each leg is bent a little, so that what stands, and is not seen to move, stays there.

The root alone (`settle.py`) cannot mend both feet at once. A foot that rises goes back to its own place and turn.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.camera import contact
from pipeline.camera.feet import feet_of
from pipeline.camera.legs import CHAINS, bent
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix

_STANDS = 0.5  # probability from which a part stands
# Errors expected, of each frame.
_ALONG, _ACROSS = 0.06, 0.02  # metres of the ankle, along the line of sight and across it
_LENGTH = 0.005  # metres of the way from hip to ankle: of an almost straight leg little of it bends the knee a lot
_HEIGHT = 0.003  # metres up or down, of a part that stands: the root has put it on the ground
_TURN = 0.1  # radians of the foot
_CHANGES, _TURNS = 5.0, 15.0  # m/s^2 and rad/s^2 of what is added
_ROUNDS = 2  # the foot's turn is linearised


def rested(world: Pose, body: BodyModel, eyes: np.ndarray) -> np.ndarray:
    """The body pose (T, 69) whose hips, knees and ankles are bent so that feet which rest do not move.

    The root stays. Legs keep their length, and with it the bend of the knee, more than their direction.

    Args:
        world: a motion in the axes of its world, with contact.
        body: the body it is of.
        eyes: metres, where the camera is. (T, 3)
    """
    feet = replace(feet_of(world, body), eyes=eyes)
    rotmats = axis_angle_to_matrix(_tensor(np.c_[world.global_orient, world.body_pose]).unflatten(1, (24, 3)))
    frames = body.to(dtype=torch.float64).world_joints(rotmats, _tensor(world.betas), _tensor(world.transl)).numpy()
    turns, places, local = frames[..., :3, :3], frames[..., :3, 3], rotmats.numpy().copy()
    stands = world.contact * (world.contact > _STANDS)
    slides = contact.slides(feet, stands > 0)
    for number, (hip, knee, ankle, _) in enumerate(CHAINS):
        parts = slice(2 * number, 2 * number + 2)
        soles = feet.soles[:, parts] - places[:, None, None, ankle]
        added = np.zeros((len(world), 6))
        for _ in range(_ROUNDS):
            turned = np.einsum("tij,tpkj->tpki", Rotation.from_rotvec(added[:, 3:]).as_matrix(), soles)
            target = places[:, ankle] + added[:, :3]
            ways = _unit(target - eyes), _unit(places[:, ankle] - places[:, hip])
            added = _solved(target, turned, added, ways, stands[:, parts], slides[:, parts], feet.fps)
        thigh, shank = bent(places[:, [hip, knee, ankle]], turns[:, [hip, knee]], places[:, ankle] + added[:, :3])
        foot = Rotation.from_rotvec(added[:, 3:]).as_matrix() @ turns[:, ankle]
        local[:, hip] = turns[:, 0].transpose(0, 2, 1) @ thigh
        local[:, knee] = thigh.transpose(0, 2, 1) @ shank
        local[:, ankle] = shank.transpose(0, 2, 1) @ foot
    return Rotation.from_matrix(local[:, 1:].reshape(-1, 3, 3)).as_rotvec().reshape(len(world), 69)


def _solved(
    ankle: np.ndarray,  # (T, 3) metres, moved by what is added
    soles: np.ndarray,  # (T, 2, K, 3) metres from the ankle, of heel and toes, turned by what is added
    added: np.ndarray,  # (T, 6) so far: shift, and turn as a rotation vector
    ways: tuple[np.ndarray, np.ndarray],  # (T, 3) unit vectors from the camera, and from the hip, to the ankle
    stands: np.ndarray,  # (T, 2)
    slides: np.ndarray,  # (T, 2) m/s
    fps: float,
) -> np.ndarray:
    """(T, 6) shift and turn of a foot about its ankle, by least squares: a sparse system, linear in what is added."""
    count = len(ankle)
    now = added.ravel()
    rows, values = [], []

    def add(matrix: sparse.spmatrix, wanted: np.ndarray, weight: np.ndarray) -> None:
        rows.append(sparse.diags(weight) @ matrix)
        values.append(weight * wanted)

    steps = sparse.diags([-fps, fps], [0, 1], (count - 1, count))
    for part in range(2):
        middle = soles[:, part].mean(axis=1)
        place = ankle + middle
        held = np.sqrt(stands[1:, part] * stands[:-1, part]) / np.maximum(slides[1:, part], slides[:-1, part])
        moves = _moves_with(middle)
        for axis in (0, 2):
            add(steps @ moves[axis], steps @ (moves[axis] @ now - place[:, axis]), held)
        add(moves[1], np.zeros(count), np.sqrt(stands[:, part]) / _HEIGHT)
    seen, leg = (way[:, :, None] * way[:, None, :] for way in ways)
    near = (np.eye(3) - seen) / _ACROSS + seen / _ALONG + leg / _LENGTH
    whole = np.zeros((count, 6, 6))
    whole[:, :3, :3], whole[:, 3:, 3:] = near, np.eye(3) / _TURN
    add(sparse.block_diag(list(whole), format="csr"), np.zeros(6 * count), np.ones(6 * count))
    if count > 2:
        bends = sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], (count - 2, count)) * fps**2
        weight = np.tile(1 / np.repeat([_CHANGES, _TURNS], 3), count - 2)
        add(sparse.kron(bends, sparse.identity(6)), np.zeros(6 * (count - 2)), weight)
    matrix, target = sparse.vstack(rows, format="csr"), np.concatenate(values)
    return spsolve((matrix.T @ matrix).tocsc(), matrix.T @ target).reshape(count, 6)


def _moves_with(lever: np.ndarray) -> list[sparse.csr_matrix]:
    """How a point at `lever` (T, 3) from the ankle moves with the unknowns: for each axis (T, 6 T)."""
    x, y, z = lever.T
    zero = np.zeros_like(x)
    turned = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)
    each = np.concatenate([np.broadcast_to(np.eye(3), turned.shape), turned], axis=2)
    return [sparse.block_diag(list(each[:, axis : axis + 1]), format="csr") for axis in range(3)]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)
