"""The render stage: what the pictures show, where, and what happens when its inputs do not fit."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from helpers_avatar import seeded_avatar
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.body import load_body
from pipeline.formats.images import FrameFolder, MaskFolder, write_frame, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.motion.library import motion
from pipeline.render import draw, stills
from pipeline.render.crop import clip_crop, person_boxes, posed_vertices, tiles_of
from pipeline.render.novel_pose import novel_motion, novel_pose_scene
from pipeline.render.overlay import GAP, mesh_layer, overlay_crop, overlay_frames
from pipeline.render.performer import Performer
from pipeline.render.scene import framed
from pipeline.render.seen import seen_sides
from pipeline.render.sure import sure_strip, vertex_colours
from pipeline.render.turntable import standing, turntable_frames, turntable_scene
from pipeline.render.world import world_frames, world_still

WIDTH, HEIGHT, FRAMES = 121, 160, 6  # an odd width, which H.264 does not take
SETTINGS = """{overlay_side: 160, avatar_height: 96, fps: 10, turntable_seconds: 0.8, novel_seconds: 0.6,
world_side: 96, still_frames: 2}"""


@pytest.fixture(scope="module")
def body():
    return load_body("free")


@pytest.fixture(scope="module")
def walk(body) -> Pose:
    """A walker 3 m in front of the camera."""
    moving = motion("walk", FRAMES, 5.0, 1, body)
    rest = body.rest_joints(torch.zeros(10))[0].numpy()
    upright = Rotation.from_euler("x", 180, degrees=True)  # world y up -> camera y down
    return Pose(
        global_orient=(upright * Rotation.from_rotvec(moving.poses[:, :3])).as_rotvec(),
        body_pose=moving.poses[:, 3:],
        betas=np.zeros(10),
        transl=upright.apply(rest + moving.trans - [0, 0.9, 0]) + np.array([0, 0, 3.0]) - rest,
        valid=np.array([True] * (FRAMES - 1) + [False]),
        bbox=np.tile([20.0, 10.0, 100.0, 150.0], (FRAMES, 1)),
        K=np.array([[200, 0, WIDTH / 2], [0, 200, HEIGHT / 2], [0, 0, 1.0]]),
        fps=12.5,
        body_model="free",
        source="test",
    )


@pytest.fixture(scope="module")
def performer(body, walk) -> Performer:
    return Performer.cast(seeded_avatar(body, frames=FRAMES), body, walk)


def write_clip(paths: VideoDir, body, walk: Pose) -> None:
    paths.fit.mkdir(parents=True)
    paths.frames.mkdir()
    for index in range(FRAMES):
        write_frame(paths.frames / f"{index:06d}.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    VideoInfo("walk.mp4", "0", Fraction(25, 2), WIDTH, HEIGHT, FRAMES, 0).save(paths.video)
    replace(walk, body_pose=walk.body_pose + 0.1).save(paths.pose_init)
    walk.save(paths.pose_refined)
    file = seeded_avatar(body, 2000, FRAMES)
    replace(file, seen=(file.means[:, 2] > 0).astype(np.float32)).save(paths.avatar)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, body, walk) -> VideoDir:
    paths = VideoDir(tmp_path_factory.mktemp("results") / "walk")
    write_clip(paths, body, walk)
    assert main(["render", str(paths.root), "--settings", SETTINGS]) == 0
    return paths


@pytest.fixture(scope="module")
def crop(rendered, body):
    before, after = Pose.load(rendered.pose_init), Pose.load(rendered.pose_refined)
    return overlay_crop(FrameFolder(rendered.frames), before, after, body, 160)


def read_video(path: Path) -> tuple[dict, np.ndarray]:
    reader = imageio_ffmpeg.read_frames(path, pix_fmt="rgb24")
    meta = next(reader)
    width, height = meta["size"]
    return meta, np.stack([np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in reader])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_overlay_video_has_the_clips_frames_and_rate(rendered, crop):
    meta, frames = read_video(rendered.renders / "overlay.mp4")
    assert len(frames) == FRAMES
    assert meta["fps"] == pytest.approx(12.5)
    assert frames.shape[1] == max(crop.height, crop.width) == 160
    assert frames.shape[2] == 3 * crop.width + 2 * GAP


def test_overlay_panels_show_video_before_and_after(rendered, crop):
    """The video is untouched, and the tints of the two meshes are the ones that the labels promise."""
    _, frames = read_video(rendered.renders / "overlay.mp4")
    step = crop.width + GAP
    video, before, after = (frames[2][:, i * step : i * step + crop.width].astype(float) for i in range(3))
    middle = (slice(40, 130), slice(None))  # below and above the labels
    assert np.abs(video[middle] - 90).max() < 12
    warm, cool = before[..., 0] - before[..., 2] > 60, after[..., 2] - after[..., 0] > 40
    assert warm[middle].mean() > 0.1
    assert cool[middle].mean() > 0.1
    assert not (after[..., 0] - after[..., 2] > 40)[middle].any()


@pytest.mark.parametrize("name, seconds", [("turntable", 0.8), ("novel_pose", 0.6)])
def test_avatar_videos_have_the_length_asked_for(rendered, name, seconds):
    meta, frames = read_video(rendered.renders / f"{name}.mp4")
    assert meta["fps"] == pytest.approx(10)
    assert len(frames) == round(seconds * 10)
    assert frames.shape[1:3] == (96, 72 if name == "turntable" else 96)


def test_stills_are_there_and_the_record_is_written(rendered):
    names = {path.stem for path in (rendered.renders / "stills").glob("*.png")}
    assert names == {"overlay", "close_up", "avatar", "held_out", "novel_pose", "seen", "world"}
    for path in (rendered.renders / "stills").glob("*.png"):
        picture = np.asarray(Image.open(path))
        assert picture.std() > 5, f"{path.name} is blank"
    record = read_provenance(rendered.provenance("render"))
    assert record["facts"] == {"frames": FRAMES, "frames interpolated": 1}


def test_what_was_never_filmed_is_striped(performer):
    """The left half: the left side is striped, of the right side only what shows beyond it, front and back by half."""
    seen = (performer.avatar.means[:, 0] <= 0).float().numpy()
    tiles = []
    for share in (seen, np.ones_like(seen)):
        picture = seen_sides(performer, share, 90, 120).astype(int)
        assert picture.shape[0] > 120 + 4 and picture.shape[1] == 4 * 90 + 3 * 4
        tiles.append([picture[30:120, place : place + 90] for place in range(0, 4 * 94, 94)])
    striped = [(np.abs(one - two).max(-1) > 40).sum() for one, two in zip(*tiles)]
    front, right, back, left = striped
    assert right < 0.1 * left and left > 400 and 0.3 < front / left < 3 and 0.3 < back / left < 3
    changed = np.abs(tiles[0][0] - tiles[1][0]).max(-1) > 40
    assert not changed[:, :42].any() and changed[:, 48:].any()  # the left is on the right of the picture
    magenta = np.abs(tiles[0][3] - [222, 0, 140]).max(-1) < 30
    assert 0.2 < magenta.sum() / left < 0.7


def test_the_person_is_cut_out_by_both_masks(rendered, tmp_path, body, walk):
    """Everything is left by full masks, nothing by empty ones."""
    frames = FrameFolder(rendered.frames)
    for name, level in (("full", 255), ("empty", 0)):
        (tmp_path / name).mkdir()
        for index in range(FRAMES):
            write_mask(tmp_path / name / f"{index:06d}.png", np.full(frames[0].shape[:2], level, np.uint8))
    masks = MaskFolder(tmp_path / "full"), MaskFolder(tmp_path / "empty")
    picture = stills.masks_strip(frames, masks, (walk, walk), body, 2).astype(int)
    plain = np.abs(picture - stills._BEHIND).max(2) < 2
    rows = len(picture) // 2 + 40  # below the label of the lower tile
    assert plain[rows:].mean() > 0.9 and not plain[: rows - 80].any()


def test_the_body_is_coloured_by_how_sure_the_fit_is(rendered, body, walk):
    """The farther from the hips, the less sure: from dark to yellow; the scale ends at the next round number."""
    apart = np.linspace(0.01, 0.045, 24)
    pose = replace(walk, sigma=np.tile(apart[:, None], (FRAMES, 1, 2)))
    picture = sure_strip(FrameFolder(rendered.frames), pose, body, [0, 2])
    assert picture.dtype == np.uint8 and picture.std() > 5
    colours, top = vertex_colours(pose.sigma[:, :, 1], body)
    assert colours.shape == (FRAMES, len(body.v_template), 3) and top == 50
    tip = body.v_template[:, 0].argmax()  # of a hand, joint 22
    middle = (body.v_template - (body.J_regressor @ body.v_template)[0]).norm(dim=1).argmin()
    assert colours[0, tip].sum() > colours[0, middle].sum() + 0.2
    assert vertex_colours(np.full((1, 24), 3.0), body)[1] == 1000, "beyond the last step the scale is full"


def test_without_it_there_is_no_such_picture(rendered, tmp_path, walk, body):
    assert not (rendered.renders / "stills" / "sure.png").exists()
    paths = VideoDir(tmp_path / "walk")
    write_clip(paths, body, replace(walk, sigma=np.full((FRAMES, 24, 2), 0.02)))
    assert main(["render", str(paths.root), "--settings", SETTINGS]) == 0
    assert (paths.renders / "stills" / "sure.png").is_file()


def test_mesh_covers_the_projected_triangles(body, walk):
    """Against polygons filled by Pillow, which shares no code with the ray caster."""
    vertices, faces = posed_vertices(body, walk, 1), body.faces.numpy()
    factor = 8
    xy = vertices @ (np.diag([factor, factor, 1]) @ walk.K).T
    xy = xy[:, :2] / xy[:, 2:] - 0.5  # Pillow's pixel centres are at whole numbers
    canvas = Image.new("L", (WIDTH * factor, HEIGHT * factor))
    pen = ImageDraw.Draw(canvas)
    for triangle in xy[faces]:
        pen.polygon([tuple(point) for point in triangle], fill=255)
    wanted = np.asarray(canvas.resize((WIDTH, HEIGHT), Image.Resampling.BOX)) > 127
    layer = mesh_layer(vertices, faces, walk.K, WIDTH, HEIGHT, draw.AFTER, 1.0, supersample=4)
    assert overlap(layer.full_alpha(WIDTH, HEIGHT) > 0.5, wanted) > 0.97


def test_overlay_tints_the_person_of_a_studio_clip(studio_clip, body, tmp_path):
    """With the true pose the tinted area is the true mask, up to the clothes."""
    truth = Pose.load(studio_clip.truth / "pose.npz")
    masks = MaskFolder(studio_clip.truth / "masks")
    width, height = studio_clip.request.width, studio_clip.request.height
    for index in range(len(truth)):
        write_frame(tmp_path / f"{index:06d}.jpg", np.full((height, width, 3), 128, np.uint8))
    frames = FrameFolder(tmp_path)
    crop = overlay_crop(frames, truth, truth, body, 240)
    overlaps = []
    for index, panels in enumerate(overlay_frames(frames, truth, truth, body, 240, 0.7)):
        after = panels[:, -crop.width :].astype(int)
        mask = crop.of(np.repeat(masks[index][..., None], 3, axis=-1))[..., 0]
        overlaps.append(overlap(after[..., 2] - after[..., 0] > 20, mask > 127))
    assert np.mean(overlaps) > 0.75
    assert np.min(overlaps) > 0.65


def test_mesh_partly_or_wholly_outside_the_image(body, walk):
    faces = body.faces.numpy()
    vertices = posed_vertices(body, walk, 0)
    half = mesh_layer(vertices + np.float32([0.9, 0, 0]), faces, walk.K, WIDTH, HEIGHT, draw.AFTER, 0.7)
    assert half.full_alpha(WIDTH, HEIGHT)[:, -8:].any()
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    outside = mesh_layer(vertices + np.float32([9, 0, 0]), faces, walk.K, WIDTH, HEIGHT, draw.AFTER, 0.7)
    assert np.array_equal(outside.over(image), image)
    behind = mesh_layer(vertices - np.float32([0, 0, 9]), faces, walk.K, WIDTH, HEIGHT, draw.AFTER, 0.7)
    assert np.array_equal(behind.over(image), image)


def test_overlay_says_which_frames_were_not_seen(rendered, body, walk):
    frames = FrameFolder(rendered.frames)
    seen, unseen = list(overlay_frames(frames, walk, walk, body, 160, 0.7))[-2:]
    wide = overlay_crop(frames, walk, walk, body, 160).width
    corner = (slice(-30, None), slice(wide + GAP, 2 * wide + GAP))
    assert (unseen[corner].min(axis=-1) > 200).any()  # white letters
    assert not (seen[corner].min(axis=-1) > 200).any()


def test_a_person_who_stands_still_leaves_no_difference(rendered, body, walk):
    """The close-up's number is zero when nothing changed."""
    assert np.allclose(stills._mean_change(walk, walk, body), 0)
    moved = replace(walk, transl=walk.transl + 0.1)
    assert np.allclose(stills._mean_change(walk, moved, body), 0, atol=1e-6)


