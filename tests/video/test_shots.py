"""Cuts, dissolves and fades are found, and nothing else is taken for one."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_files import decode, record, warnings

from pipeline.__main__ import main
from pipeline.formats.images import FrameFolder
from pipeline.video.encode import write_video
from pipeline.video.looks import describe
from pipeline.video.shots import choose_shot, split_shots

SIZE = 96, 160  # height, width


def scene(seed: int) -> np.ndarray:
    """Boxes of some colours over a room three pictures wide, (H, 3 W, 3)."""
    random = np.random.default_rng(seed)
    room = np.full((SIZE[0], 3 * SIZE[1], 3), random.integers(60, 200, 3), np.uint8)
    for _ in range(60):
        top, left = random.integers(0, SIZE[0] - 10), random.integers(0, 3 * SIZE[1] - 10)
        room[top : top + random.integers(10, 60), left : left + random.integers(10, 50)] = random.integers(20, 235, 3)
    return room


def view(seed: int, frames: int, pan: float = 0.5) -> np.ndarray:
    """A camera that turns slowly in a scene while a figure walks through, (T, H, W, 3)."""
    room, clip = scene(seed), []
    for index in range(frames):
        left = int(pan * index)
        frame = room[:, left : left + SIZE[1]].copy()
        frame[30:90, 20 + 2 * index % 100 : 40 + 2 * index % 100] = (200, 170, 140)
        clip.append(frame)
    return np.stack(clip)


def starts(frames: np.ndarray, step: int = 1) -> list[int]:
    return [shot.start for shot in split_shots([describe(frame) for frame in frames[::step]])]


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_cuts_are_found(seed: int, step: int) -> None:
    frames = np.concatenate([view(seed, 24), view(seed + 10, 28), view(seed, 24)])
    assert starts(frames, step) == [0, 24 // step, 52 // step]


def test_a_few_frames_of_another_shot_at_the_end_are_found() -> None:
    assert starts(np.concatenate([view(1, 30), view(2, 2)])) == [0, 30]


def strolling(seed: int, frames: int, pan: float) -> np.ndarray:
    """`view` with soft edges, in which the figure goes back and forth."""
    room, clip = scene(seed), []
    for index in range(frames):
        left, figure = int(pan * index), 20 + abs((2 * index + 7 * seed) % 200 - 100)
        frame = room[:, left : left + SIZE[1]].copy()
        frame[30:90, figure : figure + 20] = (200, 170, 140)
        clip.append(cv2.GaussianBlur(frame, (0, 0), 2))
    return np.stack(clip)


def dissolve(first: np.ndarray, second: np.ndarray, length: int) -> np.ndarray:
    way = np.linspace(0, 1, length + 2)[1:-1, None, None, None]
    mixed = (1 - way) * first[-length:] + way * second[:length]
    return np.concatenate([first[:-length], mixed.astype(np.uint8), second[length:]])


def fade(first: np.ndarray, second: np.ndarray, length: int, dark: int, to: int = 0) -> np.ndarray:
    way = np.linspace(1, 0, length)[:, None, None, None]
    out = first[-length:] * way + to * (1 - way), second[:length] * way[::-1] + to * (1 - way[::-1])
    out = [part.astype(np.uint8) for part in out]
    nothing = np.full((dark, *first.shape[1:]), to, np.uint8)
    return np.concatenate([first[:-length], out[0], nothing, out[1], second[length:]])


def ends_and_starts(frames: np.ndarray) -> tuple[list[int], list[int]]:
    shots = split_shots([describe(frame) for frame in frames])
    return [shot.stop for shot in shots[:-1]], [shot.start for shot in shots[1:]]


@pytest.mark.parametrize("length", [2, 10, 20, 30])
@pytest.mark.parametrize(("seed", "pan"), [(0, 0), (1, 0), (2, 0), (3, 0.25)])
def test_dissolves_are_found(seed: int, pan: float, length: int) -> None:
    ends, begins = ends_and_starts(dissolve(strolling(seed, 60, pan), strolling(seed + 10, 70, pan), length))
    np.testing.assert_allclose(ends, [60 - length], atol=max(1, length // 5))
    np.testing.assert_allclose(begins, [60], atol=max(1, length // 5))


@pytest.mark.parametrize(("length", "dark", "to"), [(8, 0, 0), (12, 6, 0), (15, 15, 0), (10, 4, 255)])
@pytest.mark.parametrize("seed", range(3))
def test_fades_are_found(seed: int, length: int, dark: int, to: int) -> None:
    ends, begins = ends_and_starts(fade(strolling(seed, 60, 0.25), strolling(seed + 10, 70, 0.25), length, dark, to))
    np.testing.assert_allclose(ends, [60 - length], atol=4)
    np.testing.assert_allclose(begins, [60 + dark + length], atol=4)


def test_a_light_that_goes_down_and_up_again_is_no_cut() -> None:
    frames = strolling(4, 120, 0.25)
    level = np.interp(np.arange(120), [40, 55, 62, 80], [1, 0, 0, 1])[:, None, None, None]
    assert starts((frames * level).astype(np.uint8)) == [0]


@pytest.mark.parametrize("speed", [1, 2, 4, 8, 16])
def test_a_camera_that_pans_is_no_cut(speed: int) -> None:
    assert starts(strolling(6, min(160, 300 // speed), speed)) == [0]


@pytest.mark.parametrize(("way", "frames"), [(20, 4), (80, 8), (300, 16)])
def test_a_camera_that_is_swung_is_no_cut(way: int, frames: int) -> None:
    left = np.concatenate(
        [np.zeros(30), way * np.sin(np.linspace(0, np.pi / 2, frames)) ** 2, np.full(30, way)]
    ).astype(int)
    blurs = np.maximum(1, np.diff(left, append=left[-1]))
    room = scene(7)
    assert starts(np.stack([cv2.blur(room[:, x : x + SIZE[1]], (int(n), 1)) for x, n in zip(left, blurs)])) == [0]


def flash(frames: np.ndarray) -> np.ndarray:
    frames[15:19] = np.clip(frames[15:19].astype(int) * 3 + 120, 0, 255)
    return frames


def blackout(frames: np.ndarray) -> np.ndarray:
    frames[15:20] = 0
    return frames


def strobe(frames: np.ndarray) -> np.ndarray:
    frames[1::2] = frames[1::2] // 5
    return frames


def light_off(frames: np.ndarray) -> np.ndarray:
    frames[15:] = (frames[15:] * 0.3).astype(np.uint8)
    return frames


def light_on(frames: np.ndarray) -> np.ndarray:
    frames[15:] = np.clip(frames[15:] * 1.8 + 20, 0, 255).astype(np.uint8)
    return frames


def fade_in(frames: np.ndarray) -> np.ndarray:
    return (frames * np.linspace(0, 1, len(frames))[:, None, None, None]).astype(np.uint8)


def passer_by(frames: np.ndarray) -> np.ndarray:
    for index in range(10, 18):  # most of the picture, from one side to the other
        right = 45 * (index - 9)
        frames[index, :, max(0, right - 130) : right] = (60, 40, 30)
    return frames


def swung(frames: np.ndarray) -> np.ndarray:
    speed = np.concatenate([np.zeros(8), 44 * np.sin(np.linspace(0, np.pi, 12)), np.zeros(10)])
    left = np.clip(np.cumsum(speed), 0, 2 * SIZE[1]).astype(int)
    return np.stack([scene(3)[:, x : x + SIZE[1]] for x in left])


def shaken(frames: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.stack([np.roll(frame, random.integers(-15, 16, 2), (0, 1)) for frame in frames])


def grey_levels(frames: np.ndarray) -> np.ndarray:
    """Frames of one grey each: nothing tells a cut from a light."""
    return np.stack([np.full_like(frame, 8 * index) for index, frame in enumerate(frames)])


@pytest.mark.parametrize(
    "happen", [flash, blackout, strobe, light_off, light_on, fade_in, passer_by, swung, shaken, grey_levels]
)
def test_what_is_no_cut(happen: Callable[[np.ndarray], np.ndarray]) -> None:
    assert starts(happen(view(3, 30))) == [0]


def test_fast_motion_is_no_cut_with_few_frames_left() -> None:
    assert starts(view(3, 48, pan=4), step=4) == [0]


def test_what_is_used_ends_before_a_dissolve(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", dissolve(strolling(1, 40, 0), strolling(2, 60, 0), 12), 25, crf=4)
    info = decode(tmp_path / "clip.mp4", tmp_path / "out")
    assert abs(info.start - 40) <= 2 and info.start + info.frames == 88
    assert "1 dissolve or fade found: 2 shots; used is the longest, shot 2" in warnings(tmp_path / "out")[0]


def joined(path: Path) -> np.ndarray:
    """Shots of 12, 20 and 9 frames; each frame tells its number in its corner."""
    frames = np.concatenate([view(1, 12), view(2, 20), view(5, 9)])
    for index, frame in enumerate(frames):
        frame[:16, :16] = 40 + 4 * index
    write_video(path, frames, 25, crf=4)
    return frames


def corner_numbers(folder: Path) -> list[int]:
    return [round((float(frame[4:12, 4:12].mean()) - 40) / 4) for frame in FrameFolder(folder)]


@pytest.mark.parametrize(
    ("options", "expected", "told"),
    [
        ("{}", range(12, 32), "3 shots; used is the longest, shot 2, frames 12 to 32 (0.48 to 1.28 s)"),
        ("{shot: 1}", range(12), "used is the one asked for, shot 1, frames 0 to 12"),
        ("{shot: 3, start: 3}", range(32, 41), "shot 3, frames 32 to 41"),
        ("{shot: 2, start: 4, stop: 40, step: 2}", range(12, 32, 2), "shot 2, frames 12 to 32"),
        ("{shot: all, start: 2}", range(2, 41), "2 hard cuts found, before frame 12, 32; all is used"),
        ("{start: 14, stop: 30}", range(14, 30), None),
    ],
)
def test_a_shot_is_chosen(tmp_path: Path, options: str, expected: range, told: str | None) -> None:
    joined(tmp_path / "clip.mp4")
    info = decode(tmp_path / "clip.mp4", tmp_path / "out", "--settings", options)
    assert corner_numbers(tmp_path / "out" / "frames") == list(expected)
    facts, settings = (record(tmp_path / "out")[key] for key in ("facts", "settings"))
    assert (facts["start"], facts["stop"], info.start) == (expected.start, expected.stop, expected.start)
    assert info.source_frames(settings).tolist() == list(expected)
    found = warnings(tmp_path / "out")
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_a_shot_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    joined(tmp_path / "clip.mp4")
    assert main(["decode", str(tmp_path / "clip.mp4"), str(tmp_path / "out"), "--settings", "shot: 4"]) == 1
    assert "video.shot is 4, but 3 were found; choose 1 to 3" in capsys.readouterr().err
    assert not (tmp_path / "out" / "frames").exists()


@pytest.mark.parametrize("shot", ["0", "some", "-1"])
def test_a_wrong_shot_is_told(tmp_path: Path, capsys: pytest.CaptureFixture, shot: str) -> None:
    assert main(["decode", str(tmp_path), str(tmp_path / "out"), "--settings", f"shot: {shot}"]) == 1
    assert 'video.shot: expected null, "all", or 1 or more' in capsys.readouterr().err


def test_of_equal_shots_the_first_is_the_longest() -> None:
    assert choose_shot([range(3), range(3, 8), range(8, 13)], None, "clip.mp4") == range(3, 8)
