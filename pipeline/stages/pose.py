"""The pose stage: the initial motion, before refinement."""

import argparse
from dataclasses import replace
from pathlib import Path

from pipeline.body import load_body
from pipeline.body.held_hands import with_hands_following
from pipeline.camera.settings import CameraSettings
from pipeline.camera.world import load_track, stand_in_clip
from pipeline.estimators import load_backend
from pipeline.estimators.fingers import SIDES, has_hands, with_fingers
from pipeline.estimators.settings import PoseSettings
from pipeline.estimators.steady import steadied
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Estimate the initial motion of the person.

reads   DIRECTORY/frames/, masks/, landmarks.npz, camera.json, video.json, and camera_track.npz where it is
writes  DIRECTORY/pose_init.npz: SMPL motion, in the camera frame and in a world; fingers where the
        landmarks have hands"""
PACKAGES = ("torch", "numpy", "scipy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")
    parser.add_argument("--body-model", default="free", metavar="NAME|FILE", help='"free", or the path of an SMPL file')
    parser.add_argument("--camera", metavar="YAML", help="pitch and roll in degrees, as section camera of the config")


def run(args: argparse.Namespace) -> None:
    settings = load_settings("pose", parse_overrides(args.settings), PoseSettings)
    tilt = load_settings("camera", parse_overrides(args.camera), CameraSettings)
    backend = load_backend("pose", settings.backend)
    backend.check(settings)
    directory = VideoDir(args.directory)
    provenance = Provenance("pose", settings, getattr(backend, "PACKAGES", PACKAGES))
    pose, body = backend.estimate(directory, settings, args.body_model, provenance), load_body(args.body_model)
    track = load_track(directory, len(pose), provenance.warn)
    pose = steadied(pose, body, track.world_from_camera, lambda told: provenance.warn(f"{directory.name}: {told}"))
    pose = replace(pose, told_height=settings.height)  # which the fit has to know
    if directory.landmarks.is_file():
        landmarks = Landmarks.load(directory.landmarks)
    else:  # a motion of the user's own, by hand
        landmarks = Landmarks.none(len(pose))
        provenance.warn(
            f"{directory.landmarks}: is not there, so no fingers are fitted; run "
            f"`python -m pipeline landmarks {directory.root}` first"
        )
    if len(landmarks) != len(pose):
        raise UserError(
            f"{directory.landmarks}: {len(pose)} frames expected, found {len(landmarks)}; rerun the stage landmarks"
        )
    if has_hands(landmarks):
        turns = settings.turn_wrists and settings.backend != "import"  # whose wrists are no worse than palms tell
        pose = with_hands_following(with_fingers(pose, landmarks, body, turns), body)
        provenance.facts["hands_seen"] = dict(zip(SIDES, pose.hands_seen.mean(0).round(3).tolist()))
    world = stand_in_clip(pose, body, directory, provenance.warn, tilt.pitch, tilt.roll)
    for warning in world.warnings:
        provenance.warn(warning)
    provenance.facts["world"] = world.facts()
    world.pose.save(directory.pose_init)
    provenance.save(directory.provenance("pose"))
