"""kernels: compile what the fit needs on a CPU before the first video waits for it."""

import argparse
import logging
import shutil
import tempfile
from pathlib import Path

import torch

from pipeline.accuracy.gpu_check import make_results, short_fit
from pipeline.runtime.threads import get_threads, set_threads

HELP = """Compile the kernels of the fit now, in about a minute, instead of at the first video. `make install` does so.

reads   nothing; makes a studio clip of its own in a temporary folder, and fits it for some steps
writes  Numba's cache: beside the sources where those can be written, else in the user's cache folder"""
_FEW = {"gaussians": 500, "steps": {"colours": 2, "middle": 4, "full": 14}}  # but all phases
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No argument of its own."""


def run(args: argparse.Namespace) -> None:
    set_threads(get_threads())
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_results(Path(folder))
        short_fit(paths, torch.device("cpu"), _FEW)
        shutil.rmtree(paths.depth)
        short_fit(paths, torch.device("cpu"), _FEW)
    log.info("kernels: compiled")
