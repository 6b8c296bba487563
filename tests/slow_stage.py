"""Run as a program by test_claim: the stage `decode` replaced by one that writes a folder and a file, and waits inside.

python slow_stage.py HOST decode DIRECTORY TEXT GO: as if on HOST; go on when the file GO is there.
"""

import platform
import sys
import time
from pathlib import Path
from types import ModuleType

from pipeline.__main__ import main
from pipeline.formats.atomic import atomic_directory, atomic_path


def add_arguments(parser) -> None:
    for name in ("directory", "text", "go"):
        parser.add_argument(name, type=Path)


def run(args) -> None:
    file, folder = args.directory / "pose.npz", args.directory / "frames"
    with atomic_path(file) as temporary, atomic_directory(folder) as new:
        temporary.write_text(str(args.text))
        (new / str(args.text)).touch()
        (args.directory / f"{args.text}.waits").touch()
        while not args.go.exists():
            time.sleep(0.01)


if __name__ == "__main__":
    host = sys.argv.pop(1)
    platform.node = lambda: host
    stage = sys.modules["pipeline.stages.decode"] = ModuleType("pipeline.stages.decode")
    stage.HELP, stage.SECTION, stage.add_arguments, stage.run = "A slow stage.", "none", add_arguments, run
    sys.exit(main(sys.argv[1:]))
