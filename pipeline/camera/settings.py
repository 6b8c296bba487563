"""Settings of the camera's motion: section `camera` of config/config.yaml, which explains each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CameraSettings:
    """Section `camera`."""

    backend: str  # tracks | static | import
    path: str | None  # import: the user's file or folder
