"""The fit's compiled kernels (float32) against the torch operations that they stand for (float64)."""

from functools import partial

import pytest
import torch
from torch.nn.functional import normalize

from pipeline.avatar import pose_gaussians
from pipeline.avatar.avatar import joint_quaternions
from pipeline.avatar.gaussians import free_gaussians
from pipeline.avatar.posing import Free
from pipeline.body import load_body
from pipeline.fit.adam import RowAdam
from pipeline.fit.pose_rows import PoseRows
from pipeline.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix
from pipeline.losses.camel import Factors, Surface, camel, tips
from pipeline.losses.depth import by_operations, depth_3d, in_sight
from pipeline.losses.pixels import pixel_terms
from pipeline.losses.priors import Neighbours, roughness
from pipeline.losses.search import Searchable
from pipeline.runtime.threads import set_threads

COUNT = 1300  # not a multiple of what kernels work through at once
NO_MARGIN = Factors(
    point_to_mesh=1.0, coverage=0.7, flatness=0.3, surface=0.5, tips=0.4, margin=0.0, ratio=4.0, tip_margin=0.0
)


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request):
    set_threads(request.param)
    yield
    set_threads(None)


def agree(kernel, reference, inputs, constants=(), tolerance=2e-5):
    """Both are given the inputs, then the constants; each output is weighed at random, so that all gradients count."""

    def run(function, dtype):
        leaves = [value.detach().clone().to(dtype).requires_grad_() for value in inputs]
        outputs = function(*leaves, *(cast(value, dtype) for value in constants))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        generator = torch.Generator().manual_seed(1)
        weights = [torch.randn(output.shape, generator=generator, dtype=torch.float64) for output in outputs]
        sum((output * weight.to(dtype)).sum() for output, weight in zip(outputs, weights)).backward()
        return [value.detach().double() for value in outputs] + [value.grad.double() for value in leaves]

    for found, expected in zip(run(kernel, torch.float32), run(reference, torch.float64)):
        assert found.shape == expected.shape
        assert (found - expected).norm() <= tolerance * expected.norm()
        assert expected.norm() > 0


def cast(value, dtype):
    if isinstance(value, Surface):
        return value._replace(points=value.points.to(dtype), normals=value.normals.to(dtype))
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


@pytest.fixture(scope="module")
def body():
    return load_body("free")


@pytest.fixture
def weights(body):
    return body.weights[torch.linspace(0, len(body.weights) - 1, COUNT).long()]


def test_posing(body, weights):
    torch.manual_seed(0)
    turns = axis_angle_to_matrix(0.7 * torch.randn(24, 3))
    transforms = body.transforms(turns[None], torch.zeros(10), torch.randn(1, 3))[0]
    agree(pose_gaussians, pose_gaussians, (torch.randn(COUNT, 3), torch.randn(COUNT, 4), weights, transforms))


@pytest.mark.parametrize("angle", [0.1, 1.0, 3.0])
def test_joints(body, angle):
    """Motions and quaternions of a pose; large angles take each of the four ways to a quaternion."""
    torch.manual_seed(0)
    turns = axis_angle_to_matrix(angle * normalize(torch.randn(24, 3), dim=-1))

    def joints(rotmats, betas, transl):
        model = body.to(dtype=rotmats.dtype)
        transforms = model.transforms(rotmats[None], betas, transl[None])[0]
        return transforms[:, :3], joint_quaternions(transforms)

    agree(joints, joints, (turns, torch.randn(10), torch.randn(3)))


def test_free_gaussians(weights):
    torch.manual_seed(0)
    sizes = (COUNT, 3), (COUNT, 4), (COUNT, 3), (COUNT,), (24,)
    anchors = torch.randn(COUNT, 3), torch.linalg.qr(torch.randn(COUNT, 3, 3))[0], torch.randn(COUNT, 4), weights
    agree(Free.apply, free_gaussians, [torch.randn(size) for size in sizes], anchors)


@pytest.mark.parametrize("with_tips", [True, False])
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_camel(margin, with_tips):
    torch.manual_seed(0)
    points, means = torch.randn(900, 3), torch.randn(COUNT, 3)
    quats, log_scales = torch.randn(COUNT, 4), 0.5 * torch.randn(COUNT, 3)
    ends = tips(means, quaternion_to_matrix(quats), log_scales)[: COUNT * with_tips].flatten(0, 1)
    near = Searchable(points).nearest(means), Searchable(means).nearest(points), Searchable(points).nearest(ends)
    surface = Surface(points, normalize(torch.randn(900, 3), dim=-1), *near[:2], near[2].view(-1, 6))
    factors = NO_MARGIN._replace(margin=margin, tip_margin=margin)
    agree(camel, camel, (means, quats, log_scales), (surface, factors))


