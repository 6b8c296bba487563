"""The parts of the body's builder that need no anny, and what it shipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from pipeline.body import JOINT_NAMES, load_body, vertex_normals
from pipeline.body.builder import shape, skeleton, tpose

CLOTHES = Path(__file__).parents[2] / "pipeline" / "studio" / "data" / "clothes.npz"


def samples(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Ellipsoids of many sizes (S, V, 3), and the faces of one."""
    sphere = trimesh.creation.icosphere(subdivisions=3)
    radii = np.random.default_rng(0).uniform(0.8, 1.2, (count, 1, 3)) * (0.1, 0.4, 0.1)
    return sphere.vertices * radii, np.asarray(sphere.faces)


def test_principal_shapes_rebuild_the_bodies_with_betas_of_unit_variance() -> None:
    bodies, faces = samples()
    space = shape.principal_shapes(bodies, faces)
    rebuilt = space.mean + np.einsum("vck,sk->svc", space.directions, space.betas)
    np.testing.assert_allclose(rebuilt, bodies, atol=1e-9)  # three radii: ten directions are more than enough
    np.testing.assert_allclose(space.betas[:, :3].std(0, ddof=1), 1, atol=1e-9)
    assert np.ptp((space.mean + space.directions[:, :, 0])[:, 1]) > np.ptp(space.mean[:, 1])
    assert shape.volume(space.mean, faces) == pytest.approx(4 / 3 * np.pi * 0.1 * 0.4 * 0.1, rel=0.05)


def test_other_points_of_the_same_bodies_follow_their_betas() -> None:
    bodies, faces = samples()
    space = shape.principal_shapes(bodies, faces)
    mean, directions = space.follow(1.1 * bodies[:, :20])
    np.testing.assert_allclose(mean, 1.1 * space.mean[:20], atol=1e-9)
    np.testing.assert_allclose(directions, 1.1 * space.directions[:20], atol=1e-9)


def test_joint_regressor_finds_joints_in_bodies_that_it_has_not_seen() -> None:
    bodies, _ = samples(80)
    joints = np.stack([bodies[:, :40].mean(1), bodies[:, 40:90].mean(1)], axis=1)
    regressor = shape.joint_regressor(bodies[:40], joints[:40], nearest=100)
    np.testing.assert_allclose(regressor.sum(1), 1)
    found = np.einsum("jv,svc->sjc", regressor, bodies[40:])
    assert np.linalg.norm(found - joints[40:], axis=2).max() < 1e-3


def test_bones_give_their_skin_to_joints_of_their_own_side() -> None:
    bones = ["upperarm02.L", "finger2-1.R", "spine02", "breast.L", "toe3-2.R", "jaw", "metacarpal1.L", "pelvis.R"]
    owners = ["left_shoulder", "right_hand", None, "spine3", "right_foot", "head", "left_wrist", "pelvis"]
    weights = skeleton.joint_weights(np.eye(len(bones)), bones)
    np.testing.assert_allclose(weights.sum(1), 1)
    for row, owner in zip(weights, owners):
        if owner:
            assert JOINT_NAMES[int(row.argmax())] == owner and row.max() == 1
    assert {JOINT_NAMES[k] for k in np.flatnonzero(weights[2])} == {"spine1", "spine2", "spine3"}


def test_dual_quaternion_skinning_of_one_bone_is_its_rigid_motion() -> None:
    rng = np.random.default_rng(0)
    rotations = np.stack([tpose._about("z", 90.0), tpose._about("x", -30.0)])
    shifts, points = rng.normal(size=(2, 3)), rng.normal(size=(10, 3))
    for bone in range(2):
        moved = tpose._dual_quaternion_skin(points, np.eye(2)[[bone] * 10], rotations, shifts)
        np.testing.assert_allclose(moved, points @ rotations[bone].T + shifts[bone], atol=1e-12)


def test_garments_fit_around_the_body_and_grow_with_it() -> None:
    body = load_body("free")
    taller = torch.eye(10)[0] * 2
    with np.load(CLOTHES) as clothes:
        for garment in ("tights", "skirt", "hair"):
            points, directions = clothes[f"{garment}_v"], clothes[f"{garment}_shapedirs"]
            np.testing.assert_allclose(clothes[f"{garment}_weights"].sum(1), 1, atol=1e-5)
            assert clothes[f"{garment}_f"].max() < len(points)
            for betas in (0 * taller, taller):
                skin = body.shaped(betas)
                normals = vertex_normals(skin, body.faces).numpy()
                cloth = points + directions @ betas.numpy()
                offset, nearest = cKDTree(skin.numpy()).query(cloth)
                outwards = ((cloth - skin.numpy()[nearest]) * normals[nearest]).sum(1)
                assert np.quantile(outwards, 0.02) > -0.01, garment  # nowhere deep under the skin
                if garment == "tights":
                    assert offset.max() < 0.12
    assert CLOTHES.stat().st_size < 1_000_000
