"""Settings of the render stage: section `render` of config/config.yaml, where each is explained."""

from dataclasses import dataclass

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class RenderSettings:
    overlay_side: int  # px
    overlay_opacity: float
    avatar_height: int  # px
    fps: int
    turntable_seconds: float
    novel_motion: str
    novel_seconds: float
    novel_seed: int
    world_side: int  # px
    still_frames: int

    def __post_init__(self) -> None:
        for name, low, high in (
            ("overlay_side", 64, 4096),
            ("overlay_opacity", 0, 1),
            ("avatar_height", 64, 4096),
            ("world_side", 64, 4096),
            ("fps", 1, 240),
            ("turntable_seconds", 0.1, 600),
            ("novel_seconds", 0.1, 600),
            ("still_frames", 1, 24),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"settings render.{name}: expected {low} to {high}, found {value}")
