"""mediapipe's pose model (BlazePose): 33 landmarks and a soft mask of one person, on any part of an image.

The package is imported when a detector is made, not before: it is heavy, and needs libGL through OpenCV.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from types import SimpleNamespace

import numpy as np

from pipeline.geometry.boxes import Box, area, clip, grow, intersection
from pipeline.runtime.errors import UserError

LANDMARK_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
VISIBLE = 0.5  # a landmark counts as seen above this visibility
SOURCE = "mediapipe 0.10.21"  # for people
SIZES = {"xy": (2,), "visibility": (), "world": (3,)}  # of one landmark, by the names of `Detection`
_STDERR = RLock()  # whoever holds it has sent stderr elsewhere


@dataclass(frozen=True)
class Detection:
    """One person in one image."""

    xy: np.ndarray  # (33, 2) px of the whole image; pixel centres lie at +0.5
    visibility: np.ndarray  # (33,) in [0, 1]
    world: np.ndarray  # (33, 3) metres about the middle of the hips; x right, y down, z away from the camera
    mask: np.ndarray | None  # (H, W) float32 in [0, 1] over the whole image, where segmentation was asked for

    @property
    def box(self) -> Box:
        """Around the landmarks that are seen (all, where fewer than four are), with room for crown, hands and feet."""
        seen = self.visibility > VISIBLE
        points = self.xy[seen] if seen.sum() >= 4 else self.xy
        return grow((*points.min(0), *points.max(0)), 1.2)


def check_mediapipe() -> None:
    """Raise a UserError saying what to install, where mediapipe or what it needs cannot be imported."""
    try:
        import_mediapipe()
    except ImportError as error:
        text = str(error)
        if "libGL" in text or "libEGL" in text or "libgthread" in text:
            advice = (
                "OpenCV needs a system library that is absent: pip install --force-reinstall --no-deps "
                "opencv-contrib-python-headless==4.11.0.86 (or: apt-get install libgl1 libegl1)"
            )
        else:
            advice = "pip install mediapipe==0.10.21"
        raise UserError(f"backend mediapipe: cannot be imported ({text}); {advice}") from error


def import_mediapipe():
    """The package mediapipe, its solutions loaded, quietly."""
    # The C++ side reads these when it is loaded.
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        import mediapipe
        import mediapipe.python.solutions.hands
        import mediapipe.python.solutions.pose
    return mediapipe


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send the process's stderr nowhere: mediapipe's C++ code writes lines there that no setting turns off.

    One thread at a time: a second one would take nowhere for stderr, and leave it there.
    """
    with _STDERR:
        sys.stderr.flush()
        saved = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)


@contextmanager
def _network(landmark_model: Path | None) -> Iterator[None]:
    """Graphs that are made within this take their landmark network from a file in place of the wheel's.

    mediapipe looks for networks in its own folder alone, and fetches what is not there into it. So for the moment in
    which a graph is made it is given a folder in which the file stands in the place of the network inside the wheel.
    """
    if landmark_model is None:
        yield
        return
    from mediapipe.python import solution_base

    inside = Path(solution_base.__file__).parents[1] / "modules"
    real = solution_base.resource_util
    with tempfile.TemporaryDirectory() as folder:
        modules = Path(folder) / "mediapipe" / "modules"
        (modules / "pose_landmark").mkdir(parents=True)
        (modules / "pose_detection").symlink_to(inside / "pose_detection")
        (modules / "pose_landmark" / "pose_landmark_full.tflite").symlink_to(landmark_model.resolve())
        solution_base.resource_util = SimpleNamespace(set_resource_dir=lambda _: real.set_resource_dir(folder))
        try:
            yield
        except RuntimeError as error:
            raise UserError(f"{landmark_model}: mediapipe cannot read this network ({error})") from error
        finally:
            solution_base.resource_util = real


