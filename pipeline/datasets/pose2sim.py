"""A trial of Pose2Sim (https://github.com/perfanalytics/pose2sim): videos, calibrated cameras, triangulated joints.

    TRIAL/videos/*.mp4            one a camera, paired with the cameras of the calibration in natural order
    TRIAL/pose-3d/*.trc           the joints; filtered ones are taken where there are both
    calibration/*.toml            in TRIAL or one of the two folders above it; or *.qca.txt of Qualisys

The world of its .toml and .qca.txt has z up. In a .trc the axes are y, z, x of that world, so that y is up.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pipeline.formats.joint_truth import NAMES, JointTruth
from pipeline.runtime.errors import UserError
from pipeline.video.calibration import camera_names, read_calibration
from pipeline.video.suffixes import VIDEO_SUFFIXES

_UNITS = {"m": 1.0, "mm": 0.001}
_WORLD = [2, 0, 1]  # columns of a .trc that are x, y, z of the calibration's world
_AUGMENTED = "LSTM"  # of joints turned into markers, which are others
_ABOVE = 3  # folders in which a calibration is looked for


def trials(folder: Path, calibration: Path | None) -> dict[str, tuple[Path, Path, Path, str]]:
    """For each video of a trial, by its name without suffix: the video, the .trc, the calibration, the camera.

    Args:
        calibration: None: it is looked for.

    Raises:
        UserError: something is missing, or there are several where there should be one.
    """
    found = sorted((p for p in (folder / "videos").glob("*") if p.suffix.lower() in VIDEO_SUFFIXES), key=_natural)
    if not found:
        raise UserError(f"{folder / 'videos'}: no video there; a trial of Pose2Sim has its videos in this folder")
    calibration = calibration or _calibration(folder)
    cameras = sorted(camera_names(calibration), key=_natural)
    if len(cameras) != len(found):
        raise UserError(
            f"{calibration}: of {len(cameras)} cameras ({', '.join(cameras)}), but {len(found)} videos are in "
            f"{folder / 'videos'}; take away what does not belong there"
        )
    joints = _joints(folder)
    return {video.stem: (video, joints, calibration, camera) for video, camera in zip(found, cameras)}


def read_trc(path: Path, calibration: Path, camera: str) -> JointTruth:
    """The joints of a .trc in the axes of one camera.

    Its time is that of the video: rows numbered from 1 whose first time is one row's step begin at the first frame.

    Raises:
        UserError: naming the file and what is wrong.
    """
    names, numbers, seconds, places = _table(path)
    absent = [name for name in NAMES if name not in names]
    if absent:
        raise UserError(f"{path}: no joint {_pose2sim(absent[0])!r} in it; found {', '.join(names)}")
    lens = read_calibration(calibration, camera)
    if lens.world_to_camera is None:
        raise UserError(f"{lens.source}: expected rotation and translation of the camera; export it from Pose2Sim")
    world = places[:, [names.index(name) for name in NAMES]][..., _WORLD]
    rotation, translation = lens.world_to_camera[:, :3], lens.world_to_camera[:, 3]
    ok = np.isfinite(world).all(2) & (world != 0).any(2)
    joints = np.where(ok[..., None], np.nan_to_num(world) @ rotation.T + translation, 0.0)
    step = np.median(np.diff(seconds)) if len(seconds) > 1 else 0.0
    if numbers[0] == 1 and abs(seconds[0] - step) < step / 4:
        seconds = seconds - seconds[0]
    return JointTruth(f"{path}, {lens.source}", joints, seconds, ok, lens.K)


def _table(path: Path) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names as ours, frame numbers (T,), times (T,), places (T, J, 3) metres."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = dict(zip(lines[1].split("\t"), lines[2].split("\t")))
        names = [_ours(name.strip()) for name in lines[3].split("\t")[2:] if name.strip()]
        rows = [line.split("\t") for line in lines[5:] if line.strip()]
        cells = [[float(cell) if cell.strip() else np.nan for cell in row[: 2 + 3 * len(names)]] for row in rows]
        values = np.array([row + [np.nan] * (2 + 3 * len(names) - len(row)) for row in cells])
        scale = _UNITS[header["Units"].strip()]
        if not len(values) or not np.isfinite(values[:, :2]).all() or (np.diff(values[:, 1]) <= 0).any():
            raise ValueError("its times do not rise from row to row")
    except (OSError, IndexError, KeyError, ValueError) as error:
        raise UserError(f"{path}: expected a .trc with joints in m or mm, could not read it ({error!r})") from error
    return names, values[:, 0], values[:, 1], values[:, 2:].reshape(len(values), len(names), 3) * scale


def _ours(name: str) -> str:
    """RHip -> r_hip."""
    return f"{name[0].lower()}_{name[1:].lower()}" if re.fullmatch("[RL][A-Z][a-z]+", name) else name


def _pose2sim(name: str) -> str:
    return f"{name[0].upper()}{name[2:].capitalize()}"


def _joints(folder: Path) -> Path:
    files = [file for file in sorted((folder / "pose-3d").glob("*.trc")) if _AUGMENTED not in file.stem]
    files = [file for file in files if "filt" in file.stem] or files
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise UserError(f"{folder / 'pose-3d'}: expected one .trc of one person, found {names}; leave one there")
    return files[0]


def _calibration(folder: Path) -> Path:
    for above in (folder, *folder.resolve().parents)[:_ABOVE]:
        place = above / "calibration"
        files = sorted([*place.glob("*.toml"), *place.glob("*.qca.txt")])
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise UserError(
                f"{place}: several calibrations ({names}); name the one that the joints were made with (calibration)"
            )
        if files:
            return files[0]
    raise UserError(f"{folder}: no calibration/*.toml or *.qca.txt in it or in the {_ABOVE - 1} folders above")


def _natural(value: Path | str) -> list[tuple[int, int | str]]:
    """Key by which cam2 comes before cam10."""
    text = value.name if isinstance(value, Path) else value
    return [(0, int(part)) if part.isdigit() else (1, part.lower()) for part in re.split(r"(\d+)", text) if part]
