"""The files of exports/: what each is for, and how it is opened."""

from dataclasses import dataclass
from pathlib import Path

# By the pattern of a file's name, the first that fits. {fps}: the clip's frames a second.
_USES = {
    "viewer.html": "The avatar on one page: turn it, pose it, play it. Opens in any browser, from the disk too.",
    "motion.glb": (
        "Skinned mesh with the motion, and the video's camera. Blender: set the scene to {fps} frames a second first, "
        "then File > Import > glTF 2.0; frames count from 0; also Unity, Unreal, Godot, three.js."
    ),
    "motion.bvh": (
        "Skeleton with the motion. Blender: File > Import > Motion Capture (.bvh), Scale 0.01, Update Scene FPS; also "
        "Maya, MotionBuilder."
    ),
    "motion_smplx.npz": (
        "The motion in SMPL-X's columns. SMPL-X or Meshcapade add-on for Blender: Add Animation, format AMASS, target "
        "frame rate not above {whole}; also GMR and other retargeters."
    ),
    "motion_amass.npz": (
        "The motion in AMASS's SMPL+H columns (poses, trans, mocap_framerate): numpy, and Meshcapade's add-on for "
        "Blender with SMPL-H."
    ),
    "motion.trc": (
        "Anatomical joint centres by the names of Pose2Sim's models. OpenSim: Tools > Inverse Kinematics, as marker "
        "data."
    ),
    "joint_angles.csv": "Flexion, rotation and the like in degrees, a row a frame. Any spreadsheet; pandas.read_csv.",
    "avatar.ply": (
        "The avatar standing, as 3D Gaussians in the usual attribute layout. Drop it on superspl.at/editor or another "
        "splat viewer; Blender with a splat add-on."
    ),
    "avatar_splats.glb": (
        "The same as glTF with KHR_gaussian_splatting, y up. Viewers that know the extension: Babylon.js, PlayCanvas, "
        "Cesium; others show points."
    ),
    "avatar.vrm": (
        "The body's mesh in the avatar's colours as a VRM 1.0 humanoid, to be moved by other motions: VRM viewers, "
        "three-vrm, Unity with UniVRM, Blender with the VRM add-on."
    ),
    "avatar_sequence.zip": (
        "A PLY for each frame of the motion, axes as in avatar.ply. Unpack it and drop all files on "
        "superspl.at/editor at once: they play."
    ),
    "avatar_canonical.ply": "The Gaussians in the pose that the fit keeps them in: arms out, legs apart.",
    "avatar_posed_*.ply": "The avatar in the pose and the camera's frame of one frame, in the same layout.",
    "camera.json": "The camera in the world of motion.glb and motion.bvh: K, and its place in each frame.",
    "*.glb": "glTF 2.0: Blender, Unity, Unreal, Godot, three.js.",
    "*.bvh": "Skeleton with a motion, for animation programs.",
    "*.ply": "3D Gaussians in the usual attribute layout, for splat viewers.",
    "*.npz": "Arrays for numpy.",
}


@dataclass(frozen=True)
class Export:
    """A file, or a run of files of one kind."""

    name: str
    size: str
    use: str
    link: str | None  # from the report's folder; None for several files


def export_list(folder: Path, fps: float) -> list[Export]:
    """The files of exports/, what each is for; a run of posed avatars is one entry.

    Files whose names begin with a dot are no exports: Snakemake keeps a time stamp there.

    Args:
        folder: results/<video>/exports; nothing is listed where there is none.
        fps: frames a second of the motion files.
    """
    if not folder.is_dir():
        return []
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    exports = []
    for pattern, use in (_USES | {"*": ""}).items():
        fitting = [path for path in files if path.match(pattern)]
        files = [path for path in files if path not in fitting]
        use = use.format(fps=f"{fps:.6g}", whole=round(fps))
        if len(fitting) > 1 and use:
            name = f"{fitting[0].name} … {fitting[-1].name} ({len(fitting)} files)"
            exports.append(Export(name, file_size(sum(path.stat().st_size for path in fitting)), use, None))
            continue
        for path in fitting:
            link = path.relative_to(folder.parent).as_posix()
            exports.append(Export(path.name, file_size(path.stat().st_size), use, link))
    return exports


def file_size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 0.1):.1f} kB"
