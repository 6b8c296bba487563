"""The stages' files, the settings, the progress and the command line: round trips and bad input."""

import errno
import json
import random
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image
from scipy.spatial.transform import Rotation

from pipeline.__main__ import STAGES, main
from pipeline.formats.arrays import check_arrays, read_npz, write_npz
from pipeline.formats.atomic import atomic_directory, atomic_path
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import DepthFolder, FrameFolder, MaskFolder, write_depth, write_frame, write_mask
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.formats.records import read_json, write_json
from pipeline.formats.video import VideoInfo
from pipeline.landmarks.detector import SOURCE
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import setup_logging, track
from pipeline.runtime.settings import load_settings, parse_overrides

HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)


def floats(*shape: int, low: float = -1e3, high: float = 1e3) -> st.SearchStrategy[np.ndarray]:
    return npst.arrays(np.float64, shape, elements=st.floats(low, high, width=64))


@st.composite
def poses(draw: st.DrawFn) -> Pose:
    count, hands = draw(st.integers(1, 5)), draw(st.booleans())
    return Pose(
        global_orient=draw(floats(count, 3)),
        body_pose=draw(floats(count, 69)),
        betas=draw(floats(10)),
        transl=draw(floats(count, 3)),
        valid=draw(npst.arrays(bool, count)),
        bbox=draw(floats(count, 4)),
        K=draw(floats(3, 3)),
        fps=draw(st.floats(0.1, 1000)),
        body_model=draw(st.sampled_from(["free", "smpl"])),
        source=draw(texts),
        sigma=draw(st.none() | floats(count, 24, 2, low=1e-6)),
        hand_pose=draw(floats(count, 30, 3)) if hands else None,
        hands_seen=draw(floats(count, 2, low=0, high=1)) if hands else None,
        fitted_in_3d=draw(st.booleans()),
        told_height=draw(st.none() | st.floats(0.5, 2.6)),
    )


@st.composite
def avatars(draw: st.DrawFn) -> AvatarFile:
    count, bands, frames = draw(st.integers(1, 4)), draw(st.sampled_from([1, 4])), draw(st.integers(1, 4))
    return AvatarFile(
        means=draw(floats(count, 3)),
        quats=draw(floats(count, 4)),
        scales=draw(floats(count, 3)),
        opacities=draw(floats(count, low=0, high=1)),
        sh=draw(floats(count, bands, 3)),
        weights=draw(floats(count, 24)),
        canonical_pose=draw(floats(24, 3)),
        betas=draw(floats(10)),
        train_frames=draw(npst.arrays(bool, frames)),
        body_model=draw(texts),
        binding=draw(texts),
        gains=draw(st.none() | floats(frames, 3, low=0.5, high=2)),
        seen=draw(st.none() | floats(count, low=0, high=1)),
    )


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (np.array([0.5, 1.5]), "should be from 0 to 1, found 0.5 to 1.5"),
        (np.array([0.5, np.nan]), "holds nan at index"),
        (np.zeros(3), r"should have shape \(N=2\), found \(3,\)"),
    ],
)
def test_how_well_gaussians_were_seen_is_checked(tmp_path: Path, seen: np.ndarray, told: str) -> None:
    file, sizes = tmp_path / "avatar.npz", {"means": 3, "quats": 4, "scales": 3, "weights": 24}
    arrays = {name: np.zeros((2, size)) for name, size in sizes.items()} | {"opacities": np.zeros(2)}
    arrays |= {"sh": np.zeros((2, 1, 3)), "canonical_pose": np.zeros((24, 3)), "betas": np.zeros(10)}
    arrays |= {"train_frames": np.ones(1, bool), "body_model": "", "binding": ""}
    write_npz(file, arrays)
    assert AvatarFile.load(file).seen is None  # as older files are
    write_npz(file, arrays | {"seen": seen})
    with pytest.raises(UserError, match=f"{file}: key 'seen' {told}"):
        AvatarFile.load(file)


