"""export: files that other tools open."""

import argparse
import logging
from pathlib import Path

import torch

from pipeline.avatar import Avatar
from pipeline.body import load_body
from pipeline.body.held_hands import with_held_hands
from pipeline.exports import amass, angles, bvh, camera, glb, ply, ply_sequence, splat_glb, trc, vrm
from pipeline.exports.fitted import Fitted
from pipeline.exports.settings import ExportSettings
from pipeline.formats.atomic import atomic_directory
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings, parse_overrides
from pipeline.viewer import build as viewer

FORMATS = (amass, angles, bvh, camera, glb, ply, ply_sequence, splat_glb, trc, vrm)
HELP = """Write the motion and the avatar as files that other tools open.

reads   DIRECTORY/fit/avatar.npz, fit/pose_refined.npz; for the viewer also frames/, pose_init.npz
writes  DIRECTORY/exports/
          avatar.ply               Gaussians standing at ease, standard 3DGS attributes, facing the viewer
          avatar_canonical.ply     the same in canonical space, and how well each Gaussian was seen
          avatar_posed_%06d.ply    the same in the pose and camera frame of some frames
          avatar_sequence.zip      where asked for: a PLY a frame of the motion
          avatar_splats.glb        the same as avatar.ply, by KHR_gaussian_splatting, y up
          avatar.vrm               the body's mesh in the avatar's colours, a VRM 1.0 humanoid, y up
          motion.glb               the same mesh, skinned and animated, y up, and the video's camera
          motion.bvh               the motion of the skeleton, fingers where they were seen, y up, centimetres
          motion_amass.npz         the motion in AMASS's keys, SMPL+H's columns, z up
          motion_smplx.npz         the same in SMPL-X's columns
          motion.trc               anatomical joint centres for OpenSim, y up, metres
          joint_angles.csv         flexion, rotation and the like, degrees
          camera.json              the camera's K and its place in each frame, y up
          viewer.html              the avatar on one page, to look at and to pose in any browser"""
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
    body = with_held_hands(load_body(args.body_model), pose)
    for path, name in ((paths.pose_refined, pose.body_model), (paths.avatar, file.body_model)):
        if name != body.name:
            raise UserError(
                f"{path}: was made with the body model {name!r}, {args.body_model!r} is {body.name!r}; "
                "give the same --body-model to every stage, or run the fit again"
            )
    with torch.no_grad(), atomic_directory(paths.exports) as folder:
        fitted = Fitted(pose, body, file, Avatar.from_file(file, body), settings)
        for each in FORMATS:
            each.export(fitted, folder)
        if settings.viewer:
            viewer.export(fitted, paths, folder)
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    provenance.facts = {"Gaussians": len(file.means), "frames": len(pose), "bytes": sizes}
    if file.seen is not None:
        provenance.facts["never filmed, %"] = round(100 * float(1 - file.seen.mean()), 1)
    provenance.save(paths.provenance("export"))
    for name, size in sizes.items():
        log.info("export: %s %.2f MB", paths.exports / name, size / 1e6)
