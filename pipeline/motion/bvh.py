"""Motions of BVH files, their bones known by name: SMPL's, Mixamo's, CMU's, and others that are named alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES
from pipeline.motion.mocap import CMU_BONES, Mocap
from pipeline.runtime.errors import UserError

CLIP = "motion"  # what the one clip of a file is called
_MOST_FRAMES = 1_000_000
_MIXAMO_SPINE = {"spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2"}
_ALIASES = {"LeftToe": "LeftToeBase", "RightToe": "RightToeBase"}
# What a body cannot be posed without; collars, toes and parts of the spine turn with their parents where they lack.
_NEEDED = ("pelvis", "neck", *(f"{a}_{b}" for a in ("left", "right") for b in
           ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")))  # fmt: skip
_STANDS = 0.8  # cosine: how near to an axis the rest pose must be upright


def read_bvh(path: Path) -> Mocap:
    """The motion of a BVH file, as the one clip CLIP; y up, facing +z at rest, whatever axes the file has.

    Raises:
        UserError: no such file, not a BVH, other names, or a rest pose that does not stand with y or z up.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path}: not read: {error.strerror}; expected a BVH file") from error
    try:
        names, parents, offsets, channels = _hierarchy(text)
        seconds, rows = _rows(text)
        rotations, root = _motion(channels, rows)
    except (ValueError, IndexError, KeyError, AttributeError, StopIteration) as error:
        raise UserError(f"{path}: not a BVH that can be read ({error or type(error).__name__})") from error
    short = tuple(_ALIASES.get(name, name) for name in (re.split(r"[:|]", name)[-1] for name in names))
    bones = _bones(short)
    lacking = [name for name in _NEEDED if name not in bones]
    if lacking:
        raise UserError(
            f"{path}: knows no bone for {lacking[0]}; expected SMPL's, Mixamo's or CMU's names, "
            f"found {', '.join(names[:6])} ..."
        )
    axes = _axes(path, short, bones, parents, offsets)
    turned = Rotation.from_matrix(axes)
    local = turned * Rotation.from_matrix(rotations.reshape(-1, 3, 3)) * turned.inv()
    rotvecs = local.as_rotvec().reshape(len(rows), len(names), 3)
    clip = rotvecs, (root + offsets[0]) @ axes.T, offsets @ axes.T
    return Mocap(path, short, np.array(parents), {CLIP: clip}, bones, 1 / seconds)


def _bones(names: tuple[str, ...]) -> dict[str, str]:
    """The bone that turns as each joint of SMPL does, of those that are there."""
    if {"left_hip", "left_knee"} <= set(names):
        known = {name: name for name in JOINT_NAMES}
    else:
        known = dict(CMU_BONES) if "LowerBack" in names else CMU_BONES | _MIXAMO_SPINE
    return {joint: bone for joint, bone in known.items() if bone in names}


def _hierarchy(text: str) -> tuple[list[str], list[int], np.ndarray, list[list[str]]]:
    """Names, parents, offsets (J, 3) and channels of the joints; end sites are left out."""
    if not text.lstrip().startswith("HIERARCHY"):
        raise ValueError("it does not begin with HIERARCHY")
    words: Iterator[str] = iter(text.split("MOTION")[0].split())
    names, parents, offsets, channels = [], [], [], []
    stack: list[int | None] = []
    for word in words:
        if word in ("ROOT", "JOINT"):
            parents.append(next(index for index in reversed(stack) if index is not None) if stack else -1)
            names.append(next(words))
            offsets.append(np.zeros(3))
            channels.append([])
        elif word == "{":
            stack.append(len(names) - 1)
        elif word == "End":
            next(words)  # Site
            next(words)  # {
            stack.append(None)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            values = [float(next(words)) for _ in range(3)]
            if stack[-1] is not None:
                offsets[stack[-1]] = np.array(values)
        elif word == "CHANNELS":
            channels[stack[-1]] = [next(words) for _ in range(int(next(words)))]
    return names, parents, np.stack(offsets), channels


def _rows(text: str) -> tuple[float, np.ndarray]:
    """Seconds a frame, and the channels' values (T, C)."""
    found = re.search(r"MOTION\s+Frames:\s*(\d+)\s+Frame Time:\s*(\S+)", text)
    if found is None:
        raise ValueError("no 'Frames:' and 'Frame Time:' after MOTION")
    frames, seconds = int(found[1]), float(found[2])
    if not 0 < frames <= _MOST_FRAMES or not seconds > 0:
        raise ValueError(f"{frames} frames of {seconds} s")
    values = np.array(text[found.end() :].split(), float)
    if values.size % frames or not np.isfinite(values).all():
        raise ValueError(f"{values.size} values for {frames} frames")
    return seconds, values.reshape(frames, -1)


def _motion(channels: list[list[str]], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations (T, J, 3, 3), and the root's place (T, 3); places of other joints are as at rest."""
    if sum(map(len, channels)) != rows.shape[1]:
        raise ValueError(f"{rows.shape[1]} values a frame for {sum(map(len, channels))} channels")
    rotations = np.tile(np.eye(3), (len(rows), len(channels), 1, 1))
    root, column = np.zeros((len(rows), 3)), 0
    for joint, names in enumerate(channels):
        for name in names:
            axis, kind = name[0].lower(), name[1:].lower()
            values = rows[:, column]
            if kind == "rotation":
                rotations[:, joint] @= Rotation.from_euler(axis, values[:, None], degrees=True).as_matrix()
            elif joint == 0:
                root[:, "xyz".index(axis)] = values
            column += 1
    return rotations, root


def _axes(
    path: Path, names: tuple[str, ...], bones: dict[str, str], parents: list[int], offsets: np.ndarray
) -> np.ndarray:
    """Rows: the person's left, up and ahead at rest, each the nearest axis of the file."""
    places = np.zeros_like(offsets)
    for joint, parent in enumerate(parents):
        places[joint] = offsets[joint] + (places[parent] if parent >= 0 else 0)

    def place(joint: str) -> np.ndarray:
        return places[names.index(bones[joint])]

    found = []
    for what, direction in (
        ("left", place("left_hip") - place("right_hip")),
        ("up", place("neck") - (place("left_ankle") + place("right_ankle")) / 2),
    ):
        length = np.linalg.norm(direction)
        axis = int(np.abs(direction).argmax())
        if length == 0 or abs(direction[axis]) < _STANDS * length:
            raise UserError(
                f"{path}: its rest pose (all angles 0) should stand along the axes; {what} is {direction.round(2)}; "
                "export the BVH with a T-pose as its rest pose"
            )
        found.append(np.eye(3)[axis] * np.sign(direction[axis]))
    left, up = found
    if abs(left @ up) > 0:
        raise UserError(
            f"{path}: its rest pose (all angles 0) does not stand; export it with a T-pose as its rest pose"
        )
    return np.stack([left, up, np.cross(left, up)])