@st.composite
def landmark_files(draw: st.DrawFn) -> Landmarks:
    count, names = draw(st.integers(1, 4)), draw(st.lists(texts.filter(bool), max_size=4))
    return Landmarks(
        names=tuple(names),
        xy=draw(floats(count, len(names), 2)),
        visibility=draw(floats(count, len(names), low=0, high=1)),
        world=draw(st.none() | floats(count, len(names), 3)),
        source=draw(texts),
    )


def test_landmarks_of_before_source_are_read(tmp_path: Path) -> None:
    file = tmp_path / "landmarks.npz"
    Landmarks(("nose",), np.zeros((2, 1, 2)), np.ones((2, 1)), np.zeros((2, 1, 3))).save(file)
    arrays = read_npz(file)
    del arrays["source"]
    write_npz(file, arrays)
    assert Landmarks.load(file).source == SOURCE


@st.composite
def tracks(draw: st.DrawFn) -> CameraTrack:
    count = draw(st.integers(1, 4))
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(draw(floats(count, 3, low=-3, high=3))).as_matrix()
    poses[:, :3, 3] = draw(floats(count, 3))
    kind = draw(st.sampled_from(["static", "turning", "travelling"]))
    return CameraTrack(poses, kind, draw(floats(count, 2, low=0)), draw(texts))


# What JSON and numpy hold: no lone surrogates, and numpy drops zeros at a text's end.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
sizes = st.integers(1, 9000)
cameras = st.builds(Camera, K=floats(3, 3), width=sizes, height=sizes, source=texts, metric=st.booleans())
videos = st.builds(
    VideoInfo,
    source=texts,
    sha256=texts,
    fps=st.fractions(Fraction(1, 10), 240),
    width=sizes,
    height=sizes,
    frames=sizes,
    rotation=st.integers(0, 359),
)


def assert_same(found: object, wanted: object) -> None:
    assert type(found) is type(wanted)
    for field in fields(wanted):
        a, b = getattr(found, field.name), getattr(wanted, field.name)
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


@pytest.fixture
def pose() -> Pose:
    return Pose(
        global_orient=np.zeros((2, 3)),
        body_pose=np.zeros((2, 69)),
        betas=np.zeros(10),
        transl=np.zeros((2, 3)),
        valid=np.ones(2, bool),
        bbox=np.zeros((2, 4)),
        K=np.eye(3),
        fps=25.0,
        body_model="free",
        source="a test",
    )


# Round trips


@HERE
@given(wanted=st.one_of(poses(), avatars(), landmark_files(), tracks(), cameras, videos))
def test_what_is_saved_is_loaded(tmp_path: Path, wanted) -> None:
    file = tmp_path / ("file.json" if isinstance(wanted, Camera | VideoInfo) else "file.npz")
    wanted.save(file)
    assert_same(type(wanted).load(file), wanted)
    assert {path.name for path in tmp_path.iterdir()} <= {"file.json", "file.npz"}


@HERE
@given(depth=npst.arrays(np.float32, (3, 4), elements=st.floats(0, 65.5, width=32)))
def test_depth_is_kept_to_half_a_millimetre(tmp_path: Path, depth: np.ndarray) -> None:
    write_depth(tmp_path / "000000.png", depth)
    found = DepthFolder(tmp_path)[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, depth, atol=5.1e-4)


def test_unknown_depth_is_zero(tmp_path: Path) -> None:
    write_depth(tmp_path / "000000.png", np.array([[np.nan, np.inf, -1.0, 65.536, 2.0]]))
    np.testing.assert_array_equal(DepthFolder(tmp_path)[0], np.array([[0, 0, 0, 0, 2]], np.float32))


@HERE
@given(mask=npst.arrays(np.uint8, (3, 5)))
def test_masks_are_kept(tmp_path: Path, mask: np.ndarray) -> None:
    write_mask(tmp_path / "000000.png", mask)
    np.testing.assert_array_equal(MaskFolder(tmp_path)[0], mask)


def test_frames_are_kept_to_what_the_eye_sees(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:32, 0:48]
    image = np.stack([rows * 8, columns * 5, 255 - rows * 4], axis=-1).astype(np.uint8)
    write_frame(tmp_path / "000000.jpg", image)
    found = FrameFolder(tmp_path)[0]
    assert (found.dtype, found.shape) == (np.uint8, image.shape)
    assert np.abs(found.astype(int) - image).mean() < 1.5


