"""Run by Blender, not by this project: blender -b --factory-startup -P in_blender.py -- FILE.glb OUT

Imports a GLB at its own frame rate and exports it as FBX, USD or Alembic. It knows Blender alone.
"""

import json
import struct
import sys
from pathlib import Path

import bpy


def clip(path: Path) -> tuple[float, int]:
    """Frames a second and number of frames, which our GLB tells in its extras: glTF itself has but times."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    told = json.loads(data[20 : 20 + size])["asset"].get("extras", {})
    return float(told.get("fps", 30)), int(told.get("frames", 1))


def load(path: Path) -> int:
    """Fill an empty scene. Returns the last frame."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene, (fps, frames) = bpy.context.scene, clip(path)
    scene.render.fps = max(1, round(fps))
    scene.render.fps_base = scene.render.fps / fps
    bpy.ops.import_scene.gltf(filepath=str(path))
    for shape in [thing for thing in bpy.data.objects if thing.name.startswith("Icosphere")]:
        bpy.data.objects.remove(shape)  # how Blender's importer draws bones
    scene.frame_start, scene.frame_end = 0, frames - 1
    return frames - 1


def save(path: Path, last: int) -> None:
    if path.suffix == ".fbx":
        bpy.ops.export_scene.fbx(
            filepath=str(path),
            add_leaf_bones=False,
            bake_anim_use_all_actions=False,
            bake_anim_use_nla_strips=False,
            bake_anim_simplify_factor=0.0,  # else joints are millimetres off
            colors_type="SRGB",
        )
    elif path.suffix == ".abc":
        bpy.ops.wm.alembic_export(filepath=str(path), start=0, end=last)
    else:
        bpy.ops.wm.usd_export(filepath=str(path), export_animation=True, export_armatures=True)


if __name__ == "__main__":
    source, target = (Path(word) for word in sys.argv[sys.argv.index("--") + 1 :])
    save(target, load(source))
