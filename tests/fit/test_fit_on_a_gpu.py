"""The whole stage on a pretended GPU: nothing of it mixes tensors of the GPU with those of the CPU."""

import argparse
import json
import shutil
from dataclasses import replace

import pytest
import torch
from clip_files import ideal_landmarks
from helpers_fit import SHORT

from pipeline.camera.world import stand_in_clip
from pipeline.fit import loop, rendering
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.landmarks.on_body import landmark_map
from pipeline.splatting import rasterization
from pipeline.stages import fit as stage

if not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"):
    pytest.skip("this torch has no devices in Python", allow_module_level=True)
from pretended_gpu import DEVICE, Placing, Pretended, is_pretended


def on_the_gpu(value):
    return value.to(DEVICE) if isinstance(value, torch.Tensor) else value


def on_the_cpu(value):
    return value.cpu() if isinstance(value, torch.Tensor) else value


def rasterization_there(*scene, **more):
    """The CPU's rasterizer in the place of gsplat."""
    for value in (*scene, *more.values()):
        assert not isinstance(value, torch.Tensor) or is_pretended(value)
    images, alphas, meta = rasterization(*map(on_the_cpu, scene), **{k: on_the_cpu(v) for k, v in more.items()})
    means2d = meta["means2d"]
    there = on_the_gpu(means2d.detach())
    if means2d.requires_grad:
        there.requires_grad_()
        means2d.register_hook(lambda gradient: setattr(there, "grad", on_the_gpu(gradient)))
    meta = {name: on_the_gpu(value) for name, value in meta.items()} | {"means2d": there}
    return on_the_gpu(images), on_the_gpu(alphas), meta


@pytest.fixture
def on_gpu(monkeypatch):
    """The fit takes the pretended GPU, draws there, and keeps no checkpoints: those cannot be written from it."""
    monkeypatch.setattr(stage, "choose_device", lambda name: DEVICE)
    monkeypatch.setattr(rendering, "rasterization", rasterization_there)
    monkeypatch.setattr(loop, "save_checkpoint", lambda *_: None)
    with Placing():
        yield


@pytest.fixture
def standing(results, body, studio_clip, tmp_path) -> VideoDir:
    """A clip with landmarks, contact and a told height, as the pose stage leaves it."""
    folder = VideoDir(tmp_path / "tiny")
    shutil.copytree(results.root, folder.root)
    truth = Pose.load(studio_clip.truth / "pose.npz")
    ideal_landmarks(body, truth, landmark_map(body).names).save(folder.landmarks)
    shutil.copy(studio_clip.truth / "camera_track.npz", folder.camera_track)
    pose = stand_in_clip(Pose.load(folder.pose_init), body, folder, pytest.fail).pose
    assert pose.has_world and pose.contact.any()
    replace(pose, told_height=1.8).save(folder.pose_init)
    return folder


def test_tensors_of_the_cpu_do_not_mix_with_those_of_the_gpu() -> None:
    there = torch.ones(3).to(DEVICE)
    assert isinstance(there + 1, Pretended) and (there * there).cpu().tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="others on the CPU"):
        there + torch.ones(3)
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()


@pytest.mark.parametrize("depth", [True, False])
def test_the_fit_runs_where_its_tensors_are_on_a_gpu(standing, on_gpu, depth) -> None:
    settings = SHORT | {"use_depth": depth, "device": "cuda"}
    stage.run(
        argparse.Namespace(
            directory=standing.root, body_model="free", threads=1, camera=None, settings=json.dumps(settings)
        )
    )
    record = json.loads(standing.provenance("fit").read_text())
    assert record["facts"]["device"] == str(DEVICE) and "verdict" in record["facts"]
    assert Pose.load(standing.pose_refined).sigma is not None
