"""Cloth that moves: what a pose changes of Gaussians beyond the skinning."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from pipeline.avatar import Avatar, render_avatar
from pipeline.avatar.cloth import Cloth, Features
from pipeline.body import JOINT_NAMES, BodyModel, load_body
from pipeline.formats.avatar import AvatarFile
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.runtime.errors import UserError

COUNT, FRAMES, FEATURES = 60, 20, 3
ELBOW, WRIST, SHOULDER, KNEE = (JOINT_NAMES.index(f"left_{part}") for part in ("elbow", "wrist", "shoulder", "knee"))


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("free")


def transforms(body: BodyModel, elbow: float, knee: float = 0.0, turn: float = 0.0, axis: int = 1) -> torch.Tensor:
    """An elbow and a knee bent, the whole body turned and carried off. [24, 4, 4]"""
    pose = torch.zeros(24, 3)
    pose[ELBOW, axis], pose[KNEE, 0], pose[0, 1] = elbow, knee, turn
    return body.transforms(axis_angle_to_matrix(pose)[None], torch.zeros(10), torch.tensor([[0.3, -turn, 2.0]]))[0]


@pytest.fixture(scope="module")
def features(body: BodyModel) -> Features:
    """Of a clip in which the elbow bends by up to one radian, and the knee otherwise."""
    angles = torch.linspace(0, 1, FRAMES)
    return Features.of(torch.stack([transforms(body, float(a), float((5 * a).sin())) for a in angles]), FEATURES)


@pytest.fixture(scope="module")
def plain(body: BodyModel) -> Avatar:
    index = torch.linspace(0, len(body.v_template) - 1, COUNT).long()
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(COUNT, 1)
    look = torch.full((COUNT, 3), 0.01), torch.full((COUNT,), 0.9), torch.zeros(COUNT, 4, 3)
    return Avatar(body.v_template[index], quats, *look, body.weights[index], torch.zeros(10))


@pytest.fixture(scope="module")
def moving(plain: Avatar, features: Features) -> Avatar:
    random = torch.randn(2, COUNT, FEATURES, 3, generator=torch.Generator().manual_seed(1))
    return dataclasses.replace(plain, cloth=Cloth(features, 0.01 * random[0], 0.1 * random[1]))


def test_features_are_those_of_the_pose_around_each_joint(body, features):
    straight, bent = (features(transforms(body, elbow)) for elbow in (0.1, 0.9))
    change = (bent - straight).abs().amax(1)
    for joint in (ELBOW, WRIST, SHOULDER):
        assert change[joint] > 1
    assert change[KNEE] < 1e-4 and change[0] < 1e-4  # what arms do tells nothing of trousers
    # Where the person stands and which way they face does not count.
    torch.testing.assert_close(features(transforms(body, 0.9, turn=2.0)), bent, atol=1e-4, rtol=0)


def test_the_first_feature_has_unit_variance_and_the_mean_pose_none(body, features):
    shown = torch.stack([features(transforms(body, float(a))) for a in torch.linspace(0, 1, FRAMES)])
    assert shown[:, ELBOW, 0].std(correction=0) == pytest.approx(1, abs=1e-3)
    assert shown[:, ELBOW].mean(0).abs().max() < 1e-3


@pytest.mark.parametrize(("elbow", "axis"), [(2.5, 1), (-1.2, 1), (1.3, 0)])
def test_it_is_off_far_from_all_poses_that_were_seen(body, features, elbow, axis):
    seen = features(transforms(body, 1.0))[ELBOW].norm()
    assert features(transforms(body, elbow, axis=axis))[ELBOW].norm() < 0.05 * seen


def test_it_fades_and_does_not_jump(body, features):
    angles = torch.linspace(0.9, 2.5, 300)
    values = torch.stack([features(transforms(body, float(a)))[ELBOW] for a in angles])
    assert (values[1:] - values[:-1]).norm(dim=1).max() < 0.05
    assert (values.norm(dim=1)[1:] < values.norm(dim=1)[:-1] + 0.03).all()


def test_fewer_frames_than_features(body):
    two = torch.stack([transforms(body, elbow) for elbow in (0.2, 0.6)])
    features = Features.of(two, 4)
    assert features(two[0]).isfinite().all() and features(two[0])[ELBOW, 0].abs() > 0.5
    assert Features.of(two[:1], 4)(two[1]).abs().max() == 0


def test_changes_of_nothing_change_nothing(plain, moving, body):
    still = dataclasses.replace(
        plain, cloth=Cloth(moving.cloth.features, *[torch.zeros(COUNT, FEATURES, 3) for _ in range(2)])
    )
    pose = transforms(body, 0.8)
    for a, b in zip(plain.posed(pose), still.posed(pose)):
        assert torch.equal(a, b)


def test_offsets_are_in_the_rest_pose_and_colours_of_degree_0(plain, moving, body):
    pose = transforms(body, 0.8, 0.4)
    means, _, sh = moving.posed(pose)
    shares = (plain.weights @ moving.cloth.features(pose))[..., None]
    shifted = dataclasses.replace(plain, means=plain.means + (shares * moving.cloth.offsets).sum(1))
    torch.testing.assert_close(means, shifted.posed(pose)[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(sh[:, 0], (shares * moving.cloth.colours).sum(1), atol=1e-6, rtol=0)
    assert torch.equal(sh[:, 1:], plain.sh[:, 1:])


def test_gradients_agree_with_finite_differences(moving, body):
    features = Features(*(value.double() for value in vars(moving.cloth.features).values()))
    weights, some = moving.weights.double()[:4], slice(0, 4)
    inputs = [moving.cloth.offsets[some], moving.cloth.colours[some], moving.means[some], moving.sh[some]]

    def changed(offsets, colours, means, sh, pose):
        return Cloth(features, offsets, colours).changed(means, sh, weights, pose)

    # Within the range, and beyond it, where it fades
    for elbow in (0.43, 1.15):
        pose = transforms(body, elbow).double().requires_grad_()
        assert gradcheck(changed, [*(value.double().requires_grad_() for value in inputs), pose])


def test_the_file_keeps_it(moving, plain, body, tmp_path):
    moving.to_file(body, "camel", np.ones(FRAMES, bool)).save(tmp_path / "avatar.npz")
    again = Avatar.from_file(AvatarFile.load(tmp_path / "avatar.npz"), body)
    pose = transforms(body, 0.8, 0.4)
    for a, b in zip(again.posed(pose), moving.posed(pose)):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    plain.to_file(body, "camel", np.ones(FRAMES, bool)).save(tmp_path / "plain.npz")
    assert AvatarFile.load(tmp_path / "plain.npz").cloth is None


def test_a_file_with_half_of_it_is_refused(moving, body, tmp_path):
    file = moving.to_file(body, "camel", np.ones(FRAMES, bool))
    file.save(tmp_path / "avatar.npz")
    with np.load(tmp_path / "avatar.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "cloth_colours"}
    np.savez(tmp_path / "avatar.npz", **kept)
    with pytest.raises(UserError, match="cloth_colours"):
        AvatarFile.load(tmp_path / "avatar.npz")
    with pytest.raises(UserError, match="cloth_offsets"):
        dataclasses.replace(file, cloth=dataclasses.replace(file.cloth, offsets=file.cloth.offsets[:-1],
                                                            colours=file.cloth.colours[:-1]))  # fmt: skip


def test_it_is_drawn(plain, moving, body):
    K = torch.tensor([[60.0, 0, 24], [0, 60, 24], [0, 0, 1]])
    pose = torch.zeros(72)
    pose[3 * ELBOW + 1] = 0.9
    where = pose[:3], pose[3:], torch.tensor([0.0, 0.2, 2.5]), K, 48, 48
    images = [render_avatar(avatar, body, *where)[0] for avatar in (plain, moving)]
    assert (images[0] - images[1]).abs().max() > 0.01
