"""The background plate where the camera moves: its colours by closed form, outlines nearer to the truth."""

from pathlib import Path

import cv2
import numpy as np
from helpers_matte import PERSON, iou, refined, write_clip
from scipy.spatial.transform import Rotation

from pipeline.fit.moving_plate import MovingPlate, Shot
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import MaskFolder

HEIGHT, WIDTH, FRAMES, FPS = 120, 160, 16, 10.0
K = np.array([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
BOX = 40, 20, 120, 100


def wall(seed: int = 0) -> np.ndarray:
    """A background larger than the picture, of soft patches with corners in them."""
    patches = np.random.default_rng(seed).uniform(60, 170, (40, 40, 3))
    return cv2.GaussianBlur(np.kron(patches, np.ones((8, 8, 1))), (0, 0), 1.0)


def turns() -> np.ndarray:
    """(T, 3, 3) camera to world, of one that pans and nods."""
    return Rotation.from_euler("yx", [[0.02 * t, 0.02 * np.sin(t)] for t in range(FRAMES)]).as_matrix()


def seen(turn: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(H, W, 3) what a camera sees that is turned so: the wall is far."""
    onto = K.copy()
    onto[:2, 2] += 80  # the picture of a camera that is not turned, in the wall's middle
    place = onto @ turn @ np.linalg.inv(K)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(background.astype(np.float32), place, (WIDTH, HEIGHT), flags=flags)


def disc(frame: int) -> np.ndarray:
    """(H, W) bool: somebody round, who the camera does not quite keep in its middle."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (x - 55 - 3 * frame) ** 2 + (y - 60) ** 2 < 22**2


def film(background: np.ndarray, gains: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Frames, true masks, and the background of each frame."""
    rng = np.random.default_rng(1)
    truth = [disc(frame) for frame in range(FRAMES)]
    behind = [gain * seen(turn, background) for turn, gain in zip(turns(), gains)]
    frames = [
        np.where(person[..., None], PERSON, each) + rng.standard_normal((HEIGHT, WIDTH, 3))
        for person, each in zip(truth, behind)
    ]
    return [np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in frames], truth, behind


def plate_of(frames: list[np.ndarray], people: list[np.ndarray], tracked: np.ndarray) -> MovingPlate:
    def shot(index: int) -> Shot:
        return Shot(frames[index], people[index])

    return MovingPlate(shot, tracked, K, FPS)


def test_it_is_what_the_person_hides() -> None:
    """By a track that is off by 3 px, in the light of the frame asked for."""
    gains = np.linspace(0.85, 1.15, FRAMES)
    frames, people, behind = film(wall(), gains)
    off = turns() @ Rotation.from_euler("yx", 0.02 * np.random.default_rng(2).standard_normal((FRAMES, 2))).as_matrix()
    plate = plate_of(frames, people, off)
    x0, y0, x1, y1 = BOX
    for frame in (2, 8, 14):
        layer = plate.crop(frame, BOX, (WIDTH, HEIGHT), (80, 80))
        hidden = people[frame][y0:y1, x0:x1]
        error, sigma = np.abs(layer.colour - behind[frame][y0:y1, x0:x1])[hidden], layer.sigma[hidden]
        assert np.median(error) < 3 and np.median(sigma) < 6
        assert np.quantile(error[sigma < 10], 0.95) < 10  # where it says that it knows
    assert "of the crops was seen" in plate.facts()["background plate"]


def test_where_the_track_tells_nothing_it_decides_nothing() -> None:
    """Another wall in each frame: nothing can be followed."""
    people = [disc(frame) for frame in range(FRAMES)]
    frames = [np.clip(seen(np.eye(3), wall(seed)), 0, 255).astype(np.uint8) for seed in range(FRAMES)]
    layer = plate_of(frames, people, np.tile(np.eye(3), (FRAMES, 1, 1))).crop(8, BOX, (WIDTH, HEIGHT), (80, 80))
    assert layer.sigma.min() > 100


def test_what_lies_before_the_wall_is_noise() -> None:
    """A bar before the wall moves otherwise than the homography says; around it the plate says how far it is off."""
    frames, people, _ = film(wall(), np.ones(FRAMES))
    for index, frame in enumerate(frames):
        left = 50 + 2 * index
        frame[:, left : left + 6] = np.where(people[index][:, left : left + 6, None], frame[:, left : left + 6], 20)
    layer = plate_of(frames, people, turns()).crop(8, BOX, (WIDTH, HEIGHT), (80, 80))
    plain = plate_of(*film(wall(), np.ones(FRAMES))[:2], turns()).crop(8, BOX, (WIDTH, HEIGHT), (80, 80))
    near = slice(50 + 2 * 8 - 40, 50 + 2 * 8 + 6 - 40)
    assert np.median(layer.sigma[:, near]) > 2 * np.median(plain.sigma[:, near])


def test_a_persons_shadow_is_no_error_of_it() -> None:
    frames, people, _ = film(wall(), np.ones(FRAMES))
    plain = plate_of(frames, people, turns()).crop(8, BOX, (WIDTH, HEIGHT), (80, 80)).sigma
    shadow = np.roll(people[8], 14, axis=0) & ~people[8]
    frames[8] = np.where(shadow[..., None], 0.8 * frames[8], frames[8]).astype(np.uint8)
    dark = plate_of(frames, people, turns()).crop(8, BOX, (WIDTH, HEIGHT), (80, 80)).sigma
    assert np.median(dark[people[8][20:100, 40:120]]) < 1.5 * np.median(plain[people[8][20:100, 40:120]])


def test_outlines_come_nearer_to_the_truth(tmp_path: Path) -> None:
    frames, truth, _ = film(wall(), np.linspace(0.9, 1.1, FRAMES))
    masks = [255 * np.roll(person, 3, axis=1).astype(np.uint8) for person in truth]
    world = np.tile(np.eye(4), (FRAMES, 1, 1))
    world[:, :3, :3] = turns()
    track = CameraTrack(world, "turning", np.zeros((FRAMES, 2)), "test")
    directory = write_clip(tmp_path, frames, masks, track)
    _, alphas, _ = refined(directory, K, FPS)
    before = np.mean([iou(mask > 127, person) for mask, person in zip(MaskFolder(directory.masks), truth)])
    assert before < 0.87 and np.mean([iou(alpha, person) for alpha, person in zip(alphas, truth)]) > 0.95
