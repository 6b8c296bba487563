"""Initial pose by InstantHMR (NaturalPad 2026), frame by frame, on boxes from the masks.

A small network (ONNX, 20 M parameters) that gives 70 points of Meta's body MHR in metres for a crop. Our body is fitted
to them, as to an imported motion of joints, and set down on the landmarks. https://github.com/mohamdev/InstantHMR
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.body import load_body
from pipeline.estimators.networks import ONNX_GPU, onnx_finds_gpu
from pipeline.estimators.on_person import on_person
from pipeline.estimators.person_boxes import person_boxes
from pipeline.estimators.settings import InstantHmrSettings, PoseSettings, refuse_height
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import Box
from pipeline.motion.readers import posed
from pipeline.motion.readers.mhr import KEYPOINTS
from pipeline.motion.readers.motion import PointTrack, SourceMotion, centred_camera
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.setup.weights import needed, require

PACKAGES = ("onnxruntime", "torch", "numpy", "opencv-contrib-python")
SIDE = 224  # px of the crop
_AROUND = 1.2  # times the box's longer side, as in its training
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # ImageNet's
_INPUTS = {"image": [3, SIDE, SIDE], "cliff_cond": [3]}
_OUTPUTS = {"cam_trans": [3], "joints_3d": [70, 3]}  # of five: the parameters of MHR and the pixels are not needed
_DEVICE = "pose.instanthmr.device"


def check(settings: PoseSettings) -> None:
    """Raise a UserError, before any work, where the package, the weights or the GPU asked for are missing."""
    refuse_height(settings, "instanthmr")
    require(needed("pose", {"backend": "instanthmr", "instanthmr": {"weights": settings.instanthmr.weights}}))
    onnx_finds_gpu(_DEVICE, settings.instanthmr.device)


def estimate(directory: VideoDir, settings: PoseSettings, body_model: str, provenance: Provenance) -> Pose:
    """The motion of the person on the masks.

    Raises:
        UserError: the person is in too few masks, or the file is no network of this kind.
    """
    body, info = load_body(body_model), VideoInfo.load(directory.video)
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    boxes = person_boxes(masks, info, settings)
    session = load_network(settings.instanthmr)
    points = [
        points_of(session, frames[index], box) for index, box in track(boxes.items(), "InstantHMR", len(boxes), "frame")
    ]
    size = (info.width, info.height)
    person = PointTrack(
        name="the person on the masks",
        frames=np.array(list(boxes)),
        points=np.stack(points)[:, list(KEYPOINTS)],
        names=tuple(KEYPOINTS.values()),
        K=centred_camera(np.hypot(*size), np.array(size) / 2, len(boxes)),  # the camera that it was trained to assume
        size=size,
    )
    path, numbers = Path(settings.instanthmr.weights), np.arange(info.frames)
    motion = SourceMotion("InstantHMR", (posed(person, body),), info.frames)
    provenance.facts["device"] = session.get_providers()[0]
    return on_person(motion, path, numbers, f"InstantHMR {path.name}", directory, settings, body, provenance)


def load_network(settings: InstantHmrSettings) -> Any:
    """onnxruntime's session of the weights.

    Raises:
        UserError: the file is no network, or one of other inputs and outputs.
    """
    gpu, file = onnx_finds_gpu(_DEVICE, settings.device), Path(settings.weights)
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(file), providers=[ONNX_GPU] * gpu + ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an error class for each reason
        raise UserError(
            f"{file}: not a network that onnxruntime reads ({error}); delete it and fetch it again"
        ) from error
    inputs = {value.name: value.shape[1:] for value in session.get_inputs()}
    outputs = {value.name: value.shape[1:] for value in session.get_outputs()}
    if inputs != _INPUTS or any(outputs.get(name) != shape for name, shape in _OUTPUTS.items()):
        raise UserError(
            f"{file}: expected InstantHMR's inputs {_INPUTS} and outputs {_OUTPUTS}, found {inputs} and {outputs}"
        )
    return session


def points_of(session: Any, image: np.ndarray, box: Box) -> np.ndarray:
    """The 70 points of one person, (70, 3) metres, in the frame of a camera of one diagonal's focal length.

    Args:
        session: as load_network gives it.
        image: uint8 (H, W, 3) RGB.
        box: around the person, px.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box
    centre, longer = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), max(x1 - x0, y1 - y0)
    where = [2 * centre[0] / width - 1, 2 * centre[1] / height - 1, longer / max(width, height)]
    fed = {
        "image": crop_image(image, centre, _AROUND * longer)[None],
        "cliff_cond": np.array([where], np.float32),  # CLIFF (Li et al. 2022): where the crop lies in the picture
    }
    moved, points = session.run(list(_OUTPUTS), fed)
    return points[0].astype(float) + moved[0].astype(float)


def crop_image(image: np.ndarray, centre: np.ndarray, side: float) -> np.ndarray:
    """The square of an image as the network's input, float32 (3, 224, 224); black beyond the image.

    Args:
        image: uint8 (H, W, 3) RGB.
        centre, side: px; pixel centres lie at +0.5.
    """
    import cv2

    zoom = SIDE / side
    shift = zoom * (0.5 - (centre - side / 2)) - 0.5  # OpenCV counts from the first pixel's centre
    warp = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    part = cv2.warpAffine(image, warp, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return ((part / 255 - _MEAN) / _STD).transpose(2, 0, 1).astype(np.float32)
