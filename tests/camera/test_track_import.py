"""Paths of cameras from other tools' files: every layout gives the same motion; wrong files get one line."""

import struct
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.camera.settings import CameraSettings
from pipeline.camera.track_import import check, estimate
from pipeline.formats.camera import Camera
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError

FRAMES, FPS = 12, 25


@pytest.fixture
def clip(tmp_path) -> VideoDir:
    directory = VideoDir(tmp_path / "clip")
    directory.root.mkdir()
    VideoInfo("clip.mp4", "0", Fraction(FPS), 640, 480, FRAMES, 0).save(directory.video)
    Camera(np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]), 640, 480, "test", True, "user").save(directory.camera)
    return directory


@pytest.fixture
def poses() -> np.ndarray:
    """(T, 4, 4) world from camera, of a world that is not the first camera's."""
    time = np.linspace(0, 1, FRAMES)[:, None]
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    start = Rotation.from_euler("xyz", [40, -30, 10], degrees=True)
    poses[:, :3, :3] = (start * Rotation.from_rotvec(time * [0.1, 0.5, -0.05])).as_matrix()
    poses[:, :3, 3] = [3, -1, 2] + time * [0.5, 0.1, 1.0]
    return poses


def quaternions(matrices: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(matrices[:, :3, :3]).as_quat()  # xyzw


def tum(path: Path, poses: np.ndarray, stamps: np.ndarray) -> None:
    rows = np.column_stack([stamps, poses[:, :3, 3], quaternions(poses)])
    path.write_text("# timestamp tx ty tz qx qy qz qw\n" + "\n".join(" ".join(map(repr, r)) for r in rows.tolist()))


def colmap(folder: Path, poses: np.ndarray, numbers: list[int], binary: bool) -> None:
    folder.mkdir(parents=True)
    back = np.linalg.inv(poses)
    views = list(zip(numbers, quaternions(back)[:, [3, 0, 1, 2]], back[:, :3, 3]))[::-1]  # in no order
    if binary:
        data = struct.pack("<Q", len(views))
        for n, q, t in views:
            data += struct.pack("<I7dI", n, *q, *t, 1) + f"f/{n:06d}.jpg".encode() + b"\0"
            data += struct.pack("<Q", 2) + bytes(48)
        (folder / "images.bin").write_bytes(data)
        (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ3d", 1, 1, 0, 1280, 960, 1200.0, 640.0, 480.0))
        return
    lines = ["# Image list"]
    for n, q, t in views:
        lines += [f"{n} {' '.join(map(str, [*q, *t]))} 1 {n:06d}.jpg", "1.0 2.0 -1" if n % 2 else ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "cameras.txt").write_text("# Camera list\n1 SIMPLE_RADIAL 640 480 900 320 240 0.01\n")


def write(kind: str, folder: Path, poses: np.ndarray) -> Path:
    """The poses in a layout. Returns what camera.path names."""
    path = folder / {"npz": "cam.npz"}.get(kind.split("-")[0], f"{kind}.txt")
    if kind.startswith("colmap"):
        colmap(folder / "model" / "sparse" / "0", poses, list(range(1, FRAMES + 1)), kind == "colmap-binary")
        return folder / "model"
    if kind == "tum-seconds":
        tum(path, poses, 1.3e9 + np.arange(FRAMES) / FPS)
    elif kind == "tum-frames":
        tum(path, poses, np.arange(float(FRAMES)))
    elif kind == "kitti":
        np.savetxt(path, poses[:, :3].reshape(FRAMES, 12))
    elif kind == "npz-vggt":
        np.savez(path, extrinsic=np.linalg.inv(poses)[None, :, :3])
    elif kind == "npz-c2w":
        np.savez(path, cam_c2w=poses)
    else:
        back = np.linalg.inv(poses)
        np.savez(path, poses=np.concatenate([back[:, :3, 3], quaternions(back)], 1), tstamps=np.arange(FRAMES))
    return path


def imported(clip: VideoDir, path: Path):
    settings = CameraSettings("import", str(path), None, None)
    provenance = Provenance("camera_track", settings)
    return estimate(clip, settings, provenance), provenance


LAYOUTS = ["colmap-text", "colmap-binary", "tum-seconds", "tum-frames", "kitti", "npz-vggt", "npz-c2w", "npz-droid"]


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_layout_gives_the_motion_relative_to_the_first_frame(clip, poses, tmp_path, kind):
    track, provenance = imported(clip, write(kind, tmp_path, poses))
    np.testing.assert_allclose(track.world_from_camera, np.linalg.inv(poses[0]) @ poses, atol=1e-6)
    assert track.kind == "travelling" and (track.world_from_camera[0] == np.eye(4)).all()
    assert (len(provenance.warnings) > 0) == kind.startswith(("colmap", "npz"))  # whose unit is arbitrary


def test_another_focal_length_is_told(clip, poses, tmp_path):
    _, provenance = imported(clip, write("colmap-text", tmp_path, poses))
    assert any("900 px" in warning and "600 px" in warning for warning in provenance.warnings)
    clip.root.joinpath("x").mkdir()
    _, provenance = imported(clip, write("colmap-binary", clip.root / "x", poses))  # 1200 px at twice the width
    assert not any(" px" in warning for warning in provenance.warnings)


def test_missing_frames_lie_between_their_neighbours_and_are_told(clip, poses, tmp_path):
    kept = [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]
    colmap(tmp_path / "model", poses[kept], kept, False)
    track, provenance = imported(clip, tmp_path / "model")
    np.testing.assert_allclose(track.world_from_camera, np.linalg.inv(poses[0]) @ poses, atol=1e-6)  # an even motion
    assert any("2 of 12 frames" in warning for warning in provenance.warnings)


@pytest.mark.parametrize(("turn", "kind"), [(0.0, "static"), (0.3, "turning")])
def test_a_camera_on_one_spot_only_turns_or_stands(clip, tmp_path, turn, kind):
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(np.linspace(0, turn, FRAMES)[:, None] * [0, 1, 0]).as_matrix()
    poses[:, 0, 3] = 0.001 * np.arange(FRAMES) / FRAMES
    track, _ = imported(clip, write("kitti", tmp_path, poses))
    assert track.kind == kind and (track.world_from_camera[:, :3, 3] == 0).all()


def mirrored(folder: Path) -> Path:
    np.savez(folder / "cam.npz", c2w=np.tile(np.diag([1.0, 1, -1, 1]), (FRAMES, 1, 1)))
    return folder / "cam.npz"


def text(content: str):
    def made(folder: Path) -> Path:
        (folder / "cam.txt").write_text(content)
        return folder / "cam.txt"

    return made


def other_key(folder: Path) -> Path:
    np.savez(folder / "cam.npz", trajectory=np.zeros((FRAMES, 3)))
    return folder / "cam.npz"


def empty_folder(folder: Path) -> Path:
    (folder / "model").mkdir()
    return folder / "model"


def torn(folder: Path) -> Path:
    (folder / "images.bin").write_bytes(struct.pack("<QI", 3, 1))
    return folder / "images.bin"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (mirrored, "'c2w'"),
        (other_key, "found trajectory"),
        (empty_folder, "images.bin or images.txt"),
        (torn, "images.bin: expected COLMAP's images"),
        (text("1 2 3\n"), "line 1"),
        (text("hello\n"), "COLMAP model"),
        (text(""), "found no line"),
        (text("1 0 0 0 0 0 0 nan\n"), "no finite number"),
        (text("1 0 0 0 0 1 0 0 0 0 1 0\n"), "1 poses, but 12 frames"),
        (text("\n".join(f"{k} 0 0 0 0 0 0 1" for k in range(300))), "frame 299"),
        (text("\n".join(f"{k / 100} 0 0 0 0 0 0 1" for k in range(9))), "of the 12 decoded"),
    ],
)
def test_a_wrong_file_is_named_with_what_was_found(clip, tmp_path, make, said):
    path = make(tmp_path)
    with pytest.raises(UserError, match=path.parent.name) as error:
        imported(clip, path)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_without_a_path_it_says_so_before_any_work():
    with pytest.raises(UserError, match=r"camera\.path"):
        check(CameraSettings("import", None, None, None))


def test_the_settings_have_a_field_a_key():
    assert set(asdict(CameraSettings("tracks", None, None, None))) == {"backend", "path", "pitch", "roll"}