@HERE
@given(
    values=st.dictionaries(texts, st.one_of(texts, st.integers(), st.booleans(), st.none(), st.lists(st.floats(0, 1))))
)
def test_json_is_kept(tmp_path: Path, values: dict) -> None:
    write_json(tmp_path / "file.json", values)
    assert read_json(tmp_path / "file.json", tuple(values)) == values


@dataclass(frozen=True)
class Inner:
    rate: float
    name: str | None


@dataclass(frozen=True)
class Outer:
    count: int
    on: bool
    size: int | str
    inner: Inner


def test_provenance_tells_what_ran(tmp_path: Path) -> None:
    record = Provenance("fit", Outer(3, True, 2, Inner(0.5, "x")), ("numpy", "no-such-package"))
    record.warn("the person was lost in 2 frames")
    record.facts["frames"] = 7
    record.save(tmp_path / "provenance" / "fit.json")
    found = read_provenance(tmp_path / "provenance" / "fit.json")
    assert found["stage"] == "fit"
    assert found["settings"] == {"count": 3, "on": True, "size": 2, "inner": {"rate": 0.5, "name": "x"}}
    assert found["warnings"] == ["the person was lost in 2 frames"]
    assert found["facts"] == {"frames": 7}
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["no-such-package"] == "not installed"
    assert found["seconds"] >= 0


def test_paths_follow_the_layout() -> None:
    directory = VideoDir(Path("results/my clip"))
    names = {name: getattr(directory, name) for name in dir(VideoDir) if isinstance(getattr(VideoDir, name), property)}
    assert names.pop("name") == "my clip"
    assert {name: path.relative_to(directory.root).as_posix() for name, path in names.items()} == {
        "video": "video.json",
        "frames": "frames",
        "masks": "masks",
        "masks_refined": "masks_refined",
        "masks_unknown": "masks_refined/unknown",
        "people": "people.jpg",
        "people_refused": "logs/people.jpg",
        "depth": "depth",
        "camera": "camera.json",
        "camera_track": "camera_track.npz",
        "pose_init": "pose_init.npz",
        "landmarks": "landmarks.npz",
        "fit": "fit",
        "avatar": "fit/avatar.npz",
        "pose_refined": "fit/pose_refined.npz",
        "history": "fit/history.csv",
        "checkpoint": "fit/checkpoint.pt",
        "renders": "renders",
        "exports": "exports",
        "metrics": "metrics.csv",
        "report": "report.html",
        "summary": "summary.json",
    }
    assert directory.provenance("fit") == directory.root / "provenance" / "fit.json"


# Whole or not at all


