"""TRAM's hps/hps_track_<k>.npy, with camera.npy beside the folder (Wang et al. 2024)."""

from pathlib import Path
from typing import Any

from pipeline.motion.readers.content import arrays_of, as_array, read_content
from pipeline.motion.readers.matrices import to_axis_angle
from pipeline.motion.readers.motion import Clip, SourceMotion, Track, centred_camera
from pipeline.runtime.errors import UserError

LAYOUT = "TRAM's hps/hps_track_<k>.npy or its folder"
TRACKS = "hps_track_*.npy"
_SHAPES = {"pred_rotmat": ("N", 24, 3, 3), "pred_trans": ("N", 1, 3), "pred_shape": ("N", 10), "frame": ("N",)}


def matches(content: Any) -> bool:
    """A dict of tensors, one person's."""
    return isinstance(content, dict) and {"pred_rotmat", "pred_trans"} <= set(content)


def read(content: dict[str, Any], path: Path, clip: Clip) -> SourceMotion:
    """One file is one person; `pred_trans` is SMPL's translation in the camera frame, as visualize_tram uses it."""
    return SourceMotion("TRAM", (_track(content, path),), None)


def has_tracks(folder: Path) -> bool:
    return any(folder.glob(TRACKS)) or any(folder.glob(f"hps/{TRACKS}"))


def read_folder(folder: Path) -> SourceMotion:
    """All people of a video: the files hps_track_<k>.npy of its folder, or of hps/ in it."""
    files = sorted(folder.glob(TRACKS)) or sorted(folder.glob(f"hps/{TRACKS}"))
    tracks = []
    for file in files:
        content = read_content(file)
        if not matches(content):
            raise UserError(f"{file}: expected TRAM's pred_rotmat and pred_trans; use the file as TRAM wrote it")
        tracks.append(_track(content, file))
    return SourceMotion("TRAM", tuple(tracks), None)


def _track(content: dict[str, Any], path: Path) -> Track:
    arrays = arrays_of(path, content, _SHAPES)
    count = len(arrays["frame"])
    focal, center = _camera(path)
    return Track(
        name=path.stem,
        frames=arrays["frame"].astype(int),
        rotations=to_axis_angle(str(path), arrays["pred_rotmat"]),
        transl=arrays["pred_trans"][:, 0],
        betas=arrays["pred_shape"].mean(axis=0),
        body="smpl",
        K=centred_camera(focal, center, count),
        size=(round(2 * center[0]), round(2 * center[1])),  # it takes the image centre as the principal point
    )


def _camera(path: Path) -> tuple[float, tuple[float, float]]:
    """Focal length and principal point, px, from camera.npy beside the file's folder or beside the file."""
    places = (path.parent.parent / "camera.npy", path.parent / "camera.npy")
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(f"{places[0]}: not found; TRAM's focal length is in it, copy it there with the folder hps/")
    content = read_content(found)
    content = content if isinstance(content, dict) else {}
    flat = {key: as_array(content[key]).reshape(-1) for key in ("img_focal", "img_center") if key in content}
    arrays = arrays_of(found, flat, {"img_focal": (1,), "img_center": (2,)})
    return float(arrays["img_focal"][0]), (float(arrays["img_center"][0]), float(arrays["img_center"][1]))
