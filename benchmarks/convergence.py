"""`python -m benchmarks.convergence results/a results/b`: how good the picture is, against seconds of the fit.

Reads fit/history.csv of finished runs. Its seconds begin where the fit does, so that the alignment of poses before the
first step counts. PSNR is that of the person in the frames drawn: noisy, and of frames that the avatar is trained on.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.formats.paths import VideoDir

_SMOOTH = 5  # rows of the history whose mean is drawn


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and PSNR of the person (dB) of a run's history, as they are. (rows,), (rows,)

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
    seconds, psnr = zip(*kept)
    return np.array(seconds), np.array(psnr)


def plot(folders: list[Path], out: Path) -> None:
    """Draw a curve for each run to a PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for folder in folders:
        seconds, psnr = read(folder)
        count = min(_SMOOTH, len(psnr))
        mean = np.convolve(psnr, np.full(count, 1 / count), mode="valid")
        axes.plot(seconds[count - 1 :], mean, label=str(folder))
    axes.set(xlabel="seconds of the fit", ylabel="PSNR of the person, dB")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convergence", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="results/<video>")
    parser.add_argument("--out", type=Path, default=Path("results/convergence.png"))
    args = parser.parse_args()
    try:
        plot(args.folders, args.out)
    except UserError as error:
        raise SystemExit(str(error)) from error
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