def test_a_failed_file_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("old")
    with pytest.raises(KeyError), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_appears_with_its_folder_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.txt"
    with atomic_path(file) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not file.exists()
    assert file.read_text() == "new"
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    for name in ("old", "new"):
        with atomic_directory(folder) as temporary:
            (temporary / name).touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    with pytest.raises(KeyError), atomic_directory(folder) as temporary:
        (temporary / "half").touch()
        raise KeyError
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("whole", [atomic_path, atomic_directory])
def test_an_error_of_the_system_names_the_output(tmp_path: Path, whole: Callable) -> None:
    with pytest.raises(OSError, match="No space") as raised, whole(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.filename == str(tmp_path / "out")
    with pytest.raises(FileNotFoundError) as raised, whole(tmp_path / "out"):
        Path(tmp_path / "other").read_bytes()
    assert raised.value.filename == str(tmp_path / "other")


# Bad files


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for load in (Pose.load, AvatarFile.load, Landmarks.load, Camera.load, VideoInfo.load, read_provenance):
        with pytest.raises(UserError, match="nowhere: not found; run the stage that writes it first"):
            load(tmp_path / "nowhere")


@pytest.mark.parametrize("key", ["global_orient", "betas", "valid", "K", "fps", "body_model", "source"])
def test_a_pose_without_a_key_names_it(tmp_path: Path, pose: Pose, key: str) -> None:
    pose.save(tmp_path / "pose.npz")
    arrays = read_npz(tmp_path / "pose.npz")
    del arrays[key]
    write_npz(tmp_path / "pose.npz", arrays)
    with pytest.raises(UserError, match=rf"pose\.npz: key '{key}' is missing"):
        Pose.load(tmp_path / "pose.npz")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("body_pose", np.zeros((2, 72)), "key 'body_pose' should have shape (T=2, 69), found (2, 72)"),
        ("transl", np.zeros((3, 3)), "key 'transl' should have shape (T=2, 3), found (3, 3)"),
        ("betas", np.zeros((2, 10)), "key 'betas' should have shape (10), found (2, 10)"),
        ("transl", np.array([[0, 0, 1], [0, np.nan, 1]]), "key 'transl' holds nan at index (1, 1)"),
        ("bbox", np.full((2, 4), np.inf), "key 'bbox' holds inf at index (0, 0)"),
        ("K", np.full((3, 3), "x"), "key 'K' should hold numbers, found <U1"),
        ("valid", np.ones(2), "key 'valid' should be bool, found float64"),
        ("fitted_in_3d", np.array(1.0), "key 'fitted_in_3d' should be bool, found float64"),
        ("told_height", np.array([1.8]), "key 'told_height' should have shape (), found (1,)"),
        ("told_height", np.array(np.nan), "key 'told_height' holds nan"),
        ("told_height", np.array(-1.8), "key 'told_height' should be above 0, found -1.8"),
        ("fps", np.array(0.0), "fps should be above 0, found 0.0"),
        ("fps", np.array(-np.inf), "key 'fps' holds -inf"),
        ("body_model", np.array("smplx"), "body_model should be one of ('free', 'smpl'), found 'smplx'"),
        ("source", np.array(3.0), "key 'source' should be a text, found float64"),
        ("sigma", np.ones((2, 24)), "key 'sigma' should have shape (T=2, 24, 2), found (2, 24)"),
        ("sigma", np.zeros((2, 24, 2)), "key 'sigma' should be above 0, found 0.0"),
        ("hand_pose", np.zeros((2, 15, 3)), "key 'hand_pose' should have shape (T=2, 30, 3), found (2, 15, 3)"),
        ("hand_pose", np.zeros((2, 30, 3)), "keys 'hand_pose' and 'hands_seen' should be there together"),
    ],
)
def test_a_wrong_pose_is_told(tmp_path: Path, pose: Pose, key: str, value: np.ndarray, told: str) -> None:
    file = tmp_path / "pose.npz"
    pose.save(file)
    write_npz(file, read_npz(file) | {key: value})
    with pytest.raises(UserError) as raised:
        Pose.load(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert told in str(raised.value)


def test_a_pose_of_an_older_version_lacks_what_came_later(tmp_path: Path, pose: Pose) -> None:
    pose.save(tmp_path / "pose.npz")
    assert not {"sigma", "told_height"} & set(read_npz(tmp_path / "pose.npz"))
    read = Pose.load(tmp_path / "pose.npz")
    assert read.told_height is None
    assert read.sigma is None and read.hand_pose is None and read.hands_seen is None


def test_a_wrong_pose_cannot_be_made(pose: Pose) -> None:
    with pytest.raises(UserError, match="pose from a test: key 'transl' holds nan"):
        replace(pose, transl=np.full((2, 3), np.nan))
    with pytest.raises(UserError, match="holds no frame"):
        none = {key: getattr(pose, key)[:0] for key in ("global_orient", "body_pose", "transl", "valid", "bbox")}
        replace(pose, **none)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "opened",))

    np.savez(tmp_path / "pose.npz", global_orient=np.array([Trap()], dtype=object))
    with pytest.raises(UserError, match="expected an npz file of plain arrays"):
        Pose.load(tmp_path / "pose.npz")
    assert not (tmp_path / "opened").exists()


