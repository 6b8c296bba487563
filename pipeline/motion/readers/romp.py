"""ROMP's results (Sun et al. 2021; simple_romp): video_results.npz, or a folder with an npz a frame."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of
from pipeline.motion.readers.folders import Entry
from pipeline.motion.readers.linking import Seen, linked
from pipeline.motion.readers.motion import MEAN_PELVIS, Clip, SourceMotion, Track, weak_perspective
from pipeline.runtime.errors import UserError

LAYOUT = "ROMP's npz (results: smpl_thetas, smpl_betas, cam)"
_KEYS = {"smpl_thetas", "smpl_betas", "cam"}


def matches(content: Any) -> bool:
    results = content.get("results") if isinstance(content, dict) else None
    return isinstance(results, dict) and (
        set(results) >= _KEYS or any(isinstance(each, dict) and set(each) >= _KEYS for each in results.values())
    )


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """video_results.npz: a dict by image, in the order of the video; images with nobody hold None."""
    results = content["results"]
    images = [("", results)] if set(results) >= _KEYS else list(results.items())
    return _people(
        ((number, f"{path}: {name}", image) for number, (name, image) in enumerate(images)), len(images), clip
    )


def read_files(entries: list[Entry], path: Path, clip: Clip) -> SourceMotion:
    """A file a frame."""
    return _people(((each.frame, str(each.path), each.content["results"]) for each in entries), None, clip)


def _people(images: Iterator[tuple[int, str, Any]], count: int | None, clip: Clip) -> SourceMotion:
    """SMPL, with an orthographic camera on the image padded to a square; people by nearness from image to image."""
    side = max(clip.width, clip.height)
    seen = []
    for number, where, image in images:
        if not isinstance(image, dict):
            continue
        if "cam_czyx" in image:
            raise UserError(f"{where}: results of BEV are not read; run ROMP")
        found = len(image.get("smpl_thetas", ()))
        arrays = arrays_of(where, image, {"smpl_thetas": (found, 72), "smpl_betas": (found, 10), "cam": (found, 3)})
        pelvis = np.broadcast_to(MEAN_PELVIS["smpl"], (found, 3))
        if "joints" in image:  # of the body that ROMP was given, whose pelvis need not be where ours has it
            pelvis = arrays_of(where, image, {"joints": (found, "J", 3)})["joints"][:, 0]
        beside = (pelvis - MEAN_PELVIS["smpl"])[:, :2]
        for thetas, betas, (scale, x, y), off in zip(*arrays.values(), beside):
            shift = np.array([x, y]) / scale + off
            seen.append(Seen(number, np.array([*shift, 1 / scale]), (thetas, betas, scale, shift)))
    if not seen:
        raise UserError(f"{where}: nobody is found in any frame; run the tool on a clearer clip")
    tracks = []
    for number, rows in enumerate(linked(seen)):
        thetas, betas, scale, shift = (np.array(values) for values in zip(*(row.data for row in rows)))
        center = np.broadcast_to([clip.width / 2, clip.height / 2], (len(rows), 2))
        K, transl = weak_perspective(scale, shift, center, np.full(len(rows), side))
        tracks.append(
            Track(
                name=f"person {number}",
                frames=np.array([row.frame for row in rows]),
                rotations=thetas.reshape(-1, 24, 3),
                transl=transl,
                betas=betas.mean(axis=0),
                body="smpl",
                K=K,
                size=None,
            )
        )
    return SourceMotion("ROMP", tuple(tracks), count)
