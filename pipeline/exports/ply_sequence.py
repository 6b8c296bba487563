"""The avatar in each frame of a motion: PLY files in a zip."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from pipeline.avatar import Avatar
from pipeline.avatar.widening import pixels_per_metre, widened
from pipeline.body import BodyModel
from pipeline.exports.fitted import Fitted
from pipeline.exports.ply import facing_viewer, ply_bytes, posed
from pipeline.formats.atomic import atomic_path
from pipeline.formats.avatar import AvatarFile
from pipeline.runtime.progress import track

_NO_DATE = (1980, 1, 1, 0, 0, 0)  # the same motion gives the same zip


def export(fitted: Fitted, folder: Path) -> None:
    """Write avatar_sequence.zip where the settings ask for it: the clip's motion in the world, at the rate of all."""
    if fitted.settings.sequence:
        motion, file = fitted.y_up_at_rate, fitted.file
        poses = motion.poses.reshape(-1, 72)
        scale = pixels_per_metre(fitted.pose)
        write_sequence(folder / "avatar_sequence.zip", fitted.avatar, fitted.body, file, scale, poses, motion.transl)


def write_sequence(
    path: Path,
    avatar: Avatar,
    body: BodyModel,
    file: AvatarFile,
    scale: float,
    poses: np.ndarray,  # (T, 72)
    trans: np.ndarray,  # (T, 3)
) -> None:
    """Write frame_%06d.ply of each frame into a zip, whole or not at all; axes as those of avatar.ply.

    Args:
        avatar: `file` in the rest pose of `body`.
        scale: pixels a metre of the person in the video, see `widened`.
        poses: axis-angle, in a world with y up. (T, 72)
        trans: metres, there. (T, 3)
    """
    look = (widened(file.scales, scale), file.opacities)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as out:
        for index, moment in enumerate(track(zip(poses, trans), path.stem, len(poses), "file")):
            *placed, sh = posed(avatar, body, *moment)
            entry = zipfile.ZipInfo(f"frame_{index:06d}.ply", _NO_DATE)
            out.writestr(entry, ply_bytes(*facing_viewer(*placed), *look, sh), zipfile.ZIP_DEFLATED, 4)
