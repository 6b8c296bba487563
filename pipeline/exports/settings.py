"""Settings of the export stage, section `export` of config/config.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportSettings:
    feet: str  # free | planted: whether feet that stand may slide a little in the motion files
    posed_frames: int  # files avatar_posed_%06d.ply, of frames evenly spread over the clip; 0 = none
    viewer: bool  # viewer.html, the avatar on a page of its own
