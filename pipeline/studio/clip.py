"""A whole clip: the video, and beside it the truth.

`OUT/NAME.mp4`, and `OUT/NAME.truth/` with
    pose.npz                the motion (formats.pose.Pose) in the frame of the main camera at each instant
    masks/%06d.png          8-bit coverage of the clothed person; depth/%06d.png 16-bit millimetres, the room included
    camera.json             K of the video (formats.camera.Camera); camera_track.npz how it moved (CameraTrack)
    views/<k>/              cameras that the pipeline never sees: frames/%06d.jpg, masks/%06d.png, pose.npz (the motion
                            in that camera), camera.json (Camera, and `viewmats`: T matrices from the main camera's
                            frame at each instant to this camera's)
    novel/                  where a second motion was asked for: a few frames of it, the same person before a camera of
                            its own: frames/%06d.jpg, masks/%06d.png, pose.npz, camera.json
    subject.json            what was asked for
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel, load_body
from pipeline.formats.atomic import atomic_directory
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import write_depth, write_frame, write_mask
from pipeline.formats.pose import Pose
from pipeline.formats.records import write_json
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.motion.library import motion
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.studio.cameras import CAMERAS, ClipCamera, Stance, held_camera, place_cameras
from pipeline.studio.render import Renderer
from pipeline.studio.room import build_scene
from pipeline.studio.scene import Scene
from pipeline.studio.subject import Subject, dress, random_shape
from pipeline.studio.wardrobe import OUTFITS
from pipeline.video.encode import VideoWriter

_CRF = 16
_NOVEL_FRAMES = 20  # of the second motion, spread over it
_ROOM_BEHIND_CAMERAS, _ROOM_ABOVE_CAMERAS = 0.6, 0.2  # metres
_WORTH_A_PROCESS = 4e6  # pixels over all frames and views; starting workers takes about two seconds


@dataclass(frozen=True)
class ClipRequest:
    """What to film. The same request gives the same clip."""

    seed: int
    frames: int
    fps: Fraction
    width: int
    height: int
    motion: str  # name or file, see pipeline.motion.library.motion
    outfit: str  # one of OUTFITS
    camera: str  # one of CAMERAS: how the main camera moves
    views: int  # cameras besides the main one
    # Of the main camera, which is then static unless it tells the focal length alone; None: level, at the eyes' height.
    stance: Stance | None = None
    novel: str | None = None  # a second motion of the same person, see `motion`; None: none
    exposure: float = 0.0  # seconds, of the main camera, as of ClipCamera

    def __post_init__(self) -> None:
        if self.outfit not in OUTFITS:
            raise UserError(f"outfit {self.outfit!r}: expected one of {', '.join(OUTFITS)}")
        if min(self.width, self.height) < 64 or self.width % 2 or self.height % 2:
            raise UserError(f"size {self.width}x{self.height}: expected even numbers from 64 up, as H.264 needs them")
        if self.camera not in CAMERAS:
            raise UserError(f"camera {self.camera!r}: expected one of {', '.join(CAMERAS)}")
        if self.camera != "static" and self.stance is not None and self.stance != Stance(focal=self.stance.focal):
            raise UserError("studio: a camera that is held at an angle is static")
        if self.frames < 1 or self.fps <= 0 or self.views < 0 or self.seed < 0:
            raise UserError("studio: frames and fps must be above 0, views and seed not below it")
        if not 0 <= self.exposure <= 1 / self.fps:
            frame = float(1 / self.fps)
            raise UserError(
                f"studio: exposure {self.exposure:g}: expected seconds from 0 to {frame:g}, one frame's time"
            )


def make_clip(out: Path, name: str, request: ClipRequest) -> Path:
    """Render a clip and its truth; both appear whole or not at all. Returns the video's path.

    Raises:
        UserError: the motion is neither known nor a readable file.
    """
    body = load_body("free")
    betas = random_shape(request.seed)
    moving = motion(request.motion, request.frames, float(request.fps), request.seed, body, betas)
    subject = dress(body, betas, request.outfit, request.seed)
    trans = moving.trans + np.array([0, subject.sole, 0])  # shoes lift the feet off the ground
    transforms, vertices = _posed(body, betas, moving.poses, trans)
    lens = request.stance.focal if request.stance and request.camera != "static" else None
    points, size, fps = vertices[:, ::7], (request.width, request.height), float(request.fps)
    cameras = place_cameras(points, *size, request.views, request.camera, fps, request.seed, lens)
    if request.stance is not None and request.camera == "static":
        cameras[0] = held_camera(points, *size, request.stance)
    cameras[0] = replace(cameras[0], exposure=request.exposure)
    scene = _room(cameras, request.seed)
    poses = [_in_camera(body, betas, moving.poses, trans, camera, request) for camera in cameras]
    video = out / f"{name}.mp4"
    # The video appears last, so that whoever finds it finds its truth too.
    with VideoWriter(video, request.fps, _CRF) as writer, atomic_directory(out / f"{name}.truth") as truth:
        boxes = []
        for image, frame_boxes in _drawn((subject, scene, cameras, transforms, fps), truth, request):
            writer.write(image)
            boxes.append(frame_boxes)
        boxes = np.array(boxes, float)  # (T, cameras, 4)
        for k, (camera, pose) in enumerate(zip(cameras, poses)):
            folder = truth if k == 0 else truth / "views" / f"{k - 1}"
            Pose(**asdict(pose) | {"bbox": boxes[:, k]}).save(folder / "pose.npz")
            _save_camera(folder / "camera.json", camera, cameras[0] if k else None)
        camera_track(cameras[0]).save(truth / "camera_track.npz")
        if request.novel is not None:
            _film_novel(truth / "novel", request.novel, body, subject, request)
        described = asdict(request) | {"fps": str(request.fps), "frames": len(boxes), "betas": betas.tolist()}
        for name in ("stance", "novel", "exposure"):
            if not described[name]:
                del described[name]
        write_json(truth / "subject.json", described)
    return video


def _film_novel(folder: Path, name: str, body: BodyModel, subject: Subject, request: ClipRequest) -> None:
    """Write frames of another motion of the person: poses with truth that no avatar of the clip was made of."""
    fps = float(request.fps)
    moving = motion(name, request.frames, fps, request.seed, body, subject.betas)
    trans = moving.trans + np.array([0, subject.sole, 0])
    transforms, vertices = _posed(body, subject.betas, moving.poses, trans)
    cameras = place_cameras(vertices[:, ::7], request.width, request.height, 0, "static", fps, request.seed)
    renderer = Renderer(subject, _room(cameras, request.seed), cameras, transforms, fps)
    chosen = np.unique(np.linspace(0, request.frames - 1, _NOVEL_FRAMES).round().astype(int))
    for kind in ("frames", "masks"):
        (folder / kind).mkdir(parents=True)
    boxes = []
    for number, index in enumerate(track(chosen.tolist(), "second motion", unit="frame")):
        picture = renderer.draw(index)[0]
        write_frame(folder / "frames" / f"{number:06d}.jpg", picture.image)
        write_mask(folder / "masks" / f"{number:06d}.png", picture.mask)
        boxes.append(_box(picture.mask))
    pose = _in_camera(body, subject.betas, moving.poses, trans, cameras[0], request)
    some = {key: getattr(pose, key)[chosen] for key in ("global_orient", "body_pose", "transl", "valid")}
    Pose(**asdict(pose) | some | {"bbox": np.array(boxes, float)}).save(folder / "pose.npz")
    _save_camera(folder / "camera.json", cameras[0], None)


def _room(cameras: list[ClipCamera], seed: int) -> Scene:
    """A room that all cameras are inside of."""
    farthest = max(np.abs(_centre(viewmat)).max() for camera in cameras for viewmat in camera.viewmats)
    highest = max(_centre(viewmat)[1] for camera in cameras for viewmat in camera.viewmats)
    return build_scene(max(4.2, farthest + _ROOM_BEHIND_CAMERAS), seed, highest + _ROOM_ABOVE_CAMERAS)


def _posed(body: BodyModel, betas: np.ndarray, poses: np.ndarray, trans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint motions (T, 24, 4, 4) and vertices of the bare body (T, V, 3), in the world."""
    pose, shape, moved = (torch.as_tensor(a, dtype=torch.float32) for a in (poses, betas, trans))
    transforms = body.transforms(axis_angle_to_matrix(pose.reshape(-1, 24, 3)), shape, moved)
    return transforms.numpy().astype(float), body(pose[:, :3], pose[:, 3:], shape, moved).vertices.numpy()