def test_an_npy_file_is_no_npz(tmp_path: Path) -> None:
    with (tmp_path / "pose.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="expected an npz file"):
        Pose.load(tmp_path / "pose.npz")


@settings(HERE, max_examples=150)
@given(seed=st.integers(0, 2**32), compressed=st.booleans())
def test_a_damaged_npz_is_the_same_or_an_error(tmp_path: Path, seed: int, compressed: bool) -> None:
    wanted = {"a": np.arange(24.0).reshape(8, 3), "name": np.array("text")}
    file = tmp_path / "file.npz"
    (np.savez_compressed if compressed else np.savez)(file, **wanted)
    data = bytearray(file.read_bytes())
    chance = random.Random(seed)
    if chance.random() < 0.3:
        data = data[: chance.randrange(len(data))]
    else:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    try:
        found = read_npz(file)
        for key in set(found) & set(wanted):  # what is not covered by the checksum is the name and the date
            np.testing.assert_array_equal(found[key], wanted[key])
    except UserError as error:
        assert str(error).startswith(f"{file}: expected an npz file")


def test_shapes_that_share_a_letter_must_agree() -> None:
    shapes = {"a": ("N", 2), "b": ("N",)}
    assert check_arrays("file", {"a": np.zeros((4, 2)), "b": np.zeros(4)}, shapes) == {"N": 4}
    with pytest.raises(UserError, match=r"file: key 'b' should have shape \(N=4\), found \(5,\)"):
        check_arrays("file", {"a": np.zeros((4, 2)), "b": np.zeros(5)}, shapes)


@pytest.mark.parametrize("key", ["names", "body_model"])
def test_texts_of_other_files_are_checked(tmp_path: Path, key: str) -> None:
    file = tmp_path / "file.npz"
    if key == "names":
        load, whole = Landmarks.load, Landmarks(("a", "b"), np.zeros((1, 2, 2)), np.zeros((1, 2)), np.zeros((1, 2, 3)))
    else:
        one = {"means": 3, "quats": 4, "scales": 3, "weights": 24}
        arrays = {name: np.zeros((1, size)) for name, size in one.items()} | {"opacities": np.zeros(1)}
        arrays |= {"sh": np.zeros((1, 1, 3)), "canonical_pose": np.zeros((24, 3)), "betas": np.zeros(10)}
        load, whole = AvatarFile.load, AvatarFile(**arrays, train_frames=np.ones(1, bool), body_model="", binding="")
    whole.save(file)
    arrays = read_npz(file)
    for bad in (None, np.zeros(2), np.array(["one"] * 3)):
        write_npz(
            file, {name: value for name, value in arrays.items() if name != key} | ({} if bad is None else {key: bad})
        )
        with pytest.raises(UserError, match=rf"{file}: key '{key}'"):
            load(file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected JSON"),
        ("{", "expected JSON"),
        ("[1]", "expected a JSON object, found list"),
        ("{}", "key 'K' is missing; found nothing"),
        ('{"K": 1}', "key 'width' is missing; found K"),
    ],
)
def test_bad_json_is_told(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "camera.json"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        Camera.load(file)
    assert str(raised.value).startswith(f"{file}: {told}")


def test_bytes_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "camera.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="expected JSON"):
        Camera.load(tmp_path / "camera.json")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("K", [[1, 0], [0, 1]], "key 'K' should have shape (3, 3), found (2, 2)"),
        ("K", [[1, 0, 0], [0, 1]], "key 'K' should be 3 x 3 numbers"),
        ("K", "wide", "key 'K' should be 3 x 3 numbers, found 'wide'"),
        ("K", None, "key 'K'"),
        ("width", "640", "key 'width' should be int, found '640'"),
        ("height", True, "key 'height' should be int, found True"),
        ("metric", 1, "key 'metric' should be bool, found 1"),
        ("K_source", "magic", "key 'K_source' should be one of calibration, user, metadata"),
        ("K_source", [], "key 'K_source' should be one of"),
    ],
)
def test_a_wrong_camera_is_told(tmp_path: Path, key: str, value: object, told: str) -> None:
    file = tmp_path / "camera.json"
    Camera(np.eye(3), 640, 480, "a test", False).save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(UserError) as raised:
        Camera.load(file)
    assert told in str(raised.value)
    assert str(raised.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("kind", np.array("hand-held"), "'kind' should be one of static, turning, travelling, found 'hand-held'"),
        ("sigma", np.full((2, 2), -1.0), "'sigma' should be 0 or more, found -1.0"),
        ("world_from_camera", np.tile(np.diag([1.0, 1, -1, 1]), (2, 1, 1)), "should hold rigid motions"),
        ("world_from_camera", np.tile(2 * np.eye(4), (2, 1, 1)), "should hold rigid motions"),
    ],
)
def test_a_wrong_camera_track_is_told(tmp_path: Path, key: str, value: np.ndarray, told: str) -> None:
    file = tmp_path / "camera_track.npz"
    CameraTrack.static(2, "a test").save(file)
    write_npz(file, read_npz(file) | {key: value})
    with pytest.raises(UserError, match=re.escape(f"{file}")) as error:
        CameraTrack.load(file)
    assert told in str(error.value)


