"""What the temporal network is trained on: windows of the films, and other motion with the films' errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.body.model import MIRRORED_JOINTS
from pipeline.estimators.smplify.corrector import USED, about_hips
from pipeline.estimators.smplify.temporal import HALF, RATE, WINDOW, window_rows
from pipeline.formats.arrays import read_npz
from pipeline.landmarks.swaps import mirror_order
from pipeline.learning.repertoire import Repertoire
from pipeline.learning.samples import exchanged, hips, ideal, projected, true_landmarks, unfilmed
from pipeline.runtime.errors import UserError

_LEAST_FOUND = 8  # frames of a film in which the person is found
_SHIFTS = (0, 4, 8, 12)  # frames by which windows of one performance that is not filmed lie apart
_ALIKE = 16  # of the nearest filmed windows one lends its errors
_LOOKED_AT = [0, HALF, WINDOW - 1]  # frames of a window that are compared for that
_CHUNK = 512  # windows compared at a time
_ROLL = np.radians(8)


@dataclass(frozen=True)
class Windows:
    """N windows seen by the detector, and the truth; all cameras have K = identity, as of `samples.Frames`."""

    xy: np.ndarray  # (N, WINDOW, 33, 2)
    visibility: np.ndarray  # (N, WINDOW, 33)
    world: np.ndarray  # (N, WINDOW, 33, 3) metres
    truth: np.ndarray  # (N, WINDOW, 33, 3) camera axes, metres
    size: np.ndarray  # (N,) of the person, 1 is the detector's usual
    person: np.ndarray  # (N,) seed
    pitch: np.ndarray  # (N,) rad, of the camera; negative looks down
    pose: np.ndarray  # (N, 23, 3) `body_pose` of the middle frame, axis-angle

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, chosen: np.ndarray) -> Windows:
        return Windows(*(value[chosen] for value in vars(self).values()))

    def and_also(self, other: Windows) -> Windows:
        return Windows(*(np.concatenate(pair) for pair in zip(vars(self).values(), vars(other).values())))


def read_windows(paths: Iterable[Path], body: BodyModel) -> Windows:
    """A window about each frame of the films in which the person was found, left and right not exchanged.

    Raises:
        UserError: there is none.
    """
    parts = []
    for path in paths:
        film = read_npz(path)
        truth, size = true_landmarks(body, film["poses"], film["trans"], film["betas"])
        truth = np.einsum("vij,tlj->vtli", film["viewmats"][:, :3, :3], truth) + film["viewmats"][:, None, None, :3, 3]
        K, image = film["K"][:, None, None], film["size"][:, None, None]
        visibility = film["visibility"] * ((film["xy"] >= 0) & (film["xy"] < image)).all(-1)
        xy = (film["xy"] - K[..., :2, 2]) / K[..., [0, 1], [0, 1]]
        found = film["found"] & ~exchanged(film["world"], truth)
        for view in range(len(found)):
            frames = np.flatnonzero(found[view])
            if len(frames) < _LEAST_FOUND:
                continue
            rows = window_rows(frames, RATE)  # films are at this rate
            seen = (a[view][frames][rows] for a in (xy, visibility, film["world"], truth))
            pitch = np.arcsin(film["viewmats"][view, 2, 1])  # the z axis, in a world with y up
            rest = (np.full(len(rows), value) for value in (size, int(path.stem), pitch))
            parts.append((*seen, *rest, film["poses"].reshape(-1, 24, 3)[frames, 1:]))
    if not parts:
        raise UserError(
            f"the detector found nobody in {_LEAST_FOUND} frames of a film; expected that of many people: film "
            "more of them, longer (--frames), or in larger pictures (--longest)"
        )
    return Windows(*(np.concatenate(values) for values in zip(*parts)))


def mirrored(windows: Windows) -> Windows:
    order, flip = mirror_order(), np.array([-1.0, 1.0, 1.0])
    return replace(
        windows,
        xy=windows.xy[:, :, order] * flip[:2],
        visibility=windows.visibility[:, :, order],
        world=windows.world[:, :, order] * flip,
        truth=windows.truth[:, :, order] * flip,
        pose=windows.pose[:, np.array(MIRRORED_JOINTS[1:]) - 1] * [1, -1, -1],
    )


def rolled(windows: Windows, rng: np.random.Generator) -> Windows:
    """The same by cameras that are rolled a little: the detector turns its crop upright, and does not mind."""
    turns = Rotation.from_rotvec([0, 0, 1] * rng.normal(0, _ROLL, (len(windows), 1))).as_matrix()
    world, truth = (np.einsum("nij,nwlj->nwli", turns, points) for points in (windows.world, windows.truth))
    return replace(windows, xy=np.einsum("nij,nwlj->nwli", turns[:, :2, :2], windows.xy), world=world, truth=truth)


class ErrorBank:
    """The detector's errors in the windows of films and in their mirror images, to be found by the motion."""

    def __init__(self, films: Windows) -> None:
        self.windows = bank = films.and_also(mirrored(films))
        without_error = _ideal(bank.truth, bank.size)
        self._keys = _key(without_error)
        far = hips(bank.truth.reshape(-1, 33, 3))[:, :, 2:].reshape(-1, WINDOW, 1, 1)
        self._in_image = (bank.xy - projected(bank.truth)) * (far / bank.size[:, None, None, None])  # metres
        self._in_world = about_hips(bank.world.reshape(-1, 33, 3)).reshape(bank.world.shape) - without_error

    def replayed(self, repertoire: Repertoire, count: int, rng: np.random.Generator, turned: float = 0.0) -> Windows:
        """Windows that were never filmed: other motion, bodies and cameras, with errors of filmed ones that are alike.

        Args:
            repertoire: what is performed.
            count: of windows, at least.
            rng: for all choices.
            turned: see `samples.unfilmed`.
        """
        truths, sizes, pitches, poses = [], [], [], []
        for _ in range(-(-count // len(_SHIFTS))):
            made = unfilmed(repertoire, rng, WINDOW + _SHIFTS[-1], RATE, turned)
            truths += [made.truth[shift : shift + WINDOW] for shift in _SHIFTS]
            sizes += [made.size] * len(_SHIFTS)
            pitches += [made.pitch] * len(_SHIFTS)
            poses += [made.poses[shift + HALF, 1:] for shift in _SHIFTS]
        truth, size = np.stack(truths), np.array(sizes)
        here = _ideal(truth, size)
        near = torch.cat(
            [
                torch.cdist(some, self._keys).topk(min(_ALIKE, len(self._keys)), dim=1, largest=False).indices
                for some in _key(here).split(_CHUNK)
            ]
        ).numpy()
        source = near[np.arange(len(near)), rng.integers(near.shape[1], size=len(near))]
        far = hips(truth.reshape(-1, 33, 3))[:, :, 2:].reshape(-1, WINDOW, 1, 1)
        return Windows(
            xy=projected(truth) + self._in_image[source] * (size[:, None, None, None] / far),
            visibility=self.windows.visibility[source],
            world=here + self._in_world[source],
            truth=truth,
            size=size,
            person=self.windows.person[source],
            pitch=np.array(pitches),
            pose=np.stack(poses),
        )


def _ideal(truth: np.ndarray, size: np.ndarray) -> np.ndarray:
    return ideal(truth.reshape(-1, 33, 3), np.repeat(size, WINDOW)).reshape(truth.shape)


def _key(points: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(points[:, _LOOKED_AT][:, :, USED].reshape(len(points), -1), dtype=torch.float32)
