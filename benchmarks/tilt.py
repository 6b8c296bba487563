"""How well the scene's lines tell a camera's tilt, on the studio's pictures, focal length guessed or known; and the
focal length itself, whatever the tilt: two tables.

python benchmarks/tilt.py FOLDER [--clips 36]

What the body tells is simulated: the true tilt with errors of 6 degrees of pitch and 4 of roll.
"""

import argparse
from pathlib import Path

import numpy as np

from pipeline.__main__ import main as pipeline
from pipeline.camera.verticals import Segments, find_segments
from pipeline.formats.camera import Camera
from pipeline.formats.images import MaskFolder
from pipeline.video.decode import DecodeSettings, read_frames
from pipeline.video.probe import probe

_SIZES, _OUTFITS = ("360x480", "480x360", "360x640"), ("shirt", "loose", "skirt", "coat", "shorts")
_MOTIONS = ("walk", "wave", "squat", "dance", "turn", "cross")
_GUESS = 0.65  # diagonals, as config.yaml has it
_DECODE = DecodeSettings(0, 1, 1, None, 100, None, 30, None, None, None)


def filmed(folder: Path, clips: int) -> list[tuple[Path, np.ndarray]]:
    """Clips, filmed where they are not there, and their true pitch and roll in our signs."""
    random, out = np.random.default_rng(8), []
    for clip in range(clips):
        pitch, roll = random.uniform(0, 35), random.uniform(-10, 10)
        focal, azimuth = np.exp(random.uniform(np.log(0.58), 0)), random.uniform(0, 360)
        path = folder / f"tilt{clip:02d}.mp4"
        if not path.exists():
            held = [f"--pitch={-pitch:.1f}", f"--roll={roll:.1f}", f"--focal={focal:.2f}", f"--azimuth={azimuth:.0f}"]
            what = ["--size", _SIZES[clip % 3], "--outfit", _OUTFITS[clip % 5], "--motion", _MOTIONS[clip % 6]]
            name = ["--name", path.stem, "--seed", str(500 + clip), "--frames", "3", "--fps", "15", "--views", "0"]
            assert pipeline(["studio", "--out", str(folder), *name, *what, *held]) == 0
        out.append((path, np.round([pitch, roll], 1)))
    return out


def edges(path: Path, guessed: bool) -> tuple[Segments, float]:
    """Those of the clip's first frame, and the true focal length over the one they are told."""
    camera = Camera.load(path.with_suffix(".truth") / "camera.json")
    K = camera.K.copy()
    if guessed:
        K[[0, 1], [0, 1]] = _GUESS * np.hypot(camera.width, camera.height)
    frame = next(read_frames(probe(path, 30), _DECODE, print))
    mask = MaskFolder(path.with_suffix(".truth") / "masks")[0]
    return find_segments([frame], [mask], K, np.eye(3)[None], guessed), camera.K[0, 0] / K[0, 0]


def focal_rows(clips: list[Path]) -> list[str]:
    """Of the clips in which the lines are so sure: errors of the focal length that they tell, and of the guess."""
    rows = []
    for path in clips:
        lines, truth = edges(path, True)
        found = lines.tell_focal()
        rows.append((np.log(found.times / truth), found.sigma, np.log(truth)))
    off, sigma, guess = np.array(rows).T
    out = []
    for most in (0.06, 0.08, 0.1, np.inf):
        sure = sigma < most
        found, guessed = (100 * np.sqrt((part[sure] ** 2).mean()) for part in (off, guess))
        worse = (abs(off) > abs(guess) + 0.02)[sure].sum()
        name = "all" if np.isinf(most) else f"below {most:.0%}"
        out.append(
            f"| {name} | {sure.sum()} of {len(off)} | {found:.1f} | {100 * abs(off[sure]).max():.1f} | {guessed:.1f} "
            f"| {worse} |"
        )
    return out


def told(path: Path, truth: np.ndarray, guessed: bool, random: np.random.Generator) -> np.ndarray | None:
    """Errors of pitch and roll, and the standard deviations told of them. (4,)"""
    lines = edges(path, guessed)[0].tell(truth + random.normal(0, (6, 4)))
    return None if lines is None else np.append(lines.tilt - truth, np.sqrt(np.diag(lines.covariance)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=36)
    args = parser.parse_args()
    clips = filmed(args.folder, args.clips)
    print("| focal length | nothing told | pitch off, median / rms | roll off | within 3 degrees | sigma told |")
    print("|---|---|---|---|---|---|")
    for guessed in (True, False):
        random = np.random.default_rng(0)
        rows = [told(path, truth, guessed, random) for path, truth in clips]
        off = np.array([row for row in rows if row is not None])
        parts = [f"{np.median(abs(off[:, k])):.2f} / {np.sqrt((off[:, k] ** 2).mean()):.2f}" for k in (0, 1)]
        within = (abs(off[:, :2]).max(1) < 3).mean()
        print(
            f"| {'guessed' if guessed else 'known'} | {len(rows) - len(off)} of {len(rows)} | {parts[0]} | {parts[1]} "
            f"| {100 * within:.0f}% | {np.median(off[:, 2]):.2f}, {np.median(off[:, 3]):.2f} |"
        )
    print("\n| sigma told | clips | focal length off, rms, % | most | the guess, rms | worse than it by 2% |")
    print("|---|---|---|---|---|---|")
    print("\n".join(focal_rows([path for path, _ in clips])))
