"""Depth maps of the user's own: a sensor's, another estimator's, or the studio's truth.

A folder with one map a frame: 16-bit PNG in millimetres, or .npy or .exr in metres; 0 or not finite = unknown. A
camera.json beside the folder, in this project's format, gives K.
"""

from pathlib import Path

import numpy as np

from pipeline.camera.intrinsics import DepthSettings, camera_from_settings
from pipeline.estimators.exr import read_exr_depth
from pipeline.formats.arrays import read_npy
from pipeline.formats.camera import Camera
from pipeline.formats.images import DEPTH_UNIT, read_image, write_depth
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.user_files import check_aspect, check_path, numbered_files, resize_nearest, user_path
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track

FARTHEST = 65.535  # metres that a 16-bit count of millimetres can tell
NOTHING = 1e6  # metres: renderers write 1e10 where nothing was hit


def check(settings: DepthSettings) -> None:
    """Raise a UserError where depth.path is not set."""
    check_path("depth.path", settings.path)


def estimate(directory: VideoDir, settings: DepthSettings, out: Path, provenance: Provenance) -> Camera:
    """Write the maps at the frames' size, by nearest neighbour, to out/%06d.png; return the camera.

    Raises:
        UserError: the folder is missing, does not hold one map a frame, or a map is not one.
    """
    video = VideoInfo.load(directory.video)
    folder = user_path("depth.path", settings.path, directory.name)
    files = numbered_files(folder, tuple(_READERS), video.frames)
    camera = _camera(folder.parent / "camera.json", video, settings, provenance)
    known = 0.0
    for index, file in enumerate(track(files, "import depth", unit="map")):
        depth = _read(file)
        check_aspect(file, depth.shape, video.height, video.width)
        write_depth(out / f"{index:06d}.png", resize_nearest(depth, video.height, video.width))
        known += float((depth > 0).mean()) / len(files)
    provenance.facts |= {"depth maps": str(folder), "share of pixels with depth": round(known, 4)}
    if known == 0:
        raise UserError(f"{folder}: every depth map is empty; expected metres (.npy, .exr) or millimetres (.png)")
    return camera


def _camera(path: Path, video: VideoInfo, settings: DepthSettings, provenance: Provenance) -> Camera:
    """The calibrated camera, by which the frames were undistorted; else the one beside the maps, at the frames' size;
    else that of the settings."""
    if video.K is not None or not path.is_file():
        return camera_from_settings(video, settings, provenance)
    camera = Camera.load(path)
    check_aspect(path, (camera.height, camera.width), video.height, video.width)
    scale = np.diag([video.width / camera.width, video.height / camera.height, 1.0])
    origin = "import" if camera.metric else "guess"
    return Camera(scale @ camera.K, video.width, video.height, f"{path}: {camera.source}", camera.metric, origin)


def _read(file: Path) -> np.ndarray:
    """A depth map in metres, float (H, W), 0 = unknown."""
    depth = _READERS[file.suffix.lower()](file)
    if depth.ndim == 3 and depth.shape[2] == 1:
        depth = depth[:, :, 0]
    if depth.ndim != 2 or depth.size == 0 or depth.dtype.kind not in "fiu":
        raise UserError(f"{file}: expected a depth map (height, width), found {depth.dtype} {depth.shape}")
    depth = np.nan_to_num(depth.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    depth[(depth < 0) | (depth > NOTHING)] = 0
    seen = depth[depth > 0]
    if len(seen) and np.median(seen) > FARTHEST:
        raise UserError(f"{file}: expected metres, found a median of {np.median(seen):.0f}; are these millimetres?")
    return depth


def _read_png(file: Path) -> np.ndarray:
    counts, _ = read_image(file)
    if counts.dtype not in (np.uint16, np.int32):
        raise UserError(f"{file}: expected 16-bit millimetres, found {counts.dtype} {counts.shape}; save it as 16-bit")
    return counts * np.float32(DEPTH_UNIT)


_READERS = {".png": _read_png, ".npy": read_npy, ".exr": read_exr_depth}
