"""simulate: estimators whose errors are known, in place of masks, depth and pose."""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.accuracy.errors import Errors, Simulated
from pipeline.accuracy.settings import SIMULATED, load_benchmark
from pipeline.accuracy.simulate_depth import simulate_camera, simulate_depth
from pipeline.accuracy.simulate_masks import simulate_masks
from pipeline.accuracy.simulate_pose import SOURCE, simulate_pose
from pipeline.accuracy.surface import vertex_shares
from pipeline.body import BodyModel, load_body
from pipeline.formats.atomic import atomic_directory
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import DepthFolder, MaskFolder, write_depth, write_mask
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import mask_box
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track

HELP = """Disturb the truth of a studio clip as estimators would: ragged masks, wrong depth and focal length, and wrong
poses whose mean errors are those asked for. Everything it writes says "simulated".

reads   DIRECTORY/video.json (the whole clip, decoded at its own size), TRUTH/pose.npz, masks/, depth/, camera.json,
        camera_track.npz
writes  DIRECTORY/masks/, depth/, camera.json, camera_track.npz (the true one), pose_init.npz, landmarks.npz (none are
        detected)"""
_HANDS = (22, 23)
_PLACES = 60  # points of the body at which the mask may leak
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Given:
    """What the stage ran with."""

    sequence: str
    seed: int
    errors: Errors
    simulated: Simulated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="where the clip was decoded")
    parser.add_argument("--truth", type=Path, required=True, metavar="DIR", help="the clip's NAME.truth")
    parser.add_argument("--benchmark", type=Path, required=True, metavar="FILE", help="such as config/benchmark.yaml")
    parser.add_argument(
        "--estimators", default=SIMULATED, metavar="NAME",
        help="one of the benchmark's simulated starts (default: %(default)s, the sequence's own errors)",
    )  # fmt: skip
    parser.add_argument("--sequence", required=True, metavar="NAME", help="one of the benchmark's sequences")


def run(args: argparse.Namespace) -> None:
    benchmark = load_benchmark(args.benchmark)
    if args.sequence not in benchmark.sequences:
        names = ", ".join(benchmark.sequences)
        raise UserError(f"--sequence {args.sequence}: not in {args.benchmark}; there are {names}")
    if args.estimators not in benchmark.simulated_kinds:
        names = ", ".join(benchmark.simulated_kinds)
        raise UserError(f"--estimators {args.estimators}: not simulated in {args.benchmark}; there are {names}")
    chosen, errors = benchmark.sequences[args.sequence], benchmark.errors(args.sequence, args.estimators)
    given = Given(args.sequence, chosen.seed, errors, benchmark.simulated)
    provenance = Provenance("simulate", given, ("numpy", "scipy", "torch"))
    torch.set_num_threads(1)
    directory = VideoDir(args.directory)
    truth, true_camera = Pose.load(args.truth / "pose.npz"), Camera.load(args.truth / "camera.json")
    video = VideoInfo.load(directory.video)
    if (video.frames, video.width, video.height) != (len(truth), true_camera.width, true_camera.height):
        raise UserError(
            f"{directory.video}: expected the whole clip, {len(truth)} frames of {true_camera.width}x"
            f"{true_camera.height}, found {video.frames} of {video.width}x{video.height}; decode it without start, stop"
        )
    body = load_body(truth.body_model)
    simulated, seed, fps = benchmark.simulated, chosen.seed, truth.fps

    camera = simulate_camera(true_camera, simulated.depth, seed)
    maps = simulate_depth(DepthFolder(args.truth / "depth"), camera, true_camera, fps, simulated.depth, seed)
    with atomic_directory(directory.depth) as out:
        for index, depth in enumerate(track(maps, "simulated depth", len(truth), "map")):
            write_depth(out / f"{index:06d}.png", depth)
    camera.save(directory.camera)
    CameraTrack.load(args.truth / "camera_track.npz").save(directory.camera_track)

    hands, places, scale = _in_image(truth, body, seed)
    masks = simulate_masks(MaskFolder(args.truth / "masks"), hands, places, scale, fps, simulated.masks, seed)
    with atomic_directory(directory.masks) as out:
        boxes = []
        for index, mask in enumerate(track(masks, "simulated masks", len(truth), "mask")):
            write_mask(out / f"{index:06d}.png", mask)
            boxes.append(mask_box(mask) or (0, 0, 0, 0))

    try:
        pose, achieved = simulate_pose(truth, body, camera, errors, simulated.pose, seed)
    except ValueError as error:
        raise UserError(f"{args.benchmark}: sequences.{args.sequence}.errors: {error}; ask for others") from error
    found = vars(pose) | {"bbox": np.array(boxes, float)}
    Pose(**found).save(directory.pose_init)
    Landmarks.none(len(truth)).save(directory.landmarks)
    provenance.facts |= {
        "kind": SOURCE,
        "MPJPE (mm)": round(achieved.mpjpe, 2),
        "PA-MPJPE (mm)": round(achieved.pa_mpjpe, 2),
        "V2V (mm)": round(achieved.v2v, 2),
        "focal length against the true one": round(float(camera.K[0, 0] / true_camera.K[0, 0]), 4),
    }
    provenance.save(directory.provenance("simulate"))
    log.info("simulate: MPJPE %.1f, PA-MPJPE %.1f, V2V %.1f mm", achieved.mpjpe, achieved.pa_mpjpe, achieved.v2v)


def _in_image(truth: Pose, body: BodyModel, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of the hands (T, 2, 2) and of points on the body (T, P, 2), and pixels a metre at the pelvis (T,)."""
    rows = (truth.global_orient, truth.body_pose, truth.betas, truth.transl)
    posed = body(*(torch.as_tensor(values, dtype=torch.float32) for values in rows))
    chosen = np.random.default_rng([seed, 25]).choice(len(body.v_template), _PLACES, p=vertex_shares(body))
    points = torch.cat([posed.joints[:, _HANDS], posed.vertices[:, chosen]], dim=1).double().numpy()
    pixels = (points / points[..., 2:]) @ truth.K[:2].T
    return pixels[:, :2], pixels[:, 2:], truth.K[1, 1] / posed.joints[:, 0, 2].double().numpy()
