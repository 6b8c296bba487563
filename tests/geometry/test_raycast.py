"""The mesh ray caster against closed forms, and the rasterizer against the ray caster, which is embree."""

import numpy as np
import pytest
import trimesh

from pipeline.body import load_body
from pipeline.geometry import raycast
from pipeline.geometry.mesh_raster import rasterize

K = np.array([[90.0, 0, 33.3], [0, 85.0, 22.1], [0, 0, 1]])
WIDTH, HEIGHT = 64, 48


def rigid(seed: int = 0) -> np.ndarray:
    viewmat = np.eye(4)
    viewmat[:3, :3] = trimesh.transformations.random_rotation_matrix(np.random.default_rng(seed).random(3))[:3, :3]
    viewmat[:3, 3] = [0.2, -0.3, 3.0]
    return viewmat


def to_world(viewmat: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (points - viewmat[:3, 3]) @ viewmat[:3, :3]


def test_sphere_matches_the_quadratic():
    sphere = trimesh.creation.icosphere(subdivisions=6, radius=0.8)
    viewmat = rigid()
    hits = raycast.MeshCaster(sphere.vertices, sphere.faces).pinhole(K, viewmat, WIDTH, HEIGHT)
    x, y = np.meshgrid((np.arange(WIDTH) + 0.5 - K[0, 2]) / K[0, 0], (np.arange(HEIGHT) + 0.5 - K[1, 2]) / K[1, 1])
    ray, centre = np.stack([x, y, np.ones_like(x)], -1), viewmat[:3, 3]
    a, b, c = (ray**2).sum(-1), ray @ centre, centre @ centre - 0.8**2
    discriminant = b * b - a * c
    clear = np.abs(discriminant) > 0.05  # away from the rim, where the polygon and the sphere differ
    assert np.array_equal(hits.mask[clear], discriminant[clear] > 0)
    inside = clear & hits.mask
    depth = (b - np.sqrt(np.maximum(discriminant, 0))) / a  # the ray's z is 1, so its parameter is the depth
    np.testing.assert_allclose(hits.depth[inside], depth[inside], atol=2e-3)


def test_tilted_plane_depth_and_its_absence():
    corners = np.array([[-1, -1, 2.0], [1, -1, 2.5], [1, 1, 3.0], [-1, 1, 2.5]]) * 4  # z = 10 + x + y, a plane
    corners[:, 2] = 10 + 0.5 * corners[:, 0] + 0.25 * corners[:, 1]
    hits = raycast.MeshCaster(corners, np.array([[0, 1, 2], [0, 2, 3]])).pinhole(K, np.eye(4), WIDTH, HEIGHT)
    x, y = np.meshgrid((np.arange(WIDTH) + 0.5 - K[0, 2]) / K[0, 0], (np.arange(HEIGHT) + 0.5 - K[1, 2]) / K[1, 1])
    expected = 10 / (1 - 0.5 * x - 0.25 * y)
    np.testing.assert_allclose(hits.depth[hits.mask], expected[hits.mask], rtol=1e-5)
    assert hits.mask.any() and not hits.mask.all()
    assert (hits.depth[~hits.mask] == 0).all() and (hits.bary[~hits.mask] == 0).all()


def test_barycentrics_give_back_the_point():
    triangle = np.array([[-0.4, -0.3, 2.0], [0.5, -0.2, 2.5], [0.0, 0.45, 3.0]])
    viewmat = rigid(3)
    world = to_world(viewmat, triangle)
    hits = raycast.MeshCaster(world, np.array([[0, 1, 2]])).pinhole(K, viewmat, WIDTH, HEIGHT)
    assert hits.mask.sum() > 100
    np.testing.assert_allclose(hits.bary[hits.mask].sum(1), 1, atol=1e-5)
    points = raycast.interpolate(hits, np.array([[0, 1, 2]]), triangle)
    np.testing.assert_allclose(points[:, 2], hits.depth[hits.mask], atol=1e-5)
    projected = points @ K.T
    rows, columns = np.nonzero(hits.mask)
    np.testing.assert_allclose(projected[:, 0] / projected[:, 2], columns + 0.5, atol=1e-3)
    np.testing.assert_allclose(projected[:, 1] / projected[:, 2], rows + 0.5, atol=1e-3)


def test_projected_vertices_land_on_the_mask_at_their_depth():
    torus = trimesh.creation.torus(0.6, 0.2, major_sections=60, minor_sections=40)
    viewmat = rigid(5)
    hits = raycast.MeshCaster(torus.vertices, torus.faces).pinhole(K, viewmat, WIDTH, HEIGHT)
    camera = torus.vertices @ viewmat[:3, :3].T + viewmat[:3, 3]
    normals = raycast.smooth_normals(torus.vertices, torus.faces) @ viewmat[:3, :3].T
    facing = -(normals * camera).sum(1) / np.linalg.norm(camera, axis=1)
    uv = camera @ K.T
    column, row = (uv[:, :2] / uv[:, 2:]).astype(int).T
    seen = (facing > 0.6) & (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    assert seen.sum() > 200
    assert hits.mask[row[seen], column[seen]].all()
    gap = camera[seen, 2] - hits.depth[row[seen], column[seen]]
    assert (gap > -0.03).all()  # nothing seen lies behind a vertex that faces the camera, but nearer may
    assert np.median(np.abs(gap)) < 0.01


def test_nearest_of_two_surfaces_wins():
    quad = np.array([[-9, -9, 0], [9, -9, 0], [9, 9, 0], [-9, 9, 0.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    hits = raycast.MeshCaster(np.concatenate([quad + np.array([0, 0, 5]), quad + np.array([0, 0, 4])]), faces).pinhole(
        K, np.eye(4), WIDTH, HEIGHT
    )
    assert (hits.face >= 2).all() and np.allclose(hits.depth, 4)


def test_occlusion_and_its_reach():
    sphere = trimesh.creation.icosphere(subdivisions=3)
    caster = raycast.MeshCaster(sphere.vertices, sphere.faces)
    origins = np.array([[0, 0, -3.0], [0, 0, -3.0], [2, 0, -3.0]])
    directions = np.array([[0, 0, 1.0], [0, 0, -1.0], [0, 0, 1.0]])
    assert caster.occluded(origins, directions).tolist() == [True, False, False]
    assert not caster.occluded(origins, directions, reach=1.9)[0]
    assert caster.occluded(origins, directions, reach=2.1)[0]


def test_normals_of_a_sphere_point_outwards():
    sphere = trimesh.creation.icosphere(subdivisions=4)
    np.testing.assert_allclose(raycast.smooth_normals(sphere.vertices, sphere.faces), sphere.vertices, atol=1e-2)
    np.testing.assert_allclose(raycast.face_normals(sphere.vertices, sphere.faces), sphere.face_normals, atol=1e-9)


def test_shade_is_brightest_towards_the_light():
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.8)
    vertices = sphere.vertices + np.array([0, 0, 4.0])
    hits = raycast.MeshCaster(vertices, sphere.faces).pinhole(K, np.eye(4), WIDTH, HEIGHT)
    image = raycast.shade(hits, vertices, sphere.faces, (0.5, 1.0, 0.25), light=(-1, 0, -0.5))
    assert image.shape == (HEIGHT, WIDTH, 3) and (image[~hits.mask] == 0).all()
    rows, columns = np.nonzero(hits.mask)
    left, right = columns < columns.mean() - 5, columns > columns.mean() + 5
    assert image[rows[left], columns[left]].mean() > 1.3 * image[rows[right], columns[right]].mean()
    np.testing.assert_allclose(image[hits.mask][:, 0] * 2, image[hits.mask][:, 1], atol=1e-6)


def test_supersampling_averages_to_coverage():
    half = np.array([[0, -9, 5], [9, -9, 5], [9, 9, 5], [0, 9, 5.0]])  # covers the right of x = 0
    camera = np.array([[50.0, 0, 10.5], [0, 50, 8], [0, 0, 1]])  # x = 0 falls on the middle of column 10
    hits = raycast.MeshCaster(half, np.array([[0, 1, 2], [0, 2, 3]])).pinhole(
        raycast.supersampled(camera, 4), np.eye(4), 84, 64
    )
    coverage = raycast.box_downsample(hits.mask.astype(np.float32), 4)
    assert coverage.shape == (16, 21)
    np.testing.assert_allclose(coverage[:, 10], 0.5)
    assert (coverage[:, :10] == 0).all() and (coverage[:, 11:] == 1).all()


def same_hits(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Check that rasterizer and ray caster see the same; returns where the mesh is seen."""
    camera = raycast.supersampled(K, 4)
    size = 4 * WIDTH, 4 * HEIGHT
    cast = raycast.MeshCaster(vertices, faces).pinhole(camera, np.eye(4), *size)
    hits = rasterize(vertices, faces, camera, *size)
    assert np.count_nonzero(hits.mask != cast.mask) <= 2  # rays along an edge, which float32 puts on either side
    seen = hits.mask & cast.mask
    np.testing.assert_allclose(hits.depth[seen], cast.depth[seen], rtol=1e-4)
    same = seen & (hits.face == cast.face)
    assert same.sum() >= seen.sum() - 5
    np.testing.assert_allclose(hits.bary[same], cast.bary[same], atol=5e-3)
    assert (hits.depth[~hits.mask] == 0).all() and (hits.bary[~hits.mask] == 0).all()
    return hits.mask


@pytest.mark.parametrize(
    "shift", [(0, 0.3, 3.0), (0.9, 0.3, 3.0), (0, 0, 0.1)], ids=["whole", "cut", "about the camera"]
)
def test_rasterizer_sees_the_body_as_the_ray_caster_does(shift):
    body = load_body("free")
    assert same_hits(body.v_template.numpy() + np.float32(shift), body.faces.numpy()).any()


def test_rasterizer_needs_no_clipping_of_triangles_that_reach_behind_the_camera():
    ground = np.array([[-9, 1, -9], [9, 1, -9], [9, 1, 30], [-9, 1, 30.0]])
    seen = same_hits(ground, np.array([[0, 1, 2], [0, 2, 3]]))
    assert seen[-1].all() and not seen[0].any()
    behind = rasterize(ground - np.array([0, 0, 40]), np.array([[0, 1, 2]]), K, WIDTH, HEIGHT)
    assert not behind.mask.any()


@pytest.mark.parametrize(
    ("vertices", "faces"),
    [
        (np.zeros((3, 2)), np.array([[0, 1, 2]])),
        (np.zeros((3, 3)), np.zeros((0, 3), int)),
        (np.zeros((3, 3)), np.array([[0, 1, 3]])),
    ],
)
def test_a_mesh_that_is_none_is_refused(vertices, faces):
    with pytest.raises(ValueError, match=r"vertices|faces"):
        raycast.MeshCaster(vertices, faces)
    with pytest.raises(ValueError, match=r"vertices|faces"):
        rasterize(vertices, faces, K, WIDTH, HEIGHT)
