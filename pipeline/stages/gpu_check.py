"""gpu-check: whether the GPU renders and fits as the CPU does, and how fast."""

import argparse
import platform
import tempfile
from pathlib import Path

import torch

from pipeline.accuracy.gpu_check import (
    LARGEST_ERROR,
    LEAST_COSINE,
    compare,
    fit_difference,
    make_results,
    make_scene,
    render_with_gradients,
    short_fit,
    time_rendering,
)
from pipeline.runtime.errors import UserError
from pipeline.splatting import cpu, rasterization

HELP = """Compare gsplat on the GPU with the CPU rasterizer: a small scene's image and every gradient, then a short fit.

reads   nothing; makes a studio clip of its own in a temporary folder
writes  nothing; exit status 1 where they differ or there is no GPU"""
_JOINTS = 5.0  # millimetres between the two fits: their roundings differ, and 200 steps carry that on
_PSNR = 0.5  # dB


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No argument of its own."""


def run(args: argparse.Namespace) -> None:
    if not torch.cuda.is_available():
        raise UserError("no GPU that torch can use; run it where there is one (python -m pipeline doctor tells more)")
    gpu, host = torch.device("cuda"), torch.device("cpu")
    print(f"GPU {torch.cuda.get_device_name(0)}, torch {torch.__version__}; CPU {platform.processor()}")
    scene = make_scene()
    expected = render_with_gradients(cpu.rasterization, scene, host)
    differences = compare(render_with_gradients(rasterization, scene, gpu), expected)
    print(f"{'tensor':14} {'error':>9} {'cosine':>9} {'largest':>9}   limits {LARGEST_ERROR:g}, {LEAST_COSINE:g}")
    for found in differences:
        verdict = "ok" if found.ok else "DIFFERS"
        print(f"{found.name:14} {found.error:9.2e} {found.cosine:9.6f} {found.largest:9.2e}   {verdict}")
    for name, function, device, times in (("gsplat", rasterization, gpu, 100), ("CPU", cpu.rasterization, host, 10)):
        print(f"{name}: {time_rendering(function, scene, device, times):.1f} renderings with gradients a second")
    with tempfile.TemporaryDirectory() as folder:
        paths = make_results(Path(folder))
        on_host = short_fit(paths, host)
        plain = short_fit(paths, gpu, {"cuda_graphs": False})
        on_gpu = {"fit without CUDA graphs": plain, "fit": short_fit(paths, gpu)}
    wrong = [found.name for found in differences if not found.ok]
    for name, fit in {"fit on the CPU": on_host, **on_gpu}.items():
        print(f"{name}: {fit.rate:.1f} steps/s, peak {fit.peak / 1e9:.2f} GB, PSNR {fit.psnr:.2f} dB")
    for name, fit in on_gpu.items():
        joints, psnr = fit_difference(fit, on_host)
        print(f"{name}: {joints:.2f} mm a joint and {psnr:.2f} dB from the CPU's (limits {_JOINTS:g} mm, {_PSNR:g} dB)")
        if joints > _JOINTS or psnr > _PSNR:
            wrong.append(f"the {name}")
    if wrong:
        raise UserError(f"the GPU differs from the CPU in {', '.join(wrong)}; the table above says by how much")