def test_a_camera_comes_back_and_older_ones_are_read(tmp_path: Path) -> None:
    file = tmp_path / "camera.json"
    Camera(np.eye(3), 640, 480, "26 mm", True, "metadata").save(file)
    assert Camera.load(file).K_source == json.loads(file.read_text())["K_source"] == "metadata"
    values = json.loads(file.read_text())
    del values["K_source"]
    file.write_text(json.dumps(values))
    assert Camera.load(file).K_source is None


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("fps", 29.97, "key 'fps' should be str, found 29.97"),
        ("fps", "fast", "key 'fps' should be a fraction, found 'fast'"),
        ("fps", "1/0", "key 'fps' should be a fraction, found '1/0'"),
        ("fps", "-25", "fps, width, height and frames should be above 0"),
        ("frames", 0, "fps, width, height and frames should be above 0"),
        ("width", None, "key 'width' should be int, found None"),
        ("start", -2, "key 'start' should be the number of a frame, found -2"),
        ("K", [[1, 2], [3]], "key 'K' should be 3 x 3 numbers"),
        ("K", [[1, 0], [0, 1]], "key 'K'"),
        ("focal_mm", "26", "key 'focal_mm' should be millimetres above 0, found '26'"),
        ("focal_mm", -26.0, "key 'focal_mm' should be millimetres above 0"),
        ("K_source", "calib.toml", "key 'K_source' should name the file of K"),
    ],
)
def test_a_wrong_video_record_is_told(tmp_path: Path, key: str, value: object, told: str) -> None:
    file = tmp_path / "video.json"
    VideoInfo("clip.mp4", "", Fraction(30000, 1001), 640, 480, 9, 0).save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(UserError) as raised:
        VideoInfo.load(file)
    assert str(raised.value).startswith(f"{file}: {told}")


def test_a_video_record_comes_back_and_older_ones_are_read(tmp_path: Path) -> None:
    file = tmp_path / "video.json"
    K = ((500.0, 0.0, 320.5), (0.0, 500.0, 240.5), (0.0, 0.0, 1.0))
    info = VideoInfo("clip.mp4", "", Fraction(30000, 1001), 640, 480, 9, 0, 12, K, "calib.toml", 26.0)
    info.save(file)
    assert VideoInfo.load(file) == info
    values = json.loads(file.read_text())
    later = ("start", "K", "K_source", "focal_mm")
    file.write_text(json.dumps({key: value for key, value in values.items() if key not in later}))
    assert VideoInfo.load(file) == VideoInfo("clip.mp4", "", Fraction(30000, 1001), 640, 480, 9, 0)


def test_lists_of_numbers_fill_their_lines(tmp_path: Path) -> None:
    values = {
        "none": [],
        "texts": ["[\n1\n]", "["],
        "K": [[1.5, -2.0], [1e-9, 0.0]],
        "times": [i / 7 for i in range(500)],
    }
    write_json(tmp_path / "record.json", values)
    assert read_json(tmp_path / "record.json") == values
    lines = (tmp_path / "record.json").read_text().splitlines()
    assert len(lines) < 130
    assert max(map(len, lines)) <= 125
    assert "    [1.5, -2.0]," in lines


