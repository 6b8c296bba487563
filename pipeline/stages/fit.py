"""`python -m pipeline fit`: refine motion and avatar together."""

import argparse
import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pipeline.body import BodyModel, load_body
from pipeline.body.held_hands import with_held_hands
from pipeline.camera.settings import CameraSettings
from pipeline.camera.world import stand_in_clip
from pipeline.fit.alignment import with_shape
from pipeline.fit.checkpoint import fingerprint
from pipeline.fit.cloth import with_cloth
from pipeline.fit.data import FULL, load_clip
from pipeline.fit.heldout import far_from_trained, fit_frozen
from pipeline.fit.loop import JointFit
from pipeline.fit.masks import write_refined
from pipeline.fit.matte import Matte
from pipeline.fit.neuhmr import NeuHMRFit
from pipeline.fit.seen import seen_share
from pipeline.fit.settings import FitSettings
from pipeline.fit.uncertainty import joint_sigma
from pipeline.fit.verdict import keep_better
from pipeline.formats.atomic import atomic_directory, atomic_path
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings, parse_overrides
from pipeline.runtime.threads import get_threads, set_threads
from pipeline.setup.gpus import take_gpu
from pipeline.setup.sources import code_digest

log = logging.getLogger(__name__)
HELP = """Refine motion and avatar together, by rendering (the paper's joint optimisation).

Reads frames/, masks/, camera.json, pose_init.npz, landmarks.npz, and depth/ and camera_track.npz where there is one, of
results/<video>/.
Writes masks_refined/ (the masks that it compared with), fit/avatar.npz (with how well each Gaussian was seen),
fit/pose_refined.npz (with how sure each joint's place is, and a world), fit/history.csv and provenance/fit.json. A
killed run goes on from fit/checkpoint.pt when it is started again with the same settings and inputs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")
    parser.add_argument("--body-model", default="free", help='"free" or the path of an SMPL file (default: free)')
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the rasterizer (default: all processors)")
    parser.add_argument("--camera", metavar="YAML", help="pitch and roll in degrees, as section camera of the config")


def run(args: argparse.Namespace) -> None:
    tilt = load_settings("camera", parse_overrides(args.camera), CameraSettings)
    settings = load_settings("fit", parse_overrides(args.settings), FitSettings)
    provenance = Provenance("fit", settings, ("torch", "numba", "numpy", "opencv-contrib-python"))
    directory = VideoDir(args.directory)
    device = choose_device(settings.device)
    threads = args.threads or get_threads()
    torch.set_num_threads(1)  # torch's spinning threads starve the rasterizer's (pipeline.runtime.threads)
    set_threads(threads)

    pose, body = read_motion(directory, args.body_model, device)
    clip = load_clip(directory, pose, settings, device)
    if settings.holdout_every and not clip.heldout.any():
        provenance.warn("the clip is too short to hold frames out: no novel-pose score")

    if settings.shapes:
        pose = with_shape(clip, body, pose, settings)
        provenance.facts["betas from the outlines"] = pose.betas.round(2).tolist()
    if settings.refiner == "neuhmr":
        result = NeuHMRFit(clip, body, pose, settings, device).run()
    else:
        mark = fingerprint(settings, pose, clip.digest, code_digest(__name__))
        result = JointFit(clip, body, pose, settings, device).run(directory.checkpoint, mark)
        result = with_cloth(result, body, settings)
    if settings.optimise_pose:
        held_out = far_from_trained(clip, pose.fps) if settings.refits else np.flatnonzero(clip.heldout)
        fit_frozen(result, body, pose.fps, settings, held_out)
        if not settings.refits:
            result.rows.smooth(np.flatnonzero(clip.train | clip.heldout), settings.smooth_seconds * pose.fps)
    if settings.optimise_pose and settings.keep_better:
        found = result.clip, body, result.betas, result.thickness, result.rows, result.marks
        verdict = keep_better(*found, pose.fps, settings, pose.fitted_in_3d)
        log.info("fit: %s", verdict.words())
        provenance.facts["verdict"] = verdict.facts()

    provenance.facts |= (
        result.clip.facts
        | result.facts
        | {
            "frames": len(clip),
            "frames_trained": int(clip.train.sum()),
            "frames_held_out": int(clip.heldout.sum()),
            "frames_interpolated": int((~clip.train & ~clip.heldout).sum()),
            "depth": clip.has_depth,
            "gaussians": len(result.avatar.means),
            "focal length against the given one": round(result.focal, 4),
            "device": str(device),
            "threads": threads,
        }
    )
    method = "NeuHMR" if settings.refiner == "neuhmr" else "joint fit"
    source = f"{method} ({settings.binding}) of: {pose.source}"
    refined = result.rows.pose(pose, body.rest_joints(result.betas)[0], result.betas, source, result.focal)
    if settings.aligns and settings.refiner == "joint":
        refined = replace(refined, sigma=joint_sigma(result, body, pose.fps, settings))
    world = stand_in_clip(refined, body.to(device="cpu"), directory, provenance.warn, tilt.pitch, tilt.roll)
    provenance.facts["world"] = world.facts()
    gains = None if result.clip.log_gains is None else result.clip.log_gains.exp().cpu().numpy()
    seen = seen_share(result.avatar, body, refined, result.clip)
    result.avatar.to_file(body, settings.binding, clip.train, gains, seen).save(directory.avatar)
    world.pose.save(directory.pose_refined)
    write_history(directory.history, result.history)
    views = [levels and levels[FULL] for levels in result.clip.views]
    masks = [
        None if view is None or view.sure is None else Matte(view.mask.cpu().numpy(), view.sure.cpu().numpy())
        for view in views
    ]
    with atomic_directory(directory.masks_refined) as out:
        write_refined(directory, out, masks, settings.crop_padding)
    provenance.save(directory.provenance("fit"))


def read_motion(directory: VideoDir, body_model: str, device: torch.device) -> tuple[Pose, BodyModel]:
    """The initial pose, and the body that it is of, hands held as there. Raises UserError where they do not match."""
    pose, body = Pose.load(directory.pose_init), load_body(body_model)
    if body.name != pose.body_model:
        raise UserError(
            f"{directory.pose_init}: made for the body {pose.body_model!r}, found --body-model {body_model!r}; "
            "rerun the pose stage with the same body_model"
        )
    return pose, with_held_hands(body, pose).to(device=device)


def choose_device(name: str) -> torch.device:
    """The device for the setting "auto", "cpu" or "cuda". Raises UserError where there is no CUDA."""
    if name != "cpu":
        take_gpu()
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("settings fit.device: cuda was asked for and torch finds none; set it to auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the rows as CSV; a term that a phase has not is left blank."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    last = ["total", "psnr_person", "n_gaussians", "seconds"]
    columns = [name for name in columns if name not in last] + last
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)
