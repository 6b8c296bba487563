"""Dataset readers: a small sequence in each layout comes back as it was filmed, and what is wrong is said in a line."""

import re
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import dataset_layouts as layouts
import numpy as np
import pytest
import torch
import yaml
from dataset_layouts import SHIFT, Film, World
from scipy.ndimage import binary_dilation
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.body import BodyModel
from pipeline.datasets import READERS
from pipeline.datasets.catalog import dataset_clips, video_name
from pipeline.datasets.lens import Undistortion
from pipeline.datasets.smpl import Annotation, in_camera, neutral_shape, pelvis
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import DepthFolder, FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import check_config, merged

REPOSITORY = Path(__file__).resolve().parents[2]
FRAMES = 5
NOISE = 0.02  # radians, of an estimate that a dataset ships
LOST = 2  # a frame whose person is absent


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, studio_clip) -> World:
    return layouts.make_world(tmp_path_factory.mktemp("smpl"), studio_clip.video, studio_clip.truth, FRAMES)


def standing(film: Film) -> Film:
    """The film by a camera that does not move."""
    return replace(
        film,
        rotation=np.tile(film.rotation[:1], (len(film), 1, 1)),
        translation=np.tile(film.translation[:1], (len(film), 1)),
    )


def taken(world: World, dataset: str, folder: Path, sequence: str, out: Path, *options: str) -> VideoDir:
    """Run the stage as a command."""
    command = ["dataset", dataset, str(folder), sequence, str(out), "--body-model", str(world.neutral)]
    assert main([*command, "--female", str(world.female), "--male", str(world.male), *options]) == 0
    return VideoDir(out)


def joints(body: BodyModel, pose: Pose) -> np.ndarray:
    angles = np.concatenate([pose.global_orient, pose.body_pose], axis=1).reshape(-1, 24, 3)
    rotmats = axis_angle_to_matrix(torch.as_tensor(angles, dtype=torch.float64))
    betas, transl = (torch.as_tensor(values, dtype=torch.float64) for values in (pose.betas, pose.transl))
    return body.world_joints(rotmats, betas, transl)[..., :3, 3].numpy()


