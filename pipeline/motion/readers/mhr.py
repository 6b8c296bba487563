"""SAM 3D Body's results (Meta 2025), whose body is MHR: one person in one picture, or those of many pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.motion.readers.content import arrays_of
from pipeline.motion.readers.folders import Entry, all_frames
from pipeline.motion.readers.linking import Seen, linked
from pipeline.motion.readers.motion import Clip, PointTrack, SourceMotion
from pipeline.runtime.errors import UserError

LAYOUT = "SAM 3D Body's pred_keypoints_3d and pred_cam_t (.npz)"
_KEYS = {"pred_keypoints_3d", "pred_cam_t"}
_MAY = {"pred_keypoints_2d", "focal_length", "pred_vertices"}
# Of MHR70, the order of SAM 3D Body's keypoints: those that our body has. A hand is where its middle finger begins.
KEYPOINTS = {
    0: "nose", 1: "l_eye", 2: "r_eye", 3: "l_ear", 4: "r_ear", 5: "l_shoulder", 6: "r_shoulder", 7: "l_elbow",
    8: "r_elbow", 9: "l_hip", 10: "r_hip", 11: "l_knee", 12: "r_knee", 13: "l_ankle", 14: "r_ankle", 15: "LBigToe",
    16: "LSmallToe", 17: "LHeel", 18: "RBigToe", 19: "RSmallToe", 20: "RHeel", 32: "right_hand", 41: "r_wrist",
    53: "left_hand", 62: "l_wrist",
}  # fmt: skip


def matches(content: Any) -> bool:
    return any(True for _ in _pictures(content))


def read(content: Any, path: Path, clip: Clip) -> SourceMotion:
    """People by nearness from picture to picture. Points are metres in the camera frame, `pred_cam_t` added; so are
    vertices, where the file has any.

    The camera is what takes `pred_keypoints_3d` to `pred_keypoints_2d`; without them it is `focal_length` about the
    image centre.
    """
    return _people([(index, f"{path}: frame {index}", picture) for index, picture in _pictures(content)], clip)


def read_files(entries: list[Entry], path: Path, clip: Clip) -> SourceMotion:
    """A file a frame, or a file a frame and person."""
    pictures = [(each.frame, str(each.path), picture) for each in entries for _, picture in _pictures(each.content)]
    return _people(pictures, clip)


def _people(pictures: list[tuple[int, str, Any]], clip: Clip) -> SourceMotion:
    """Of each picture its frame, what to call it in an error, and one person's dict."""
    seen: list[Seen] = []
    for number, where, person in pictures:
        arrays = arrays_of(where, person, {"pred_keypoints_3d": (70, 3), "pred_cam_t": (3,)})
        points = arrays["pred_keypoints_3d"] + arrays["pred_cam_t"]
        K = _camera(where, person, points, clip)
        vertices = _vertices(where, person, arrays["pred_cam_t"])
        if seen and np.shape(vertices) != np.shape(seen[0].data[2]):
            told = [0 if each is None else len(each) for each in (vertices, seen[0].data[2])]
            raise UserError(
                f"{where}: has {told[0]} pred_vertices, the first picture {told[1]}; expected as many in all"
            )
        seen.append(Seen(number, points[[9, 10]].mean(0), (points[list(KEYPOINTS)], K, vertices)))
    tracks = []
    for number, rows in enumerate(linked(seen)):
        K = np.stack([row.data[1] for row in rows])
        tracks.append(
            PointTrack(
                name=f"person {number}",
                frames=np.array([row.frame for row in rows]),
                points=np.stack([row.data[0] for row in rows]),
                names=tuple(KEYPOINTS.values()),
                K=K,
                size=tuple(np.round(2 * np.median(K[:, :2, 2], axis=0)).astype(int).tolist()),
                vertices=None if rows[0].data[2] is None else np.stack([row.data[2] for row in rows]),
            )
        )
    return SourceMotion("SAM 3D Body", tuple(tracks), all_frames({number for number, _, _ in pictures}))


def _pictures(content: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """(frame, a person's dict): of one person in one picture, of stacked arrays, or of a list with an entry a frame."""
    if isinstance(content, dict) and set(content) >= _KEYS:
        if np.ndim(content["pred_cam_t"]) == 1:
            yield 0, content
        else:
            keys = _KEYS | (_MAY & set(content))
            for index in range(len(content["pred_cam_t"])):
                yield index, {key: content[key][index] for key in keys}
    elif isinstance(content, dict) and len(content) == 1:
        yield from _pictures(next(iter(content.values())))
    elif isinstance(content, (list, tuple)) or (isinstance(content, np.ndarray) and content.dtype == object):
        for index, frame in enumerate(np.atleast_1d(content) if isinstance(content, np.ndarray) else content):
            people = frame if isinstance(frame, (list, tuple)) else [frame]
            for person in people:
                if isinstance(person, dict) and set(person) >= _KEYS:
                    yield index, person


def _vertices(where: str, person: dict[str, Any], moved: np.ndarray) -> np.ndarray | None:
    """(V, 3) metres in the camera frame; None where the file has none."""
    if "pred_vertices" not in person:
        return None
    return arrays_of(where, person, {"pred_vertices": ("V", 3)})["pred_vertices"] + moved


def _camera(where: str, person: dict[str, Any], points: np.ndarray, clip: Clip) -> np.ndarray:
    """K (3, 3) px of the pictures that the tool saw: those of the file, where their size is known."""
    focal = None
    if person.get("focal_length") is not None:
        given = {"focal_length": np.reshape(np.asarray(person["focal_length"], float), -1)[:1]}
        focal = arrays_of(where, given, {"focal_length": (1,)})["focal_length"][0]
    if "pred_keypoints_2d" not in person:
        if focal is None:
            raise UserError(f"{where}: expected the key 'pred_keypoints_2d' or 'focal_length', which tell the camera")
        width, height = clip.file_size or (clip.width, clip.height)
        return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    pixels = arrays_of(where, person, {"pred_keypoints_2d": (70, 2)})["pred_keypoints_2d"]
    rays = points[:, :2] / points[:, 2:]
    if focal is None:
        about = rays - rays.mean(0)
        focal = (about * (pixels - pixels.mean(0))).sum() / (about**2).sum()
    center = (pixels - focal * rays).mean(0)
    off = np.linalg.norm(focal * rays + center - pixels, axis=1).max()
    if off > 0.02 * np.ptp(pixels, axis=0).max() + 1:
        raise UserError(
            f"{where}: pred_keypoints_3d + pred_cam_t should project onto pred_keypoints_2d, found {off:.0f} px "
            "between them; use the file as SAM 3D Body wrote it"
        )
    return np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]])
