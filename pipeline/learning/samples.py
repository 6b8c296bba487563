"""What the map is fitted to: frames of the films, and other poses in which the films' errors are replayed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.estimators.smplify.corrector import HIPS, USED, about_hips, features, view_rotation
from pipeline.formats.arrays import read_npz
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.landmarks.on_body import landmark_map
from pipeline.landmarks.swaps import mirror_order
from pipeline.learning.repertoire import Repertoire
from pipeline.studio.cameras import random_stance
from pipeline.studio.subject import random_shape

# Lengths of thighs, shins and arms together: the detector's people are about so large, whoever is filmed.
_LIMBS = [(a, b) for s in ("left", "right") for a, b in ((f"{s}_hip", f"{s}_knee"), (f"{s}_knee", f"{s}_ankle"),
          (f"{s}_shoulder", f"{s}_elbow"), (f"{s}_elbow", f"{s}_wrist"))]  # fmt: skip
_USUAL = 2.66  # metres
_PIECE, _PIECE_FPS = 12, 5.0  # frames of a performance that is not filmed, and their rate
_JITTER = 0.2  # radians at most, standard deviation, by which its joints are turned at random
_ALIKE = 16  # of the nearest filmed poses one lends its errors
_STATURE, _SHORT_SIDE, _NEAREST = 1.75, 0.75, 1.4  # metres; diagonals; metres
_ASIDE = 0.15  # diagonals, at most, that the person is off the middle


@dataclass(frozen=True)
class Frames:
    """N frames seen by the detector, and the truth; all cameras have K = identity: `xy` are on the plane z = 1."""

    xy: np.ndarray  # (N, 33, 2)
    visibility: np.ndarray  # (N, 33)
    world: np.ndarray  # (N, 33, 3) metres
    truth: np.ndarray  # (N, 33, 3) camera axes, metres; those that have no place on the body are not a number
    size: np.ndarray  # (N,) of the person, 1 is the detector's usual
    person: np.ndarray  # (N,) seed

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, chosen: np.ndarray) -> Frames:
        return Frames(*(value[chosen] for value in vars(self).values()))


def read_films(paths: Iterable[Path], body: BodyModel) -> Frames:
    """All frames of films in which the person was found, without those in which left and right are exchanged.

    (They are put right before the map is used.)
    """
    films = []
    for path in paths:
        film = read_npz(path)
        views, frames = film["found"].shape
        truth, size = true_landmarks(body, film["poses"], film["trans"], film["betas"])
        truth = np.einsum("vij,tlj->vtli", film["viewmats"][:, :3, :3], truth) + film["viewmats"][:, None, None, :3, 3]
        K, image = film["K"][:, None, None], film["size"][:, None, None]
        xy = film["xy"]
        visibility = film["visibility"] * ((xy >= 0) & (xy < image)).all(-1)
        xy = (xy - K[..., :2, 2]) / K[..., [0, 1], [0, 1]]
        chosen = film["found"] & ~exchanged(film["world"], truth)
        sizes, person = np.full((views, frames), size), np.full((views, frames), int(path.stem))
        films.append([a[chosen] for a in (xy, visibility, film["world"], truth, sizes, person)])
    return Frames(*(np.concatenate(parts) for parts in zip(*films)))


def true_landmarks(
    body: BodyModel, poses: np.ndarray, trans: np.ndarray, betas: np.ndarray
) -> tuple[np.ndarray, float]:
    """Where the landmarks of a posed body lie, (T, 33, 3) metres (not a number off the map), and its size."""
    marks = landmark_map(body)
    pose, shape, moved = (torch.as_tensor(a, dtype=torch.float32) for a in (poses, betas, trans))
    rest = body.rest_joints(shape)
    joints = body.world_joints(axis_angle_to_matrix(pose.reshape(-1, 24, 3)), shape, moved)
    points = np.full((len(poses), len(LANDMARK_NAMES), 3), np.nan)
    points[:, marks.index] = marks.posed(joints, rest, marks.rest(shape, torch.zeros(len(marks.names), 3))).numpy()
    ends = [(JOINT_NAMES.index(a), JOINT_NAMES.index(b)) for a, b in _LIMBS]
    return points, sum(float((rest[a] - rest[b]).norm()) for a, b in ends) / _USUAL


def targets(frames: Frames, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, FEATURES) as seen with a camera K (3, 3), and what the map should add (N, OUTPUTS)."""
    seen, view = features(frames.xy, frames.visibility, frames.world, K)
    truth = np.einsum("tji,tlj->tli", view, about_hips(frames.truth)) / frames.size[:, None, None]
    return seen, (truth - about_hips(frames.world))[:, USED].reshape(len(seen), -1)


def rolled(frames: Frames, rng: np.random.Generator) -> Frames:
    """The same frames by cameras that are rolled a little: the detector turns its crop upright, and does not mind."""
    turns = Rotation.from_rotvec([0, 0, 1] * rng.normal(0, np.radians(8), (len(frames), 1))).as_matrix()
    turned = [np.einsum("nij,nlj->nli", turns, points) for points in (frames.world, frames.truth)]
    return replace(frames, xy=np.einsum("nij,nlj->nli", turns[:, :2, :2], frames.xy), world=turned[0], truth=turned[1])


