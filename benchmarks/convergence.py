"""How good pose and picture are, against seconds of the fit.

`python -m benchmarks.convergence results/demo --truth videos/demo.truth` fits that clip anew, in memory, with the
settings of its last fit, stops the clock every few steps and measures the mean joint error of the frames that are
trained. Without --truth it reads fit/history.csv of finished runs, in which there is no pose error. Seconds begin where
the fit does, so that the alignment of poses before the first step counts. PSNR is that of the person in the frames
drawn: noisy, and of frames that the avatar is trained on.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.body import load_body
from pipeline.evaluation.clip import joints_of
from pipeline.evaluation.pose_metrics import joint_errors
from pipeline.fit.data import load_clip
from pipeline.fit.loop import JointFit
from pipeline.fit.settings import FitSettings
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.runtime.settings import build
from pipeline.runtime.threads import get_threads, set_threads

_SMOOTH = 5  # rows of the history whose mean is drawn
_EVERY = 25  # steps between two measurements of the pose
_NEAR = 1.02  # of the last pose error: how long the fit takes to come so near is printed


@dataclass(frozen=True)
class Curve:
    """What a fit had reached when."""

    label: str
    picture: np.ndarray  # (rows, 2) seconds, and PSNR of the person in the frame drawn, dB
    pose: np.ndarray  # (points, 2) seconds, and MPJPE of the frames trained, mm; (0, 2) without truth


def read(folder: Path) -> Curve:
    """The curve of a finished run, from its history.

    Raises:
        UserError: there is no history, or it lacks a column.
    """
    path = VideoDir(folder).history
    if not path.is_file():
        raise UserError(f"{path}: not found; run the fit of {folder} first")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"seconds", "psnr_person"} <= rows[0].keys():
        raise UserError(f"{path}: expected rows with the columns seconds and psnr_person")
    kept = [(float(row["seconds"]), float(row["psnr_person"])) for row in rows if row["psnr_person"]]
    return Curve(str(folder), np.array(kept), np.empty((0, 2)))


def refit(folder: Path, truth: Path) -> Curve:
    """The curve of a fit that is made now, of a clip whose true motion is known. Nothing is written.

    Args:
        folder: results/<video>, in which the fit and the stages before it have run.
        truth: videos/<video>.truth.
    """
    directory = VideoDir(folder)
    settings = build(FitSettings, read_provenance(directory.provenance("fit"))["settings"], "fit")
    pose, body, true = Pose.load(directory.pose_init), load_body("free"), Pose.load(truth / "pose.npz")
    decode = read_provenance(directory.provenance("decode"))["settings"]
    clip = load_clip(directory, pose, settings, torch.device("cpu"))
    frames = np.flatnonzero(clip.train)
    true_joints = joints_of(body, true, VideoInfo.load(directory.video).source_frames(decode)[frames])
    threads = get_threads()
    torch.set_num_threads(1)
    set_threads(threads)
    pictures: list[tuple[float, float]] = []
    poses: list[tuple[float, float]] = []
    started, aside = time.monotonic(), 0.0  # seconds spent on measuring
    fit = JointFit(clip, body, pose, settings, torch.device("cpu"))

    def measure() -> None:
        nonlocal aside
        begun = time.monotonic()
        betas = fit.unknowns.betas.detach()
        found = fit.unknowns.rows.pose(pose, body.rest_joints(betas)[0], betas, "convergence", fit.unknowns.focal)
        error = 1e3 * float(joint_errors(joints_of(body, found, frames), true_joints).mean())
        poses.append((begun - started - aside, error))
        aside += time.monotonic() - begun

    measure()
    if fit.settings.aligns:
        fit.align()
        measure()
    for step in track(range(fit.settings.steps.total), "fit", unit="step"):
        fit.step()
        if len(fit.history.rows) > len(pictures):
            pictures.append((time.monotonic() - started - aside, fit.history.rows[-1]["psnr_person"]))
        if (step + 1) % _EVERY == 0:
            measure()
    return Curve(str(folder), np.array(pictures), np.array(poses))


def plot(curves: list[Curve], out: Path) -> None:
    """Draw the curves to a PNG file, with a panel of pose errors where there are any."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = 2 if any(len(curve.pose) for curve in curves) else 1
    figure, axes = pyplot.subplots(1, panels, figsize=(6 * panels, 4.2), squeeze=False)
    for curve in curves:
        seconds, psnr = curve.picture.T
        count = min(_SMOOTH, len(psnr))
        mean = np.convolve(psnr, np.full(count, 1 / count), mode="valid")
        axes[0, 0].plot(seconds[count - 1 :], mean, label=curve.label)
        if len(curve.pose):
            axes[0, 1].plot(*curve.pose.T, label=curve.label)
    axes[0, 0].set(ylabel="PSNR of the person, dB")
    if panels == 2:
        axes[0, 1].set(ylabel="MPJPE of the frames trained, mm")
        axes[0, 1].set_ylim(bottom=0)
    for panel in axes[0]:
        panel.set(xlabel="seconds of the fit")
        panel.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    pyplot.close(figure)


def describe(curve: Curve) -> str:
    """What was reached, and when it was nearly reached, in a line."""
    seconds, psnr = curve.picture.T
    line = f"{curve.label}: {seconds[-1]:.1f} s, PSNR of the person {psnr[-_SMOOTH:].mean():.2f} dB"
    if len(curve.pose):
        pose_seconds, errors = curve.pose.T
        behind = np.flatnonzero(errors > _NEAR * errors[-1])
        reached = pose_seconds[min(behind[-1] + 1, len(errors) - 1)] if len(behind) else pose_seconds[0]
        line += f"; MPJPE {errors[0]:.1f} -> {errors[-1]:.1f} mm, within 2% of the last from {reached:.1f} s on"
    return line


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convergence", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="results/<video>")
    parser.add_argument("--truth", type=Path, help="videos/<video>.truth of the one folder: fit it anew, and measure")
    parser.add_argument("--out", type=Path, default=Path("results/convergence.png"))
    args = parser.parse_args()
    if args.truth and len(args.folders) > 1:
        parser.error("--truth is of one folder")
    try:
        curves = [refit(args.folders[0], args.truth)] if args.truth else [read(folder) for folder in args.folders]
        plot(curves, args.out)
    except UserError as error:
        raise SystemExit(str(error)) from error
    for curve in curves:
        print(describe(curve))
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
