"""The person as a VRM 1.0 avatar (https://github.com/vrm-c/vrm-specification): mesh, joints, and their meaning."""

from __future__ import annotations

from pathlib import Path

from pipeline.body import JOINT_NAMES
from pipeline.exports.fitted import Fitted
from pipeline.exports.gltf import GltfFile
from pipeline.exports.names import BONE_NAMES
from pipeline.exports.rig import Rig, add_person

_EXTENSION = "VRMC_vrm"
_MIDDLE = {
    "hips": "pelvis", "spine": "spine1", "chest": "spine2", "upperChest": "spine3", "neck": "neck", "head": "head",
}  # fmt: skip
_SIDE = {
    "UpperLeg": "hip", "LowerLeg": "knee", "Foot": "ankle", "Toes": "foot",
    "Shoulder": "collar", "UpperArm": "shoulder", "LowerArm": "elbow", "Hand": "wrist",
}  # fmt: skip


_BONES = _MIDDLE | {f"{side}{bone}": f"{side}_{joint}" for side in ("left", "right") for bone, joint in _SIDE.items()}


def export(fitted: Fitted, folder: Path) -> None:
    """Write avatar.vrm: arms out, soles at y = 0, facing +z, without a motion."""
    settings = fitted.settings
    file = GltfFile(copyright=settings.author)
    rig = Rig.of(fitted.body, fitted.pose.betas)
    add_person(file, rig, fitted.body, fitted.surface_colors, BONE_NAMES[settings.bone_names])
    file.model.extensionsUsed = [_EXTENSION]
    file.model.extensions = {
        _EXTENSION: {
            "specVersion": "1.0",
            "meta": {"name": "avatar", "authors": [settings.author], "licenseUrl": settings.licence},
            "humanoid": {"humanBones": {bone: {"node": JOINT_NAMES.index(name)} for bone, name in _BONES.items()}},
        }
    }
    file.save(folder / "avatar.vrm")
