"""What the page shows, as numbers: avatar, motions, the body's mesh, the clip's camera and some of its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.avatar import Avatar
from pipeline.avatar.cloth import FADES, Cloth
from pipeline.body import JOINT_NAMES, PARENTS, BodyModel
from pipeline.viewer.blob import Table, quantised

MOST_KEYS = 600  # frames of a motion that are kept, evenly spread; the page interpolates
_WEIGHTS = 255  # parts that a skinning weight of a Gaussian is counted in; 1/255 of a joint's way is below a millimetre
_MESH_WEIGHTS = 63
_MORTON = 10  # bits an axis


@dataclass(frozen=True)
class Movement:
    """A motion in the world of the page: y up, the ground at y = 0, metres."""

    name: str  # of the choice
    kind: str  # after | before | new
    fps: float
    poses: np.ndarray  # (T, 24, 3) axis-angle, joint 0 in the world
    pelvis: np.ndarray  # (T, 3)


@dataclass(frozen=True)
class ClipCamera:
    """The camera that filmed the clip, and pictures that it took."""

    K: np.ndarray  # (3, 3) px
    width: int
    height: int
    world_from_camera: np.ndarray  # (T, 4, 4), one a frame of the clip
    pictures: Sequence[tuple[int, bytes]]  # frame and JPEG


@dataclass(frozen=True)
class Contents:
    """Everything on a page."""

    name: str
    avatar: Avatar
    seen: np.ndarray | None  # (N,) how well the training frames show each Gaussian, 0 to 1; None: nobody looked
    body: BodyModel
    mesh_colours: np.ndarray  # (V, 3) of the body's vertices, sRGB in [0, 1]
    movements: Sequence[Movement]
    first: int  # of the movements: the one that plays when the page opens
    camera: ClipCamera
    pixels_per_metre: float  # of the person in the video


def tables_of(contents: Contents) -> tuple[dict[str, Table], dict]:
    """The tables and the text of the blob; docs/viewer.md lists them."""
    tables = _gaussians(contents) | _mesh(contents)
    tables["rest"] = quantised(contents.body.rest_joints(contents.avatar.betas).double().numpy(), 65536)
    movements = []
    for index, moving in enumerate(contents.movements):
        keys = kept_frames(len(moving.poses))
        quats = Rotation.from_rotvec(moving.poses[keys].reshape(-1, 3)).as_quat(canonical=True)  # x y z w, w >= 0
        tables[f"turns{index}"] = quantised(quats.reshape(len(keys), -1), 65536, -1, 1)
        tables[f"pelvis{index}"] = quantised(moving.pelvis[keys], 65536)
        tables[f"moments{index}"] = quantised(keys[:, None], 65536, 0, 65535)
        movements.append({"name": moving.name, "kind": moving.kind, "fps": moving.fps})
    camera = contents.camera
    keys = kept_frames(len(camera.world_from_camera))
    tables["camera"] = quantised(camera.world_from_camera[keys, :3].reshape(len(keys), 12), 65536)
    jpegs = b"".join(jpeg for _, jpeg in camera.pictures)
    tables["pictures"] = Table(np.frombuffer(jpegs, np.uint8)[:, None])
    text = {
        "name": contents.name,
        "joints": JOINT_NAMES,
        "parents": PARENTS,
        "movements": movements,
        "first": contents.first,
        "pixels_per_metre": contents.pixels_per_metre,
        "camera": {
            "K": camera.K.ravel().tolist(),
            "width": camera.width,
            "height": camera.height,
            "frames": [frame for frame, _ in camera.pictures],
            "bytes": [len(jpeg) for _, jpeg in camera.pictures],
        },
    }
    return tables, text


def kept_frames(count: int) -> np.ndarray:
    """The frames of a motion of `count` that go into the page: all, or MOST_KEYS with the first and the last."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, MOST_KEYS))).astype(int))