def test_turntable_loops(performer):
    """From the last frame to the first is a step like all others."""
    frames = np.stack(list(turntable_frames(performer, 72, 96, 36))).astype(float)
    steps = np.abs(np.roll(frames, -1, axis=0) - frames).mean(axis=(1, 2, 3))
    assert steps[-1] < 1.3 * np.median(steps)
    assert np.abs(frames[0] - frames[9]).mean() > 3 * steps[-1]  # the side is not the front


def test_turntable_person_is_centred_and_whole(performer):
    scene = turntable_scene(performer, 144, 192)
    turn = scene.world_to_camera
    columns = []
    for angle in np.linspace(0, 2 * np.pi, 8, endpoint=False):
        _, alpha = performer.drawn(*performer.to_camera(scene, *standing(performer, angle)), scene.K, 144, 192)
        seen = alpha[..., 0] > 0.02
        assert not (seen[:3].any() or seen[-3:].any() or seen[:, :3].any() or seen[:, -3:].any())
        rows = np.flatnonzero(seen.any(1))
        assert 0.75 * 192 < rows[-1] - rows[0] < 0.95 * 192
        columns.append((alpha[..., 0].sum(0) * np.arange(144)).sum() / alpha.sum())
    assert np.mean(columns) == pytest.approx(71.5, abs=1.5)
    assert np.allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3))
    assert np.linalg.det(turn[:3, :3]) == pytest.approx(1)