def test_images_must_be_numbered_without_a_gap(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.png image found; run the stage that writes it first"):
        MaskFolder(tmp_path)
    for index in (0, 1, 3):
        write_mask(tmp_path / f"{index:06d}.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match=r"image 000002\.png is missing, found 000003\.png"):
        MaskFolder(tmp_path)


@pytest.mark.parametrize(
    ("folder", "image"),
    [
        (FrameFolder, np.zeros((2, 2), np.uint8)),
        (MaskFolder, np.zeros((2, 2, 3), np.uint8)),
        (MaskFolder, np.zeros((2, 2), np.uint16)),
        (DepthFolder, np.zeros((2, 2), np.uint8)),
    ],
)
def test_images_of_another_kind_are_told(tmp_path: Path, folder: type, image: np.ndarray) -> None:
    file = tmp_path / f"000000{folder.suffix}"
    Image.fromarray(image).save(file)
    with pytest.raises(UserError, match=rf"{file}: expected .* found {image.dtype}"):
        folder(tmp_path)[0]
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(UserError, match=f"{file}: not a readable image"):
        folder(tmp_path)[0]


# Settings

GOOD = {"count": 3, "on": True, "size": "full", "inner": {"rate": 0.5, "name": None}}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.runtime.settings.default_config", lambda: {"demo": GOOD, "deep": {"demo": GOOD}})


@pytest.mark.usefixtures("config")
def test_settings_come_from_the_config_and_the_overrides() -> None:
    assert load_settings("demo", None, Outer) == Outer(3, True, "full", Inner(0.5, None))
    overrides = {"size": 4, "inner": {"rate": 2}}
    assert load_settings("deep.demo", overrides, Outer) == Outer(3, True, 4, Inner(2.0, None))
    assert GOOD["inner"]["rate"] == 0.5


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"cuont": 3}, "settings demo: unknown key 'cuont'; known keys are count, on, size, inner"),
        ({"inner": {"rat": 3}}, "settings demo.inner: unknown key 'rat'; known keys are rate, name"),
        ({"inner": 3}, "settings demo.inner: expected KEY: VALUE pairs, found 3"),
        ({"count": "3"}, "settings demo.count: expected int, found '3'"),
        ({"count": 3.0}, "settings demo.count: expected int, found 3.0"),
        ({"count": True}, "settings demo.count: expected int, found True"),
        ({"count": None}, "settings demo.count: expected int, found None"),
        ({"on": 1}, "settings demo.on: expected bool, found 1"),
        ({"inner": {"rate": True}}, "settings demo.inner.rate: expected float, found True"),
        ({"inner": {"name": 3}}, "settings demo.inner.name: expected str or null, found 3"),
        ({"size": 1.5}, "settings demo.size: expected int or str, found 1.5"),
        ({1: 2}, "settings demo: unknown key 1"),
    ],
)
def test_wrong_settings_are_told(overrides: dict, told: str) -> None:
    with pytest.raises(UserError) as raised:
        load_settings("demo", overrides, Outer)
    assert str(raised.value).startswith(told)


def test_a_missing_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.runtime.settings.default_config", lambda: {"demo": {"rate": 1.0}})
    with pytest.raises(UserError, match=r"settings demo: key 'name' is missing; see config/config\.yaml"):
        load_settings("demo", {}, Inner)


def test_overrides_are_yaml_or_a_file(tmp_path: Path) -> None:
    assert parse_overrides(None) == parse_overrides("") == {}
    assert parse_overrides("{a: 1, b: {c: x}}") == parse_overrides('{"a": 1, "b": {"c": "x"}}')
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    assert parse_overrides(str(tmp_path / "mine.yaml")) == {"a": 1}


