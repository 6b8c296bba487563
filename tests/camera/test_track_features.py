"""The camera's motion from the background: closed-form films of planes, and films that no camera explains."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from filmed_planes import FPS, SIZE, K, save, seen, texture
from scipy.spatial.transform import Rotation

from pipeline.camera.bundle import Lens
from pipeline.camera.features import follow
from pipeline.camera.track_features import Verdict, judge

FRAMES = 16
WALL = texture(1)
STILL = np.eye(4)
KNOWN_FOCAL = Lens(sigma_bend=0.1)


def verdict(folder: Path, images, person=None, K=K, lens=KNOWN_FOCAL) -> Verdict:
    frames, masks = save(folder, images, person)
    return judge(follow(frames, masks, SIZE), K, SIZE, FPS, masks, lens)


def turning(degrees: np.ndarray) -> np.ndarray:
    """(T, 4, 4) cameras that pan so far, and tilt and roll a tenth of it."""
    poses = np.tile(np.eye(4), (len(degrees), 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("yxz", np.stack([degrees, degrees / 10, degrees / 10], 1), True).as_matrix()
    return poses


def off(found: np.ndarray, true: np.ndarray) -> float:
    """Largest angle between rotations, degrees."""
    return float(np.degrees((Rotation.from_matrix(found).inv() * Rotation.from_matrix(true)).magnitude().max()))


def test_a_camera_that_stands_gives_exact_identities(tmp_path):
    rng = np.random.default_rng(0)
    images = [cv2.add(seen(WALL, 5, STILL), rng.integers(0, 6, SIZE[::-1], np.uint8)) for _ in range(FRAMES)]
    found = verdict(tmp_path, images)
    assert (found.track.kind, found.warnings) == ("static", ())
    assert (found.track.world_from_camera == np.eye(4)).all()
    assert 0 < found.track.sigma[:, 0].max() < np.radians(0.1)


def test_a_turning_camera_is_found_to_a_tenth_of_a_degree_and_comes_back_without_drift(tmp_path):
    poses = turning(25 * np.sin(np.linspace(0, 2 * np.pi, 40)))
    found = verdict(tmp_path, [seen(WALL, 5, pose) for pose in poses])
    assert (found.track.kind, found.warnings) == ("turning", ())
    assert off(found.track.world_from_camera[:, :3, :3], poses[:, :3, :3]) < 0.1
    assert (found.track.world_from_camera[:, :3, 3] == 0).all()
    assert found.shares["turning"] > 0.95 > found.shares["still"]


def test_a_turning_camera_tells_its_focal_length(tmp_path):
    guess = K * [[0.88, 1, 1], [1, 0.88, 1], [1, 1, 1]]
    poses = turning(25 * np.sin(np.linspace(0, 2 * np.pi, 40)))
    found = verdict(tmp_path, [seen(WALL, 5, pose) for pose in poses], K=guess, lens=Lens(0.1, 0.15))
    assert found.focal.times * 0.88 == pytest.approx(1, abs=0.02) and found.focal.sigma < 0.05
    assert off(found.track.world_from_camera[:, :3, :3], poses[:, :3, :3]) < 0.3


def two_planes(poses: np.ndarray) -> list[np.ndarray]:
    """A wall 6 m away, and before its lower part one that is half as far."""
    near, images = texture(2), []
    cut = np.zeros_like(near)
    cut[640:] = 255  # below the axis
    for pose in poses:
        front = seen(cut, 3, pose) > 127
        images.append(np.where(front, seen(near, 3, pose), seen(WALL, 6, pose)))
    return images


def test_a_travelling_camera_is_found_up_to_its_scale(tmp_path):
    time = np.linspace(0, 1, 30)
    poses = turning(4 * np.sin(3 * time))
    poses[:, :3, 3] = np.stack([1.2 * time, 0.1 * np.sin(6 * time), 0.2 * time], 1)
    found = verdict(tmp_path, two_planes(poses))
    assert found.track.kind == "travelling"
    centres, true = found.track.world_from_camera[:, :3, 3], poses[:, :3, 3]
    scale = (centres * true).sum() / (centres**2).sum()
    assert np.linalg.norm(scale * centres - true, axis=1).max() < 0.04
    assert off(found.track.world_from_camera[:, :3, :3], poses[:, :3, :3]) < 0.5


def test_a_camera_in_a_hand_is_found_to_sway_by_centimetres(tmp_path):
    time = np.linspace(0, 1, 24)
    poses = turning(6 * np.sin(4 * time))
    poses[:, :3, 3] = np.stack([0.036 * np.sin(7 * time), 0.023 * np.sin(5 * time), 0 * time], 1)
    found = verdict(tmp_path, two_planes(poses))
    assert found.track.kind == "travelling"
    assert found.shares["travelling"] - found.shares["turning"] < 0.15  # what a turn leaves is small
    centres, true = found.track.world_from_camera[:, :3, 3], poses[:, :3, 3]
    scale = (centres * true).sum() / (centres**2).sum()
    assert np.linalg.norm(scale * centres - true, axis=1).mean() < 0.015
    assert off(found.track.world_from_camera[:, :3, :3], poses[:, :3, :3]) < 0.5


def test_a_lens_that_zooms_is_told(tmp_path):
    images = []
    for zoom in np.linspace(1, 1.5, FRAMES):
        images.append(seen(WALL, 5, STILL, K=K * [[zoom, 1, 1], [1, zoom, 1], [1, 1, 1]]))
    found = verdict(tmp_path, images)
    assert found.track.kind == "static"
    assert "zooms" in found.warnings[0] and "1.50" in found.warnings[0]


def noise(seed: int) -> np.ndarray:
    return texture(seed)[: SIZE[1], : SIZE[0]]


def bare() -> list[np.ndarray]:
    """A wall of one colour, under a camera that pans."""
    rng = np.random.default_rng(3)
    return [(120 + rng.integers(0, 3, SIZE[::-1])).astype(np.uint8) for _ in range(FRAMES)]


def water() -> list[np.ndarray]:
    """Each part of the picture goes to and fro by itself."""
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])), -1).astype(np.float32)
    phase = cv2.resize(rng.uniform(0, 25, (12, 16, 2)).astype(np.float32), SIZE, interpolation=cv2.INTER_NEAREST)
    wave = [(grid + 6 * np.sin(1.1 * t + phase)).astype(np.float32) for t in range(FRAMES)]
    return [cv2.remap(noise(5), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) for at in wave]


def crowd() -> list[np.ndarray]:
    """A still wall before which forty people walk, each at a pace of their own."""
    rng = np.random.default_rng(6)
    places, paces = rng.uniform(0, 1, (40, 2)) * SIZE, rng.uniform(-9, 9, 40)
    images = []
    for t in range(FRAMES):
        image = seen(WALL, 5, STILL)
        for k, ((x, y), pace) in enumerate(zip(places, paces)):
            x, y = int((x + pace * t) % (SIZE[0] - 30)), int(y % (SIZE[1] - 60))
            image[y : y + 60, x : x + 30] = texture(10 + k, 96)[:60, :30]
        images.append(image)
    return images


def cut() -> list[np.ndarray]:
    """Another place from the middle on, where the camera pans."""
    poses, other = turning(np.linspace(0, 8, FRAMES)), texture(7)
    return [seen(WALL if t < FRAMES // 2 else other, 5, pose) for t, pose in enumerate(poses)]


def split_screen() -> list[np.ndarray]:
    """Two films side by side whose cameras pan against each other."""
    left, right = turning(np.linspace(0, 20, FRAMES)), turning(np.linspace(0, -20, FRAMES))
    images = []
    for a, b in zip(left, right):
        first, second = seen(WALL, 5, a), seen(texture(8), 5, b)
        images.append(np.concatenate([first[:, 80:240], second[:, 80:240]], 1))
    return images


@pytest.mark.parametrize("film", [bare, water, crowd, cut, split_screen])
def test_what_no_camera_explains_gives_a_warning_and_a_camera_that_stands(tmp_path, film):
    found = verdict(tmp_path, film())
    assert found.track.kind == "static", found.shares
    assert (found.track.world_from_camera == np.eye(4)).all()
    assert len(found.warnings) == 1, found.shares
    assert "stand" in found.warnings[0] or "background" in found.warnings[0]


def test_a_cut_is_told_with_its_frame(tmp_path):
    assert f"frame {FRAMES // 2} " in verdict(tmp_path, cut()).warnings[0]


def test_a_person_who_fills_half_of_the_picture_does_not_move_the_camera(tmp_path):
    """The person's own texture moves; it lies within the mask."""
    images, boxes = [], []
    for t in range(FRAMES):
        image, x = seen(WALL, 5, STILL), 20 + 6 * t
        image[10:, x : x + 140] = noise(9)[10:, :140]
        images.append(image)
        boxes.append((x, 10, x + 140, SIZE[1]))
    assert verdict(tmp_path, images, boxes).track.kind == "static"
