"""export: files that other tools open."""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch

from pipeline.avatar import Avatar
from pipeline.body import BodyModel, load_body
from pipeline.exports.amass import write_amass
from pipeline.exports.bvh import write_bvh
from pipeline.exports.colors import vertex_colors
from pipeline.exports.glb import write_glb
from pipeline.exports.ply import write_ply
from pipeline.exports.settings import ExportSettings
from pipeline.exports.world import CAMERA_TO_Y_UP, CAMERA_TO_Z_UP, to_world
from pipeline.formats.atomic import atomic_directory
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.geometry.rotations import axis_angle_to_matrix, quaternion_multiply
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Write the motion and the avatar as files that other tools open.

reads   DIRECTORY/fit/avatar.npz, fit/pose_refined.npz
writes  DIRECTORY/exports/
          avatar.ply               Gaussians in canonical space, standard 3DGS attributes, facing the viewer
          avatar_posed_%06d.ply    the same in the pose and camera frame of some frames
          motion_amass.npz         the motion in AMASS's keys, z up
          motion.bvh               the motion of the 24-joint skeleton, y up, centimetres
          motion.glb               the body's mesh in the avatar's colours, skinned and animated, y up"""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")
    parser.add_argument(
        "--body-model", default="free", metavar="NAME|FILE", help='"free", or an SMPL file that you registered for'
    )


def run(args: argparse.Namespace) -> None:
    settings = load_settings("export", parse_overrides(args.settings), ExportSettings)
    provenance = Provenance("export", settings, ("pygltflib",))
    paths = VideoDir(args.directory)
    pose, file = Pose.load(paths.pose_refined), AvatarFile.load(paths.avatar)
    body = load_body(args.body_model)
    for path, name in ((paths.pose_refined, pose.body_model), (paths.avatar, file.body_model)):
        if name != body.name:
            raise UserError(
                f"{path}: was made with the body model {name!r}, {args.body_model!r} is {body.name!r}; "
                "give the same --body-model to every stage, or run the fit again"
            )
    with torch.no_grad(), atomic_directory(paths.exports) as folder:
        avatar = Avatar.from_file(file, body)
        _write_motion(folder, pose, body, avatar)
        _write_avatar(folder, pose, body, avatar, file, settings.posed_frames)
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    provenance.facts = {"Gaussians": len(file.means), "frames": len(pose), "bytes": sizes}
    provenance.save(paths.provenance("export"))
    for name, size in sizes.items():
        log.info("export: %s %.2f MB", paths.exports / name, size / 1e6)


def _write_motion(folder: Path, pose: Pose, body: BodyModel, avatar: Avatar) -> None:
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    y_up = to_world(pose, body, CAMERA_TO_Y_UP)
    write_amass(folder / "motion_amass.npz", to_world(pose, body, CAMERA_TO_Z_UP), pose.betas, body.name)
    write_bvh(folder / "motion.bvh", y_up, body.rest_joints(betas).double().numpy())
    colors = vertex_colors(body.shaped(avatar.betas).numpy(), avatar)
    write_glb(folder / "motion.glb", y_up, body, pose.betas, colors)


def _write_avatar(
    folder: Path, pose: Pose, body: BodyModel, avatar: Avatar, file: AvatarFile, posed_frames: int
) -> None:
    # Half a turn about x takes the canonical space, y up and facing +z, to a viewer's axes: y down, facing the viewer.
    half_turn = torch.tensor([0.0, 1.0, 0.0, 0.0])
    quats = quaternion_multiply(half_turn, torch.from_numpy(file.quats).float()).numpy()
    look = (file.scales, file.opacities, file.sh)
    write_ply(folder / "avatar.ply", file.means @ CAMERA_TO_Y_UP.T, quats, *look)
    chosen = np.unique(np.linspace(0, len(pose) - 1, posed_frames + 2).round().astype(int)[1:-1])
    betas = avatar.betas
    for frame in track(chosen.tolist(), "posed avatars", unit="file"):
        joints = np.concatenate([pose.global_orient[frame], pose.body_pose[frame]]).reshape(24, 3)
        rotmats = axis_angle_to_matrix(torch.as_tensor(joints, dtype=torch.float32))
        transl = torch.as_tensor(pose.transl[frame], dtype=torch.float32)
        means, posed = avatar.posed(body.transforms(rotmats[None], betas, transl[None])[0])
        write_ply(folder / f"avatar_posed_{frame:06d}.ply", means.numpy(), posed.numpy(), *look)
