"""Standing feet as evidence: which spots they have, what they say of a pose, and what that does to one that slides."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers_fit import short_settings

from pipeline.camera.feet import feet_of
from pipeline.fit.alignment import Alignment, Footing
from pipeline.fit.alignment.footing import footing_equations
from pipeline.fit.data import load_clip
from pipeline.fit.pose_rows import PoseRows
from pipeline.formats.pose import Pose

CPU = torch.device("cpu")
SIGMA = 0.06


@pytest.fixture
def turned(results, body) -> tuple[Pose, PoseRows, Footing, Alignment]:
    """A clip whose world is turned against its camera, two parts of whose feet stand."""
    pose, settings = Pose.load(results.pose_init), short_settings()
    count = len(pose)
    world = np.tile(np.eye(4), (count, 1, 1))
    world[:, :3, :3] = [[0, 0, 1], [0, -1, 0], [1, 0, 0]]
    contact = np.zeros((count, 4))
    contact[:4, 0], contact[2:, 3] = 1.0, 0.8
    pose = dataclasses.replace(
        pose,
        world_from_camera=world,
        global_orient_world=pose.global_orient,
        transl_world=pose.transl,
        contact=contact,
    )
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    rows = PoseRows(pose, body.rest_joints(betas)[0], np.arange(count), settings.knot_spacing, CPU)
    clip = load_clip(results, pose, settings, CPU)
    alignment = Alignment(clip, body, betas, rows, None, None, settings.align, pose.fps, 0)
    return pose, rows, Footing.of(pose, body, betas), alignment


def test_a_spot_is_a_stand_without_a_break(turned) -> None:
    footing = turned[2]
    contact = torch.zeros(6, 4)
    contact[[0, 1, 3, 4], 0] = 1.0
    contact[5, 2] = 0.6
    spots = dataclasses.replace(footing, contact=contact).spots(torch.arange(6))
    assert spots[:, 0].tolist() == [0, 0, -1, 1, 1, -1]
    assert spots[:, 2].tolist() == [-1, -1, -1, -1, -1, 2]
    assert (spots[:, [1, 3]] == -1).all()


def test_normal_equations_are_those_of_autograd(turned, body) -> None:
    """Gradient and Hessian of half the weighted squared distances from the spots, which are held."""
    pose, rows, footing, alignment = turned
    frames = torch.arange(len(pose))
    with torch.no_grad():
        rows.params["rows"] += 0.02 * torch.randn(rows.params["rows"].shape, generator=torch.Generator().manual_seed(0))
    surface = alignment.surface
    hessian, gradient = footing_equations(
        footing, frames, surface.skeletons(rows, frames), surface.rest_joints, surface.subtree, SIGMA
    )
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)

    def places(correction: torch.Tensor, frame: int) -> torch.Tensor:  # [4, 3] in the world
        rotmats, pelvis = rows.apply(frame, correction)
        joints = body.world_joints(rotmats[None], betas, (pelvis - surface.rest_joints[0])[None])[0, footing.owners]
        lever = footing.rest - surface.rest_joints[footing.owners]
        points = (joints[:, :3, :3] @ lever[..., None]).squeeze(-1) + joints[:, :3, 3]
        return points @ footing.world_from_camera[frame, :3, :3].T

    found = torch.stack([places(rows.correction(frame).detach(), frame) for frame in frames.tolist()]).detach()
    for frame, part, stands in ((1, 0, range(4)), (5, 3, range(2, len(pose)))):
        start = rows.correction(frame).detach()
        error = found[frame, part] - found[list(stands), part].mean(0)
        weight = footing.contact[frame, part] * (0.01 / (0.01 + error.square().sum())) ** 2 / SIGMA**2
        jacobian = torch.autograd.functional.jacobian(lambda c, f=frame, p=part: places(c, f)[p], start)  # [3, 75]
        wanted = weight * jacobian.T @ error
        torch.testing.assert_close(gradient[frame, :75], wanted, rtol=2e-3, atol=2e-3 * wanted.abs().max().item())
        wanted = weight * jacobian.T @ jacobian
        torch.testing.assert_close(hessian[frame, :75, :75], wanted, rtol=2e-3, atol=1e-3 * wanted.abs().max().item())
    assert not hessian[:, 75:].any() and not gradient[:, 75:].any()


def test_feet_that_stand_slide_less(turned, body) -> None:
    """What is said to stand is held, against the pictures in which it walks, where the settings believe in it."""
    pose, _, footing, _ = turned
    moved = {}
    for name, told in (("without", None), ("with", footing)):
        _, rows, _, alignment = turned_again(turned, body)
        alignment.footing = told
        for _ in range(3):
            alignment.step("coarse")
        rows.settle()
        found = rows.pose(pose, alignment.surface.rest_joints[0], torch.as_tensor(pose.betas).float(), "test")
        moved[name] = np.linalg.norm(np.diff(feet_of(found, body).middles[:4, 0], axis=0), axis=1).mean()
    assert moved["with"] < 0.7 * moved["without"]


def turned_again(turned, body) -> tuple[Pose, PoseRows, Footing, Alignment]:
    """The same from the start, for what steps change it."""
    pose, _, footing, old = turned
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    settings = short_settings(align=dataclasses.asdict(short_settings().align) | {"sigma_stand": 0.01})
    rows = PoseRows(pose, body.rest_joints(betas)[0], np.arange(len(pose)), settings.knot_spacing, CPU)
    return pose, rows, footing, Alignment(old.clip, body, betas, rows, None, None, settings.align, pose.fps, 0)


def test_nobody_who_stands_says_nothing(turned) -> None:
    _, rows, footing, alignment = turned
    frames, surface = torch.arange(3), alignment.surface
    nobody = dataclasses.replace(footing, contact=torch.zeros_like(footing.contact))
    hessian, gradient = footing_equations(
        nobody, frames, surface.skeletons(rows, frames), surface.rest_joints, surface.subtree, SIGMA
    )
    assert not hessian.any() and not gradient.any()
