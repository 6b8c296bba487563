"""Settings of the camera: section `camera` of config/config.yaml, which explains each."""

from dataclasses import dataclass

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class CameraSettings:
    """Section `camera`: the first two are of the stage camera_track, the others of pose and fit."""

    backend: str  # tracks | static | import
    path: str | None  # import: the user's file or folder
    pitch: float | None  # degrees that the first camera looks down; None: found
    roll: float | None  # degrees that its picture is turned clockwise

    def __post_init__(self) -> None:
        for name, most in (("pitch", 89), ("roll", 180)):
            value = getattr(self, name)
            if value is not None and not -most <= value <= most:
                raise UserError(f"settings camera.{name}: expected {-most} to {most} degrees or null, found {value:g}")
