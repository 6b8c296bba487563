"""Landmarks that another tool wrote: OpenPose's folder of JSON, COCO-WholeBody JSON, DeepLabCut's CSV."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.landmarks.names import BY_COUNT, COCO, HAND, ours
from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Read:
    """What a file tells of each frame: the people in it, in no order."""

    tool: str  # "OpenPose"
    names: tuple[str, ...]  # (L,)
    people: dict[int, list[np.ndarray]]  # by frame: each (L, 3) x, y px, confidence in [0, 1], 0 where not found
    frames: int | None  # of the clip that the tool saw, counted from 0; None: it does not tell

    @property
    def last(self) -> int:
        """The last frame of which it tells."""
        return max(self.people, default=-1)


def read_file(path: Path) -> Read:
    """Read landmarks of any known layout. Raises UserError where the file is of none, or damaged."""
    if path.is_dir():
        return _openpose(path)
    if path.suffix.lower() == ".csv":
        return _deeplabcut(path)
    if path.suffix.lower() == ".json":
        return _coco(path)
    raise UserError(
        f"{path}: expected a folder of OpenPose's JSON files, a .json of COCO-WholeBody, a .csv of DeepLabCut or "
        "Sports2D, or a landmarks .npz of ours"
    )


def _openpose(folder: Path) -> Read:
    """`NAME_000000000012_keypoints.json` and the like, a file a frame."""
    files = sorted(folder.glob("*.json"), key=lambda file: (_number(file.stem) or 0, file.name))
    if not files:
        raise UserError(f"{folder}: expected OpenPose's *_keypoints.json, a file a frame, found none")
    people, names = {}, None
    for frame, file in enumerate(files):
        content = _json(file)
        if not (isinstance(content, dict) and isinstance(content.get("people"), list)):
            raise UserError(f"{file}: expected OpenPose's JSON with a list 'people'")
        people[frame] = []
        for person in content["people"]:
            body = _points(file, person, "pose_keypoints_2d")
            if body is None:
                continue
            hands = [_points(file, person, f"hand_{side}_keypoints_2d", len(HAND)) for side in ("left", "right")]
            found = _body_names(file, len(body))
            if "left_hand_wrist" not in found:
                found += tuple(f"{side}_hand_{name}" for side in ("left", "right") for name in HAND)
                body = np.concatenate([body, *(np.zeros((len(HAND), 3)) if hand is None else hand for hand in hands)])
            names = names or found
            if found != names:
                raise UserError(f"{file}: {len(body)} landmarks a person, the files before it have {len(names)}")
            people[frame].append(body)
    if names is None:
        raise UserError(f"{folder}: nobody in any file")
    return Read("OpenPose", names, people, len(files))


def _coco(path: Path) -> Read:
    """Results or annotations of COCO(-WholeBody), or MMPose's predictions."""
    content = _json(path)
    if isinstance(content, dict) and isinstance(content.get("instance_info"), list):
        return _mmpose(path, content["instance_info"])
    rows, order = content, None
    if isinstance(content, dict):
        rows = content.get("annotations")
        if isinstance(content.get("images"), list):
            order = [image.get("id") for image in content["images"] if isinstance(image, dict)]
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "image_id" in row for row in rows):
        raise UserError(
            f"{path}: expected COCO's results (a list with 'image_id' and 'keypoints'), its annotations, or MMPose's "
            "'instance_info'"
        )
    frame = _counting(path, [row["image_id"] for row in rows], order)
    people: dict[int, list[np.ndarray]] = {}
    names = None
    parts = (("foot_kpts", 6), ("face_kpts", 68), ("lefthand_kpts", len(HAND)), ("righthand_kpts", len(HAND)))
    for row in rows:
        body = _points(path, row, "keypoints")
        if body is None:
            continue
        if len(body) == len(COCO) and any(key in row for key, _ in parts):
            more = (_points(path, row, key, count) for key, count in parts)
            body = np.concatenate([body, *(np.zeros((n, 3)) if p is None else p for p, (_, n) in zip(more, parts))])
        found = _body_names(path, len(body))
        names = names or found
        if found != names:
            raise UserError(f"{path}: {len(body)} landmarks of a person, those before have {len(names)}")
        if set(np.unique(body[:, 2])) <= {0.0, 1.0, 2.0} and body[:, 2].max() > 1:
            body[:, 2] /= 2  # COCO's flags: 1 is marked and hidden, 2 is seen
        people.setdefault(frame(row["image_id"]), []).append(body)
    if names is None:
        raise UserError(f"{path}: nobody in it")
    return Read("COCO", names, people, None if order is None else len(order))


