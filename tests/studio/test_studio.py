"""The studio: its truth agrees with itself and with the pictures, and a seed gives one clip."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter

from pipeline.__main__ import main
from pipeline.body import JOINT_NAMES, load_body
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import DepthFolder, FrameFolder, MaskFolder
from pipeline.formats.pose import Pose
from pipeline.formats.records import read_json
from pipeline.geometry.mesh_raster import rasterize
from pipeline.runtime.errors import UserError
from pipeline.studio.cameras import Stance, held_camera, place_cameras
from pipeline.studio.clip import ClipRequest, camera_track, make_clip
from pipeline.studio.render import DRAFT, FINE, Renderer
from pipeline.studio.room import build_scene
from pipeline.studio.subject import dress, random_shape
from pipeline.studio.wardrobe import OUTFITS

SMALL = ClipRequest(
    seed=5, frames=2, fps=Fraction(10), width=96, height=128, motion="turn", outfit="coat", camera="moving", views=1
)


@pytest.fixture(scope="module")
def body():
    return load_body("free")


def posed(body, pose: Pose):
    as_tensor = lambda array: torch.as_tensor(array, dtype=torch.float32)  # noqa: E731
    return body(*(as_tensor(a) for a in (pose.global_orient, pose.body_pose, pose.betas, pose.transl)))


def pixels(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    uvw = points @ K.T
    return uvw[..., :2] / uvw[..., 2:]


def silhouettes(body, pose: Pose, width: int, height: int):
    for vertices in posed(body, pose).vertices.numpy():
        yield rasterize(vertices, body.faces.numpy(), pose.K, width, height)


def test_truth_has_every_file(studio_clip):
    truth, request = studio_clip.truth, studio_clip.request
    assert studio_clip.video.is_file()
    assert len(Pose.load(truth / "pose.npz")) == request.frames
    assert len(MaskFolder(truth / "masks")) == len(DepthFolder(truth / "depth")) == request.frames
    camera = Camera.load(truth / "camera.json")
    assert (camera.width, camera.height, camera.metric) == (request.width, request.height, True)
    np.testing.assert_allclose(camera.K, Pose.load(truth / "pose.npz").K)
    assert read_json(truth / "subject.json")["outfit"] == request.outfit
    for k in range(request.views):
        view = truth / "views" / str(k)
        assert len(FrameFolder(view / "frames")) == len(MaskFolder(view / "masks")) == request.frames


def test_whole_person_is_in_every_image(studio_clip):
    for mask in MaskFolder(studio_clip.truth / "masks"):
        assert mask.max() == 255
        assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()
        rows = np.flatnonzero(mask.max(1))
        assert 0.5 < (rows[-1] - rows[0]) / len(mask) < 0.8


@pytest.mark.parametrize("view", [None, 0, 1])
def test_joints_and_body_lie_in_the_mask_of_every_camera(studio_clip, body, view):
    folder = studio_clip.truth if view is None else studio_clip.truth / "views" / str(view)
    pose, masks = Pose.load(folder / "pose.npz"), MaskFolder(folder / "masks")
    joints = pixels(posed(body, pose).joints.numpy(), pose.K).astype(int)
    bodies = silhouettes(body, pose, studio_clip.request.width, studio_clip.request.height)
    for mask, joint, hits in zip(masks, joints, bodies):
        around = maximum_filter(mask, 3)  # ankles and hands are thinner than a pixel or two here
        assert (around[joint[:, 1], joint[:, 0]] > 127).all()
        inside = (mask > 127) & hits.mask
        assert inside.sum() > 0.97 * hits.mask.sum()  # clothes cover the body
        assert inside.sum() > 0.7 * (mask > 127).sum()  # and are not much larger than it


def test_boxes_enclose_the_masks(studio_clip):
    pose = Pose.load(studio_clip.truth / "pose.npz")
    for box, mask in zip(pose.bbox, MaskFolder(studio_clip.truth / "masks")):
        rows, columns = np.nonzero(mask > 127)
        np.testing.assert_array_equal(box, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_depth_is_that_of_the_clothed_body(studio_clip, body):
    truth = studio_clip.truth
    pose = Pose.load(truth / "pose.npz")
    bodies = silhouettes(body, pose, studio_clip.request.width, studio_clip.request.height)
    for depth, mask, hits in zip(DepthFolder(truth / "depth"), MaskFolder(truth / "masks"), bodies):
        assert (depth > 0).all()
        inside = (mask == 255) & hits.mask
        before = hits.depth[inside] - depth[inside]  # how far the clothes stand before the skin
        assert -0.01 < np.median(before) < 0.04
        assert np.mean(np.abs(before) < 0.08) > 0.9
        assert np.median(depth[mask == 0]) > np.median(depth[mask == 255]) + 0.5  # the room is behind


def test_views_are_the_same_moment_from_elsewhere(studio_clip, body):
    main_camera = posed(body, Pose.load(studio_clip.truth / "pose.npz")).vertices.numpy()
    for k in range(studio_clip.request.views):
        folder = studio_clip.truth / "views" / str(k)
        viewmats = np.array(read_json(folder / "camera.json", ("viewmats",))["viewmats"])
        there = posed(body, Pose.load(folder / "pose.npz")).vertices.numpy()
        moved = np.einsum("tij,tvj->tvi", viewmats[:, :3, :3], main_camera) + viewmats[:, None, :3, 3]
        np.testing.assert_allclose(there, moved, atol=1e-4)
        np.testing.assert_allclose(np.linalg.det(viewmats[:, :3, :3]), 1)
        angle = np.arccos((np.trace(viewmats[0, :3, :3]) - 1) / 2)
        assert np.rad2deg(angle) > 60


def test_a_seed_gives_one_clip_and_another_seed_another(tmp_path):
    for name, request in (("a", SMALL), ("b", SMALL), ("c", replace(SMALL, seed=6))):
        make_clip(tmp_path, name, request)
    read = lambda name, file: (tmp_path / f"{name}{file}").read_bytes()  # noqa: E731
    for file in (".mp4", ".truth/masks/000001.png", ".truth/views/0/frames/000001.jpg"):
        assert read("a", file) == read("b", file)
        assert read("a", file) != read("c", file)
    first, second = (Pose.load(tmp_path / f"{name}.truth/pose.npz") for name in "ab")
    np.testing.assert_array_equal(first.transl, second.transl)


def test_a_moving_camera_moves_and_its_truth_with_it(tmp_path, body):
    request = replace(SMALL, frames=6, fps=Fraction(2), views=1)
    make_clip(tmp_path, "held", request)
    viewmats = np.array(read_json(tmp_path / "held.truth/views/0/camera.json")["viewmats"])
    track = CameraTrack.load(tmp_path / "held.truth/camera_track.npz")
    assert track.kind == "travelling"
    np.testing.assert_allclose(  # the other camera stands: it tells the same motion
        track.world_from_camera, np.linalg.inv(viewmats[0]) @ viewmats, atol=1e-9
    )
    assert np.abs(np.diff(viewmats, axis=0)).max() > 1e-3
    pose, masks = Pose.load(tmp_path / "held.truth/pose.npz"), MaskFolder(tmp_path / "held.truth/masks")
    joints = pixels(posed(body, pose).joints.numpy(), pose.K).astype(int)
    for mask, joint in zip(masks, joints):
        assert np.mean(mask[joint[:, 1], joint[:, 0]] > 127) > 0.95


@pytest.mark.parametrize("stance", [Stance(pitch=-33, roll=12, azimuth=200, focal=0.6), Stance(pitch=10, focal=1.1)])
def test_a_camera_is_held_as_asked_and_sees_the_whole_person(tmp_path, body, stance):
    make_clip(tmp_path, "angle", replace(SMALL, camera="static", views=0, stance=stance))
    folder = tmp_path / "angle.truth"
    pose, masks = Pose.load(folder / "pose.npz"), MaskFolder(folder / "masks")
    assert pose.K[0, 0] == pytest.approx(stance.focal * np.hypot(SMALL.width, SMALL.height))
    right, down, forward = stance.rotation
    assert np.rad2deg(np.arcsin(forward[1])) == pytest.approx(stance.pitch)
    assert np.rad2deg(np.arctan2(right[1], -down[1])) == pytest.approx(stance.roll)
    for mask, joints in zip(masks, pixels(posed(body, pose).joints.numpy(), pose.K)):
        assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()
        rows, columns = joints.astype(int).T[::-1]
        assert np.mean(mask[rows, columns] > 127) > 0.95
    # The person stands upright in the world: the spine points up where the camera was turned from.
    joints = posed(body, pose).joints.numpy()[0]
    up = joints[JOINT_NAMES.index("neck")] - joints[JOINT_NAMES.index("pelvis")]
    assert up @ stance.rotation @ [0, 1, 0] > 0.95 * np.linalg.norm(up)


def test_a_camera_near_the_ground_stays_above_it_and_still_sees_everything():
    points = np.array([[[x, y, 0.0] for x in (-0.3, 0.3) for y in (0.0, 1.7)]])
    camera = held_camera(points, 300, 400, Stance(pitch=15, focal=1.0))
    eye = -camera.viewmats[0, :3, :3].T @ camera.viewmats[0, :3, 3]
    assert eye[1] == pytest.approx(0.15)
    seen = points[0] @ camera.viewmats[0, :3, :3].T + camera.viewmats[0, :3, 3]
    px = pixels(seen, camera.K)
    assert (px > 0).all() and (px < [300, 400]).all()
    assert np.ptp(px[:, 1]) > 100  # and not from so far away that it is a dot


def test_a_draft_is_the_same_picture_but_for_its_light(body):
    points = dress(body, np.zeros(10), "shirt", 1)
    transforms = np.tile(np.eye(4), (1, 24, 1, 1))
    transforms[..., 1, 3] = 1.0 - points.rest[:, 1].min() - 1.0
    camera = held_camera(points.rest[None, ::50] + transforms[0, 0, :3, 3], 96, 128, Stance())
    fine, draft = (Renderer(points, build_scene(5, 1), [camera], transforms, 30, q).draw(0)[0] for q in (FINE, DRAFT))
    assert np.abs(fine.image.astype(int) - draft.image).mean() < 6
    assert (np.abs(fine.mask.astype(int) - draft.mask) > 200).mean() < 0.001


@pytest.mark.parametrize("outfit", OUTFITS)
def test_outfits_are_sound_meshes_around_the_body(body, outfit):
    betas = random_shape(11)
    subject = dress(body, betas, outfit, 11)
    assert np.isfinite(subject.rest).all()
    assert subject.faces.min() == 0 and subject.faces.max() == len(subject.rest) - 1
    np.testing.assert_allclose(subject.weights.sum(1), 1, atol=1e-5)
    assert len(subject.piece) == len(subject.faces) and subject.piece.max() == len(subject.patterns) - 1
    for k, pattern in enumerate(subject.patterns):
        vertices = subject.template[np.unique(subject.faces[subject.piece == k])]
        colors = pattern(vertices)
        assert colors.shape == vertices.shape and np.isfinite(colors).all()
    shaped = body.shaped(torch.as_tensor(betas, dtype=torch.float32)).numpy()
    assert np.ptp(subject.rest[:, 1]) > np.ptp(shaped[:, 1])  # soles and hair
    again = dress(body, betas, outfit, 11)
    np.testing.assert_array_equal(subject.rest, again.rest)


def test_loose_clothes_are_larger_than_tight_ones(body):
    area = {}
    for outfit in ("shirt", "loose", "coat"):
        subject = dress(body, np.zeros(10), outfit, 0)
        turned = subject.rest * [1, -1, -1] + [0, -0.3, 4]
        K = np.array([[200.0, 0, 100], [0, 200, 100], [0, 0, 1]])
        area[outfit] = rasterize(turned, subject.faces, K, 200, 200).mask.sum()
    assert area["shirt"] < area["loose"] and area["shirt"] < area["coat"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "97x128"], "even"),
        (["--size", "big"], "WIDTHxHEIGHT"),
        (["--motion", "moonwalk"], "moonwalk"),
        (["--name", "a/b"], "folders"),
        (["--frames", "0"], "above 0"),
        (["--pitch", "-20", "--camera", "moving"], "static"),
    ],
)
def test_wrong_requests_get_one_line_and_leave_nothing(tmp_path, capsys, arguments, said):
    assert main(["studio", "--out", str(tmp_path / "clips"), *arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_moving_camera_has_any_lens_but_is_not_held_at_an_angle():
    replace(SMALL, camera="panning", stance=Stance(focal=0.6))
    with pytest.raises(UserError, match="held at an angle is static"):
        replace(SMALL, camera="panning", stance=Stance(focal=0.6, pitch=-10))


def test_an_unknown_outfit_is_refused():
    with pytest.raises(UserError, match="kilt"):
        replace(SMALL, outfit="kilt")


@pytest.mark.parametrize("camera", ["panning", "following", "handheld"])
def test_a_moving_camera_keeps_the_whole_person_in_view_and_its_truth_is_its_path(camera):
    person = np.random.default_rng(0).uniform([-0.3, 0, -0.2], [0.3, 1.7, 0.2], (60, 40, 3))
    way = np.linspace(-1, 1, 60)[:, None, None]
    points = person[:1] + np.concatenate([way, 0 * way, 0.5 * way], -1)
    main, *others = place_cameras(points, 300, 400, 1, camera, 20.0, 3, focal=0.65)
    assert main.K[0, 0] == pytest.approx(0.65 * 500)
    seen = np.einsum("tij,tnj->tni", main.viewmats[:, :3, :3], points) + main.viewmats[:, None, :3, 3]
    px = pixels(seen, main.K)
    assert (seen[..., 2] > 0.3).all() and (px > 0).all() and (px < [300, 400]).all()
    assert others[0].is_static and not main.is_static
    eyes = -np.einsum("tji,tj->ti", main.viewmats[:, :3, :3], main.viewmats[:, :3, 3])
    reach = np.linalg.norm(eyes - eyes[0], axis=1).max()
    assert {"panning": reach < 1e-9, "following": reach > 1.2, "handheld": 0.02 < reach < 0.5}[camera]
    track = camera_track(main)
    assert track.kind == ("turning" if camera == "panning" else "travelling")
    # A point that stands in the world, seen in each frame and carried to the first frame's axes, is one point.
    first = (
        np.einsum("tij,tnj->tni", track.world_from_camera[:, :3, :3], seen) + track.world_from_camera[:, None, :3, 3]
    )
    world = np.einsum("ij,tnj->tni", main.viewmats[0, :3, :3], points) + main.viewmats[0, :3, 3]
    np.testing.assert_allclose(first, world, atol=1e-9)
