"""The GPU check's arithmetic, with the CPU rasterizer in the GPU's place and the slow reference as what is expected."""

import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.accuracy import gpu_check
from pipeline.accuracy.gpu_check import (
    compare,
    fit_difference,
    make_results,
    make_scene,
    render_with_gradients,
    short_fit,
)
from pipeline.splatting import rasterization, reference

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def both() -> tuple[dict, dict]:
    scene = make_scene(150, 40, 32)
    return (
        render_with_gradients(rasterization, scene, CPU),
        render_with_gradients(reference.rasterization, scene, CPU, torch.float64),
    )


def test_the_cpu_agrees_with_the_reference_in_image_and_every_gradient(both) -> None:
    differences = compare(*both)
    names = {found.name for found in differences}
    assert names == {"image", "alphas", *(f"d {name}" for name in gpu_check.PARAMETERS)}
    assert all(found.ok for found in differences), differences
    assert all(both[1][name].abs().max() > 0 for name in names)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: 1.05 * value,
        lambda value: value.roll(1, 0),
        lambda value: torch.zeros_like(value),
        lambda value: value * torch.nan,
    ],
    ids=["longer", "shifted", "zero", "nan"],
)
def test_a_wrong_gradient_is_told(both, spoil) -> None:
    found = both[0] | {"d scales": spoil(both[0]["d scales"])}
    assert [difference.name for difference in compare(found, both[1]) if not difference.ok] == ["d scales"]


def test_the_same_fit_twice_does_not_differ(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(gpu_check, "_CLIP", gpu_check.replace(gpu_check._CLIP, width=96, height=128, frames=6))
    paths = make_results(tmp_path)
    steps = {"colours": 3, "coarse": 6, "middle": 3, "full": 8, "heldout": 0}
    small = {"gaussians": 500, "steps": steps, "crop_sides": {"coarse": 32, "middle": 48, "full": 64}}
    one, other = (short_fit(paths, CPU, small) for _ in range(2))
    assert fit_difference(one, other) == (0, 0)
    assert one.rate > 0 and one.peak > 1e7 and one.joints.shape == (6, 24, 3)
    assert one.psnr > 5
    moved = gpu_check.replace(other, joints=one.joints + np.array([0.003, 0, 0.004]), psnr=one.psnr + 1)
    assert fit_difference(one, moved) == pytest.approx((5, 1), rel=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys) -> None:
    assert main(["gpu-check"]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines == [line for line in lines if line.startswith("error: gpu-check: no GPU")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_agrees_with_the_cpu() -> None:
    assert main(["gpu-check"]) == 0
