"""Settings of the stages masks, landmarks and pose: sections of config/config.yaml, which explains each."""

import math
from dataclasses import dataclass

from pipeline.estimators.smplify.settings import SmplifySettings
from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class Sam2Settings:
    """Subsection `masks.sam2`."""

    checkpoint: str  # path of the weights
    config: str  # name of the model's configuration inside the package sam2
    device: str  # auto | cpu | cuda
    image_size: int  # px a side that frames are scaled to
    chunk: int  # frames in memory at a time


@dataclass(frozen=True)
class Hmr2Settings:
    """Subsection `pose.hmr2`."""

    weights: str  # folder with the four files of HMR2_FILES in pipeline/setup/weights.py
    device: str  # auto | cpu | cuda
    batch: int  # crops
    scale_tolerance: float  # see pipeline/estimators/body_scale.py


@dataclass(frozen=True)
class InstantHmrSettings:
    """Subsection `pose.instanthmr`."""

    weights: str  # path of the ONNX file
    device: str  # auto | cpu | cuda


@dataclass(frozen=True)
class RtmwSettings:
    """Subsection `landmarks.rtmw`."""

    weights: str  # folder of end2end.onnx
    device: str  # auto | cpu | cuda


@dataclass(frozen=True)
class MasksSettings:
    backend: str  # name of a module pipeline/estimators/masks_<backend>.py
    path: str | None  # backend import: folder of masks, "{video}" stands for the name
    person: str | int  # who is followed, see pipeline/people/in_clip.py
    min_confidence: float  # of the person detector, mediapipe
    samples: int
    reach: float
    sam2: Sam2Settings


@dataclass(frozen=True)
class LandmarksSettings:
    backend: str  # name of a module pipeline/estimators/landmarks_<backend>.py
    path: str | None  # backend import: a file or folder, "{video}" stands for the name
    model: str  # backend mediapipe: full | heavy
    heavy: str  # path of the heavy model's file
    min_confidence: float  # backend mediapipe
    mirrored: bool  # backend mediapipe: the mean of what it finds in a picture and in its mirror image
    swap_change: float  # body heights
    swap_doubt: float  # body heights/s
    facing: str  # backend mediapipe: auto | camera | away, where the person is seen first
    hands: bool | str  # 21 more landmarks a hand; auto: where hands are large
    sharper: bool  # small people and hands are looked for in the video file
    rtmw: RtmwSettings


@dataclass(frozen=True)
class PoseSettings:
    backend: str  # name of a module pipeline/estimators/pose_<backend>.py
    path: str | None  # backend import: a motion, "{video}" stands for the name
    person: int | None  # backend import: which of a file's people, from 0 on; None: the one on the masks
    min_frames: int
    min_valid_fraction: float
    height: float | None  # m, of the person; backend smplify
    turn_wrists: bool  # towards the palms, where hands were found; not of backend import
    smplify: SmplifySettings
    hmr2: Hmr2Settings
    instanthmr: InstantHmrSettings

    def least(self, frames: int) -> int:
        """How many of a video's frames must show the person."""
        return max(self.min_frames, math.ceil(self.min_valid_fraction * frames))


def refuse_height(settings: PoseSettings, backend: str) -> None:
    """Raise a UserError where `pose.height` is set for a backend that brings its own body shape."""
    if settings.height is not None:
        raise UserError(
            f"settings pose.height: {settings.height} m is set, and backend {backend} brings the body's size itself; "
            "leave it at null, or take pose.backend: smplify"
        )


def refuse_facing(settings: LandmarksSettings, backend: str) -> None:
    """Raise a UserError where `landmarks.facing` is set for a backend whose left and right are not put right."""
    if settings.facing != "auto":
        raise UserError(
            f"settings landmarks.facing: {settings.facing} is set, and left and right of backend {backend} are taken "
            "as they are; leave it at auto, or take landmarks.backend: mediapipe"
        )
