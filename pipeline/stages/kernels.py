"""kernels: compile what fit, evaluate and render need on a CPU before the first video waits for it."""

import argparse
import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from pipeline.accuracy.gpu_check import make_results, short_fit
from pipeline.body import load_body
from pipeline.evaluation.image_metrics import ssim
from pipeline.fit.settings import FitSettings
from pipeline.fit.unknowns import Unknowns
from pipeline.formats.camera import Camera
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.render.crop import posed_vertices
from pipeline.render.draw import BEFORE
from pipeline.render.overlay import mesh_layer
from pipeline.render.performer import Performer
from pipeline.render.turntable import turntable_frames
from pipeline.runtime.settings import load_settings
from pipeline.runtime.threads import get_threads, set_threads

HELP = """Compile the kernels of fit, evaluate and render now, in about a minute, instead of at the first video.
`make install` does so.

reads   nothing; makes a studio clip of its own in a temporary folder, fits it for some steps, and draws it
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
        _draw(paths)
    log.info("kernels: compiled")


@torch.no_grad()
def _draw(paths: VideoDir) -> None:
    """Draw avatar and mesh of a clip once, and compare two pictures."""
    body, pose = load_body("free"), Pose.load(paths.pose_init)
    settings = load_settings("fit", _FEW, FitSettings)
    unknowns = Unknowns.begin(body, pose, np.arange(len(pose)), settings, torch.device("cpu"))
    performer = Performer(unknowns.avatar(settings.sh_degree), body, pixels_per_metre=100.0)
    (picture,) = turntable_frames(performer, 48, 64, 1)
    image = torch.from_numpy(picture.astype(np.float32) / 255)
    ssim(image, 0.5 * image)
    camera = Camera.load(paths.camera)
    mesh = posed_vertices(body, pose, 0), body.faces.numpy()
    mesh_layer(*mesh, pose.K, camera.width, camera.height, BEFORE, opacity=0.7)
