"""Anatomical joint centres: where they lie on the mesh, in which bones, and whether they follow shape and pose."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel, load_body
from pipeline.body.anatomy import COCO, H36M, LIMBS, anatomical_centres, anatomical_joints
from pipeline.evaluation.joint_errors import angles
from pipeline.runtime.errors import UserError

ALL = tuple(dict.fromkeys(LIMBS + H36M + COCO))
MEAN = torch.zeros(10, dtype=torch.float64)
# Height above the ground as a share of the stature: Drillis and Contini 1966, arms hanging, so of the legs alone.
HEIGHTS = {"hip": 0.530, "knee": 0.285, "ankle": 0.039}


@pytest.fixture(scope="module")
def free() -> BodyModel:
    return load_body("free", torch.float64)


@pytest.fixture(scope="module")
def rest(free: BodyModel) -> dict[str, np.ndarray]:
    return dict(zip(ALL, anatomical_centres(free, ALL).rest(free, MEAN).numpy()))


def shape(beta: int, value: float) -> torch.Tensor:
    betas = MEAN.clone()
    betas[beta] = value
    return betas


def test_centres_are_weighted_sums_of_vertices(free: BodyModel) -> None:
    regressor = anatomical_centres(free, ALL).regressor
    assert regressor.shape == (len(ALL), len(free.v_template))
    torch.testing.assert_close(regressor.sum(1), torch.ones(len(ALL), dtype=torch.float64))
    assert regressor.min() > -0.05 and regressor.max() <= 1  # averages, next to no extrapolation


def test_left_mirrors_right_and_each_lies_inside_the_body(free: BodyModel, rest: dict) -> None:
    for name, place in rest.items():
        mirrored = {"l": "r", "r": "l"}.get(name[0]) + name[1:] if name[1] == "_" else name
        np.testing.assert_allclose(place * [-1, 1, 1], rest[mirrored], atol=2e-3)
        assert name[:2] != "l_" or place[0] > 0.02
    mesh = trimesh.Trimesh(free.v_template.numpy(), free.faces.numpy(), process=False)
    inner = [name for name in ALL if name not in ("nose", "head_top", "l_eye", "r_eye", "l_ear", "r_ear")]
    assert mesh.contains(np.stack([rest[name] for name in inner])).all()


def test_places_agree_with_anthropometry(free: BodyModel, rest: dict) -> None:
    ground, stature = free.v_template[:, 1].min().item(), free.stature(MEAN).item()
    for part, height in HEIGHTS.items():
        assert abs((rest[f"l_{part}"][1] - ground) / stature - height) < 0.015, part
    assert rest["l_hip"][2] > rest["l_knee"][2] > rest["l_ankle"][2]  # standing, the leg leans a little forward
    straight = [angles(np.stack([rest[name] for name in LIMBS])[None])[part] for part in ("knee", "elbow")]
    assert np.min(straight) > 174
    hips = np.linalg.norm(rest["l_hip"] - rest["r_hip"])
    assert 0.15 < hips < 0.19  # Bell et al. 1990: 72% of the width of the pelvis, which is 0.22 to 0.26
    assert rest["head_top"][1] == pytest.approx(ground + stature, abs=3e-3)
    assert rest["nose"][2] > rest["l_eye"][2] > rest["l_ear"][2]


def test_a_shoulder_lies_half_a_decimetre_under_the_skin_above_it(free: BodyModel, rest: dict) -> None:
    """Its head's radius (24 mm), the gap above it (10), the acromion (8) and the skin; OpenSim's marker has 53.5 mm."""
    mesh = trimesh.Trimesh(free.v_template.numpy(), free.faces.numpy(), process=False)
    above = mesh.ray.intersects_location([rest["l_shoulder"]], [[0, 1, 0]])[0][:, 1].min()
    assert 0.045 < above - rest["l_shoulder"][1] < 0.058
    upper_arm = np.linalg.norm(rest["l_elbow"] - rest["l_shoulder"])
    assert upper_arm / free.stature(MEAN).item() == pytest.approx(0.162, abs=0.006)  # de Leva 1996


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("part", ["ankle", "elbow", "wrist"])
def test_a_limb_is_cut_at_its_joint_and_halved_at_its_widest(free: BodyModel, rest: dict, side: str, part: str) -> None:
    ends = {"ankle": ("knee", "ankle"), "elbow": ("shoulder", "wrist")}
    above, below = ends.get(part, ("elbow", "wrist"))
    joints = dict(zip(JOINT_NAMES, free.rest_joints(MEAN).numpy()))
    joint, centre = joints[f"{side}_{part}"], rest[f"{side[0]}_{part}"]
    normal = joints[f"{side}_{above}"] - joints[f"{side}_{below}"]
    assert abs((centre - joint) @ normal / np.linalg.norm(normal)) < 1e-6
    # The outline by trimesh, whose middle along the axis of the joint lies halfway between its outermost points.
    mesh = trimesh.Trimesh(free.v_template.numpy(), free.faces.numpy(), process=False)
    loops = mesh.section(normal, joint).discrete
    outline = min(loops, key=lambda loop: np.linalg.norm(loop.mean(0) - joint))
    axis = {"elbow": 1, "wrist": 2}.get(part, 0)
    lowest, highest = outline[:, axis].min(), outline[:, axis].max()
    assert centre[axis] == pytest.approx((lowest + highest) / 2, abs=0.05 * (highest - lowest))


@pytest.mark.parametrize("side", ["l", "r"])
def test_a_knee_is_halfway_through_the_leg_at_the_height_of_the_epicondyles(
    free: BodyModel, rest: dict, side: str
) -> None:
    vertices, knee = free.v_template.numpy(), rest[f"{side}_knee"]
    lowest, highest = vertices[:, 1].min(), vertices[:, 1].max()
    assert (knee[1] - lowest) / (highest - lowest) == pytest.approx(0.285, abs=1e-3)
    mesh = trimesh.Trimesh(vertices, free.faces.numpy(), process=False)
    outline = min(mesh.section([0, 1, 0], knee).discrete, key=lambda loop: np.linalg.norm(loop.mean(0) - knee))
    middle = (outline.min(0) + outline.max(0)) / 2
    np.testing.assert_allclose(knee, middle, atol=6e-3)


def test_the_same_surface_with_other_triangles_has_the_same_centres(free: BodyModel, rest: dict) -> None:
    corners, faces = free.v_template.numpy(), free.faces.numpy()
    fine, fine_faces = trimesh.remesh.subdivide(corners, faces)
    regressor = np.zeros((24, len(fine)))
    regressor[:, : len(corners)] = free.J_regressor.numpy()  # subdividing keeps the first vertices
    np.testing.assert_allclose(fine[: len(corners)], corners)
    other = replace(
        free,
        v_template=torch.as_tensor(fine),
        shapedirs=torch.zeros(len(fine), 3, 10, dtype=torch.float64),
        J_regressor=torch.as_tensor(regressor),
        faces=torch.as_tensor(fine_faces),
    )
    places = anatomical_centres(other, ALL).rest(other, MEAN).numpy()
    np.testing.assert_allclose(places, np.stack([rest[name] for name in ALL]), atol=3e-3)


@pytest.mark.parametrize(("beta", "value"), [(0, 2.0), (0, -2.0), (1, 2.0), (1, -2.0), (2, 2.0), (3, 2.0)])
def test_centres_follow_the_shape(free: BodyModel, beta: int, value: float) -> None:
    betas = shape(beta, value)
    other = replace(free, v_template=free.shaped(betas))
    found = anatomical_centres(other).rest(other, MEAN).numpy()  # by anatomy on this very shape
    followed = anatomical_centres(free).rest(free, betas).numpy()
    moved = np.linalg.norm(followed - anatomical_centres(free).rest(free, MEAN).numpy(), axis=1)
    assert np.linalg.norm(found - followed, axis=1).max() < 0.025
    assert beta != 0 or moved.max() > 0.05


def test_each_is_carried_by_its_bone(free: BodyModel) -> None:
    generator = torch.Generator().manual_seed(1)
    orient, pose, betas, transl = (
        0.5 * torch.randn(size, generator=generator, dtype=torch.float64) for size in ((3, 3), (3, 69), (10,), (3, 3))
    )
    posed = dict(zip(LIMBS, anatomical_joints(free, orient, pose, betas, transl).unbind(1)))
    output = free(orient, pose, betas, transl)
    still = dict(zip(LIMBS, anatomical_centres(free).rest(free, betas).unbind(0)))
    rest_joints, joints = free.rest_joints(betas), output.joints
    carried = {"knee": "hip", "ankle": "knee", "elbow": "shoulder", "wrist": "elbow", "shoulder": "collar"}
    for part, bone in carried.items():
        k = JOINT_NAMES.index(f"left_{bone}")
        turn = output.transforms[:, k, :3, :3]
        expected = turn @ (still[f"l_{part}"] - rest_joints[k]) + joints[:, k]
        torch.testing.assert_close(posed[f"l_{part}"], expected)
    # A turn of the whole body turns all centres with it; a bent knee leaves its own centre and moves the ankle's.
    turned = torch.as_tensor(Rotation.from_rotvec([0.4, 1.0, -0.3]).as_matrix())
    orients = (turned @ torch.as_tensor(Rotation.from_rotvec(orient.numpy()).as_matrix())).numpy()
    orient_turned = torch.as_tensor(Rotation.from_matrix(orients).as_rotvec())
    again = anatomical_joints(free, orient_turned, pose, betas, transl)
    pelvis, pelvis_again = joints[:, 0], free(orient_turned, pose, betas, transl).joints[:, 0]
    first = torch.stack([posed[name] for name in LIMBS], 1)
    torch.testing.assert_close(again - pelvis_again[:, None], (first - pelvis[:, None]) @ turned.T)
    bent = pose.unflatten(1, (23, 3)).clone()
    bent[:, JOINT_NAMES.index("left_knee") - 1] += torch.tensor([0.8, 0.0, 0.0], dtype=torch.float64)
    after = dict(zip(LIMBS, anatomical_joints(free, orient, bent.flatten(1), betas, transl).unbind(1)))
    torch.testing.assert_close(after["l_knee"], posed["l_knee"])
    assert (after["l_ankle"] - posed["l_ankle"]).norm(dim=1).min() > 0.1


def test_a_body_without_the_landmark_is_refused(free: BodyModel) -> None:
    with pytest.raises(UserError, match="'nose' is not among its landmark vertices"):
        anatomical_centres(replace(free, vertex_ids={}), COCO)
    assert anatomical_centres(replace(free, vertex_ids={})).names == LIMBS
