"""Real videos whose joints were measured: config key `measured`, config/real.yaml.

They are decoded and gone through as any video; the joints are read to score the result, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets import pose2sim
from pipeline.formats.arrays import read_npz
from pipeline.formats.joint_truth import JointTruth
from pipeline.runtime.errors import UserError
from pipeline.video.suffixes import VIDEO_SUFFIXES

LAYOUTS = ("joints", "pose2sim")
_SELECTION = ("start", "stop", "step", "longest_side")  # of the section `video`


@dataclass(frozen=True)
class MeasuredClip:
    """A video and the file of its joints."""

    name: str  # of results/<name>/
    video: Path
    truth: Path  # .npz or .trc
    calibration: Path | None  # None: nothing is known of the camera
    camera: str | None  # its section there
    overlay: Mapping[str, Any]  # what of the configuration is its own

    @property
    def inputs(self) -> list[Path]:
        """Files that the score is read from."""
        return list(dict.fromkeys([self.truth, *([self.calibration] if self.calibration else [])]))

    @property
    def options(self) -> list[str]:
        """Of `python -m pipeline score`."""
        options = ["--truth", str(self.truth)]
        if self.truth.suffix == ".trc":
            options += ["--calibration", str(self.calibration), "--camera", str(self.camera)]
        return options


def measured_clips(config: Mapping[str, Any]) -> dict[str, MeasuredClip]:
    """The clips that the key `measured` of a checked configuration asks for, by video name; none without the key.

    Raises:
        UserError: a folder, a clip or its joints are missing, two would have one name, or the camera of one is to be
            used whose file does not tell it.
    """
    chosen = config.get("measured") or {}
    clips: dict[str, MeasuredClip] = {}
    for folder, entry in chosen.get("folders", {}).items():
        if entry is None:
            continue
        found = _found(folder, entry)
        each = entry.get("each") or {}
        unknown = [clip for clip in (*(entry.get("clips") or ()), *each) if clip not in found]
        if unknown:
            raise UserError(
                f"config measured.folders.{folder}: no clip {unknown[0]!r} in {entry['path']}; found {', '.join(found)}"
            )
        for clip in entry.get("clips") or found:
            own = {"use": chosen["use"]} | entry | (each.get(clip) or {})
            made = _clip(f"{folder}_{clip}", *found[clip], own)
            if made.name in clips:
                raise UserError(f"config measured.folders: two clips would be {made.name}; rename a folder's key")
            clips[made.name] = made
    return clips


def read_truth(path: Path, calibration: Path | None, camera: str | None) -> JointTruth:
    """The joints of a clip.

    Args:
        calibration: of a .trc, which has none itself.
        camera: there, that filmed the video.

    Raises:
        UserError: naming the file and what is wrong.
    """
    if path.suffix == ".npz":
        return JointTruth.load(path)
    if calibration is None or camera is None:
        raise UserError(f"{path}: joints in the world; give --calibration and --camera, which say where the camera is")
    return pose2sim.read_trc(path, calibration, camera)


def _found(key: str, entry: Mapping[str, Any]) -> dict[str, tuple[Path, Path, Path | None, str | None]]:
    """By clip: video, joints, calibration, camera."""
    folder = Path(entry["path"])
    if not folder.is_dir():
        raise UserError(
            f"config measured.folders.{key}: {folder}: no such folder; put videos with measured joints there "
            "(docs/datasets.md), or set it to null"
        )
    if entry.get("layout", "joints") == "pose2sim":
        calibration = entry.get("calibration")
        return dict(pose2sim.trials(folder, Path(calibration) if calibration else None))
    videos = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in VIDEO_SUFFIXES]
    found: dict[str, tuple[Path, Path, Path | None, str | None]] = {}
    for video in videos:
        truth = video.with_suffix(".npz")
        if truth.is_file():
            known = "K" in read_npz(truth)
            found[video.stem] = (video, truth, truth if known else None, None)
    if not found:
        raise UserError(f"{folder}: no video with joints there: NAME.mp4 beside NAME.npz (docs/datasets.md)")
    return found


def _clip(
    name: str, video: Path, truth: Path, calibration: Path | None, camera: str | None, own: Mapping[str, Any]
) -> MeasuredClip:
    overlay: dict[str, Any] = {key: own[key] for key in _SELECTION if key in own}
    if "camera" in own["use"]:
        if calibration is None:
            raise UserError(f"{truth}: tells no camera (K), but measured.use asks for it; leave it out for this clip")
        overlay |= {"calibration": str(calibration), "camera": camera}
    return MeasuredClip(name, video, truth, calibration, camera, {"video": overlay})
