"""python in_bpy.py FPS FRAMES FILE ...: what Blender makes of each file, as JSON: places of the joints, and more."""

import json
import sys

import bpy

IMPORTS = {
    "glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    "fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path),
    "usdc": lambda path: bpy.ops.wm.usd_import(filepath=path),
    "abc": lambda path: bpy.ops.wm.alembic_import(filepath=path),
    "bvh": lambda path: bpy.ops.import_anim.bvh(filepath=path, global_scale=0.01, update_scene_fps=True),
}
fps, frames = float(sys.argv[1]), int(sys.argv[2])
told = {}
for path in sys.argv[3:]:
    kind = path.rsplit(".", 1)[-1]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = round(fps)
    IMPORTS[kind](path)
    rig = next((thing for thing in bpy.data.objects if thing.type == "ARMATURE"), None)
    mesh = next((o for o in bpy.data.objects if o.type == "MESH" and not o.name.startswith("Icosphere")), None)
    found = {"fps": scene.render.fps / scene.render.fps_base, "cameras": len(bpy.data.cameras)}
    if rig is not None:
        first = int(rig.animation_data.action.frame_range[0])
        bones = rig.data.bones
        found["along"] = {bone.name: [*(bone.tail_local - bone.head_local).normalized()] for bone in bones}
        found["joints"] = []
        for frame in range(first, first + frames):
            scene.frame_set(frame)
            found["joints"].append({bone.name: [*(rig.matrix_world @ bone.head)] for bone in rig.pose.bones})
        if mesh is not None:
            rig.data.pose_position = "REST"
    if mesh is not None:
        bpy.context.view_layer.update()
        shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        found["heights"] = [f((shown.matrix_world @ v.co).z for v in shown.data.vertices) for f in (min, max)]
    told[kind] = found
print("told", json.dumps(told))
