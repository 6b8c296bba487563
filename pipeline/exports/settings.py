"""Settings of the export stage, section `export` of config/config.yaml."""

from dataclasses import dataclass
from typing import Literal

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class ExportSettings:
    feet: str  # free | planted: whether feet that stand may slide a little in the motion files
    posed_frames: int  # files avatar_posed_%06d.ply, of frames evenly spread over the clip; 0 = none
    sequence: bool  # avatar_sequence.zip, a PLY a frame
    fps: float | None  # frames a second of the motion files; None: the clip's
    bone_names: Literal["smpl", "mixamo"]  # in BVH, GLB and VRM
    bvh_rest_frame: bool  # the rest pose goes before the motion in BVH
    author: str  # of avatar.vrm
    licence: str  # of avatar.vrm, an address
    viewer: bool  # viewer.html, the avatar on a page of its own

    def __post_init__(self) -> None:
        if self.bone_names not in ("smpl", "mixamo"):
            raise UserError(f"settings export.bone_names: expected smpl or mixamo, found {self.bone_names!r}")
        if self.fps is not None and not 1 <= self.fps <= 1000:
            raise UserError(f"settings export.fps: expected 1 to 1000, or null for the clip's, found {self.fps}")
        for name in ("author", "licence"):
            if not getattr(self, name).strip():
                raise UserError(f"settings export.{name}: expected some text, which VRM asks for, found none")
