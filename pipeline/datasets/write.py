"""A sequence of a dataset as the files of our stages, and the reference motion as the truth that evaluation reads."""

import hashlib
import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.body import BodyModel
from pipeline.datasets.files import read_image
from pipeline.datasets.lens import Undistortion
from pipeline.datasets.sequence import Motion, Sequence
from pipeline.formats.atomic import atomic_directory
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import write_depth, write_frame, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.formats.user_files import check_aspect, resize_nearest
from pipeline.formats.video import VideoInfo
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.video.decode import DecodeSettings

_BOX_MARGIN = 0.15  # share of its longer side added around the joints: head, hands and feet reach beyond them
_BATCH = 64  # frames posed at once


@dataclass(frozen=True)
class Given:
    """The settings of a stage that a dataset stands in for."""

    dataset: str
    sequence: str


@dataclass(frozen=True)
class _Frame:
    """The size of the pictures: as they are on disk, and as they are written."""

    width: int
    height: int
    out_width: int
    out_height: int

    @property
    def scaled(self) -> bool:
        return (self.width, self.height) != (self.out_width, self.out_height)

    def K(self, K: np.ndarray) -> np.ndarray:
        return np.diag([self.out_width / self.width, self.out_height / self.height, 1.0]) @ K

    def fit(self, picture: np.ndarray) -> np.ndarray:
        """uint8 (H, W) or (H, W, 3) at the size in which it is written."""
        if not self.scaled:
            return picture
        filter_ = Image.Resampling.LANCZOS if picture.ndim == 3 else Image.Resampling.BOX
        return np.asarray(Image.fromarray(picture).resize((self.out_width, self.out_height), filter_))


def write_sequence(
    sequence: Sequence,
    given: Given,
    directory: VideoDir,
    parts: frozenset[str],
    settings: DecodeSettings,
    body: BodyModel,
) -> None:
    """Write frames/, video.json, truth/ and the chosen parts into results/<video>, each with its provenance.

    truth/ is of all frames of the sequence, as that of a filmed clip is of the whole video; it holds camera_track.npz
    where the dataset tells how the camera moved, and masks/ where it has masks that the pipeline is not given.

    Args:
        sequence: what a reader gave.
        given: its name.
        directory: results/<video>.
        parts: of sequence.PARTS, which the sequence has.
        settings: which frames, and how large.
        body: SMPL, neutral.

    Raises:
        UserError: nothing is chosen, or pictures are missing or differ in size.
    """
    rows = selected(len(sequence.images), sequence.fps, settings)
    first = read_image(sequence.images[0])
    frame = _size(first.shape[1], first.shape[0], settings.longest_side)
    lens = None
    if sequence.distortion is not None:
        lens = Undistortion(sequence.K, sequence.distortion, frame.width, frame.height)

    provenance = Provenance("decode", settings, ("pillow",))
    with atomic_directory(directory.frames) as folder:
        digest = hashlib.sha256()
        for number, row in enumerate(track(rows, f"frames of {given.sequence}", unit="frame")):
            digest.update(_write_frame(folder / f"{number:06d}.jpg", sequence.images[row], frame, lens))
    fps = sequence.fps / settings.step
    size = frame.out_width, frame.out_height
    source = f"{sequence.title}: {given.sequence}"
    VideoInfo(source, digest.hexdigest(), fps, *size, len(rows), 0).save(directory.video)
    for note in sequence.notes:
        provenance.warn(f"{source}: {note}")
    provenance.facts = {
        "dataset": sequence.title,
        "sequence": given.sequence,
        "given by the dataset": sorted(parts),
        "reference": sequence.reference_source,
        "reference valid": f"{int(sequence.reference.valid[rows].sum())} of {len(rows)} frames",
        "lens distortion": "taken out" if lens else "none stated",
    }

    K = frame.K(sequence.K)
    truth = directory.root / "truth"
    with atomic_directory(truth) as folder:
        all_rows = np.arange(len(sequence.images))
        reference = f"{sequence.title}: {sequence.reference_source}"
        make_pose(sequence.reference, all_rows, K, size, sequence.fps, reference, body).save(folder / "pose.npz")
        if sequence.world_from_camera is not None:
            CameraTrack.known(sequence.world_from_camera, reference).save(folder / "camera_track.npz")
        if sequence.mask is not None and "masks" not in parts:
            (folder / "masks").mkdir()
            _write_masks(folder / "masks", sequence, all_rows, frame, lens)
    provenance.save(directory.provenance("decode"))

    if "masks" in parts:
        provenance = Provenance("masks", given)
        with atomic_directory(directory.masks) as folder:
            _write_masks(folder, sequence, rows, frame, lens)
        provenance.save(directory.provenance("masks"))
    if "camera" in parts:
        provenance = Provenance("depth", given)
        if "depth" in parts:
            with atomic_directory(directory.depth) as folder:
                _write_depth(folder, sequence, rows, frame)
        Camera(K, *size, f"{sequence.title}'s calibration", sequence.metric, "dataset").save(directory.camera)
        provenance.save(directory.provenance("depth"))
    if "pose" in parts:
        provenance = Provenance("pose", given)
        source = f"{sequence.title}: {sequence.initial_source}"
        make_pose(sequence.initial, rows, K, size, fps, source, body).save(directory.pose_init)
        provenance.save(directory.provenance("pose"))