def test_avatar_stands_where_its_mesh_stands(performer, body):
    """Gaussians go through the scene's camera as the mesh does: their outlines agree."""
    sharp = replace(performer, pixels_per_metre=1e4)
    scene = turntable_scene(sharp, 480, 640)
    pose, trans = standing(sharp, 0.6)
    _, alpha = sharp.drawn(*sharp.to_camera(scene, pose, trans), scene.K, 480, 640)
    vertices = scene.to_camera(sharp.vertices(pose, trans))
    layer = mesh_layer(vertices.astype(np.float32), body.faces.numpy(), scene.K, 480, 640, draw.AFTER, 1.0)
    assert overlap(alpha[..., 0] > 0.5, layer.full_alpha(480, 640) > 0.5) > 0.9


def test_feet_touch_the_ground_at_their_shadow(performer):
    scene = turntable_scene(performer, 144, 192)
    pose, trans = standing(performer, 0.0)
    vertices = performer.vertices(pose, trans)
    assert vertices[:, 1].min() == pytest.approx(0, abs=1e-5)
    shade = scene.backdrop - scene.background(vertices)
    assert shade.min() > -1e-6  # a shadow never brightens
    darkest = np.unravel_index(shade.sum(-1).argmax(), shade.shape[:2])
    feet = scene.to_camera(vertices[vertices[:, 1] < 0.05]) @ scene.K.T
    feet = feet[:, :2] / feet[:, 2:]
    assert feet[:, 1].min() - 4 < darkest[0] < feet[:, 1].max() + 4
    assert feet[:, 0].min() - 4 < darkest[1] < feet[:, 0].max() + 4


