"""The camera and depth stage, and masks of the user's own."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.__main__ import main
from pipeline.estimators import load_backend, masks_import
from pipeline.estimators.exr import read_exr_depth
from pipeline.estimators.settings import MasksSettings
from pipeline.formats.camera import Camera
from pipeline.formats.images import DepthFolder, MaskFolder, write_depth, write_frame, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.formats.user_files import numbered_files, resize_nearest
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings

FRAMES, HEIGHT, WIDTH = 3, 30, 40


@pytest.fixture
def directory(tmp_path: Path) -> VideoDir:
    """A decoded clip, results/clip/."""
    directory = VideoDir(tmp_path / "results" / "clip")
    directory.frames.mkdir(parents=True)
    for index in range(FRAMES):
        write_frame(directory.frames / f"{index:06d}.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    VideoInfo("clip.mp4", "0" * 64, Fraction(25), WIDTH, HEIGHT, FRAMES, 0).save(directory.video)
    return directory


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Where the user keeps depth maps of the clip."""
    folder = tmp_path / "mine" / "clip" / "depth"
    folder.mkdir(parents=True)
    return folder


def depth(directory: VideoDir, settings: str = "{}") -> int:
    return main(["depth", str(directory.root), "--settings", settings])


def import_from(tmp_path: Path) -> str:
    return f"{{backend: import, path: '{tmp_path}/mine/{{video}}/depth'}}"


