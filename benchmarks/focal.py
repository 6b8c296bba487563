"""How well a guessed focal length is mended on the studio's moving cameras, with true masks: a table, in Markdown.

python benchmarks/focal.py FOLDER [--guesses 0.65 0.8]
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from pipeline.__main__ import main as pipeline
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir

_CLIPS = (  # camera, seed, true focal length in diagonals, motion
    ("handheld", 61, 0.6, "walk"),
    ("handheld", 62, 0.72, "walk"),
    ("handheld", 64, 1.0, "dance"),
    ("following", 71, 0.6, "walk"),
    ("following", 73, 0.95, "walk"),
    ("panning", 82, 0.75, "walk"),
)
_FILM = ["--frames", "32", "--fps", "12", "--size", "288x384", "--views", "0"]


def measured(folder: Path, camera: str, seed: int, lens: float, motion: str, guess: float) -> str:
    """A row: the focal length found, and how far it and the guess are off. Films the clip where it is not there."""
    name = f"{camera}_{seed}"
    truth, directory = folder / f"{name}.truth", VideoDir(folder / "results" / name)
    if not (folder / f"{name}.mp4").exists():
        filmed = ["--name", name, "--seed", str(seed), "--camera", camera, "--focal", str(lens), "--motion", motion]
        assert pipeline(["studio", "--out", str(folder), *filmed, *_FILM]) == 0
    if not directory.video.exists():
        assert pipeline(["decode", str(folder / f"{name}.mp4"), str(directory.root)]) == 0
        shutil.copytree(truth / "masks", directory.masks)
    true = Camera.load(truth / "camera.json")
    K = true.K.copy()
    K[[0, 1], [0, 1]] *= guess / lens
    Camera(K, true.width, true.height, "benchmark", False, "guess").save(directory.camera)
    assert pipeline(["camera_track", str(directory.root)]) == 0
    track = CameraTrack.load(directory.camera_track)
    facts = json.loads(directory.provenance("camera_track").read_text())["facts"]
    told, of_motion = facts["focal length found (px)"], facts.get("focal length by the motion alone (px)")
    off = " | ".join(
        f"{100 * np.log(focal / true.K[0, 0]):+.0f}" if focal else "" for focal in (K[0, 0], of_motion, told)
    )
    sigma, taken = facts["its sigma (%)"], "yes" if track.focal else "no"
    return f"| {camera}, seed {seed} | {lens:g} | {guess:g} | {track.kind} | {off} | {sigma:.0f} | {taken} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--guesses", type=float, nargs="+", default=[0.65, 0.8], help="diagonals")
    args = parser.parse_args()
    print(
        "| camera | true (diagonals) | guess | found to be | guess off (%) | motion alone | all together | sigma told "
        "| taken |\n|" + "---|" * 9
    )
    for clip in _CLIPS:
        for guess in args.guesses:
            print(measured(args.folder, *clip, guess), flush=True)