def pixels(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    projected = points @ K.T
    return projected[..., :2] / projected[..., 2:]


def check_pose(film: Film, pose: Pose, K: np.ndarray, rows: np.ndarray | None = None) -> None:
    """The pose is the film's in these rows: parameters to 1e-5, and joints that fall on the person seen there."""
    rows = np.arange(len(film)) if rows is None else rows
    assert pose.body_model == "smpl"
    turned = Rotation.from_rotvec(pose.global_orient[rows]).inv() * Rotation.from_rotvec(film.pose.global_orient[rows])
    assert turned.magnitude().max() < 1e-5
    np.testing.assert_allclose(pose.body_pose[rows], film.pose.body_pose[rows], atol=1e-5)
    np.testing.assert_allclose(pose.betas, film.pose.betas, atol=1e-5)
    np.testing.assert_allclose(pose.transl[rows], film.pose.transl[rows], atol=1e-5)
    seen, true = (pixels(joints(film.body, p)[rows], k) for p, k in ((pose, K), (film.pose, film.pose.K)))
    assert np.abs(seen - true).max() < 0.1
    for row, points in zip(rows, seen):
        columns, lines = points.astype(int).T
        assert binary_dilation(film.masks[row], iterations=2)[lines, columns].mean() > 0.95
    inside = (pose.bbox[rows, None, :2] <= seen) & (seen <= pose.bbox[rows, None, 2:])
    assert inside.all()


def check_clip(film: Film, directory: VideoDir, fps: Fraction, change: float) -> None:
    """Frames and camera are the film's; `change` is how far a frame may be off on average, in levels."""
    frames = FrameFolder(directory.frames)
    info = VideoInfo.load(directory.video)
    height, width = film.images.shape[1:3]
    assert (info.frames, info.width, info.height, info.fps) == (len(film), width, height, fps)
    for index in range(len(film)):
        assert np.abs(frames[index].astype(float) - film.images[index]).mean() <= change
    assert read_provenance(directory.provenance("decode"))["facts"]["reference"]
    pose = Pose.load(directory.root / "truth" / "pose.npz")
    camera = Camera.load(directory.camera)
    np.testing.assert_allclose(camera.K, film.pose.K, atol=1e-6)
    np.testing.assert_allclose(pose.K, camera.K)
    assert camera.metric and (camera.width, camera.height) == (width, height)


def check_masks(film: Film, directory: VideoDir, least_iou: float = 1.0) -> None:
    masks = MaskFolder(directory.masks)
    assert len(masks) == len(film)
    for index in range(len(film)):
        found, true = masks[index] > 127, film.masks[index]
        assert (found & true).sum() / (found | true).sum() >= least_iou


def check_initial(film: Film, directory: VideoDir) -> None:
    """The estimate that is shipped is the film's motion, off by the noise, in the same place."""
    pose = Pose.load(directory.pose_init)
    np.testing.assert_allclose(pose.body_pose - film.pose.body_pose, NOISE, atol=1e-5)
    np.testing.assert_allclose(pose.transl, film.pose.transl, atol=1e-5)


def truth_of(directory: VideoDir) -> Pose:
    return Pose.load(directory.root / "truth" / "pose.npz")


JPEG = 2.5  # levels by which a frame may change when a PNG becomes a JPEG


# ------------------------------------------------------------------------------------------------------------ layouts


@pytest.mark.parametrize("write", [layouts.write_hugs, layouts.write_neuman], ids=["hugs", "neuman"])
def test_neuman(world: World, tmp_path: Path, write: Any) -> None:
    film = world.film
    sequence = write(tmp_path / "data", film, NOISE)
    directory = taken(world, "neuman", tmp_path / "data", sequence, tmp_path / "out")
    check_clip(film, directory, Fraction(6), JPEG)
    check_pose(film, truth_of(directory), film.pose.K)
    check_masks(film, directory)
    check_initial(film, directory)
    depth = DepthFolder(directory.depth)
    unit = layouts.MONO[0] * layouts.MONO_UNIT / layouts.SCALE  # metres a count of what the dataset stores
    for index in range(len(film)):
        if index == 1:  # COLMAP saw nothing in it
            assert depth[index].max() == 0
        else:
            np.testing.assert_allclose(depth[index], film.depth[index], atol=2 * unit)
    stages = ("decode", "masks", "depth", "pose")
    records = [read_provenance(directory.provenance(stage)) for stage in stages]
    assert any("depth is relative" in warning for warning in records[0]["warnings"])
    assert records[1]["settings"] == {"dataset": "neuman", "sequence": sequence}


def test_neuman_in_the_layout_of_instant_avatar(world: World, tmp_path: Path) -> None:
    film = world.film
    layouts.write_instant_avatar(tmp_path / "seattle", film, NOISE, ".png", "poses_optimized.npz")
    directory = taken(world, "neuman", tmp_path, "seattle", tmp_path / "out")
    check_clip(film, directory, Fraction(6), JPEG)
    check_pose(film, truth_of(directory), film.pose.K)
    check_masks(film, directory)
    check_initial(film, directory)


def test_people_snapshot(world: World, tmp_path: Path) -> None:
    """The shape is of the female body; the refined motion is of the frames of the splits only."""
    film = world.film
    subject = tmp_path / "female-4-sport"
    gendered = replace(film, pose=replace(film.pose, betas=film.pose.betas - SHIFT))
    layouts.write_instant_avatar(subject, gendered, NOISE, ".npy", "poses/anim_nerf_train.npz")
    whole = dict(np.load(subject / "poses" / "anim_nerf_train.npz"))
    rows = np.array([1])  # 1 to 336, every 4th, of 5 images
    of_split = {key: value if key == "betas" else value[rows] for key, value in whole.items()}
    np.savez(subject / "poses" / "anim_nerf_train.npz", **of_split)
    directory = taken(world, "people_snapshot", tmp_path, subject.name, tmp_path / "out")
    check_clip(film, directory, Fraction(30), JPEG)
    check_masks(film, directory)
    assert truth_of(directory).valid.tolist() == [False, True, False, False, False]
    check_pose(film, truth_of(directory), film.pose.K, rows)
    check_initial(film, directory)
    (subject / "poses" / "anim_nerf_train.npz").unlink()
    np.savez(subject / "poses" / "anim_nerf_train.npz", **whole)
    assert_fails(
        world, "people_snapshot", tmp_path, subject.name, r"anim_nerf_train\.npz: expected 1 frames .* found 5"
    )


@pytest.mark.parametrize("dataset", ["3dpw", "emdb"])
def test_moving_cameras_and_gendered_shapes(world: World, tmp_path: Path, dataset: str) -> None:
    film = world.film
    if dataset == "3dpw":
        sequence = layouts.write_3dpw(tmp_path / "data", film, film.pose.betas - SHIFT, LOST)
    else:
        sequence = layouts.write_emdb(tmp_path / "data", film, film.pose.betas + SHIFT, LOST)
    directory = taken(world, dataset, tmp_path / "data", sequence, tmp_path / "out")
    check_clip(film, directory, Fraction(30), JPEG)
    source = next((tmp_path / "data").rglob("*0.jpg"))
    assert (directory.frames / "000000.jpg").read_bytes() == source.read_bytes()  # not compressed again
    truth = truth_of(directory)
    assert np.flatnonzero(~truth.valid).tolist() == [LOST]
    check_pose(film, truth, film.pose.K, np.flatnonzero(truth.valid))
    assert not directory.masks.exists() and not directory.pose_init.exists()
    warnings = read_provenance(directory.provenance("decode"))["warnings"]
    assert re.search(r"SMPL's (fe)?male body: the nearest neutral one is used, 0\.0 mm off", " ".join(warnings))
    if dataset == "emdb":  # its second protocol is of the world
        track = CameraTrack.load(directory.root / "truth" / "camera_track.npz")
        cameras = np.tile(np.eye(4), (len(film), 1, 1))
        cameras[:, :3, :3], cameras[:, :3, 3] = film.rotation, film.translation
        np.testing.assert_allclose(track.world_from_camera, cameras[0] @ np.linalg.inv(cameras), atol=1e-9)
        assert track.kind == "travelling" and (track.sigma == 0).all()


def test_human36m(world: World, tmp_path: Path) -> None:
    film = standing(world.film)
    sequence = layouts.write_human36m(tmp_path / "data", film, every=2)
    directory = taken(world, "human36m", tmp_path / "data", sequence, tmp_path / "out")
    check_clip(film, directory, Fraction(50), JPEG)
    truth = truth_of(directory)
    assert truth.valid.tolist() == [True, False, True, False, True]
    check_pose(film, truth, film.pose.K, np.flatnonzero(truth.valid))


def test_zju_mocap(world: World, tmp_path: Path) -> None:
    film = standing(world.film)
    sequence = layouts.write_zju(tmp_path / "data", film)
    directory = taken(world, "zju_mocap", tmp_path / "data", sequence, tmp_path / "out")
    check_clip(film, directory, Fraction(50), 6.0)  # resampled twice
    check_pose(film, truth_of(directory), film.pose.K)
    check_masks(film, directory, least_iou=0.93)
    bent = layouts.distorted(film.images[0], film.pose.K, cv2.INTER_LINEAR).astype(float)
    straight = FrameFolder(directory.frames)[0].astype(float)
    off = [np.abs(picture - film.images[0]).mean() for picture in (straight, bent)]
    assert off[0] < 0.6 * off[1]


# --------------------------------------------------------------------------------------- what is taken of a sequence


def test_frames_are_chosen_and_made_smaller(world: World, tmp_path: Path) -> None:
    film = world.film
    sequence = layouts.write_hugs(tmp_path / "data", film, NOISE)
    directory = taken(
        world, "neuman", tmp_path / "data", sequence, tmp_path / "out",
        "--start", "1", "--stop", "null", "--step", "2", "--longest-side", "80", "--fps", "24",
    )  # fmt: skip
    info = VideoInfo.load(directory.video)
    assert (info.frames, info.width, info.height, info.fps) == (2, 64, 80, Fraction(12))
    rows = info.source_frames(read_provenance(directory.provenance("decode"))["settings"])
    assert rows.tolist() == [1, 3]
    truth, initial = truth_of(directory), Pose.load(directory.pose_init)
    assert (len(truth), truth.fps, len(initial), initial.fps) == (FRAMES, 24, 2, 12)
    np.testing.assert_allclose(initial.transl, truth.transl[rows], atol=1e-6)
    np.testing.assert_allclose(truth.K[:2], film.pose.K[:2] / 2)
    frame, whole = FrameFolder(directory.frames)[1].astype(float), film.images[3].astype(float)
    assert np.abs(frame - whole.reshape(80, 2, 64, 2, 3).mean(axis=(1, 3))).mean() < 6
    mask = film.masks[3].reshape(80, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(MaskFolder(directory.masks)[1] / 255 - mask).max() < 0.01
    assert DepthFolder(directory.depth)[1].shape == (80, 64)


def test_what_is_not_used_is_left_to_the_stages_and_masks_become_truth(world: World, tmp_path: Path) -> None:
    sequence = layouts.write_hugs(tmp_path / "data", world.film, NOISE)
    directory = taken(world, "neuman", tmp_path / "data", sequence, tmp_path / "out", "--use", "camera")
    made = {path.name for path in directory.root.iterdir()}
    assert made == {"frames", "video.json", "camera.json", "truth", "provenance"}
    assert len(MaskFolder(directory.root / "truth" / "masks")) == FRAMES
    assert not directory.provenance("masks").exists()


def test_a_person_outside_the_image_is_not_valid(world: World, tmp_path: Path) -> None:
    transl = world.film.pose.transl.copy()
    transl[3, 0] += 50
    away = replace(world.film, pose=replace(world.film.pose, transl=transl))
    sequence = layouts.write_3dpw(tmp_path / "data", away, away.pose.betas - SHIFT, LOST)
    directory = taken(world, "3dpw", tmp_path / "data", sequence, tmp_path / "out")
    assert np.flatnonzero(~truth_of(directory).valid).tolist() == [LOST, 3]


# -------------------------------------------------------------------------------------------------------------- maths


def test_a_moved_world_moves_every_joint_alike(world: World) -> None:
    """transl' = R (transl + J0) + t - J0: the whole posed body, root offset included, moves rigidly."""
    rng = np.random.default_rng(3)
    rotations, transl = 0.7 * rng.normal(size=(4, 24, 3)), rng.normal(size=(4, 3))
    betas, valid = rng.normal(size=10), np.ones(4, bool)
    turn, shift = Rotation.from_rotvec(rng.normal(size=(4, 3))), rng.normal(size=(4, 3))
    annotation = Annotation(rotations, transl, betas, valid, "neutral")
    motion, notes = in_camera(annotation, turn.as_matrix(), shift, world.bodies, Path("x"))
    body = world.film.body

    def posed(orient: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        arguments = (orient, rotations[:, 1:].reshape(4, 69), betas, moved)
        posed = body(*(torch.as_tensor(value) for value in arguments))
        return posed.joints.numpy(), posed.vertices.numpy()

    pairs = zip(posed(rotations[:, 0], transl), posed(motion.global_orient, motion.transl), (1e-9, 1e-6))
    for before, after, tolerance in pairs:  # the free body's weights sum to 1 in single precision
        expected = np.einsum("tij,tvj->tvi", turn.as_matrix(), before) + shift[:, None]
        np.testing.assert_allclose(after, expected, atol=tolerance)
    assert notes == () and np.abs(pelvis(body, betas)).max() > 0.01  # an offset that could be forgotten


def test_shapes_of_each_frame_become_one_and_the_pelvis_stays(world: World) -> None:
    shapes = world.film.pose.betas + np.linspace(-0.2, 0.2, 3)[:, None]
    annotation = Annotation(np.zeros((3, 24, 3)), np.ones((3, 3)), shapes, np.ones(3, bool), "neutral")
    motion, notes = in_camera(annotation, np.eye(3), np.zeros(3), world.bodies, Path("x"))
    np.testing.assert_allclose(motion.betas, world.film.pose.betas)
    roots = pelvis(world.film.body, motion.betas) + motion.transl
    np.testing.assert_allclose(roots, pelvis(world.film.body, shapes) + 1, atol=1e-12)
    assert "their mean is used" in notes[0]


def test_a_neutral_shape_that_does_not_fit_says_by_how_much(world: World) -> None:
    own = world.film.body
    offset = torch.zeros_like(own.v_template)
    offset[::2, 2] = 0.01
    betas, off = neutral_shape(replace(own, v_template=own.v_template + offset), own, np.zeros(10))
    assert 0.003 < off < 0.006 and np.abs(betas).max() < 2


def test_frames_without_a_motion_repeat_the_nearest(world: World) -> None:
    transl = np.arange(15.0).reshape(5, 3)
    transl[3:] = np.nan
    valid = np.array([False, True, True, False, False])
    annotation = Annotation(np.zeros((5, 24, 3)), transl, np.zeros(10), valid, "neutral")
    motion, _ = in_camera(annotation, np.eye(3), np.zeros(3), world.bodies, Path("x"))
    np.testing.assert_allclose(motion.transl, transl[[1, 1, 2, 2, 2]], atol=1e-12)
    with pytest.raises(UserError, match=r"x: its translations hold numbers that are not finite"):
        in_camera(replace(annotation, valid=np.ones(5, bool)), np.eye(3), np.zeros(3), world.bodies, Path("x"))
    with pytest.raises(UserError, match=r"x: no frame has a valid motion"):
        in_camera(replace(annotation, valid=np.zeros(5, bool)), np.eye(3), np.zeros(3), world.bodies, Path("x"))


def test_undistortion_as_opencv_does_it(world: World) -> None:
    image, K = world.film.images[0], world.film.pose.K
    whole = K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    expected = cv2.undistort(image, whole, layouts.LENS).astype(float)
    found = Undistortion(K, layouts.LENS, image.shape[1], image.shape[0])(image).astype(float)
    assert np.abs(found - expected)[2:-2, 2:-2].max() <= 6  # OpenCV interpolates in steps of 1/32 pixel
    assert np.abs(found - expected)[2:-2, 2:-2].mean() < 0.2


# ------------------------------------------------------------------------------------------------- what can be wrong


def assert_fails(
    world: World, dataset: str, folder: Path, sequence: str, message: str, *options: str, body: Path | None = None
) -> None:
    """The command ends with one line that has the message, and leaves no results."""
    out = folder / "never"
    command = ["dataset", dataset, str(folder), sequence, str(out), "--body-model", str(body or world.neutral)]
    assert main([*command, "--log", str(folder / "log.txt"), *options]) == 1
    log = (folder / "log.txt").read_text()
    errors = [line for line in log.splitlines() if "error: dataset: " in line]
    assert len(errors) == 1 and re.search(message, errors[0]), log
    assert not (out / "frames").exists()


@pytest.mark.parametrize("dataset", READERS)
def test_a_missing_folder_says_where_to_get_the_dataset(dataset: str, tmp_path: Path) -> None:
    reader = READERS[dataset]
    with pytest.raises(UserError) as error:
        dataset_clips({"datasets": {"use": [], "folders": {dataset: {"path": str(tmp_path / "no"), "sequences": []}}}})
    text = str(error.value)
    assert text.startswith(f"{tmp_path / 'no'}: not found") and reader.TITLE in text and reader.WHERE in text
    assert re.search(r"https?://\S+\.\S+", reader.WHERE)
    assert "\n" not in text


def test_errors_name_the_file_and_what_to_do(world: World, tmp_path: Path) -> None:
    film, data = world.film, tmp_path / "data"
    sequence = layouts.write_hugs(data, film, NOISE)
    arguments = (world, "neuman", data)
    assert_fails(*arguments, "tram", r"data/tram: not found; expected a sequence of NeuMan, one of bike")
    assert_fails(
        *arguments, sequence, r"free: the datasets' motions are of SMPL's body.*smpl\.is\.tue", body=Path("free")
    )
    assert_fails(*arguments, sequence, r"nobody\.pkl: no such body model; for SMPL register", body=Path("nobody.pkl"))
    assert_fails(*arguments, sequence, r"frames 9 to None, every 1: none of the sequence's 5", "--start", "9")
    assert_fails(*arguments, sequence, r"--use depth: is in metres", "--use", "depth")
    npz = data / "bike" / "4d_humans" / "smpl_optimized_aligned_scale.npz"
    whole = dict(np.load(npz))
    np.savez(npz, **{key: value[:3] for key, value in whole.items()})
    assert_fails(*arguments, sequence, r"aligned_scale\.npz: holds 3 frames, COLMAP registered 5 images")
    np.savez(npz, **{key: value for key, value in whole.items() if key != "scale"})
    assert_fails(*arguments, sequence, r"aligned_scale\.npz: key 'scale' is missing")
    np.savez(npz, **whole)
    (data / "bike" / "images" / "00003.png").write_bytes(b"no image")
    assert_fails(*arguments, sequence, r"00003\.png: not a readable image")
    (data / "bike" / "images" / "00003.png").unlink()
    assert_fails(*arguments, sequence, r"00003\.png: not found; expected an image that COLMAP registered")
    (data / "bike" / "sparse" / "cameras.txt").write_text("1 FISHEYE 10 10 1 2 3")
    assert_fails(*arguments, sequence, r"cameras\.txt: camera model FISHEYE is not read")
    shutil.rmtree(data / "bike" / "sparse")
    assert_fails(*arguments, sequence, r"bike/sparse: not found; expected COLMAP's reconstruction")


def test_errors_of_the_other_layouts(world: World, tmp_path: Path) -> None:
    film = world.film
    genders = ("--female", str(world.female), "--male", str(world.male))
    pw3d = tmp_path / "3dpw"
    name = layouts.write_3dpw(pw3d, film, film.pose.betas, LOST)
    assert_fails(world, "3dpw", pw3d, name, r"SMPL's female body; name that file too \(config datasets\.female")
    assert_fails(world, "3dpw", pw3d, name[:-1] + "7", r"holds 2 people, person 7 was asked for", *genders)
    assert_fails(world, "3dpw", pw3d, "nowhere", r"expected one nowhere\.pkl in it, found 0")
    assert_fails(world, "3dpw", pw3d, name, r"--use masks: 3DPW does not ship it", "--use", "masks")
    pickled = pw3d / "sequenceFiles" / "test" / "downtown_test_00.pkl"
    (pw3d / "imageFiles" / "downtown_test_00" / "image_00001.jpg").unlink()
    assert_fails(world, "3dpw", pw3d, name, r"expected 5 images, one a row of downtown_test_00\.pkl, found 4", *genders)
    layouts.dump(pickled, Path("x"))
    assert_fails(world, "3dpw", pw3d, name, r"downtown_test_00\.pkl: not a pickle of 3DPW: it names pathlib\.PosixPath")
    layouts.dump(pickled, {"poses": []})
    assert_fails(world, "3dpw", pw3d, name, r"holds 0 people")

    emdb = tmp_path / "emdb"
    name = layouts.write_emdb(emdb, film, film.pose.betas, LOST)
    next(emdb.rglob("*.pkl")).write_bytes(b"\x80")
    assert_fails(world, "emdb", emdb, name, r"_data\.pkl: not a pickle of EMDB")

    zju = tmp_path / "zju"
    name = layouts.write_zju(zju, standing(film))
    assert_fails(world, "zju_mocap", zju, "CoreView_377", r"is named like CoreView_377:0")
    assert_fails(world, "zju_mocap", zju, "CoreView_377:9", r"holds 2 cameras, camera 9 was asked for")
    (zju / "CoreView_377" / "new_params" / "4.npy").unlink()
    assert_fails(
        world, "zju_mocap", zju, name, r"new_params/4\.npy: not found; expected the SMPL parameters of a frame"
    )

    human = tmp_path / "h36m"
    name = layouts.write_human36m(human, standing(film), every=1)
    assert_fails(world, "human36m", human, "S9", r"is named like s_09_act_02_subact_01_ca_04")
    (human / "annotations" / "Human36M_subject9_SMPL_NeuralAnnot.json").write_text('{"2": {"1": {"0": {"pose": [1]}}}}')
    assert_fails(world, "human36m", human, name, r"action 2, subaction 1, frame 0: key 'pose' should have shape \(72\)")

    snapshot = tmp_path / "snapshot" / "male-1-plaza"
    snapshot.mkdir(parents=True)
    (snapshot / "camera.pkl").touch()
    assert_fails(world, "people_snapshot", snapshot.parent, snapshot.name, r"prepare it with scripts/peoplesnapshot")


# -------------------------------------------------------------------------------------------------- for the workflow


def config(**datasets: Any) -> dict[str, Any]:
    return {
        "video": {"start": 0, "stop": None, "step": 1, "longest_side": 1280},
        "depth": {"backend": "none"},
        "datasets": {"use": ["camera", "masks", "depth", "pose"], "female": None, "male": None, "folders": datasets},
    }


def test_the_catalog_tells_what_each_sequence_stands_in_for(world: World, tmp_path: Path) -> None:
    hugs = layouts.write_hugs(tmp_path / "neuman", world.film, NOISE)
    emdb = layouts.write_emdb(tmp_path / "emdb", world.film, world.film.pose.betas, LOST)
    chosen = config(
        neuman={"path": str(tmp_path / "neuman"), "sequences": [hugs], "fps": 5},
        emdb={"path": str(tmp_path / "emdb"), "sequences": [emdb], "start": 10, "step": 2},
        zju_mocap=None,
    )
    chosen["body_model"], chosen["datasets"]["male"] = str(world.neutral), str(world.male)
    clips = dataset_clips(chosen)
    assert list(clips) == ["neuman_bike", "emdb_P1_14_outdoor_test"]
    assert clips["neuman_bike"].stages == {"decode", "masks", "depth", "pose"}
    assert clips["emdb_P1_14_outdoor_test"].stages == {"decode", "depth"}
    assert clips["neuman_bike"].options == (
        *("--use", "camera", "depth", "masks", "pose", "--start", "0", "--stop", "null", "--step", "1"),
        *("--longest-side", "1280", "--fps", "5"),
    )
    emdb_clip = clips["emdb_P1_14_outdoor_test"]
    assert emdb_clip.options[-2:] == ("--male", str(world.male)) and emdb_clip.inputs[-1] == world.male
    assert clips["emdb_P1_14_outdoor_test"].options[2:8] == ("--start", "10", "--stop", "null", "--step", "2")
    assert all(path.exists() for clip in clips.values() for path in clip.inputs)
    assert dataset_clips({}) == {}

    # A depth backend runs where the dataset has no depth, and then it gives the camera too.
    with_depth = chosen | {"depth": {"backend": "unidepth"}}
    assert dataset_clips(with_depth)["emdb_P1_14_outdoor_test"].stages == {"decode"}
    assert dataset_clips(with_depth)["neuman_bike"].stages == {"decode", "masks", "depth", "pose"}

    chosen["datasets"]["female"] = "models/SMPL_FEMALE.pkl"
    with pytest.raises(
        UserError, match=r"config datasets\.female: models/SMPL_FEMALE\.pkl: no such file; .*https://smpl"
    ):
        dataset_clips(chosen)
    chosen["datasets"]["folders"]["emdb"] = None  # NeuMan's shapes are of the neutral body
    assert list(dataset_clips(chosen)) == ["neuman_bike"]
    with pytest.raises(UserError, match=r"config body_model: free: no such file; .*https://smpl"):
        dataset_clips(chosen | {"body_model": "free"})


def test_names_of_videos() -> None:
    assert video_name("3dpw", "downtown_walking_00:1") == "3dpw_downtown_walking_00_1"
    with pytest.raises(UserError, match=r"'x': not known; expected one of neuman, 3dpw"):
        dataset_clips(config(x={"path": ".", "sequences": []}))


def test_the_command_takes_the_options_of_the_catalog(world: World, tmp_path: Path) -> None:
    sequence = layouts.write_emdb(tmp_path / "data", world.film, world.film.pose.betas + SHIFT, LOST)
    chosen = config(emdb={"path": str(tmp_path / "data"), "sequences": [sequence], "fps": 15, "stop": 3})
    chosen["body_model"] = str(world.neutral)
    chosen["datasets"] |= {"use": [], "male": str(world.male)}
    clip = dataset_clips(chosen)["emdb_P1_14_outdoor_test"]
    out = tmp_path / "out"
    command = ["dataset", *clip.arguments, str(out), "--body-model", str(world.neutral), *clip.options]
    assert main(command) == 0
    info = VideoInfo.load(out / "video.json")
    assert (info.frames, info.fps) == (3, 15) and not (out / "camera.json").exists()


def test_the_shipped_configuration_names_every_dataset_and_passes_the_schema() -> None:
    shipped = yaml.safe_load((REPOSITORY / "config" / "datasets.yaml").read_text(encoding="utf-8"))
    folders = shipped["datasets"]["folders"]
    assert list(folders) == list(READERS)
    counts = {name: len(set(folder["sequences"])) for name, folder in folders.items()}  # the whole test sets
    assert counts == {"neuman": 6, "3dpw": 37, "human36m": 59, "emdb": 17, "zju_mocap": 1, "people_snapshot": 4}
    whole = merged(yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8")), shipped)
    check_config(whole)
    with pytest.raises(
        UserError, match=r"^data/neuman/dataset: not found; it should hold NeuMan: get it from https://"
    ):
        dataset_clips(whole)
    whole["datasets"]["folders"]["neuman"]["sequence"] = "bike"
    with pytest.raises(UserError, match=r"config\.datasets\.folders\.neuman: unknown key 'sequence'"):
        check_config(whole)
