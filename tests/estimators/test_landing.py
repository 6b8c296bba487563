"""An imported motion of another body, set down on the person that the landmarks show."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.body import load_body
from pipeline.estimators.landing import Landed, land, outline_overlap
from pipeline.geometry.mesh_raster import rasterize
from pipeline.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from pipeline.landmarks.on_body import landmark_map

BODY = load_body("free")
MARKS = landmark_map(BODY)
FPS, FRAMES, SIZE = 20.0, 24, 160
K = torch.tensor([[200.0, 0.0, SIZE / 2], [0.0, 200.0, SIZE / 2], [0.0, 0.0, 1.0]])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def truth() -> Landed:
    """A tall person who walks past and swings arms and legs."""
    t = torch.arange(FRAMES) / FPS
    rotations = torch.zeros(FRAMES, 24, 3)
    rotations[:, 0, 0] = 3.05  # about upright in OpenCV's axes
    for joint, sign in ((1, 1.0), (2, -1.0), (16, -0.5), (17, 0.5)):
        rotations[:, joint, 0] = sign * 0.5 * torch.sin(2 * np.pi * t)
    rotations[:, 16, 2], rotations[:, 17, 2] = -1.1, 1.1
    pelvis = torch.stack([0.4 * (t - t.mean()), 0.02 * torch.cos(4 * np.pi * t), 3.0 + 0.3 * t], 1)
    return Landed(rotations, torch.tensor([2.0, -1.0, 0.5, 0, 0, 0, 0, 0, 0, 0]), pelvis)


def posed(motion: Landed) -> tuple[torch.Tensor, torch.Tensor]:
    """Landmarks in pixels, and joints."""
    rest = BODY.rest_joints(motion.betas)
    world = BODY.world_joints(axis_angle_to_matrix(motion.rotations), motion.betas, motion.pelvis - rest[0])
    points = MARKS.posed(world, rest, MARKS.rest(motion.betas, torch.zeros(len(MARKS.names), 3)))
    xy = points @ K.T
    return xy[..., :2] / xy[..., 2:], world[..., :3, 3]


@pytest.fixture(scope="module")
def xy(truth: Landed) -> torch.Tensor:
    return posed(truth)[0]


@pytest.fixture(scope="module")
def masks(truth: Landed) -> list[np.ndarray]:
    rest = BODY.rest_joints(truth.betas)[0]
    pose = truth.rotations
    vertices = BODY(pose[:, 0], pose[:, 1:].flatten(1), truth.betas, truth.pelvis - rest).vertices.double().numpy()
    drawn = (rasterize(mesh, BODY.faces.numpy(), K.numpy(), SIZE, SIZE).mask for mesh in vertices)
    return [255 * mask.astype(np.uint8) for mask in drawn]


def foreign(truth: Landed) -> Landed:
    """The motion as a tool with another body tells it: mean shape, other rest directions, pelvis, and distance."""
    generator = torch.Generator().manual_seed(3)
    rest = axis_angle_to_matrix(0.08 * torch.randn(24, 3, generator=generator))
    turned = matrix_to_axis_angle(axis_angle_to_matrix(truth.rotations) @ rest)
    return Landed(turned, torch.zeros(10), 1.08 * truth.pelvis + torch.tensor([0.0, 0.06, 0.0]))


def test_a_foreign_motion_lands_on_the_person(truth: Landed, xy: torch.Tensor, masks: list[np.ndarray]) -> None:
    imported = foreign(truth)
    landed = land(BODY, imported, 1.0, MARKS, xy, torch.ones(xy.shape[:2]), K, FPS)
    before, after = (outline_overlap(BODY, motion, masks, K.numpy()) for motion in (imported, landed))
    assert before < 0.7 and after > 0.9
    assert (posed(landed)[0] - xy).norm(dim=-1).mean() < 1.0 < (posed(imported)[0] - xy).norm(dim=-1).mean()
    joints, wanted = posed(landed)[1], posed(truth)[1]
    about = (joints - joints[:, :1]) - (wanted - wanted[:, :1])
    assert about.norm(dim=-1).mean() < 0.04  # of a person whose stature nobody tells


def test_a_motion_that_is_right_stays(truth: Landed, xy: torch.Tensor) -> None:
    landed = land(BODY, truth, 0.1, MARKS, xy, torch.ones(xy.shape[:2]), K, FPS)
    between = axis_angle_to_matrix(landed.rotations).mT @ axis_angle_to_matrix(truth.rotations)
    assert matrix_to_axis_angle(between).norm(dim=-1).max() < 0.02
    assert (landed.pelvis - truth.pelvis).norm(dim=-1).max() < 0.03


def test_how_the_person_moves_is_left(truth: Landed, xy: torch.Tensor) -> None:
    """Every joint is turned by the same from first to last frame, whatever the landmarks say."""
    imported = foreign(truth)
    noisy = xy + 3 * torch.randn(xy.shape, generator=torch.Generator().manual_seed(5))
    landed = land(BODY, imported, 1.0, MARKS, noisy, torch.ones(xy.shape[:2]), K, FPS)
    turns = axis_angle_to_matrix(imported.rotations).mT @ axis_angle_to_matrix(landed.rotations)
    assert (turns - turns[:1]).abs().max() < 1e-4


def test_without_landmarks_nothing_changes(truth: Landed, xy: torch.Tensor) -> None:
    landed = land(BODY, truth, 1.0, MARKS, xy, torch.zeros(xy.shape[:2]), K, FPS)
    for field in dataclasses.fields(Landed):
        assert torch.allclose(getattr(landed, field.name), getattr(truth, field.name), atol=1e-3)


def test_the_overlap_of_the_outline(truth: Landed, masks: list[np.ndarray]) -> None:
    assert outline_overlap(BODY, truth, masks, K.numpy()) > 0.98
    assert outline_overlap(BODY, truth, [np.zeros_like(mask) for mask in masks], K.numpy()) == 0
    aside = dataclasses.replace(truth, pelvis=truth.pelvis + torch.tensor([2.0, 0, 0]))
    assert outline_overlap(BODY, aside, masks, K.numpy()) < 0.01
