"""People of other tools, brought into the frame of our camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel, load_body
from pipeline.formats.camera import Camera
from pipeline.formats.provenance import Provenance
from pipeline.formats.user_files import check_aspect
from pipeline.motion.readers.level_camera import find_level_camera
from pipeline.motion.readers.motion import MEAN_PELVIS, Track
from pipeline.motion.readers.place_by_boxes import place_by_boxes
from pipeline.runtime.errors import UserError

_CAMERA_FRAMES, _CAMERA_POINTS = 40, 600  # enough of each to find a camera by
_AT_ONCE = 64  # frames posed at a time


@dataclass(frozen=True)
class Person:
    """A track in our camera's frame, at the decoded frames that it has."""

    track: Track
    index: np.ndarray  # (M,) decoded frames, rising
    rotations: np.ndarray  # (M, 24, 3) axis-angle
    roots: np.ndarray  # (M, 3) metres, the pelvis
    focal_ratio: float  # ours over the source's, in pixels of the decoded frames
    box_error: float | None = None  # body heights, of a camera that was looked for by the boxes; None: it is known


def in_camera(
    path: Path,
    track: Track,
    numbers: np.ndarray,  # (T,) the frame of the motion that each decoded frame is
    boxes: np.ndarray,  # (T, 4) xyxy px of the person on the masks; NaN where nobody is
    camera: Camera,
    body: BodyModel,
    provenance: Provenance,
) -> Person:
    """A track in our camera's frame; rows with the pelvis behind the camera are left out.

    Raises:
        UserError: the tool saw images of another shape than the decoded ones.
    """
    index = np.flatnonzero(np.isin(numbers, track.frames))
    order = np.argsort(track.frames, kind="stable")
    rows = order[np.searchsorted(track.frames, numbers[index], sorter=order)]
    rotations = track.rotations[rows].astype(float)
    roots = track.transl[rows] + rest_pelvis(track, body)
    box_error = None
    if len(index) == 0:
        return Person(track, index, rotations, roots, 1.0)
    if track.K is None and track.up is None and track.world_from_camera is None:
        roots = _place(path, track, rotations, boxes[index], camera, body, provenance)
        K = np.broadcast_to(camera.K, (len(index), 3, 3))
    elif track.K is None:
        world_from_camera = track.world_from_camera
        if world_from_camera is None:
            world_from_camera, box_error = _place_camera(path, track, rotations, roots, boxes[index], camera, body)
        elif world_from_camera.ndim == 3:
            world_from_camera = world_from_camera[rows]
        to_camera = Rotation.from_matrix(world_from_camera[..., :3, :3]).inv()
        rotations[:, 0] = (to_camera * Rotation.from_rotvec(rotations[:, 0])).as_rotvec()
        roots = to_camera.apply(roots - world_from_camera[..., :3, 3])
        K = np.broadcast_to(camera.K, (len(index), 3, 3))
    else:
        K = track.K[rows]
        if track.size is not None:
            width, height = track.size
            check_aspect(path, (height, width), camera.height, camera.width)
            K = np.diag([camera.width / width, camera.height / height, 1.0]) @ K
    ahead = roots[:, 2] > 0
    index, rotations, roots, K = index[ahead], rotations[ahead], roots[ahead], K[ahead]
    ratio = float(np.median(_focal(camera.K) / _focal(K))) if len(K) else 1.0
    return Person(track, index, rotations, reanchored(roots, K, camera.K), ratio, box_error)


def reanchored(
    points: np.ndarray,  # (N, 3) metres in the source's camera, z > 0
    K_source: np.ndarray,  # (N, 3, 3) px of the decoded frames
    K: np.ndarray,  # (3, 3) px
) -> np.ndarray:  # (N, 3)
    """Points at the same pixels under our camera, as much nearer or farther as makes what is there appear as large.

    z = z_source * f / f_source, with f the mean focal length of x and y.
    """
    pixels = (K_source @ points[..., None])[..., 0]
    pixels = pixels / pixels[:, 2:]
    depth = points[:, 2] * _focal(K) / _focal(K_source)
    return depth[:, None] * np.linalg.solve(K, pixels.T).T