def ramp(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Depth in metres that differs in every pixel, one of them unknown."""
    metres = 1 + np.arange(height * width, dtype=np.float32).reshape(height, width) / 500
    metres[0, 0] = 0
    return metres


# The camera


def test_without_a_backend_the_focal_length_is_a_guess(directory: VideoDir) -> None:
    assert depth(directory) == 0
    camera = Camera.load(directory.camera)
    np.testing.assert_allclose(camera.K, [[32.5, 0, 20], [0, 32.5, 15], [0, 0, 1]])  # 0.65 diagonals
    assert (camera.width, camera.height, camera.metric, camera.K_source) == (WIDTH, HEIGHT, False, "guess")
    assert "diagonal" in camera.source
    assert not directory.depth.exists()
    (warning,) = read_provenance(directory.provenance("depth"))["warnings"]
    assert "guess" in warning


def test_the_guess_can_be_another(directory: VideoDir) -> None:
    assert depth(directory, "focal_diagonals: 1.5") == 0
    assert Camera.load(directory.camera).K[0, 0] == pytest.approx(75)


def test_a_known_focal_length_is_no_guess(directory: VideoDir) -> None:
    assert depth(directory, "focal: 61") == 0
    camera = Camera.load(directory.camera)
    assert camera.K[0, 0] == camera.K[1, 1] == 61
    assert (camera.metric, camera.K_source) == (True, "user")
    assert "settings" in camera.source
    assert read_provenance(directory.provenance("depth"))["warnings"] == []


def test_a_known_equivalent_is_no_guess(directory: VideoDir) -> None:
    assert depth(directory, "focal_mm: 26") == 0
    camera = Camera.load(directory.camera)
    assert camera.K[0, 0] == camera.K[1, 1] == pytest.approx(26 / np.hypot(36, 24) * 50)
    assert (camera.metric, camera.K_source) == (True, "user")
    assert "26 mm" in camera.source
    assert read_provenance(directory.provenance("depth"))["warnings"] == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("focal: -3", "settings depth.focal: expected a number above 0, found -3"),
        ("focal: wide", "settings depth.focal: expected float or null, found 'wide'"),
        ("focal_mm: 4.2", "settings depth.focal_mm: expected the 35-mm equivalent, 8 to 800 mm"),
        ("focal_mm: 1400", "35-mm equivalent, 8 to 800 mm"),
        ("{focal: 900, focal_mm: 26}", "focal and focal_mm both tell the focal length; leave one of them out"),
        ("focal_diagonals: 0", "settings depth.focal_diagonals: expected a number above 0, found 0.0"),
        ("backend: magic", "'magic' is not known; choose one of import, none"),
        ("backend: ../none", "'../none' is not known"),
        ("backend: import", 'settings depth.path: backend "import" needs the path'),
        ("{backend: import, path: '/nowhere/{video}'}", "/nowhere/clip: not found; settings depth.path"),
        ("fokal: 3", "unknown key 'fokal'"),
    ],
)
def test_wrong_settings_are_told(directory: VideoDir, capsys: pytest.CaptureFixture, settings: str, told: str) -> None:
    assert depth(directory, settings) == 1
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in directory.root.iterdir()) == ["frames", "video.json"]


def test_a_folder_that_is_not_decoded_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert depth(VideoDir(tmp_path)) == 1
    assert f"{tmp_path / 'video.json'}: not found" in capsys.readouterr().err


# Depth maps of the user's own


@pytest.mark.parametrize("suffix", [".png", ".npy", ".exr"])
def test_maps_are_imported(directory: VideoDir, tmp_path: Path, maps: Path, suffix: str) -> None:
    for index in range(FRAMES):
        file, metres = maps / f"frame{index}{suffix}", ramp() + index * (ramp() > 0)
        if suffix == ".png":
            write_depth(file, metres)
        elif suffix == ".npy":
            np.save(file, np.where(metres > 0, metres, np.nan)[:, :, None])
        else:
            write_exr(file, metres)
    assert depth(directory, import_from(tmp_path)) == 0
    found = DepthFolder(directory.depth)
    assert len(found) == FRAMES
    for index in range(FRAMES):
        np.testing.assert_allclose(found[index], ramp() + index * (ramp() > 0), atol=6e-4)
    assert Camera.load(directory.camera).K_source == "guess"


def write_exr(path: Path, image: np.ndarray, kind: int = 2, compression: int = 3) -> None:
    """Write .exr by OpenCV, as float and ZIP unless told otherwise; the channel of a grey image is named Z."""
    os.environ["OPENCV_IO_ENABLE_OPENEXR"] = "1"
    options = [cv2.IMWRITE_EXR_TYPE, kind, cv2.IMWRITE_EXR_COMPRESSION, compression]
    assert cv2.imwrite(str(path), image.astype(np.float32), options)
    written = path.read_bytes()
    path.write_bytes(written.replace(b"chlist\0\x13\0\0\0Y\0", b"chlist\0\x13\0\0\0Z\0"))
    assert image.ndim == 3 or path.read_bytes() != written


@pytest.mark.parametrize("kind", [1, 2], ids=["half", "float"])
@pytest.mark.parametrize("compression", [0, 2, 3], ids=["none", "ZIPS", "ZIP"])
@pytest.mark.parametrize("channels", [(), (3,)], ids=["Z", "RGB"])
def test_exr_files_are_read_as_opencv_wrote_them(tmp_path: Path, kind: int, compression: int, channels: tuple) -> None:
    image = np.random.default_rng(0).integers(0, 2000, (37, 53, *channels)) / 8
    write_exr(tmp_path / "map.exr", image, kind, compression)
    found = read_exr_depth(tmp_path / "map.exr")
    assert found.dtype == (np.float16 if kind == 1 else np.float32)
    np.testing.assert_array_equal(found, image if image.ndim == 2 else image[..., 2])  # OpenCV counts blue, green, red


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda data: b"GIF89a" + data, "expected an OpenEXR file"),
        (lambda data: data[:400], "cut short or damaged"),
        (lambda data: data[:-9] + bytes(9), "cut short or damaged"),
        (lambda data: data[:5] + b"\x02" + data[6:], "tiled, deep and multi-part"),
        (
            lambda data: data.replace(b"compression\0\x01\0\0\0\x03", b"compression\0\x01\0\0\0\x04"),
            "this .exr compression",
        ),
        (lambda data: data.replace(b"\0Z\0", b"\0Q\0"), "expected a depth channel such as Z, found Q"),
    ],
)
def test_bad_exr_files_are_told(tmp_path: Path, spoil, told: str) -> None:
    file = tmp_path / "map.exr"
    write_exr(file, np.random.default_rng(0).integers(0, 40, (37, 53)))
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(UserError) as raised:
        read_exr_depth(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert told in str(raised.value)


def test_where_a_renderer_hit_nothing_is_unknown(directory: VideoDir, tmp_path: Path, maps: Path) -> None:
    metres = np.full((HEIGHT, WIDTH), 1e10)
    metres[4:8, 4:8] = 2.5
    for index in range(FRAMES):
        write_exr(maps / f"{index}.exr", metres)
    assert depth(directory, import_from(tmp_path)) == 0
    np.testing.assert_allclose(DepthFolder(directory.depth)[2], np.where(metres < 3, metres, 0))


def test_maps_of_another_size_keep_their_values(directory: VideoDir, tmp_path: Path, maps: Path) -> None:
    small = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 0.0, 8.0], [1.5, 2.5, 3.5, 4.5]], np.float32)
    for index in range(FRAMES):
        np.save(maps / f"{index}.npy", small)
    assert depth(directory, import_from(tmp_path)) == 0
    np.testing.assert_allclose(DepthFolder(directory.depth)[0], small.repeat(10, 0).repeat(10, 1))


def test_a_calibrated_camera_goes_before_the_one_beside_the_maps(
    directory: VideoDir, tmp_path: Path, maps: Path
) -> None:
    K = ((45.0, 0.0, 20.5), (0.0, 45.0, 15.5), (0.0, 0.0, 1.0))
    replace(VideoInfo.load(directory.video), K=K, K_source="calib.toml").save(directory.video)
    Camera(np.diag([99.0, 99.0, 1.0]), WIDTH, HEIGHT, "lidar phone", True).save(maps.parent / "camera.json")
    for index in range(FRAMES):
        write_depth(maps / f"{index:06d}.png", ramp())
    assert depth(directory, import_from(tmp_path)) == 0
    camera = Camera.load(directory.camera)
    assert camera.K.tolist() == [list(row) for row in K]
    assert (camera.source, camera.K_source) == ("calibration: calib.toml", "calibration")


def test_the_camera_beside_the_maps_is_scaled_to_the_frames(directory: VideoDir, tmp_path: Path, maps: Path) -> None:
    for index in range(FRAMES):
        write_depth(maps / f"{index:06d}.png", ramp(60, 80))
    K = np.array([[110, 0, 42], [0, 108, 29], [0, 0, 1]], float)
    Camera(K, 80, 60, "lidar phone", True).save(maps.parent / "camera.json")
    assert depth(directory, import_from(tmp_path)) == 0
    camera = Camera.load(directory.camera)
    np.testing.assert_allclose(camera.K, [[55, 0, 21], [0, 54, 14.5], [0, 0, 1]])
    assert (camera.width, camera.height, camera.metric) == (WIDTH, HEIGHT, True)
    assert "lidar phone" in camera.source
    assert camera.K_source == "import"
    # A point keeps its place in the picture, as a share of it.
    point = np.array([0.3, -0.2, 2.0])
    there, here = K @ point, camera.K @ point
    np.testing.assert_allclose(there[:2] / there[2] / [80, 60], here[:2] / here[2] / [WIDTH, HEIGHT])
    assert read_provenance(directory.provenance("depth"))["warnings"] == []


def save_all(maps: Path, array: np.ndarray, count: int = FRAMES) -> None:
    for index in range(count):
        np.save(maps / f"{index}.npy", array)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda maps: None, "expected 3 files (.png, .npy, .exr), one for each decoded frame, found 0"),
        (lambda maps: save_all(maps, ramp(), 2), "one for each decoded frame, found 2"),
        (lambda maps: [save_all(maps, ramp(), 2), write_depth(maps / "2.png", ramp())], "found .npy and .png"),
        (lambda maps: save_all(maps, ramp() * 1000), "0.npy: expected metres, found a median of"),
        (lambda maps: save_all(maps, ramp() * 0), "every depth map is empty"),
        (lambda maps: save_all(maps, np.zeros((2, HEIGHT, WIDTH))), "0.npy: expected a depth map (height, width)"),
        (lambda maps: save_all(maps, ramp(HEIGHT, HEIGHT)), "expected the shape of the frames, 40x30"),
        (lambda maps: save_all(maps, np.array([{}], object)), "0.npy: expected a .npy array of numbers"),
        (
            lambda maps: [write_mask(maps / f"{i}.png", np.ones((HEIGHT, WIDTH), np.uint8)) for i in range(FRAMES)],
            "0.png: expected 16-bit millimetres, found uint8",
        ),
        (lambda maps: [(maps / f"{i}.png").write_bytes(b"no") for i in range(FRAMES)], "0.png: not a readable image"),
        (lambda maps: [(maps / f"{i}.exr").write_bytes(b"no") for i in range(FRAMES)], "0.exr: cut short or damaged"),
    ],
)
def test_bad_maps_are_told(directory: VideoDir, tmp_path: Path, maps: Path, capsys, make, told: str) -> None:
    make(maps)
    directory.depth.mkdir()
    write_depth(directory.depth / "000000.png", ramp())
    assert depth(directory, import_from(tmp_path)) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(f"error: depth: {maps}")
    assert told in message
    assert [path.name for path in directory.depth.iterdir()] == ["000000.png"]  # what was there stays
    assert not directory.camera.exists()


def test_turning_depth_off_removes_the_old_maps(directory: VideoDir, tmp_path: Path, maps: Path) -> None:
    save_all(maps, ramp())
    assert depth(directory, import_from(tmp_path)) == 0
    assert directory.depth.is_dir()
    assert depth(directory) == 0
    assert not directory.depth.exists()


# Folders that the user brings


def test_files_go_by_the_numbers_in_their_names(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.png", "f1.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in numbered_files(tmp_path, (".png",), 3)] == ["f1.png", "f2.png", "f10.png"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "maps.png").touch()
    with pytest.raises(UserError, match="expected a folder"):
        numbered_files(tmp_path / "maps.png", (".png",), 1)


@given(height=st.integers(1, 12), width=st.integers(1, 12), scale=st.integers(1, 5))
def test_nearest_neighbours_undo_each_other(height: int, width: int, scale: int) -> None:
    image = np.arange(height * width).reshape(height, width)
    larger = resize_nearest(image, height * scale, width * scale)
    np.testing.assert_array_equal(larger, np.kron(image, np.ones((scale, scale), int)))
    np.testing.assert_array_equal(resize_nearest(larger, height, width), image)


@pytest.mark.parametrize("name", ["import", "none"])
def test_backends_are_found_by_name(name: str) -> None:
    assert callable(load_backend("depth", name).estimate)


# Masks of the user's own


def import_masks(directory: VideoDir, folder: Path) -> tuple[MaskFolder, Provenance]:
    settings = load_settings("masks", {"backend": "import", "path": str(folder)}, MasksSettings)
    masks_import.check(settings)
    provenance = Provenance("masks", settings)
    directory.masks.mkdir(exist_ok=True)
    masks_import.estimate(directory, settings, directory.masks, provenance)
    return MaskFolder(directory.masks), provenance


def person(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """True in a box, the person."""
    found = np.zeros((height, width), bool)
    found[height // 3 : 2 * height // 3, width // 4 : width // 2] = True
    return found


def palette(box: np.ndarray) -> Image.Image:
    image = Image.fromarray(box.astype(np.uint8)).convert("P")
    image.putdata(box.astype(np.uint8).ravel())
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(lambda box: Image.fromarray(box.astype(np.uint8) * 255), id="8 bits"),
        pytest.param(lambda box: Image.fromarray(box.astype(np.uint8)), id="labels 0 and 1"),
        pytest.param(lambda box: Image.fromarray(box), id="1 bit"),
        pytest.param(lambda box: Image.fromarray(box.astype(np.uint16) * 65535), id="16 bits"),
        pytest.param(lambda box: Image.fromarray(box[..., None] * np.array([255, 0, 0], np.uint8)), id="red"),
        pytest.param(palette, id="palette"),
        pytest.param(
            lambda box: Image.fromarray(np.dstack([np.full((*box.shape, 3), 90), box * 255]).astype(np.uint8)),
            id="cut-out",
        ),
        pytest.param(
            lambda box: Image.fromarray(np.dstack([box * 255] * 3 + [np.full(box.shape, 255)]).astype(np.uint8)),
            id="opaque RGBA",
        ),
    ],
)
def test_masks_of_any_kind_are_imported(directory: VideoDir, tmp_path: Path, picture) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for index in range(FRAMES):
        picture(np.roll(person(), index, axis=1)).save(folder / f"m{index}.png")
    masks, provenance = import_masks(directory, folder)
    for index in range(FRAMES):
        np.testing.assert_array_equal(masks[index], np.roll(person(), index, axis=1) * 255)
    assert provenance.warnings == []


def test_soft_masks_stay_soft_and_fit_the_frames(directory: VideoDir, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    soft = np.linspace(0, 255, 2 * WIDTH)[None].repeat(2 * HEIGHT, 0)
    for index in range(FRAMES):
        Image.fromarray((soft * 257).astype(np.uint16)).save(folder / f"{index}.png")
    masks, _ = import_masks(directory, folder)
    np.testing.assert_allclose(masks[1][5], soft[0].reshape(WIDTH, 2).mean(axis=1), atol=3)


def test_frames_without_the_person_are_told(directory: VideoDir, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for index in range(FRAMES):
        write_mask(folder / f"{index}.png", person().astype(np.uint8) * 255 * (index != 1))
    _, provenance = import_masks(directory, folder)
    assert provenance.facts["lost_frames"] == [1]
    assert "1 of 3 masks are empty" in provenance.warnings[0]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: None, "one for each decoded frame, found 0"),
        (lambda folder: [write_mask(folder / f"{i}.png", person() * np.uint8(0)) for i in range(FRAMES)], "is empty"),
        (
            lambda folder: [write_mask(folder / f"{i}.png", np.ones((9, 9), np.uint8)) for i in range(FRAMES)],
            "found 9x9",
        ),
        (lambda folder: [(folder / f"{i}.png").touch() for i in range(FRAMES)], "0.png: not a readable image"),
        (
            lambda folder: [
                Image.fromarray(person().astype(np.float32)).save(folder / f"{i}.tif") for i in range(FRAMES)
            ],
            "0.tif: expected a grey or RGB image of 8 or 16 bits, found F",
        ),
    ],
)
def test_bad_masks_are_told(directory: VideoDir, tmp_path: Path, make, told: str) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    make(folder)
    with pytest.raises(UserError) as raised:
        import_masks(directory, folder)
    assert str(raised.value).startswith(str(folder))
    assert told in str(raised.value)


def test_masks_need_a_path() -> None:
    with pytest.raises(UserError, match=r"settings masks\.path"):
        masks_import.check(load_settings("masks", {"backend": "import"}, MasksSettings))
