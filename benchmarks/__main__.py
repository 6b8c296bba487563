"""`python -m benchmarks`: run the benchmarks, print a table, write JSON. See docs/speed.md."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import floor, launches, losses, machine, rasterizers, rendering, scale, stages, start, steps, targets
from benchmarks.rows import Row, table
from pipeline.formats.records import write_json
from pipeline.runtime.progress import setup_logging
from pipeline.runtime.threads import get_threads, set_threads

SECTIONS = ("rasterizer", "losses", "step", "launches", "rendering", "scale", "start", "stages")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast it is; see docs/speed.md.")
    parser.add_argument("--out", type=Path, default=Path("results/bench.json"), help="default: results/bench.json")
    parser.add_argument("--results", type=Path, metavar="DIR", help="a finished results/<video>, for the stages")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the kernels (default: all processors)")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION", help=str(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="tiny scenes, few rounds: whether it runs, not how fast")
    args = parser.parse_args(arguments)
    setup_logging(None)
    threads = args.threads or get_threads()
    torch.set_num_threads(1)  # as the fit does: torch's spinning threads starve the rasterizer's
    set_threads(threads)

    began = time.monotonic()
    about = machine.describe(threads)
    print(f"{about['processor']}, {about['processors']} processors, {threads} threads, {about['system']}")
    measured = floor.measure()
    about["peak_operations_per_second"], about["bandwidth_bytes_per_second"] = measured.operations, measured.bandwidth
    print(f"peak {measured.operations / 1e9:.1f} G operations/s, copy {measured.bandwidth / 1e9:.1f} GB/s", flush=True)
    rows: list[Row] = []
    for name, bench in _plan(args.quick, threads, measured, args.results).items():
        if name in args.only:
            found = bench()
            rows += found
            print(f"\n{table(found)}", flush=True)
    reached = targets.targets(rows)
    print(f"\n{targets.table(reached)}")
    values = {
        "machine": about,
        "quick": args.quick,
        "seconds": round(time.monotonic() - began, 1),
        "rows": [dataclasses.asdict(row) for row in rows],
        "targets": [dataclasses.asdict(target) | {"met": target.met} for target in reached],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, values)
    print(f"\n{values['seconds']:.0f} s; written to {args.out}")


def _plan(
    quick: bool, threads: int, measured: floor.Machine, results: Path | None
) -> dict[str, Callable[[], list[Row]]]:
    """What is run, by section."""
    if quick:
        return {
            "rasterizer": lambda: rasterizers.bench(measured, (300,), (48,), 3, (50, 24)),
            "losses": lambda: losses.bench(300, 48, 3),
            "step": lambda: steps.bench(300, 48, threads, 3, 2),
            "launches": lambda: launches.bench(300, 48),
            "rendering": lambda: rendering.bench(300, 48, threads, 3),
            "scale": lambda: scale.bench(300, (4, 8), (48, 64), threads, 3, memory=False),
            "start": lambda: start.bench(20, 3),
            "stages": lambda: stages.bench(results),
        }
    return {
        "rasterizer": lambda: rasterizers.bench(measured, (7000, 14000, 50000), (256, 512), 9, (300, 64)),
        "losses": lambda: losses.bench(7000, 256, 9),
        # 50 steps: the searches for neighbours, one each 50 steps, count in every round
        "step": lambda: steps.bench(7000, 256, threads, 5, 50),
        "launches": lambda: launches.bench(7000, 256),
        "rendering": lambda: rendering.bench(7000, 512, threads, 9),
        "scale": lambda: scale.bench(7000, (60, 300, 1800), (256, 512, 1080), threads, 9, memory=True),
        "start": lambda: start.bench(250, 9),
        "stages": lambda: stages.bench(results),
    }


if __name__ == "__main__":
    main()