class PoseDetector:
    """mediapipe's pose graph; a context manager, for it holds threads and memory outside Python."""

    def __init__(
        self, tracking: bool, segmentation: bool, min_confidence: float, landmark_model: Path | None = None
    ) -> None:
        """
        Args:
            tracking: look where the person was in the last image, and search the whole image only after a loss;
                images must then be consecutive, and `box` the same for all of them.
            segmentation: make masks, too.
            min_confidence: of the person detector, and of the landmarks that keep a track alive.
            landmark_model: file of another landmark network of the same kind; None: the one inside the wheel.
        """
        pose = import_mediapipe().solutions.pose
        with quiet_stderr(), _network(landmark_model):
            self._graph = pose.Pose(
                static_image_mode=not tracking,
                model_complexity=1,  # the place of the one that is inside the wheel
                smooth_landmarks=False,  # it lags behind; the fit smooths
                enable_segmentation=segmentation,
                smooth_segmentation=False,
                min_detection_confidence=min_confidence,
                min_tracking_confidence=min_confidence,
            )
            self._graph.process(np.zeros((64, 64, 3), np.uint8))  # the detector starts, and logs
        self._quiet = True  # until the first detection, at which the last of the networks has started and logged

    def __enter__(self) -> PoseDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self._graph.close()

    def forget(self) -> None:
        """Drop the track: the next image is searched whole."""
        with quiet_stderr():
            self._graph.reset()
            self._graph.process(np.zeros((64, 64, 3), np.uint8))
        self._quiet = True

    def detect(self, image: np.ndarray, box: Box | None = None) -> Detection | None:
        """The person in an image, or in the part of it within `box`.

        Args:
            image: uint8 (H, W, 3) RGB.
            box: where to look, px; clipped to the image.
        """
        height, width = image.shape[:2]
        x0, y0, x1, y1 = clip(box, width, height) if box else (0, 0, width, height)
        part = np.ascontiguousarray(image[y0:y1, x0:x1])
        with quiet_stderr() if self._quiet else nullcontext():
            found = self._graph.process(part)
        if not found.pose_landmarks:
            return None
        self._quiet = False
        size, corner = np.array([x1 - x0, y1 - y0]), np.array([x0, y0])
        landmarks = found.pose_landmarks.landmark
        mask = None
        if found.segmentation_mask is not None:
            mask = np.zeros((height, width), np.float32)
            mask[y0:y1, x0:x1] = found.segmentation_mask
        return Detection(
            xy=np.array([(point.x, point.y) for point in landmarks]) * size + corner,
            visibility=np.array([point.visibility for point in landmarks]),
            world=np.array([(point.x, point.y, point.z) for point in found.pose_world_landmarks.landmark]),
            mask=mask,
        )


def follow(
    frames: Sequence[np.ndarray],
    indices: Iterable[int],
    expected: Callable[[int, Box | None], Box | None],
    window: Box,
    segmentation: bool,
    min_confidence: float,
    landmark_model: Path | None = None,
) -> Iterator[tuple[int, Detection | None]]:
    """Detect one and the same person in frame after frame.

    mediapipe tracks within `window`. Where it loses the person, or tracks something that lies elsewhere than expected
    (another person), the frame is searched again on its own, close around the expected box.

    Args:
        frames: uint8 (H, W, 3) RGB images.
        indices: which of them, in the order to go through (backwards serves as well).
        expected: the box around the person, given a frame's index and the box where the person was last seen (None
            before that); None where nothing is known.
        window: the part of the images that holds the person all the time.
        segmentation, min_confidence, landmark_model: see `PoseDetector`.

    Yields:
        Each index with its detection, None where the person is not found.
    """
    last: Box | None = None
    missed = 0  # frames since then
    astray = True  # the tracker has no track, or a wrong one
    with (
        PoseDetector(True, segmentation, min_confidence, landmark_model) as tracker,
        PoseDetector(False, segmentation, min_confidence, landmark_model) as searcher,
    ):
        for index in indices:
            image, place = frames[index], expected(index, last)
            near = grow(place, 1.5, square=True) if place else window
            found = tracker.detect(_only(image, near) if astray else image, window)
            astray = found is None or not _agree(found.box, place, missed)
            if astray:
                if found is not None:
                    tracker.forget()
                found = searcher.detect(image, near)
                if found is not None and not _agree(found.box, place, missed):
                    found = None
            missed += 1
            if found is not None:
                last, missed = found.box, 0
            yield index, found


def _only(image: np.ndarray, box: Box) -> np.ndarray:
    """The image, grey outside the box."""
    x0, y0, x1, y1 = clip(box, image.shape[1], image.shape[0])
    masked = np.full_like(image, 128)
    masked[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    return masked


def _agree(box: Box, expected: Box | None, missed: int) -> bool:
    """Whether a box may be the expected one, `missed` frames later."""
    if expected is None:
        return True
    reach = grow(expected, 1 + 0.1 * missed)
    return area(intersection(box, reach)) > 0.3 * max(area(box), area(expected))
