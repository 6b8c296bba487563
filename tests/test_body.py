"""The body model: closed forms, gradients, smplx as an independent reference, and what its files may hold."""

import os
import pickle
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy import sparse
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, PARENTS, BodyModel, load_body, skin, vertex_normals
from pipeline.body.load import FREE_BODY, SMPL_VERTEX_IDS, body_from_arrays
from pipeline.errors import UserError
from pipeline.rotations import axis_angle_to_matrix

ELBOW = JOINT_NAMES.index("left_elbow")


@pytest.fixture(scope="module")
def free() -> BodyModel:
    return load_body("free", torch.float64)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(FREE_BODY) as archive:
        return {key: archive[key] for key in archive.files}


def random_motion(frames: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """global_orient, body_pose, betas, transl."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((frames, 3), (frames, 69), (10,), (frames, 3))
    return tuple(0.5 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)


def small_body(free: BodyModel, vertices: int = 30, blend_shapes: bool = True) -> BodyModel:
    """A few vertices of the free body, with pose blend shapes, for tests that evaluate it very often."""
    rng = np.random.default_rng(0)
    keep = torch.from_numpy(rng.choice(len(free.v_template), vertices, replace=False))
    regressor = torch.from_numpy(rng.dirichlet(np.ones(vertices), 24))
    posedirs = 0.01 * torch.from_numpy(rng.normal(size=(vertices, 3, 207)))
    return replace(
        free,
        v_template=free.v_template[keep],
        shapedirs=free.shapedirs[keep],
        posedirs=posedirs if blend_shapes else torch.zeros_like(posedirs),
        J_regressor=regressor,
        weights=free.weights[keep],
    )


# ---------------------------------------------------------------------------------------------- closed forms


def test_at_rest_the_template_is_only_moved(free: BodyModel) -> None:
    transl = torch.tensor([[0.3, -0.2, 4.0]], dtype=torch.float64)
    zero = torch.zeros(1, 72, dtype=torch.float64)
    output = free(zero[:, :3], zero[:, 3:], torch.zeros(10, dtype=torch.float64), transl)
    torch.testing.assert_close(output.vertices[0], free.v_template + transl)
    torch.testing.assert_close(output.joints[0], free.J_regressor @ free.v_template + transl)


def test_global_orient_turns_the_body_about_its_pelvis(free: BodyModel) -> None:
    orient, _, betas, transl = random_motion(2)
    output = free(orient, torch.zeros(2, 69, dtype=torch.float64), betas, transl)
    rest, joints = free.shaped(betas).numpy(), free.rest_joints(betas).numpy()
    for frame in range(2):
        turn = Rotation.from_rotvec(orient[frame].numpy())
        expected = turn.apply(rest - joints[0]) + joints[0] + transl[frame].numpy()
        np.testing.assert_allclose(output.vertices[frame].numpy(), expected, atol=1e-12)


def test_a_bent_elbow_moves_the_forearm_only(free: BodyModel) -> None:
    body_pose = torch.zeros(1, 23, 3, dtype=torch.float64)
    body_pose[0, ELBOW - 1] = torch.tensor([0.1, -1.3, 0.2])
    zero = torch.zeros(1, 3, dtype=torch.float64)
    betas = random_motion(1)[2]
    moved = free(zero, body_pose.flatten(1), betas, zero).vertices[0].numpy()
    rest, elbow = free.shaped(betas).numpy(), free.rest_joints(betas)[ELBOW].numpy()
    turned = Rotation.from_rotvec(body_pose[0, ELBOW - 1].numpy()).apply(rest - elbow) + elbow
    below = [ELBOW, JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("left_hand")]
    share = free.weights[:, below].sum(1, keepdim=True).numpy()
    assert (share == 0).sum() > 9000 and (share > 0.999).sum() > 500
    np.testing.assert_allclose(moved, share * turned + (1 - share) * rest, atol=1e-6)


def test_pose_blend_shapes_are_linear_in_the_joint_rotations(free: BodyModel) -> None:
    body = small_body(free)
    _, body_pose, betas, _ = random_motion(2)
    rotmats = axis_angle_to_matrix(torch.cat([torch.zeros(2, 3), body_pose], 1).unflatten(1, (24, 3)))
    feature = (rotmats[:, 1:] - torch.eye(3, dtype=torch.float64)).reshape(2, 207)
    expected = body.shaped(betas) + torch.einsum("vcp,bp->bvc", body.posedirs, feature)
    torch.testing.assert_close(body.rest_vertices(rotmats, betas), expected)


def test_joints_of_the_output_follow_from_the_transforms(free: BodyModel) -> None:
    orient, body_pose, betas, transl = random_motion(3)
    output = free(orient, body_pose, betas, transl)
    rest = torch.cat([free.rest_joints(betas), torch.ones(24, 1, dtype=torch.float64)], 1)
    torch.testing.assert_close((output.transforms @ rest[..., None])[..., :3, 0], output.joints)
    rotmats = axis_angle_to_matrix(torch.cat([orient, body_pose], 1).unflatten(1, (24, 3)))
    torch.testing.assert_close(free.transforms(rotmats, betas, transl), output.transforms)


def test_skinning_shared_points_equals_skinning_them_for_each_frame(free: BodyModel) -> None:
    orient, body_pose, betas, transl = random_motion(3)
    transforms = free(orient, body_pose, betas, transl).transforms
    points, weights = free.shaped(betas)[::50], free.weights[::50]
    torch.testing.assert_close(skin(points, weights, transforms), skin(points.expand(3, -1, -1), weights, transforms))


@pytest.mark.parametrize("blend_shapes", [True, False])
@pytest.mark.parametrize("at_rest", [True, False])
def test_gradients_against_finite_differences(free: BodyModel, blend_shapes: bool, at_rest: bool) -> None:
    body = small_body(free, vertices=6, blend_shapes=blend_shapes)
    motion = tuple((0 * value if at_rest else value).requires_grad_() for value in random_motion(2))
    assert torch.autograd.gradcheck(lambda *args: body(*args)[:2], motion, eps=1e-6, atol=1e-6)


def test_vertex_normals_of_a_sphere_are_its_points(free: BodyModel) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3)
    points = torch.from_numpy(np.stack([sphere.vertices, 2 * sphere.vertices]))
    normals = vertex_normals(points, torch.from_numpy(sphere.faces))
    assert (normals * points[:1]).sum(-1).min() > 0.999
    lonely = torch.cat([points[0], torch.ones(1, 3, dtype=torch.float64)])
    assert vertex_normals(lonely, torch.from_numpy(sphere.faces))[-1].abs().max() == 0


def test_wrong_shapes_are_named(free: BodyModel) -> None:
    orient, body_pose, betas, transl = random_motion(2)
    with pytest.raises(ValueError, match=r"betas must have shape \(10,\), got \(1, 10\)"):
        free(orient, body_pose, betas[None], transl)
    with pytest.raises(ValueError, match="body_pose"):
        free(orient, body_pose[:, :63], betas, transl)
    with pytest.raises(ValueError, match="transl"):
        free(orient, body_pose, betas, transl[:1])


# --------------------------------------------------------------------------------------------- the free body


def test_the_free_body_is_a_plausible_closed_human(free: BodyModel) -> None:
    mesh = trimesh.Trimesh(free.v_template.numpy(), free.faces.numpy(), process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert 0.05 < mesh.volume < 0.10  # cubic metres, positive when the faces look outwards
    assert 1.65 < mesh.extents[1] < 1.80
    torch.testing.assert_close(free.weights.sum(1), torch.ones(len(free.weights), dtype=torch.float64))
    torch.testing.assert_close(free.J_regressor.sum(1), torch.ones(24, dtype=torch.float64))
    joints = dict(zip(JOINT_NAMES, free.rest_joints(torch.zeros(10, dtype=torch.float64)).numpy()))
    for name, joint in joints.items():
        if name.startswith("left_"):  # the subject's left is at +x when it faces +z, y up
            np.testing.assert_allclose(joint * [-1, 1, 1], joints[name.replace("left", "right")], atol=2e-3)
            assert joint[0] > 0
    assert joints["head"][1] > joints["pelvis"][1] > joints["left_knee"][1] > joints["left_foot"][1]
    assert len(free.vertex_ids) == 21
    nose = free.v_template[free.vertex_ids["nose"]]
    assert nose[2] > joints["head"][2] + 0.1 and abs(nose[0]) < 0.005
    assert FREE_BODY.stat().st_size < 2_000_000


def test_betas_reach_from_short_to_tall_and_from_thin_to_fat(free: BodyModel) -> None:
    def mesh(beta: int, value: float) -> trimesh.Trimesh:
        betas = torch.zeros(10, dtype=torch.float64)
        betas[beta] = value
        return trimesh.Trimesh(free.shaped(betas).numpy(), free.faces.numpy(), process=False)

    assert mesh(0, 2).extents[1] - mesh(0, -2).extents[1] > 0.25
    assert max(mesh(beta, 2).volume / mesh(beta, -2).volume for beta in range(1, 4)) > 1.5
    stretched = [abs(mesh(beta, 2).extents[1] - mesh(beta, -2).extents[1]) for beta in range(1, 10)]
    assert max(stretched) < 0.15


# ---------------------------------------------------------------------------------------------------- smplx


@pytest.mark.parametrize("blend_shapes", [False, True])
def test_same_vertices_and_joints_as_smplx(arrays: dict, tmp_path: Path, blend_shapes: bool) -> None:
    smplx = pytest.importorskip("smplx", reason="smplx is not installed (pip install --no-deps smplx)")
    arrays = dict(arrays)
    if blend_shapes:
        shape = arrays["posedirs"].shape
        arrays["posedirs"] = 0.01 * np.random.default_rng(0).normal(size=shape).astype(np.float32)
    path = tmp_path / "FREE_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol=2))
    body = load_body(path)
    orient, body_pose, betas, transl = (value.float() for value in random_motion(4))
    reference = smplx.SMPL(str(path), vertex_ids=body.vertex_ids, batch_size=4)
    expected = reference(
        global_orient=orient, body_pose=body_pose, betas=betas.expand(4, -1), transl=transl, return_verts=True
    )
    output = body(orient, body_pose, betas, transl)
    assert (output.vertices - expected.vertices).abs().max() < 1e-5
    assert (output.joints - expected.joints[:, :24]).abs().max() < 1e-5


# ---------------------------------------------------------------------------------------------------- files


def smpl_like(betas: int = 10) -> dict[str, object]:
    """Arrays of SMPL's shapes with random values."""
    rng = np.random.default_rng(0)
    vertices = 6890
    regressor = sparse.random(24, vertices, density=1e-3, format="csc", random_state=0)
    return {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": rng.normal(size=(vertices, 3, betas)),
        "posedirs": np.zeros((vertices, 3, 207)),
        "J_regressor": regressor,
        "weights": rng.dirichlet(np.ones(24), vertices),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(24)], np.uint32),
        "f": rng.integers(0, vertices, (100, 3)).astype(np.uint32),
        "bs_style": "lbs",
        "pose_training_info": {"note": "read and left out"},
    }


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> type:
    """A module `chumpy.ch` whose class pickles as chumpy's arrays do: attributes, the values under `x`."""

    class Ch:
        def __init__(self, values: np.ndarray) -> None:
            self.x, self._dirty_vars = values, ()

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return Ch


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_an_smpl_pickle_is_read_without_chumpy(
    chumpy: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, protocol: int
) -> None:
    content = smpl_like(betas=12)
    ch = chumpy(content["shapedirs"])
    payload = pickle.dumps(content | {"shapedirs": ch}, protocol=protocol, fix_imports=True)
    if protocol == 0:  # the name that old versions of scipy gave the class
        payload = payload.replace(b"scipy.sparse._csc", b"scipy.sparse.csc")
    path = tmp_path / "model.pkl"
    path.write_bytes(payload)
    for name in ("chumpy", "chumpy.ch"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it would fail
    body = load_body(path, torch.float64)
    assert body.name == "smpl" and body.vertex_ids == SMPL_VERTEX_IDS
    assert body.shapedirs.shape == (6890, 3, 10)
    np.testing.assert_array_equal(body.shapedirs.numpy(), content["shapedirs"][:, :, :10])
    np.testing.assert_array_equal(body.J_regressor.numpy(), content["J_regressor"].toarray())
    np.testing.assert_array_equal(body.v_template.numpy(), content["v_template"])
    assert body.parents == PARENTS


class Calls:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function: object, *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple:
        return self.function, self.args


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "argument", "named"),
    [
        (os.system, "touch {}", f"{os.name}.system"),
        (eval, "open('{}', 'w')", "eval"),
        (np.save, "{}", "save"),
        (getattr, "{}", "getattr"),
        (Path, "{}", "Path"),
    ],
)
def test_a_pickle_that_calls_anything_else_is_refused_by_name(
    tmp_path: Path, protocol: int, function: object, argument: str, named: str
) -> None:
    trace, path = tmp_path / "trace.npy", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"v_template": Calls(function, argument.format(trace))}, protocol=protocol))
    with pytest.raises(UserError, match=named) as error:
        load_body(path)
    assert str(path) in str(error.value)
    assert not trace.exists()