def test_small_numbers_of_json_are_numbers() -> None:
    """The rules write settings as JSON, 1e-05 with neither point nor sign: YAML 1.1 reads that as a string."""
    assert parse_overrides(json.dumps({"rate": 0.00001})) == {"rate": 1e-5}
    assert parse_overrides("rate: 1.0e-5") == {"rate": 1e-5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nowhere.yaml", "nowhere.yaml: not found"),
        ("iterations", "--settings: expected KEY: VALUE pairs"),
        ("{a: ", "--settings: not YAML"),
        ("[1, 2]", "--settings: expected KEY: VALUE pairs"),
    ],
)
def test_wrong_overrides_are_told(text: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_overrides(text)
    assert str(raised.value).startswith(told)
    assert "\n" not in str(raised.value)


# Progress


def test_track_gives_every_item_and_logs_the_rate(tmp_path: Path) -> None:
    setup_logging(tmp_path / "logs" / "x.log")
    assert list(track(range(5), "fit", unit="step")) == list(range(5))
    assert list(track(iter("ab"), "read", total=9)) == ["a", "b"]
    lines = (tmp_path / "logs" / "x.log").read_text().splitlines()
    assert "fit: done, 5/5 step, " in lines[0]
    assert "step/s" in lines[0]
    assert "read: done, 2/2 it" in lines[1]
    assert not any("\r" in line or "\x1b" in line for line in lines)  # plain, no bar


def test_long_steps_log_how_far_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipeline.runtime.progress._FIRST_LINE", 0.0)
    setup_logging(tmp_path / "x.log")
    list(track(range(3), "fit", unit="step"))
    lines = (tmp_path / "x.log").read_text().splitlines()
    assert len(lines) == 3
    assert "fit: 1/3 step" in lines[0]
    assert "s left" in lines[0]


# The command line


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A stage of our own in the place of decode, whose run() a test sets."""
    module = ModuleType("pipeline.stages.decode")
    module.HELP = "A stage for tests."
    module.SECTION = "video"
    module.add_arguments = lambda parser: parser.add_argument("directory", type=Path)
    monkeypatch.setitem(sys.modules, "pipeline.stages.decode", module)
    return module


def raising(error: BaseException) -> Callable[[Namespace], None]:
    def run(_: Namespace) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("x.npz: key 'K' is missing"), "error: decode: x.npz: key 'K' is missing\n"),
        (UserError("two\n  lines"), "error: decode: two lines\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/frames"),
            "error: decode: out/frames: No space left on device; free some space or choose another folder\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "error: decode: output: No space left on device; free some space or choose another folder\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/data"),
            "error: decode: /data: Permission denied; free some space or choose another folder\n",
        ),
        (KeyboardInterrupt(), "error: decode: stopped by the user\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    stage: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture, error: BaseException, told: str
) -> None:
    stage.run = raising(error)
    assert main(["decode", "out", "--log", str(tmp_path / "x.log")]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"out · {told}"
    assert captured.out == ""
    assert told.strip() in (tmp_path / "x.log").read_text()


@pytest.mark.parametrize("error", [ValueError("a bug"), FileNotFoundError(errno.ENOENT, "No such file", "x")])
def test_a_bug_shows_its_traceback(stage: ModuleType, error: Exception) -> None:
    stage.run = raising(error)
    with pytest.raises(type(error)):
        main(["decode", "out"])


def test_a_stage_gets_its_arguments(stage: ModuleType, tmp_path: Path) -> None:
    got = []
    stage.run = got.append
    assert main(["decode", "out", "--settings", "a: 1", "--log", str(tmp_path / "logs" / "x.log")]) == 0
    assert (got[0].directory, got[0].settings) == (Path("out"), "a: 1")
    assert (tmp_path / "logs" / "x.log").read_text() == ""


def test_a_log_that_cannot_be_written_is_told(stage: ModuleType, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    stage.run = lambda args: None
    (tmp_path / "file").touch()
    assert main(["decode", "out", "--log", str(tmp_path / "file" / "x.log")]) == 1
    assert f"error: decode: {tmp_path / 'file'}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fti"], ["decode"], ["decode", "out", "--nonsense"]])
def test_a_wrong_command_line_is_status_2(
    stage: ModuleType, capsys: pytest.CaptureFixture, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "usage: python -m pipeline" in capsys.readouterr().err


def test_help_lists_the_stages(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--help"])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in STAGES)


WITH_SETTINGS = {"decode", "masks", "landmarks", "depth", "pose", "fit", "evaluate", "render", "export", "report"}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_tells_what_it_does(capsys: pytest.CaptureFixture, name: str) -> None:
    with pytest.raises(SystemExit) as raised:
        main([name, "--help"])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: python -m pipeline {name}" in text
    assert "--settings" in text or name not in WITH_SETTINGS
    assert "--log" in text
