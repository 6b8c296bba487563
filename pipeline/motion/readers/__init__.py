"""Motions that other tools estimated: one module a layout, recognised by what is in the file, not by its name.

Each has `LAYOUT`, what it is called; `matches(content)`, whether an object read from a file is one;
`read(content, path, clip)`; and, where its tool writes a file a frame, `read_files(entries, path, clip)`.
docs/import.md tells which was tried on files of the tool itself; the others follow its published source.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.body import BodyModel
from pipeline.motion.fit_points import fit_points
from pipeline.motion.readers import (
    amass,
    cliff,
    easymocap,
    gem,
    glamr,
    gvhmr,
    hybrik,
    joints,
    mhr,
    mmhuman3d,
    multihmr,
    own,
    phalp,
    prompthmr,
    romp,
    smplx,
    tram,
    wham,
)
from pipeline.motion.readers.content import read_content
from pipeline.motion.readers.folders import read_entries
from pipeline.motion.readers.motion import Clip, PointTrack, SourceMotion, Track
from pipeline.motion.readers.tables import read_table
from pipeline.runtime.errors import UserError

_READERS = (
    phalp, wham, tram, gvhmr, gem, prompthmr, glamr, cliff, hybrik, romp, mmhuman3d, mhr, multihmr, amass, smplx, own,
    easymocap, joints,
)  # fmt: skip


def read_motion(path: Path, clip: Clip, body: BodyModel) -> SourceMotion:
    """The people in a motion file or folder. Of whom joints are told and no rotations, `body` is fitted to them.

    Raises:
        UserError: it is not readable, of no known layout, or not as its tool writes it; names what is wrong.
    """
    motion = _read(path, clip)
    try:
        return replace(motion, tracks=tuple(posed(track, body) for track in motion.tracks))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _read(path: Path, clip: Clip) -> SourceMotion:
    if path.is_dir():
        if tram.has_tracks(path):
            return tram.read_folder(path)
        entries = read_entries(path)
        content = entries[0].content
        for reader in (mhr, romp, smplx, multihmr, easymocap):
            if reader.matches(content):
                for entry in entries:
                    if not reader.matches(entry.content):
                        raise UserError(f"{entry.path}: expected {reader.LAYOUT}, as {entries[0].path} is")
                return reader.read_files(entries, path, clip)
        path = entries[0].path
    else:
        content = read_table(path) or read_content(path)
        for reader in _READERS:
            if reader.matches(content):
                return reader.read(content, path, clip)
    found = type(content).__name__
    if isinstance(content, np.ndarray):
        found = f"an array of {content.dtype}, shape {content.shape}"
    elif isinstance(content, dict):
        found = ", ".join(str(key) for key in list(content)[:8]) or "an empty dict"
    raise UserError(f"{path}: expected {', '.join(reader.LAYOUT for reader in _READERS)}; found {found}")


def posed(track: Track | PointTrack, body: BodyModel) -> Track:
    """The track with rotations: where it has none, those of `body` fitted to its points and vertices."""
    if isinstance(track, Track):
        return track
    fitted = fit_points(track.points, track.names, body, track.vertices)
    return Track(
        name=track.name,
        frames=track.frames,
        rotations=fitted.rotations,
        transl=fitted.transl,
        betas=fitted.betas,
        body=body.name,
        K=track.K,
        size=track.size,
        up=track.up,
        residual=fitted.residual,
        skin=fitted.skin,
    )