def _focal(K: np.ndarray) -> np.ndarray:
    return np.sqrt(np.abs(K[..., 0, 0] * K[..., 1, 1]))


def rest_pelvis(track: Track, body: BodyModel) -> np.ndarray:
    """(3,) metres: where the root joint of a track's own body is at rest, which its translation is added to.

    For a body that is not at hand it is the mean shape's: the centimetres that its betas move it are not known.
    """
    if track.body not in (body.name, "free"):
        return MEAN_PELVIS[track.body]
    own = body if track.body == body.name else load_body("free")
    return own.rest_joints(torch.as_tensor(track.betas, dtype=own.v_template.dtype))[0].double().numpy()


def betas_for(track: Track, body: BodyModel) -> np.ndarray:
    """(10,) a track's betas if they are of this body, else zero: the mean shape."""
    return track.betas if track.body == body.name else np.zeros(10)


def root_offset(track: Track, body: BodyModel) -> np.ndarray:
    """(3,) metres: the rest pelvis of `body` in the shape that it gets."""
    betas = torch.as_tensor(betas_for(track, body), dtype=body.v_template.dtype)
    return body.rest_joints(betas)[0].double().numpy()


def _place(
    path: Path,
    track: Track,
    rotations: np.ndarray,
    boxes: np.ndarray,
    camera: Camera,
    body: BodyModel,
    provenance: Provenance,
) -> np.ndarray:
    """Roots (M, 3) of a motion in the camera's axes that does not tell where the person is."""
    points = _surface(track, rotations, np.zeros((len(rotations), 3)), body)
    try:
        roots = place_by_boxes(points, boxes, camera.K, (camera.width, camera.height))
    except ValueError as error:
        raise UserError(f"{path}: tells no place, and the masks show nobody in the frames that it has") from error
    provenance.warn(f"{path}: does not tell where the person is; placed by the masks' boxes, frame by frame")
    return roots


def _surface(track: Track, rotations: np.ndarray, roots: np.ndarray, body: BodyModel) -> np.ndarray:
    """(M, P, 3) metres: points all over the posed body."""
    dtype = body.v_template.dtype
    betas = torch.as_tensor(betas_for(track, body), dtype=dtype)
    pose = torch.as_tensor(rotations, dtype=dtype).flatten(1)
    transl = torch.as_tensor(roots - root_offset(track, body), dtype=dtype)
    points = []
    with torch.no_grad():
        for part, moved in zip(pose.split(_AT_ONCE), transl.split(_AT_ONCE)):
            vertices = body(part[:, :3], part[:, 3:], betas, moved).vertices
            points.append(vertices[:, :: max(1, vertices.shape[1] // _CAMERA_POINTS)].double().numpy())
    return np.concatenate(points)


def _place_camera(
    path: Path,
    track: Track,
    rotations: np.ndarray,
    roots: np.ndarray,
    boxes: np.ndarray,
    camera: Camera,
    body: BodyModel,
) -> tuple[np.ndarray, float]:
    """world_from_camera (4, 4) of a motion that comes without a camera, by the boxes of the masks; its error."""
    inside = (boxes[:, :2] > 1).all(axis=1) & (boxes[:, 2:] < np.array([camera.width, camera.height]) - 1).all(axis=1)
    usable = np.flatnonzero(inside) if inside.sum() >= 3 else np.flatnonzero(np.isfinite(boxes).all(axis=1))
    if len(usable) < 2:
        raise UserError(f"{path}: tells no camera, and the masks show nobody in the frames that it has to find one by")
    some = usable[np.unique(np.linspace(0, len(usable) - 1, _CAMERA_FRAMES).astype(int))]
    points = _surface(track, rotations[some], roots[some], body)
    return find_level_camera(points, boxes[some], camera.K, track.up)