def selected(count: int, fps: Fraction, settings: DecodeSettings) -> np.ndarray:
    """Rows of the sequence that are taken. Raises a UserError where there are none."""
    start, stop = (_row(time, fps) for time in (settings.start, settings.stop))
    rows = np.arange(count)[start : stop : settings.step]
    if len(rows) == 0:
        raise UserError(
            f"frames {settings.start} to {settings.stop}, every {settings.step}: none of the sequence's {count} is "
            "among them; choose others (start, stop, step)"
        )
    return rows


def _row(time: int | str | None, fps: Fraction) -> int | None:
    return round(Fraction(time.removesuffix("s")) * fps) if isinstance(time, str) else time


def make_pose(
    motion: Motion, rows: np.ndarray, K: np.ndarray, size: tuple[int, int], fps: Fraction, source: str, body: BodyModel
) -> Pose:
    """Rows of a motion as a pose file's content, with boxes around its joints.

    A frame in which no joint lies in the image, before the camera, is not valid: the person is not in it.
    """
    pixels, ahead = _joints(motion, rows, K, body)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    margin = _BOX_MARGIN * (high - low).max(axis=1, keepdims=True)
    boxes = np.concatenate([low - margin, high + margin], axis=1)
    inside = ((pixels >= 0) & (pixels < size)).all(axis=2) & ahead
    return Pose(
        global_orient=motion.global_orient[rows],
        body_pose=motion.body_pose[rows],
        betas=motion.betas,
        transl=motion.transl[rows],
        valid=motion.valid[rows] & inside.any(axis=1),
        bbox=np.clip(boxes, 0, np.tile(size, 2)),
        K=K,
        fps=float(fps),
        body_model="smpl",
        source=source,
    )


def _joints(motion: Motion, rows: np.ndarray, K: np.ndarray, body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the joints (R, 24, 2), and whether each lies before the camera (R, 24)."""
    betas, joints = torch.as_tensor(motion.betas), []
    for first in range(0, len(rows), _BATCH):
        batch = rows[first : first + _BATCH]
        angles = np.concatenate([motion.global_orient[batch], motion.body_pose[batch]], axis=1).reshape(-1, 24, 3)
        rotmats = axis_angle_to_matrix(torch.as_tensor(angles))
        joints.append(body.world_joints(rotmats, betas, torch.as_tensor(motion.transl[batch]))[..., :3, 3].numpy())
    points = np.concatenate(joints)
    ahead = points[..., 2] > 1e-3
    projected = points @ K.T
    return projected[..., :2] / np.where(ahead, points[..., 2], 1e-3)[..., None], ahead


def _size(width: int, height: int, longest_side: int | None) -> _Frame:
    scale = 1.0 if longest_side is None else min(1.0, longest_side / max(width, height))
    return _Frame(width, height, max(1, round(width * scale)), max(1, round(height * scale)))


def _write_frame(path: Path, source: Path, frame: _Frame, lens: Undistortion | None) -> bytes:
    """Write one frame; returns the bytes of its source. A JPEG that needs no change is copied as it is."""
    content = source.read_bytes()
    picture = read_image(source)
    if picture.shape[:2] != (frame.height, frame.width):
        found = f"{picture.shape[1]}x{picture.shape[0]}"
        raise UserError(f"{source}: expected {frame.width}x{frame.height} as the first image, found {found}")
    with Image.open(io.BytesIO(content)) as image:
        plain = image.format == "JPEG" and image.mode == "RGB" and not image.getexif()
    if plain and lens is None and not frame.scaled:
        path.write_bytes(content)
    else:
        write_frame(path, frame.fit(lens(picture) if lens else picture))
    return content


def _write_masks(folder: Path, sequence: Sequence, rows: np.ndarray, frame: _Frame, lens: Undistortion | None) -> None:
    for number, row in enumerate(track(rows, "masks", unit="frame")):
        mask = sequence.mask(row)
        check_aspect(sequence.images[row], mask.shape, frame.height, frame.width)
        mask = resize_nearest(mask, frame.height, frame.width)
        write_mask(folder / f"{number:06d}.png", frame.fit(lens(mask) if lens else mask))


def _write_depth(folder: Path, sequence: Sequence, rows: np.ndarray, frame: _Frame) -> None:
    """Nearest neighbours: a mean over an edge would be no surface's depth."""
    for number, row in enumerate(track(rows, "depth", unit="frame")):
        depth = sequence.depth(row)
        check_aspect(sequence.images[row], depth.shape, frame.height, frame.width)
        write_depth(folder / f"{number:06d}.png", resize_nearest(depth, frame.out_height, frame.out_width))
