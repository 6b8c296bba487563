"""Time of a step and peak memory against the number of frames and against the crop's pixels.

Time is measured in one process, in turn; memory in a process of its own for each case (this file, run as a program),
for a peak never falls again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.rows import Row, timed
from benchmarks.steps import fit_of
from benchmarks.timing import interleave
from pipeline.runtime.threads import set_threads

SECTION = "scale"
_FEW_FRAMES = 12  # where pixels are varied
_STEPS = 5  # a measurement; with nine rounds and the first, no clip of 50 frames or more shows a frame twice
_MEMORY_STEPS = 10


def bench(
    gaussians: int, frames: tuple[int, ...], sides: tuple[int, ...], threads: int, rounds: int, memory: bool
) -> list[Row]:
    """Milliseconds a step at each number of frames (crops of the first side), and at each side (few frames).

    Args:
        gaussians: of the avatar.
        frames: lengths of clips, the shortest first: the others are compared with it.
        sides: of square crops, px, the smallest first.
        threads: of the kernels.
        rounds: of measurements.
        memory: whether peak memory is measured, too: some seconds and a process a case.
    """
    cases = {f"{count} frames": (count, sides[0]) for count in frames}
    by_side = {f"{side} px": (_FEW_FRAMES, side) for side in sides}
    rows = []
    for name, (count, side) in (cases | by_side).items() if memory else ():
        peak = _peak_in_a_process(count, gaussians, side, threads)
        rows.append(Row(SECTION, name, "peak memory", "MB", peak, note=f"{count} frames of {side} x {side}"))
    for group, desc in ((cases, "frames"), (by_side, "pixels")):
        calls = {name: _stepper(count, gaussians, side) for name, (count, side) in group.items()}
        timings = interleave(calls, rounds, f"step against {desc}", least_seconds=0, budget=60)
        first = next(iter(calls))
        measured = timed(timings, SECTION, "step", {name: first for name in calls if name != first}, calls=_STEPS)
        rows += measured
    return rows


def _stepper(frames: int, gaussians: int, side: int) -> Callable[[], object]:
    fit = fit_of(frames, gaussians, side)

    def run() -> None:
        for _ in range(_STEPS):
            fit.step()

    return run


def _peak_in_a_process(frames: int, gaussians: int, side: int, threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.scale"]
    for name, value in (("frames", frames), ("gaussians", gaussians), ("side", side), ("threads", threads)):
        command += [f"--{name}", str(value)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=root)
    return json.loads(done.stdout)["peak_mb"]


def peak_memory() -> float:
    """Most memory that this process has had at a time, MB."""
    # On Linux ru_maxrss begins with the parent's peak
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of a few steps of the fit, as JSON.")
    for name in ("frames", "gaussians", "side", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    set_threads(args.threads)
    fit = fit_of(args.frames, args.gaussians, args.side)
    for _ in range(_MEMORY_STEPS):
        fit.step()
    print(json.dumps({"peak_mb": peak_memory()}))


if __name__ == "__main__":
    main()