def _in_camera(
    body: BodyModel,
    betas: np.ndarray,
    poses: np.ndarray,
    trans: np.ndarray,
    camera: ClipCamera,
    request: ClipRequest,
) -> Pose:
    """The motion in a camera's frame at each instant; the boxes are filled in once the masks are there."""
    rotation, translation = camera.viewmats[:, :3, :3], camera.viewmats[:, :3, 3]
    pelvis = body.rest_joints(torch.as_tensor(betas, dtype=torch.float32))[0].numpy()
    orient = (Rotation.from_matrix(rotation) * Rotation.from_rotvec(poses[:, :3])).as_rotvec()
    transl = np.einsum("tij,tj->ti", rotation, pelvis + trans) + translation - pelvis
    return Pose(
        global_orient=orient,
        body_pose=poses[:, 3:],
        betas=betas,
        transl=transl,
        valid=np.ones(len(orient), bool),
        bbox=np.zeros((len(orient), 4)),
        K=camera.K,
        fps=float(request.fps),
        body_model="free",
        source=f"studio truth, seed {request.seed}",
    )


def _save_camera(path: Path, camera: ClipCamera, main: ClipCamera | None) -> None:
    Camera(camera.K, camera.width, camera.height, "studio truth", True, "dataset").save(path)
    if main is not None:
        viewmats = camera.viewmats @ np.linalg.inv(main.viewmats)
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"viewmats": viewmats.tolist()})