@pytest.mark.parametrize("shapes", [[()], [(3,)], [(1, 3), (3, 3), (1,)]])
def test_roughness(shapes):
    torch.manual_seed(0)
    points = torch.rand(COUNT, 3)
    neighbours = Neighbours.of(Searchable(points).nearest(points, count=5)[:, 1:])
    weights = [0.3 * (k + 1) for k in range(len(shapes))]

    def loss(*values):
        return roughness(list(zip(weights, values)), neighbours)

    agree(loss, loss, tuple(torch.randn(COUNT, *shape) for shape in shapes), ())


@pytest.mark.parametrize("offset", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("share", [0.5, 0.01])
def test_depth_3d(offset, share):
    """The nearest point of the cloud is found however far away it is, and where the cloud has holes."""
    torch.manual_seed(0)
    K = torch.tensor([[80.0, 0, 22], [0, 90.0, 28], [0, 0, 1]])
    depth = 3 + 0.03 * torch.randn(60, 40).cumsum(1)
    depth[torch.rand(60, 40) > share] = 0
    points = torch.randn(COUNT, 3) * torch.tensor([0.4, 0.6, 0.1]) + torch.tensor([0, 0, 3.0 + offset])
    visible = torch.rand(COUNT) < 0.7
    agree(depth_3d, depth_3d, (points,), (visible, depth, K, 0.05))
    agree(depth_3d, partial(by_operations, fixed_size=True), (points,), (visible, depth, K, 0.05))


@pytest.mark.parametrize("loss_of", [depth_3d, *(partial(by_operations, fixed_size=fixed) for fixed in (False, True))])
def test_depth_3d_without_cloud_is_zero(loss_of):
    points = torch.rand(5, 3, requires_grad=True)
    loss = loss_of(points, torch.ones(5, dtype=torch.bool), torch.zeros(4, 4), torch.eye(3), 0.05)
    loss.backward()
    assert loss == 0 and not points.grad.any()


def test_adam():
    def moved(dtype):
        torch.manual_seed(0)
        params = {name: torch.randn(size).to(dtype).requires_grad_() for name, size in sizes.items()}
        adam = RowAdam(params, {"places": 0.01, "opacities": 0.1})
        for step in range(5):
            if step == 3:
                adam.select(torch.arange(COUNT), torch.arange(COUNT) % 7 == 0)  # rows of different age
            for value in params.values():
                value.grad = torch.randn(value.shape).to(dtype)
            adam.step(factor=0.5)
        return params

    sizes = {"places": (COUNT, 3, 3), "opacities": (COUNT,)}
    for found, expected in zip(moved(torch.float32).values(), moved(torch.float64).values()):
        torch.testing.assert_close(found, expected, check_dtype=False, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("own_rates", [False, True])
def test_adam_of_rows(own_rates):
    """Rows that are stepped at different times, with a rate of each column or of each value."""

    def moved(dtype):
        torch.manual_seed(0)
        value = torch.randn(9, 5).to(dtype).requires_grad_()
        rates = torch.rand(9 if own_rates else 1, 5).to(dtype)
        adam = RowAdam({"rows": value}, {"rows": rates if own_rates else rates[0]})
        for chosen in ([0], [3, 5], [0, 8], [3], [3]):
            value.grad = torch.randn(value.shape).to(dtype)
            adam.step({"rows": torch.tensor(chosen)}, factor=0.5)
        return value.detach(), adam.counts["rows"]

    (found, counts), (expected, _) = moved(torch.float32), moved(torch.float64)
    torch.testing.assert_close(found, expected, check_dtype=False, atol=1e-5, rtol=1e-5)
    assert counts.tolist() == [2, 0, 0, 3, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("silhouette", ["area", "jaccard"])
@pytest.mark.parametrize("ssim_weight", [0.0, 0.2])
@pytest.mark.parametrize("partly", [False, True])
def test_pixel_terms(silhouette, ssim_weight, partly):
    torch.manual_seed(0)
    height, width = 45, 37
    mask = torch.randint(0, 256, (height, width), dtype=torch.uint8)
    depth = 3 + torch.randn(height, width)
    depth[torch.rand(height, width) < 0.3] = 0
    image = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
    sure = torch.randint(0, 256, (height, width), dtype=torch.uint8) if partly else None
    frame = image, mask, depth, torch.rand(3), ssim_weight, silhouette, sure
    agree(pixel_terms, pixel_terms, (torch.rand(height, width, 4), torch.rand(height, width)), frame)

    def without_depth(pixels, alpha, background):
        return pixel_terms(pixels, alpha, image, mask, None, background, ssim_weight, silhouette, sure)[:2]

    agree(without_depth, without_depth, (torch.rand(height, width, 3), torch.rand(height, width)), (frame[3],))


@pytest.mark.parametrize("silhouette", ["area", "jaccard"])
def test_what_is_unsure_has_no_gradient(silhouette):
    """Whatever the frame shows where it does not count, losses and gradients are the same, and none reach there."""
    torch.manual_seed(0)
    height, width = 30, 26
    sure = torch.full((height, width), 255, dtype=torch.uint8)
    sure[8:20, 5:15] = 0
    image = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
    mask, depth = torch.randint(0, 256, (height, width), dtype=torch.uint8), 3 + torch.randn(height, width)
    drawn = torch.rand(height, width, 4), torch.rand(height, width)

    def compared(other: int) -> list[torch.Tensor]:
        shown = torch.where(sure[..., None] > 0, image, torch.tensor(other, dtype=torch.uint8))
        outline = torch.where(sure > 0, mask, torch.tensor(other, dtype=torch.uint8))
        leaves = [part.clone().requires_grad_() for part in drawn]
        terms = pixel_terms(*leaves, shown, outline, depth, torch.rand(3), 0.2, silhouette, sure)
        sum(terms).backward()
        return [torch.stack(terms).detach(), *(leaf.grad for leaf in leaves)]

    torch.manual_seed(1)
    black = compared(0)
    torch.manual_seed(1)
    white = compared(255)
    for a, b in zip(black, white):
        torch.testing.assert_close(a, b)
    assert not black[1][sure == 0].any() and not black[2][sure == 0].any()
    assert black[1][sure > 0].any() and black[2][sure > 0].any()


@pytest.mark.parametrize("silhouette", ["area", "jaccard"])
def test_pixel_terms_of_nothing(silhouette):
    """No person in the frame, nothing rendered, no depth known: finite, and the same."""
    height, width = 13, 12
    blank = torch.zeros(height, width, dtype=torch.uint8)
    found, expected = [], []
    for results, dtype in ((found, torch.float32), (expected, torch.float64)):
        pixels, alpha = torch.zeros(height, width, 4, dtype=dtype), torch.zeros(height, width, dtype=dtype)
        leaves = pixels.requires_grad_(), alpha.requires_grad_()
        frame = blank[..., None].expand(-1, -1, 3), blank, torch.zeros(height, width, dtype=dtype)
        terms = pixel_terms(*leaves, *frame, torch.full((3,), 0.5, dtype=dtype), 0.2, silhouette)
        sum(terms).backward()
        results += [value.detach().double() for value in (*terms, pixels.grad, alpha.grad)]
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_in_sight():
    torch.manual_seed(0)
    surface = 3 + torch.randn(20, 30)
    places, depths = torch.randn(COUNT, 2) * 20 + 12, 3 + torch.randn(COUNT)
    seen = in_sight(places, depths, surface, 0.03)
    assert torch.equal(seen, in_sight(places.double(), depths.double(), surface.double(), 0.03))
    assert 0.1 < seen.float().mean() < 0.9


@pytest.mark.parametrize("angle", [0.0, 1e-3, 0.3, 2.5])
def test_corrections(angle):
    """One frame at a time by kernels, several by torch operations."""
    torch.manual_seed(0)
    rows = object.__new__(PoseRows)
    rows.initial_rotmats = axis_angle_to_matrix(torch.randn(2, 24, 3))
    rows.initial_pelvis = torch.tensor([[0.2, -0.3, 4.0], [0.1, 0.5, 3.0]])
    turns = angle * normalize(torch.randn(24, 3), dim=-1)
    correction = torch.cat([turns.flatten(), 0.1 * torch.randn(3)])

    def apply(values):
        if values.dtype == torch.float32:
            return rows.apply(1, values)
        double = object.__new__(PoseRows)
        double.initial_rotmats, double.initial_pelvis = rows.initial_rotmats.double(), rows.initial_pelvis.double()
        rotmats, pelvis = double.apply(torch.tensor([1]), values[None])
        return rotmats[0], pelvis[0]

    agree(apply, apply, (correction,))
