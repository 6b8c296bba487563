"""Settings of the mask and pose stages: sections `masks` and `pose` of config/config.yaml, which explains each."""

from dataclasses import dataclass

from pipeline.estimators.smplify.settings import SmplifySettings


@dataclass(frozen=True)
class MasksSettings:
    backend: str  # name of a module pipeline/estimators/masks_<backend>.py
    path: str | None  # backend import: folder of masks, "{video}" stands for the name
    min_confidence: float  # backend mediapipe
    samples: int
    reach: float


@dataclass(frozen=True)
class PoseSettings:
    backend: str  # name of a module pipeline/estimators/pose_<backend>.py
    path: str | None  # backend import: a pose file, "{video}" stands for the name
    min_confidence: float  # backend mediapipe
    min_frames: int
    min_valid_fraction: float
    smplify: SmplifySettings
