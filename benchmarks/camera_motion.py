"""How well the camera's motion is found on the studio's cameras, with true masks: a table, in Markdown.

python benchmarks/camera_motion.py FOLDER [--seeds 3 11] [--focal-guess 1.0] [--cameras panning following]
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main as pipeline
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.studio.cameras import CAMERAS

_FILM = ["--frames", "72", "--fps", "15", "--size", "360x480", "--views", "0"]


def measured(folder: Path, camera: str, seed: int, focal: float) -> str:
    """A row: what was found, and how far it is from the truth. Films the clip where it is not there."""
    name = f"{camera}_{seed}"
    truth, directory = folder / f"{name}.truth", VideoDir(folder / "results" / name)
    if not (folder / f"{name}.mp4").exists():
        filmed = ["--out", str(folder), "--name", name, "--seed", str(seed), "--camera", camera]
        assert pipeline(["studio", *filmed, *_FILM]) == 0
    if not directory.video.exists():
        assert pipeline(["decode", str(folder / f"{name}.mp4"), str(directory.root)]) == 0
        shutil.copytree(truth / "masks", directory.masks)
    true = Camera.load(truth / "camera.json")
    K = true.K * [[focal, 1, 1], [1, focal, 1], [1, 1, 1]]
    Camera(K, true.width, true.height, "benchmark", focal == 1, "guess").save(directory.camera)
    started = time.process_time()
    assert pipeline(["camera_track", str(directory.root)]) == 0
    seconds = time.process_time() - started
    found, wanted = CameraTrack.load(directory.camera_track), CameraTrack.load(truth / "camera_track.npz")
    explained = json.loads(directory.provenance("camera_track").read_text())["facts"]["explained"]
    turned, true_turn = (Rotation.from_matrix(track.world_from_camera[:, :3, :3]) for track in (found, wanted))
    angle = np.degrees((turned.inv() * true_turn).magnitude())
    place, true_place = (track.world_from_camera[:, :3, 3] for track in (found, wanted))
    scale = (place * true_place).sum() / max((place**2).sum(), 1e-12) if found.kind == "travelling" else 1.0
    way = np.linalg.norm(np.diff(true_place, axis=0), axis=1).sum()
    off, off_scaled = (1000 * np.linalg.norm(k * place - true_place, axis=1).mean() for k in (1.0, scale))
    shares = ", ".join(f"{key} {share:.2f}" for key, share in explained.items())
    return (
        f"| {camera}, seed {seed} | {found.kind} | {shares} | {angle.mean():.2f} / {angle.max():.2f} "
        f"| {np.degrees(found.sigma[:, 0].mean()):.2f} | {way:.2f} | {off:.0f} | {off_scaled:.0f} | {scale:.2f} "
        f"| {1000 * found.sigma[:, 1].mean():.0f} | {seconds:.1f} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 11])
    parser.add_argument(
        "--focal-guess", type=float, default=1.0, help="times the true focal length, and told as a guess"
    )
    parser.add_argument("--cameras", nargs="+", choices=CAMERAS, default=CAMERAS)
    args = parser.parse_args()
    print(
        "| camera | found | share explained | direction off, mean / max (deg) | sigma | path (m) | place off (mm) "
        "| the same at the best scale | that scale | sigma (mm) | seconds of a processor |\n|" + "---|" * 11
    )
    for camera in args.cameras:
        for seed in args.seeds:
            print(measured(args.folder, camera, seed, args.focal_guess), flush=True)
