"""`python -m pipeline STAGE …`: every stage as a command, and the tools around them."""

import argparse
import errno
import importlib
import logging
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from pipeline.formats.claim import claimed
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import setup_logging
from pipeline.runtime.settings import has_section

STAGES = {
    "studio": "render a synthetic clip with its ground truth",
    "decode": "decode a video to frames/",
    "dataset": "take a sequence of a public dataset in place of a video",
    "masks": "find the person: masks/",
    "landmarks": "find landmarks of the person: landmarks.npz",
    "depth": "camera.json, and depth/ where a backend gives it",
    "camera_track": "how the camera moves: camera_track.npz",
    "pose": "estimate the initial motion: pose_init.npz",
    "fit": "refine pose and avatar together: fit/",
    "evaluate": "measure what the refinement changed: metrics.csv",
    "render": "overlay, turntable and novel-pose videos: renders/",
    "export": "PLY, GLB, VRM, AMASS, BVH and TRC files: exports/",
    "report": "one self-contained page: report.html",
    "convert": "a GLB as FBX, USD or Alembic, by your Blender",
    "drive": "the avatar performs any motion: a video, PLY files",
    "aggregate": "gather the metrics of all videos",
    "simulate": "estimators whose errors are known, in place of masks, landmarks, depth and pose",
    "hand-over": "a simulated motion as a file of a tool whose body is another one",
    "branch": "a folder of its own for another fit of the same clip",
    "score": "what only a studio clip can tell of a fit: score.csv",
    "benchmark": "gather the benchmark's fits into tables and a page",
    "learn": "learn from studio films how to correct the detector",
    "weights": "fetch the weight files of the paper preset: models/",
    "kernels": "compile the fit's kernels before the first video",
    "gpu-check": "compare the GPU's renderer and fit with the CPU's",
    "doctor": "say what is installed, what is missing and what mends it",
}
# Errors of the system that a user can do something about: no space, no permission, a file where a folder should be.
_MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
log = logging.getLogger("pipeline")


def main(argv: list[str] | None = None) -> int:
    """Run one stage. Returns the exit status: 0 done, 1 an error the user can mend, 2 a wrong command line."""
    argv = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:12} {text}" for name, text in STAGES.items())
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description=f"The stages, in order:\n{listing}",
        epilog="python -m pipeline STAGE --help tells what a stage reads, writes and takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=STAGES, metavar="STAGE")
    stage = parser.parse_args(argv[:1]).stage
    module = importlib.import_module(f"pipeline.stages.{stage.replace('-', '_')}")
    section = getattr(module, "SECTION", stage)
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline {stage}",
        description=module.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    if has_section(section):
        parser.add_argument(
            "--settings",
            metavar="YAML|FILE",
            help=f"settings that replace those of config/config.yaml, section {section!r}: 'key: value' or a file",
        )
    parser.add_argument("--log", type=Path, metavar="FILE", help="write plain log lines there too")
    args = parser.parse_args(argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled job takes its half-written files away
    try:
        directory = getattr(args, "directory", None)
        setup_logging(args.log, directory.resolve().name if args.log and directory else "")
        with claimed(directory, stage) if directory else nullcontext():  # of one video: there the newest run writes
            module.run(args)
    except UserError as error:
        return _fail(stage, str(error))
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        return _fail(stage, f"{error.filename or 'output'}: {error.strerror}; free some space or choose another folder")
    except KeyboardInterrupt:
        return _fail(stage, "stopped by the user")
    return 0


def _fail(stage: str, message: str) -> int:
    log.error("error: %s: %s", stage, " ".join(message.split()))
    return 1


if __name__ == "__main__":
    sys.exit(main())