def mirrored(frames: Frames) -> Frames:
    order, flip = mirror_order(), np.array([-1.0, 1.0, 1.0])
    return replace(
        frames,
        xy=frames.xy[:, order] * flip[:2],
        visibility=frames.visibility[:, order],
        world=frames.world[:, order] * flip,
        truth=frames.truth[:, order] * flip,
    )


def replayed(films: Frames, repertoire: Repertoire, rng: np.random.Generator) -> Frames:
    """Frames that were never filmed: other poses, bodies and cameras, with errors of filmed ones that look alike.

    Args:
        films: whose errors in the image and in the world landmarks, and whose visibilities, are taken.
        repertoire: what is performed.
        rng: for all choices.
    """
    pieces = -(-len(films) // _PIECE)  # about as many frames
    unseen = [unfilmed(repertoire, rng, _PIECE, _PIECE_FPS) for _ in range(pieces)]
    truth = np.concatenate([each.truth for each in unseen])
    size = np.repeat([each.size for each in unseen], _PIECE)
    bank = Frames(*(np.concatenate(pair) for pair in zip(vars(films).values(), vars(mirrored(films)).values())))
    there, here = ideal(bank.truth, bank.size), ideal(truth, size)
    distances = torch.cdist(
        *(torch.as_tensor(p[:, USED].reshape(len(p), -1), dtype=torch.float32) for p in (here, there))
    )
    near = distances.topk(min(_ALIKE, len(there)), dim=1, largest=False).indices.numpy()
    source = near[np.arange(len(near)), rng.integers(near.shape[1], size=len(near))]
    far, bank_far = (hips(p)[:, :, 2:] for p in (truth, bank.truth))
    in_image = (bank.xy - projected(bank.truth)) * (bank_far / bank.size[:, None, None])  # in metres of the usual body
    return Frames(
        xy=projected(truth) + in_image[source] * (size[:, None, None] / far),
        visibility=bank.visibility[source],
        world=here + (about_hips(bank.world) - there)[source],
        truth=truth,
        size=size,
        person=bank.person[source],
    )


class Unfilmed(NamedTuple):
    """A performance that is seen, but was not filmed."""

    truth: np.ndarray  # (T, 33, 3) landmarks in the camera's axes, metres
    size: float  # of the person, 1 is the detector's usual
    pitch: float  # rad, of the camera; negative looks down
    poses: np.ndarray  # (T, 24, 3) axis-angle


def unfilmed(
    repertoire: Repertoire, rng: np.random.Generator, frames: int, fps: float, turned: float = 0.0
) -> Unfilmed:
    """A random performance before a random camera.

    Args:
        repertoire: what is performed.
        rng: for all choices.
        frames, fps: how long, and how often.
        turned: radians at most, standard deviation, by which each joint is turned at random, the same in all frames.
    """
    betas, stance = random_shape(int(rng.integers(2**31))), random_stance(rng)
    performed = repertoire.piece(rng, betas, frames, fps)
    noise = Rotation.from_rotvec(rng.normal(0, _JITTER * rng.uniform(), (frames * 24, 3)))
    if turned:
        still = np.tile(rng.normal(0, turned * rng.uniform(), (24, 3)), (frames, 1))
        noise = noise * Rotation.from_rotvec(still)
    poses = (Rotation.from_rotvec(performed.poses.reshape(-1, 3)) * noise).as_rotvec().reshape(frames, 72)
    points, size = true_landmarks(repertoire.body, poses, performed.trans, betas)
    middle = (np.nanmin(points, (0, 1)) + np.nanmax(points, (0, 1))) / 2
    distance = _STATURE * stance.focal / (stance.tall * _SHORT_SIDE)
    aside = rng.uniform(-_ASIDE, _ASIDE, 2) / stance.focal * distance
    truth = (points - middle) @ stance.rotation.T + [*aside, max(distance, _NEAREST)]
    return Unfilmed(truth, size, np.radians(stance.pitch), poses.reshape(frames, 24, 3))


def ideal(truth: np.ndarray, size: np.ndarray) -> np.ndarray:
    """What a perfect detector's world landmarks were, (N, 33, 3): about the hips, in view axes, of the usual size."""
    view = view_rotation(hips(truth)[:, 0])
    return np.einsum("nji,nlj->nli", view, about_hips(truth)) / size[:, None, None]


def projected(points: np.ndarray) -> np.ndarray:
    return points[..., :2] / np.maximum(points[..., 2:], 0.2)


def hips(points: np.ndarray) -> np.ndarray:
    """(N, 1, D) the middle of the hips."""
    return points[..., HIPS, :].mean(-2, keepdims=True)


def exchanged(world: np.ndarray, truth: np.ndarray) -> np.ndarray:  # (..., 33, 3) both -> (...)
    """Whether the detector's landmarks fit better with left and right exchanged."""
    ours, other = about_hips(world), about_hips(world[..., mirror_order(), :])
    distance = lambda points: np.nansum((points - about_hips(truth)) ** 2, (-1, -2))  # noqa: E731
    return distance(other) < distance(ours)