def _counting(path: Path, ids: Sequence[Any], order: list[Any] | None) -> Callable[[Any], int]:
    """From an image's id to its frame: its place in the file's list of images; else the number itself."""
    if order is not None:
        places = {image: k for k, image in enumerate(order)}
        if any(image not in places for image in ids):
            raise UserError(f"{path}: an 'image_id' is not in its list 'images'")
        return places.__getitem__
    numbers = {image: _number(str(Path(str(image)).stem)) for image in ids}
    if None in numbers.values():
        raise UserError(f"{path}: expected numbers of frames as 'image_id', found {ids[0]!r}")
    return numbers.__getitem__


def _mmpose(path: Path, info: list[Any]) -> Read:
    people: dict[int, list[np.ndarray]] = {}
    names = None
    try:
        for each in info:
            people[int(each["frame_id"]) - 1] = rows = []  # it counts from 1
            for person in each["instances"]:
                xy, scores = np.array(person["keypoints"], float), np.array(person["keypoint_scores"], float)
                rows.append(np.concatenate([xy[:, :2], scores[:, None].clip(0, 1)], 1))
                names = names or _body_names(path, len(xy))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: expected MMPose's 'frame_id' and 'instances' with 'keypoints' ({error!r})") from error
    if names is None:
        raise UserError(f"{path}: nobody in it")
    return Read("MMPose", names, people, len(info))


_HEAD = ("scorer", "individuals", "bodyparts", "coords")  # rows that begin so, before the frames


def _deeplabcut(path: Path) -> Read:
    """DeepLabCut's CSV, of one animal or several; Sports2D wrote the same."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        table = list(csv.reader(file))
    head = {row[0]: row[1:] for row in table[:4] if row and row[0] in _HEAD}
    if not {"scorer", "bodyparts", "coords"} <= set(head):
        raise UserError(f"{path}: expected DeepLabCut's rows scorer, bodyparts and coords, found {table[:1]}")
    parts, coords = head["bodyparts"], head["coords"]
    who = head.get("individuals", [""] * len(parts))
    names = tuple(dict.fromkeys(parts))
    column = {key: k for k, key in enumerate(zip(who, parts, coords), start=1)}
    people: dict[int, list[np.ndarray]] = {}
    body = [row for row in table[len(head) :] if row]
    for frame, row in enumerate(body):
        people[frame] = []
        for one in dict.fromkeys(who):
            person = np.zeros((len(names), 3))
            for k, name in enumerate(names):
                cells = [_cell(path, row, column.get((one, name, axis))) for axis in ("x", "y", "likelihood")]
                person[k] = [*cells[:2], min(max(cells[2], 0.0), 1.0)] if np.isfinite(cells).all() else 0.0
            people[frame].append(person)
    return Read("DeepLabCut", tuple(map(ours, names)), people, len(body))


def _cell(path: Path, row: list[str], k: int | None) -> float:
    try:
        return float(row[k]) if k is not None and row[k].strip() else float("nan")
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: expected numbers, found {','.join(row[:4])!r} ({error})") from error


def _points(path: Path, person: Any, key: str, count: int | None = None) -> np.ndarray | None:
    """(L, 3) of a flat list x, y, confidence; None where there is none."""
    values = person.get(key) if isinstance(person, dict) else None
    if not values:
        return None
    try:
        points = np.array(values, float).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: key {key!r} should hold x, y, confidence of each landmark ({error})") from error
    if not np.isfinite(points).all() or (count is not None and len(points) != count):
        raise UserError(f"{path}: key {key!r} should hold {count or 'finite'} landmarks, found {len(points)}")
    points[:, 2] = points[:, 2].clip(0, 2 if key.endswith("kpts") or key == "keypoints" else 1)
    return points


def _body_names(path: Path, count: int) -> tuple[str, ...]:
    if count not in BY_COUNT:
        known = ", ".join(map(str, BY_COUNT))
        raise UserError(f"{path}: {count} landmarks a person; known are layouts of {known}; docs/landmarks.md")
    return BY_COUNT[count]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected JSON, found {error}") from error


def _number(name: str) -> int | None:
    """The last number in a name."""
    found = re.findall(r"\d+", name)
    return int(found[-1]) if found else None
