"""Films to learn from: people of the studio, each seen by several cameras, and what the detector makes of them.

One file a person, `FOLDER/%05d.npz` by seed; V cameras, T frames, the detector's 33 landmarks (the mean of both ways):
    xy (V, T, 33, 2) px, visibility (V, T, 33), world (V, T, 33, 3) m, found (V, T)   what it saw
    K (V, 3, 3), size (V, 2), viewmats (V, 4, 4)                                      the cameras, static
    poses (T, 72), trans (T, 3), betas (10,)                                          the truth, in a y-up world
    motion, outfit                                                                    for people
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.formats.arrays import write_npz
from pipeline.geometry.boxes import Box, grow, mask_box, union
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.landmarks.both_ways import follow_both, mean_of_both
from pipeline.landmarks.detector import LANDMARK_NAMES, SIZES, follow
from pipeline.learning.repertoire import Repertoire
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.studio.cameras import ClipCamera, held_camera, random_stance
from pipeline.studio.render import DRAFT, Picture, Renderer
from pipeline.studio.room import build_scene
from pipeline.studio.subject import dress, random_shape
from pipeline.studio.wardrobe import OUTFITS

log = logging.getLogger(__name__)

_ASPECTS = ((3, 4), (3, 4), (9, 16), (4, 3))  # of the pictures, one drawn for each camera
_ROOM_AROUND_CAMERAS = 0.6  # metres
_CONFIDENCE = 0.5  # of the detector
_EXPOSURE = (1 / 500, 1 / 25)  # seconds


@dataclass(frozen=True)
class Shooting:
    """How much is filmed of each person. A lit frame costs as much as three to five pictures of it."""

    frames: int = 16
    fps: float = 10.0
    views: int = 5
    longest: int = 420  # px, of the longer side of the pictures


def film_people(folder: Path, seeds: Sequence[int], repertoire: Repertoire, shooting: Shooting) -> list[Path]:
    """Film those that are missing in the folder; each appears whole, so that a run can be stopped. Returns all."""
    paths = [folder / f"{seed:05d}.npz" for seed in seeds]
    missing = [(seed, path) for seed, path in zip(seeds, paths) if not path.exists()]
    for seed, path in track(missing, "films", len(missing), "person"):
        write_npz(path, film(seed, repertoire, shooting))
    return paths


def film(seed: int, repertoire: Repertoire, shooting: Shooting) -> dict[str, np.ndarray]:
    """One person's film, as the module says. The same arguments give the same film."""
    rng = np.random.default_rng([seed, 77])
    body, betas = repertoire.body, random_shape(seed)
    outfit = OUTFITS[rng.integers(len(OUTFITS))]
    subject = dress(body, betas, outfit, seed)
    performed = repertoire.perform(rng, betas, shooting.frames, shooting.fps)
    trans = performed.trans + np.array([0, subject.sole, 0])
    pose, shape, moved = (torch.as_tensor(a, dtype=torch.float32) for a in (performed.poses, betas, trans))
    with torch.no_grad():
        vertices = body(pose[:, 0], pose[:, 1:].flatten(1), shape, moved).vertices.numpy()[:, ::7]
        transforms = body.transforms(axis_angle_to_matrix(pose), shape, moved).numpy().astype(float)
    cameras = [_camera(rng, vertices, shooting.longest) for _ in range(shooting.views)]
    eyes = np.array([-c.viewmats[0, :3, :3].T @ c.viewmats[0, :3, 3] for c in cameras])
    half = max(4.2, np.abs(eyes[:, [0, 2]]).max() + _ROOM_AROUND_CAMERAS)
    scene = build_scene(half, seed, eyes[:, 1].max() + _ROOM_AROUND_CAMERAS)
    renderer = Renderer(subject, scene, cameras, transforms, shooting.fps, DRAFT)
    drawn = list(zip(*(renderer.draw(index) for index in range(shooting.frames))))  # by camera
    seen = [_seen(pictures, rng) for pictures in drawn]
    return {
        **{key: np.stack([view[key] for view in seen]) for key in seen[0]},
        "K": np.stack([camera.K for camera in cameras]),
        "size": np.array([(camera.width, camera.height) for camera in cameras]),
        "viewmats": np.stack([camera.viewmats[0] for camera in cameras]),
        "poses": performed.poses.reshape(-1, 72),
        "trans": trans,
        "betas": betas,
        "motion": np.array(performed.name),
        "outfit": np.array(outfit),
    }


def _camera(rng: np.random.Generator, points: np.ndarray, longest: int) -> ClipCamera:
    aspect = np.array(_ASPECTS[rng.integers(len(_ASPECTS))])
    width, height = 2 * np.round(longest * aspect / aspect.max() / 2).astype(int)
    exposure = float(np.exp(rng.uniform(*np.log(_EXPOSURE))))
    while True:
        try:
            return replace(held_camera(points, int(width), int(height), random_stance(rng)), exposure=exposure)
        except UserError:
            continue  # it looks up too steeply for its lens


def _seen(pictures: tuple[Picture, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What the detector makes of one camera's pictures, compressed and exposed as a cheap camera does it."""
    quality, gamma = int(rng.integers(30, 95)), np.exp(rng.normal(0, 0.2))
    images = [_developed(picture.image, quality, gamma) for picture in pictures]
    boxes = [mask_box(picture.mask) for picture in pictures]
    known = [box for box in boxes if box is not None]
    found = np.zeros(len(images), bool)
    mean = {key: np.zeros((len(images), len(LANDMARK_NAMES), *rest)) for key, rest in SIZES.items()}

    def expected(index: int, last: Box | None) -> Box | None:
        return boxes[index] or last

    if known:
        window = grow(union(known), 1.4)
        for index, one, other in follow_both(follow, images, range(len(images)), expected, window, _CONFIDENCE):
            if one is not None:
                found[index] = True
                both = ({key: getattr(way, key)[None] for key in mean} for way in (one, other or one))
                for key, values in mean_of_both(*both)[0].items():
                    mean[key][index] = values[0]
    return {**mean, "found": found}


def _developed(image: np.ndarray, quality: int, gamma: float) -> np.ndarray:
    exposed = np.round(255 * (image / 255) ** gamma).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(exposed).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
