"""The parts of the body's builder that need no anny, and what it shipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from pipeline.body import JOINT_NAMES, BodyModel, load_body, vertex_normals
from pipeline.body.builder import proportions, shape, skeleton, tpose

CLOTHES = Path(__file__).parents[2] / "pipeline" / "studio" / "data" / "clothes.npz"


@pytest.fixture(scope="module")
def free() -> BodyModel:
    return load_body("free")


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


def test_forearms_and_hands_get_their_lengths_and_nothing_else_moves(free: BodyModel) -> None:
    parts = free.v_template, free.J_regressor @ free.v_template, free.weights
    vertices, joints, weights = (part.double().numpy() for part in parts)
    moved, found = proportions.with_arms_of_people(vertices, joints, weights)
    elbow, wrist, hand = (JOINT_NAMES.index(f"left_{name}") for name in ("elbow", "wrist", "hand"))
    for ends, times in (((elbow, wrist), proportions.FOREARM), ((wrist, hand), proportions.HAND)):
        before, after = (places[ends[1]] - places[ends[0]] for places in (joints, found))
        np.testing.assert_allclose(after, times * before, atol=1e-9)
    parts = np.array([name.split("_")[-1] for name in JOINT_NAMES])
    others = weights[:, np.isin(parts, ("elbow", "wrist", "hand"))].sum(1) == 0
    np.testing.assert_array_equal(moved[others], vertices[others])
    kept = ~np.isin(parts, ("wrist", "hand"))
    np.testing.assert_array_equal(found[kept], joints[kept])
    tip = free.vertex_ids["lmiddle"]
    np.testing.assert_allclose(moved[tip] - found[wrist], proportions.HAND * (vertices[tip] - joints[wrist]), atol=1e-9)


def test_the_body_that_ships_has_arms_of_people(free: BodyModel) -> None:
    """de Leva 1996: forearm 0.1545 and 0.1523 of the stature (men, women), hand 0.108 and 0.099; ANSUR: hand 0.11."""
    joints = free.rest_joints(torch.zeros(10)).numpy()
    stature = float(free.stature(torch.zeros(10)))
    for side in ("left", "right"):
        elbow, wrist = (joints[JOINT_NAMES.index(f"{side}_{name}")] for name in ("elbow", "wrist"))
        tip = free.v_template[free.vertex_ids[f"{side[0]}middle"]].numpy()
        assert np.linalg.norm(wrist - elbow) / stature == pytest.approx(0.153, abs=0.003)
        assert np.linalg.norm(tip - wrist) / stature == pytest.approx(0.108, abs=0.003)


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
