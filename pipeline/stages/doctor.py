"""doctor: what is installed, what is missing and what mends it."""

import argparse
import sys

from pipeline.runtime.errors import UserError
from pipeline.setup.doctor import EMBEDDED, MISSING, examine, table
from pipeline.setup.doctor_slurm import examine_slurm

HELP = """Say for each preset, and for a cluster, what is there, what is not, and the command or address that mends it.

reads   nothing but what is installed
writes  nothing; exit status 0 if the embedded preset can run, 1 if not"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No argument of its own."""


def run(args: argparse.Namespace) -> None:
    parts = [*examine(), *examine_slurm()]
    print(table(parts, colours=sys.stdout.isatty()), flush=True)
    lost = [part.name for part in parts if part.preset == EMBEDDED and part.state == MISSING]
    if lost:
        raise UserError(f"the embedded preset lacks {', '.join(lost)}; the lines above say what mends it")