def test_a_pickle_may_not_reach_into_an_admitted_class(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.")
    with pytest.raises(UserError, match=r"ndarray\.tofile"):
        load_body(path)
    path.write_bytes(b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.")
    with pytest.raises(UserError, match="NdArray"):
        load_body(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2]), pickle.dumps(smpl_like())[:5000]])
def test_a_damaged_pickle_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.pkl") as error:
        load_body(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("v_template", np.zeros((5, 2)), r"'v_template' must be \(V, 3\), found float64 of shape \(5, 2\)"),
        ("shapedirs", np.zeros((13348, 3, 7)), r"'shapedirs' must be .*10 or more.*\(13348, 3, 7\)"),
        ("posedirs", np.zeros((13348, 3, 189)), r"'posedirs' must be .*207.*189"),
        ("J_regressor", np.zeros((24, 100)), r"'J_regressor' must be \(24, 13348\).*\(24, 100\)"),
        ("weights", None, "'weights'.*is missing"),
        ("weights", np.full((13348, 24), np.nan), "'weights'.*not finite"),
        ("f", np.full((4, 3), 13348), "'f' must be"),
        ("kintree_table", np.zeros((2, 24), np.int64), "'kintree_table' must be SMPL's tree"),
        ("name", None, "13348 vertices, SMPL has 6890"),
        ("extra_vertex_ids", np.array([1, 2]), "'extra_vertex_ids'"),
    ],
)
def test_wrong_arrays_are_named(arrays: dict, key: str, value: np.ndarray | None, message: str) -> None:
    changed = dict(arrays)
    if value is None:
        del changed[key]
    else:
        changed[key] = value
    with pytest.raises(UserError, match=message) as error:
        body_from_arrays(changed, "bodies/mine.npz")
    assert str(error.value).startswith("bodies/mine.npz: ")


def test_absent_and_unknown_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^models/SMPL_NEUTRAL\.pkl: .*https://smpl\.is\.tue\.mpg\.de"):
        load_body("models/SMPL_NEUTRAL.pkl")
    Path("body.obj").write_text("")
    with pytest.raises(UserError, match=r"body.obj.*'\.obj'"):
        load_body("body.obj")
    Path("body.npz").write_bytes(b"PK not a zip")
    with pytest.raises(UserError, match=r"body.npz.*npz"):
        load_body("body.npz")