def camera_track(camera: ClipCamera) -> CameraTrack:
    """How the main camera moved, without errors."""
    return CameraTrack.known(np.linalg.inv(camera.viewmats), "studio truth")


def _centre(viewmat: np.ndarray) -> np.ndarray:
    return -viewmat[:3, :3].T @ viewmat[:3, 3]


# -- frames, on all processors ---------------------------------------------------------------------------------------

_worker: Renderer | None = None  # of this process


def _drawn(parts: tuple, truth: Path, request: ClipRequest) -> Iterator[tuple[np.ndarray, list]]:
    """Each frame's main image and the boxes in all cameras, in order; the other pictures go to files.

    `parts` are the arguments of the Renderer.
    """
    for k in range(request.views + 1):
        folder = truth if k == 0 else truth / "views" / f"{k - 1}"
        for kind in ("masks", "depth" if k == 0 else "frames"):
            (folder / kind).mkdir(parents=True)
    jobs = [(index, truth) for index in range(len(parts[3]))]
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers == 1 or len(jobs) * request.width * request.height * (1 + request.views) < _WORTH_A_PROCESS:
        _start(parts)
        yield from track(map(_draw, jobs), "studio", total=len(jobs), unit="frame")
        return
    # Workers are spawned: a fork of a process with threads (torch's) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(parts,)) as pool:
        yield from track(pool.map(_draw, jobs), "studio", total=len(jobs), unit="frame")


def _start(parts: tuple) -> None:
    global _worker
    _worker = Renderer(*parts)


def _draw(job: tuple[int, Path]) -> tuple[np.ndarray, list]:
    index, truth = job
    pictures = _worker.draw(index)
    for k, picture in enumerate(pictures):
        folder = truth if k == 0 else truth / "views" / f"{k - 1}"
        write_mask(folder / "masks" / f"{index:06d}.png", picture.mask)
        if k == 0:
            write_depth(folder / "depth" / f"{index:06d}.png", picture.depth)
        else:
            write_frame(folder / "frames" / f"{index:06d}.jpg", picture.image)
    return pictures[0].image, [_box(picture.mask) for picture in pictures]


def _box(mask: np.ndarray) -> list[float]:
    """xyxy px around the mask, edges of the outermost pixels."""
    rows, columns = np.flatnonzero((mask >= 128).any(1)), np.flatnonzero((mask >= 128).any(0))
    return [float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)]