def test_novel_pose_stays_in_the_picture(performer):
    moving = novel_motion(performer, "dance", 2.0, 6.0, 7)
    scene = novel_pose_scene(performer, moving, 128, 128)
    for pose, trans in zip(moving.poses, moving.trans):
        _, alpha = performer.drawn(*performer.to_camera(scene, pose, trans), scene.K, 128, 128)
        seen = alpha[..., 0] > 0.02
        assert seen.any()
        assert not (seen[0].any() or seen[-1].any() or seen[:, 0].any() or seen[:, -1].any())


def test_framed_fits_any_points():
    rng = np.random.default_rng(3)
    points = rng.uniform([-0.8, 0, -0.5], [0.6, 1.9, 0.7], (200, 3))
    scene = framed(points, 100, 150)
    xy = scene.to_camera(points) @ scene.K.T
    xy = xy[:, :2] / xy[:, 2:] / (100, 150)
    assert xy.min() == pytest.approx(0.07, abs=1e-6)  # one direction fills the picture up to its margin
    assert xy.max() == pytest.approx(0.93, abs=1e-6)


BOXES = np.array([[0, 10, 40, 150], [60, 5, 115, 158.0]])


def test_tiles_hold_the_person_and_stay_inside():
    tiles = tiles_of(BOXES, WIDTH, HEIGHT, 300)
    assert len({(tile.width, tile.height, tile.scale) for tile in tiles}) == 1
    for tile, box in zip(tiles, BOXES):
        check_crop(tile, box)
    with_margin = tiles_of(np.array([[50, 60, 70, 100.0]]), WIDTH, HEIGHT, 300)[0]
    assert with_margin.top < 60 - 5 and with_margin.top + 300 / with_margin.scale > 100 + 5


