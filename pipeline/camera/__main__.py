"""`python -m pipeline.camera POSE.npz ...`: the tilt found for motions, and how their feet stand before and after."""

import argparse
from pathlib import Path

import numpy as np

from pipeline.body import load_body
from pipeline.camera.feet import Feet, feet_of
from pipeline.camera.tilt import up_of
from pipeline.camera.world import as_in_world, load_track, stand, stand_in_clip
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose

_UP = np.array([0.0, 1.0, 0.0])
_LOWEST = 0.1  # quantile of the frames whose lowest point was the ground, when cameras were taken to be level


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.camera", description=__doc__)
    parser.add_argument(
        "poses",
        nargs="+",
        type=Path,
        metavar="POSE.npz",
        help="frames/, masks/ and camera_track.npz beside it are read where they are",
    )
    parser.add_argument("--body-model", default="free", metavar="NAME|FILE")
    args = parser.parse_args()
    body = load_body(args.body_model)
    print("lowest foot above the ground in cm: median, 90%, lowest; sliding in mm a frame, of what stands")
    print(f"{'':28}{'pitch':>13}{'roll':>13}{'camera level':>22}{'world':>22}{'sliding':>15}")
    for path in args.poses:
        pose = Pose.load(path)
        directory = VideoDir(path.parent.parent if path.parent.name == "fit" else path.parent)
        if directory.frames.is_dir():
            world = stand_in_clip(pose, body, directory, print)
        else:
            world = stand(pose, body, load_track(directory, len(pose), print))
        ground, seen = world.ground, feet_of(pose, body)
        level = seen.heights(up_of(0, 0)).min(axis=1)
        moved = seen.moved(world.pose.world_from_camera)
        after = feet_of(as_in_world(world.pose), body)
        tilt = [f"{value:.1f} ± {sigma:.1f}" for value, sigma in zip((ground.pitch, ground.roll), ground.sigma)]
        slid = [f"{_slid(feet, world.pose.contact):.1f}" for feet in (moved, after)]
        name = f"{directory.root.name}/{path.stem}"[-27:]
        heights = _three(level - np.quantile(level, _LOWEST)), _three(after.heights(_UP).min(axis=1))
        print(f"{name:28}{tilt[0]:>13}{tilt[1]:>13}{heights[0]:>22}{heights[1]:>22}{' -> '.join(slid):>15}")
        for warning in world.warnings:
            print(f"  {warning}")


def _three(heights: np.ndarray) -> str:
    return " / ".join(f"{100 * value:.1f}" for value in (*np.quantile(heights, [0.5, 0.9]), heights.min()))


def _slid(feet: Feet, contact: np.ndarray) -> float:
    """Millimetres a frame that heels and toes go along the ground, where they stand in both frames."""
    gone = np.linalg.norm(np.diff(feet.middles, axis=0)[..., [0, 2]], axis=2)
    stands = np.minimum(contact[1:], contact[:-1]) > 0.5
    return 1000 * float(gone[stands].mean()) if stands.any() else float("nan")


main()
