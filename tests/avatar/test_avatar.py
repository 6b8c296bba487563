"""Posing, binding, seeding and growth of the avatar's Gaussians."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from pipeline.avatar import Avatar, canonical_transforms, legs_apart, pose_gaussians, render_avatar
from pipeline.avatar.avatar import unpose_gaussians
from pipeline.avatar.binding import anchor
from pipeline.avatar.densify import ImageGradients, densify
from pipeline.avatar.gaussians import Gaussians
from pipeline.avatar.seeding import seed_surface
from pipeline.avatar.skinning_grid import SkinningGrid
from pipeline.body import load_body, skin
from pipeline.formats.avatar import AvatarFile
from pipeline.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix

COUNT = 400


@pytest.fixture(scope="module")
def body():
    return load_body("free")


@pytest.fixture(scope="module")
def betas():
    return torch.tensor([0.5, -1.0, 0.3, 0, 0, 0, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def anchors(body, betas):
    faces, barycentric = seed_surface(body.shaped(betas).numpy(), body.faces.numpy(), COUNT, seed=1)
    return anchor(body, betas, torch.as_tensor(faces), torch.as_tensor(barycentric))


@pytest.fixture
def gaussians(anchors):
    return Gaussians.on_surface(anchors, "camel", scale=0.02, opacity=0.9, flatness=5.0)


@pytest.fixture(scope="module")
def posed(body, betas):
    pose = torch.as_tensor(np.random.default_rng(0).normal(0, 0.4, (1, 72)), dtype=torch.float32)
    return body(pose[:, :3], pose[:, 3:], betas, torch.tensor([[0.1, 0.2, 3.0]]))


def test_gaussians_at_vertices_move_with_the_vertices(body, betas, posed):
    rest = body.shaped(betas)
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(len(rest), 1)
    avatar = Avatar(rest, quats, torch.ones(len(rest), 3), torch.ones(len(rest)), torch.zeros(len(rest), 1, 3),
                    body.weights, betas)  # fmt: skip
    means, _, _ = avatar.posed(posed.transforms[0])
    torch.testing.assert_close(means, posed.vertices[0], atol=1e-5, rtol=0)


def test_a_rigid_motion_turns_covariances(gaussians, betas):
    turn = Rotation.from_euler("xyz", [0.3, -2.0, 1.1]).as_matrix()
    transforms = torch.eye(4).repeat(24, 1, 1)
    transforms[:, :3, :3] = torch.as_tensor(turn)
    transforms[:, :3, 3] = torch.tensor([1.0, 2.0, 3.0])
    avatar = gaussians.avatar(betas)
    means, quats, _ = avatar.posed(transforms)

    def covariances(quats):
        rotation = quaternion_to_matrix(quats).double()
        return rotation @ torch.diag_embed(avatar.scales.double() ** 2) @ rotation.transpose(1, 2)

    turned = torch.as_tensor(turn)
    expected = turned @ covariances(avatar.quats) @ turned.T
    torch.testing.assert_close(covariances(quats), expected, atol=1e-8, rtol=1e-4)
    moved = avatar.means.double() @ turned.T + torch.tensor([1.0, 2, 3])
    torch.testing.assert_close(means.double(), moved, atol=1e-6, rtol=0)


def test_the_rotation_of_a_blended_gaussian_lies_between_its_joints():
    transforms = torch.eye(4).repeat(24, 1, 1)
    transforms[4, :3, :3] = axis_angle_to_matrix(torch.tensor([1.2, 0.0, 0.0]))
    weights = torch.zeros(1, 24)
    weights[0, 1] = weights[0, 4] = 0.5
    _, quats = pose_gaussians(torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]), weights, transforms)
    torch.testing.assert_close(quaternion_to_matrix(quats)[0], axis_angle_to_matrix(torch.tensor([0.6, 0.0, 0.0])))


def test_unposing_inverts_posing(gaussians, betas, posed):
    avatar = gaussians.avatar(betas)
    means, quats = unpose_gaussians(*avatar.posed(posed.transforms[0])[:2], avatar.weights, posed.transforms[0])
    torch.testing.assert_close(means, avatar.means, atol=1e-4, rtol=0)
    torch.testing.assert_close(quaternion_to_matrix(quats), quaternion_to_matrix(avatar.quats), atol=1e-5, rtol=0)


def test_the_file_holds_canonical_space_and_gives_the_avatar_back(tmp_path, body, gaussians, betas):
    avatar = gaussians.avatar(betas)
    avatar.to_file(body, "camel", np.array([True, False])).save(tmp_path / "avatar.npz")
    file = AvatarFile.load(tmp_path / "avatar.npz")
    apart = skin(avatar.means, avatar.weights, canonical_transforms(body, betas, legs_apart())[None])[0]
    np.testing.assert_allclose(file.means, apart.numpy(), atol=1e-6)
    feet = file.means[file.means[:, 1] < file.means[:, 1].min() + 0.1]
    assert np.abs(feet[:, 0]).min() > 0.25, "legs are apart"
    again = Avatar.from_file(file, body)
    torch.testing.assert_close(again.means, avatar.means, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.scales, avatar.scales)
    assert list(file.train_frames) == [True, False]


def test_rendering_shows_the_person_where_the_body_is(body, gaussians, betas, posed):
    pose = torch.as_tensor(np.random.default_rng(0).normal(0, 0.4, 72), dtype=torch.float32)
    K = torch.tensor([[120.0, 0, 48], [0, 120, 48], [0, 0, 1]])
    avatar = gaussians.avatar(betas)
    image, alpha = render_avatar(
        avatar, body, pose[:3], pose[3:], torch.tensor([0.1, 0.2, 3.0]), K, 96, 96, background=torch.ones(3)
    )
    assert image.shape == (96, 96, 3) and alpha.shape == (96, 96)
    # Points that are spread evenly: most vertices are in hands and face, between whose few Gaussians there are gaps.
    faces, barycentric = seed_surface(posed.vertices[0].numpy(), body.faces.numpy(), 4000, seed=2)
    corners = posed.vertices[0][body.faces[torch.as_tensor(faces)]]
    place = (torch.as_tensor(barycentric, dtype=torch.float32)[..., None] * corners).sum(1) @ K.T
    pixels = (place[:, :2] / place[:, 2:]).long()
    inside = ((pixels >= 0) & (pixels < 96)).all(1)
    seen = alpha[pixels[inside, 1], pixels[inside, 0]]
    assert (seen > 0.5).float().mean() > 0.92
    assert (alpha > 0.5).float().mean() < 0.5
    assert torch.allclose(image[alpha < 1e-6], torch.ones(3))


def test_seeds_are_even_over_the_area_and_repeatable(body):
    vertices, faces = body.v_template.numpy(), body.faces.numpy()
    index, barycentric = seed_surface(vertices, faces, 1500, seed=0)
    points = (barycentric[..., None] * vertices[faces[index]]).sum(1)
    assert (barycentric >= 0).all() and np.allclose(barycentric.sum(1), 1, atol=1e-6)
    spacing = cKDTree(points).query(points, k=2)[0][:, 1]
    corners = vertices[faces]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    # A hexagonal lattice has a spacing of 1.07 sqrt(area / count), random points half of that on average.
    assert np.median(spacing) > 0.68 * np.sqrt(area / 1500)
    torso = np.abs(points[:, 0]) < 0.15
    assert torso.mean() > 0.3, "vertices would put a tenth there"
    again, _ = seed_surface(vertices, faces, 1500, seed=0)
    assert (index == again).all()


def test_offsets_are_along_the_tangent_frame(gaussians, anchors):
    gaussians.params["offsets"][:, 2] = 0.01
    torch.testing.assert_close(gaussians.posable().means, anchors.points + 0.01 * anchors.normals)


def test_thickness_moves_the_skin_of_its_joint_outwards(gaussians, anchors):
    gaussians.thickness = torch.zeros(24)
    gaussians.thickness[4] = 0.02  # left knee
    moved = (gaussians.posable().means - anchors.points).norm(dim=1)
    torch.testing.assert_close(moved, 0.02 * anchors.weights[:, 4], atol=1e-7, rtol=1e-4)


def test_gaussians_on_mesh_stay_over_their_anchor(anchors):
    bound = Gaussians.on_surface(anchors, "gom", scale=0.02, opacity=0.9, flatness=5.0)
    bound.params["offsets"] = torch.randn(COUNT, 3) * 0.01
    bound.params["quats"] = torch.randn(COUNT, 4)
    bound.params["log_scales"] += torch.randn(COUNT, 3)
    values = bound.posable()
    sideways = torch.linalg.cross(values.means - anchors.points, anchors.normals)
    assert sideways.norm(dim=1).max() < 1e-6
    axes = quaternion_to_matrix(values.quats)[..., 2]
    torch.testing.assert_close(axes, anchors.normals, atol=1e-5, rtol=0)
    assert (values.scales[:, 2] < values.scales[:, :2].max(1).values).all()


def test_learned_skinning_weights_go_into_the_avatar_whatever_its_shape(body, betas, anchors):
    bound = Gaussians.on_surface(anchors, "lsw", scale=0.02, opacity=0.9, flatness=5.0)
    bound.skinning = SkinningGrid.around(body, betas)
    torch.testing.assert_close(bound.posable().weights, anchors.weights, atol=1e-6, rtol=0)
    bound.skinning.differences.normal_(generator=torch.Generator().manual_seed(0))
    weights = bound.avatar(betas).weights
    assert (weights - anchors.weights).abs().max() > 0.1
    torch.testing.assert_close(weights, bound.skinning.weights(anchors.points, anchors.weights))
    change = torch.full((10,), 0.5)
    assert torch.equal(bound.avatar(betas + change, change).weights, weights), "a voxel belongs to a part of the body"


def test_shape_change_moves_gaussians_with_the_body(body, betas, anchors, gaussians):
    change = torch.tensor([0.5, 0.2, -0.3, 0, 0, 0, 0, 0, 0, 0])
    moved = anchor(body, betas + change, anchors.faces, anchors.barycentric)
    torch.testing.assert_close(gaussians.posable(change).means, moved.points, atol=1e-5, rtol=0)


def test_densify_prunes_splits_and_clones(gaussians):
    before = gaussians.posable()
    gaussians.params["logit_opacities"][:10] = -10.0
    gaussians.params["log_scales"][20] = np.log(0.005)
    gradients = torch.zeros(COUNT)
    gradients[[5, 20, 30]] = 1.0  # 5 is transparent: pruned all the same; 20 is small: cloned; 30 is broad: split
    index, fresh = densify(gaussians, gradients, 0.5, 0.01, 0.05, 10_000, torch.Generator().manual_seed(0))
    assert len(gaussians) == COUNT - 10 + 2 == len(index)
    assert index.tolist() == [*range(10, COUNT), 20, 30]
    after = gaussians.posable()
    cloned, split = torch.nonzero(index == 20).flatten(), torch.nonzero(index == 30).flatten()
    torch.testing.assert_close(after.means[cloned], before.means[[20, 20]])
    torch.testing.assert_close(after.scales[split], before.scales[[30, 30]] / 1.6)
    assert (after.means[split[0]] - after.means[split[1]]).norm() > 1e-4
    assert fresh.sum() == 3, "the clone, and both halves of the split one"
    assert fresh[split].all() and not fresh[cloned[0]]


def test_densify_keeps_to_the_most_and_takes_the_strongest(gaussians):
    gradients = torch.linspace(0, 1, COUNT)
    index, _ = densify(gaussians, gradients, 0.1, 0.01, 0.05, COUNT + 5, torch.Generator())
    assert index[COUNT:].tolist() == [*range(COUNT - 5, COUNT)]


def test_image_gradients_average_over_the_views_that_saw_it():
    seen = ImageGradients(2, torch.device("cpu"))
    for value, radius in ((3.0, 1), (5.0, 0)):
        means2d = torch.zeros(1, 2, 2, requires_grad=True)
        means2d.grad = torch.tensor([[[value, 0.0], [0.0, 1.0]]])
        seen.add(means2d, torch.tensor([[[radius, radius], [2, 2]]]), 20, 40)
    assert seen.mean().tolist() == [30.0, 20.0]