@pytest.mark.parametrize("side", [77, 160, 2000])
def test_clip_crop_holds_all_boxes_and_suits_a_video(side):
    crop = clip_crop(BOXES, WIDTH, HEIGHT, side)
    for box in BOXES:
        check_crop(crop, box)
    assert crop.width % 2 == 0 and crop.height % 2 == 0
    assert max(crop.width, crop.height) <= side
    assert crop.scale <= 2


def check_crop(crop, box):
    """It holds the box, and is inside the frame up to a pixel of rounding."""
    right, bottom = crop.left + crop.width / crop.scale, crop.top + crop.height / crop.scale
    assert crop.left >= 0 and crop.top >= 0
    assert right <= WIDTH + 1 and bottom <= HEIGHT + 1
    assert crop.left <= box[0] and right >= box[2] - 1.5 / crop.scale
    assert crop.top <= box[1] and bottom >= box[3] - 2 / crop.scale
    tile = crop.of(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert tile.shape == (crop.height, crop.width, 3)


def test_crop_shows_a_point_where_its_camera_sees_it(walk):
    """A white pixel of the frame, and the point in space behind its centre seen through the crop's K."""
    crop = tiles_of(np.array([[30, 20, 90, 150.0]]), WIDTH, HEIGHT, 300)[0]
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[70, 66] = 255
    point = np.linalg.inv(walk.K) @ [66.5, 70.5, 1]
    u, v, _ = crop.K(walk.K) @ point
    bright = np.argwhere(crop.of(frame)[..., 0] > 128).mean(0)
    assert bright == pytest.approx([v - 0.5, u - 0.5], abs=0.6)


def test_person_box_is_the_whole_image_when_nobody_is_in_it(body, walk):
    away = replace(walk, transl=walk.transl + np.array([50.0, 0, 0]))
    boxes = person_boxes((away,), body, [0, 1], WIDTH, HEIGHT)
    assert boxes.tolist() == [[0, 0, WIDTH, HEIGHT]] * 2
    (box,) = person_boxes((walk,), body, [0], WIDTH, HEIGHT)
    assert 0 < box[0] < WIDTH / 2 < box[2] < WIDTH


def test_label_never_leaves_the_picture():
    for width in (8, 20, 60, 200):
        image = np.full((24, width, 3), 128, np.uint8)
        draw.label(image, "not seen, interpolated", 14, draw.BEFORE, "bottom right")
    assert image.min() < 60  # the chip is there


def test_tints_differ_in_lightness_for_every_colour_vision():
    """Orange and blue, and not red and green: blue minus red tells them apart without the long cones, too."""
    before, after = np.array(draw.BEFORE, float), np.array(draw.AFTER, float)
    assert (after - before)[2] > 150 and (after - before)[0] < -100


@pytest.fixture
def broken(tmp_path, rendered) -> VideoDir:
    shutil.copytree(rendered.root, tmp_path / "walk", ignore=shutil.ignore_patterns("renders", "provenance"))
    return VideoDir(tmp_path / "walk")


def fails(paths: VideoDir, capsys, *expected: str) -> None:
    """The stage ends with one line that says what is wrong, and leaves nothing behind."""
    assert main(["render", str(paths.root), "--settings", SETTINGS]) == 1
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    for text in expected:
        assert text in message
    assert not paths.renders.exists()
    assert not list(paths.root.glob(".*"))


def test_missing_avatar(broken, capsys):
    broken.avatar.unlink()
    fails(broken, capsys, "avatar.npz", "not found")


def test_lengths_that_do_not_match(broken, capsys):
    (broken.frames / f"{FRAMES - 1:06d}.jpg").unlink()
    fails(broken, capsys, "pose_init.npz", f"expected {FRAMES - 1} frames", f"found {FRAMES}")


def test_another_body_model(broken, capsys):
    replace(Pose.load(broken.pose_refined), body_model="smpl").save(broken.pose_refined)
    fails(broken, capsys, "pose_refined.npz", "'smpl'", "--body-model")


def test_unknown_motion_and_bad_settings(broken, capsys):
    dancing = SETTINGS[:-1] + ", novel_motion: moonwalk}"
    assert main(["render", str(broken.root), "--settings", dancing]) == 1
    assert "moonwalk" in capsys.readouterr().err
    assert main(["render", str(broken.root), "--settings", "overlay_opacity: 7"]) == 1
    assert "render.overlay_opacity: expected 0 to 1, found 7" in capsys.readouterr().err
    assert not broken.renders.exists()


def test_the_world_from_above_and_from_the_side(body, walk):
    """The ground is a dark line; the person is drawn on it, and the picture goes on growing with the path."""
    frames = list(world_frames(walk, body, 128))
    assert len(frames) == len(walk) and frames[0].shape == (128, 260, 3)
    assert (frames[0] != frames[-1]).any()
    still = world_still(walk, body, 256, [0, len(walk) - 1])
    side = still[:, 260:].astype(int)
    dark = (side.sum(2) < 200).mean(axis=1)
    ground = int(dark.argmax())
    assert dark[ground] > 0.5
    blue = (side[..., 2] - side[..., 0]) > 40
    assert blue[:ground].sum() > 100 and blue[ground + 4 :].sum() < 20