def _gaussians(contents: Contents) -> dict[str, Table]:
    """The Gaussians in the rest pose, neighbours one after the other: they are alike, and gzip profits."""
    avatar = contents.avatar
    means = avatar.means.double().numpy()
    order = _along_curve(means)
    quats = avatar.quats.double().numpy()[order]
    quats = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    sh = avatar.sh.double().numpy()[order].reshape(len(order), -1)
    tables = {
        "means": quantised(means[order], 65536),
        "quats": quantised(quats * np.where(quats[:, :1] < 0, -1, 1), 1024, -1, 1),
        "scales": quantised(np.log(avatar.scales.double().numpy()[order]), 256),
        "opacities": quantised(avatar.opacities.double().numpy()[order], 256, 0, 1),
        "colours": quantised(sh[:, :3], 256),
        "weights": _whole_weights(avatar.weights.double().numpy()[order], _WEIGHTS),
    }
    if contents.seen is not None:
        tables["seen"] = quantised(contents.seen[order], 16, 0, 1)
    if sh.shape[1] > 3:
        tables["slopes"] = _signed(sh[:, 3:], 129)
    return tables | ({} if avatar.cloth is None else _cloth(avatar.cloth, order))


def _cloth(cloth: Cloth, order: np.ndarray) -> dict[str, Table]:
    """What a pose changes of the Gaussians, in the order of the others' tables."""
    parts = {name: value.double().numpy() for name, value in vars(cloth.features).items()}
    joints = np.stack([parts["units"], parts["slack"], np.full(len(parts["units"]), FADES)], axis=1)
    each = {"offsets": cloth.offsets, "colours": cloth.colours}
    changes = {name: value.double().numpy()[order].reshape(len(order), -1) for name, value in each.items()}
    return {
        "cloth_mean": quantised(parts["mean"], 65536),
        "cloth_axes": _signed(parts["axes"].reshape(-1, parts["axes"].shape[2]), 65535),
        "cloth_seen": quantised(parts["seen"], 65536),
        "cloth_joints": quantised(joints, 65536),
    } | {f"cloth_{name}": _signed(values, 65) for name, values in changes.items()}


def _signed(values: np.ndarray, levels: int) -> Table:
    """Values about 0, which is one of the levels: their number is odd."""
    reach = np.abs(values).max()
    return quantised(values, levels, -reach, reach)


def _mesh(contents: Contents) -> dict[str, Table]:
    """The body's mesh at rest. Vertices are in the order of their first use: a corner is the number of vertices used so
    far, less what stands in `corners`."""
    body, avatar = contents.body, contents.avatar
    vertices = body.shaped(avatar.betas).double().numpy()
    corners = body.faces.numpy().ravel()
    used, first = np.unique(corners, return_index=True)
    order = used[np.argsort(first)]
    renamed = np.empty(len(vertices), int)
    renamed[order] = np.arange(len(order))
    corners = renamed[corners]
    fresh = np.concatenate([[0], np.maximum.accumulate(corners)[:-1] + 1])
    return {
        "vertices": quantised(vertices[order], 4096),
        "vertex_colours": quantised(contents.mesh_colours[order], 32, 0, 1),
        "vertex_weights": _whole_weights(body.weights.double().numpy()[order], _MESH_WEIGHTS),
        "corners": Table((fresh - corners).astype(np.uint16)[:, None]),
    }


def _whole_weights(weights: np.ndarray, parts: int) -> Table:
    """Weights (N, 24) in whole parts whose sum is `parts`: what is missing after rounding goes to the largest."""
    counts = np.rint(weights * parts).astype(int)
    counts[np.arange(len(counts)), counts.argmax(1)] += parts - counts.sum(1)
    return Table(counts.astype(np.uint8), 0.0, 1 / parts)


def _along_curve(points: np.ndarray) -> np.ndarray:
    """An order (N,) of points (N, 3) in which neighbours in space are near each other (Morton's)."""
    cells = quantised(points, 1 << _MORTON).numbers.astype(np.int64)
    code = sum(((cells[:, axis] >> bit) & 1) << (3 * bit + axis) for bit in range(_MORTON) for axis in range(3))
    return np.argsort(code, kind="stable")
