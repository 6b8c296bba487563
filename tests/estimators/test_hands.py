"""Hands: looked for around the wrists where they are large enough, and written beside the other landmarks."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.body import JOINT_NAMES
from pipeline.estimators import landmarks_mediapipe
from pipeline.estimators.settings import LandmarksSettings
from pipeline.formats.images import FrameFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.landmarks.detector import LANDMARK_NAMES, SOURCE
from pipeline.landmarks.hands import LEAST, Hand, HandDetector, hand_length, with_hands
from pipeline.landmarks.names import HAND, WHOLE_BODY
from pipeline.landmarks.on_body import landmark_map
from pipeline.runtime.settings import load_settings

AT = LANDMARK_NAMES.index


def standing(pixels: float) -> Landmarks:
    """Three frames of somebody, `pixels` a metre, arms away from the body; the right wrist is hidden in the last."""
    world = np.zeros((3, 33, 3))
    world[..., 0] = np.linspace(-0.2, 0.2, 33)
    world[..., 1] = np.linspace(-0.9, 0.9, 33)
    for side, sign in (("left", 1), ("right", -1)):
        for name, x in (("wrist", 0.5), ("index", 0.59), ("pinky", 0.57)):
            world[:, AT(f"{side}_{name}")] = (sign * x, 0.0, -0.1)
    visibility = np.ones((3, 33))
    visibility[2, AT("right_wrist")] = 0.2
    return Landmarks(LANDMARK_NAMES, 500 + pixels * world[..., :2], visibility, world, "mediapipe as it were")


class Found:
    """A detector that sees given hands wherever it looks, and remembers where that was."""

    def __init__(self, *hands: Hand) -> None:
        self.hands, self.boxes = hands, []

    def detect(self, image: np.ndarray, box: tuple[float, ...]) -> list[Hand]:
        self.boxes.append(box)
        return list(self.hands)


def hand(x: float, side: str) -> Hand:
    points = np.tile([x, 500.0], (21, 1))
    points[:, 0] += np.arange(21)
    metres = np.zeros((21, 3))
    metres[:, 0] = 0.005 * np.arange(21)
    return Hand(points, metres, 0.9, side)


FRAMES = [np.zeros((1000, 1000, 3), np.uint8)] * 3


def test_hands_stand_beside_the_body_in_the_same_axes():
    body = standing(400.0)
    detector = Found(hand(700, "left"), hand(300, "right"))  # at the wrists: 500 + 400 * 0.5
    found, seen = with_hands(body, FRAMES, detector)
    assert seen == {"left": 3, "right": 2} and len(detector.boxes) == 5
    assert found.names == (*LANDMARK_NAMES, *(f"{side}_hand_{name}" for side in ("left", "right") for name in HAND))
    np.testing.assert_array_equal(found.xy[:, :33], body.xy)
    tip = found.names.index("left_hand_pinky_4")
    np.testing.assert_allclose(found.xy[:, tip], [[720, 500]] * 3)
    np.testing.assert_allclose(found.world[:, tip], [[0.6, 0, -0.1]] * 3)
    hidden = found.names.index("right_hand_wrist")
    assert list(found.visibility[:, hidden]) == [0.9, 0.9, 0] and (found.xy[2, hidden] == [300, 500]).all()
    x0, y0, x1, y1 = detector.boxes[0]
    assert x0 < 700 and x1 > 736 and abs((y0 + y1) / 2 - 500) < 1 and 0.3 * 400 < x1 - x0 < 0.5 * 400


def test_small_hands_are_not_looked_for():
    detector = Found(hand(700, "left"))
    _, seen = with_hands(standing(0.8 * LEAST / 0.18), FRAMES, detector)
    assert seen == {"left": 0, "right": 0} and not detector.boxes


def test_hands_are_as_long_as_in_half_of_the_frames():
    person = standing(400.0)
    assert hand_length(person) == pytest.approx(0.18 * 400)
    assert hand_length(replace(person, visibility=np.zeros((3, 33)))) == 0
    twice = replace(person, xy=person.xy * [[[1.0]], [[1.0]], [[2.0]]])
    assert hand_length(twice) == pytest.approx(0.18 * 400)
    once = person.visibility * [[1.0], [0], [0]]  # the others tell nothing
    assert hand_length(replace(person, visibility=once)) == pytest.approx(0.18 * 400)


class Looking:
    """In place of the hand graph: sees a hand at the left of where it looks, and remembers the pictures."""

    seen: list[tuple[int, ...]]

    def __init__(self, _: float) -> None:
        Looking.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def detect(self, image: np.ndarray, box: tuple[float, ...]) -> list[Hand]:
        Looking.seen.append(image.shape)
        points = np.full((21, 2), ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)) + np.arange(21)[:, None] / 10
        return [Hand(points, np.zeros((21, 3)), 0.9, "left")]


def looked_for(clip, folder, monkeypatch, length: float, **settings) -> tuple[Landmarks, Provenance]:
    """Hands of somebody whose hands are so long in frames/, which are half as large as the video."""
    directory = VideoDir(folder)
    assert main(["decode", str(clip.video), str(folder), "--settings", "{longest_side: 80, shot: all}"]) == 0
    frames, info = FrameFolder(directory.frames), VideoInfo.load(directory.video)
    pixels = length / 0.18
    person = standing(pixels)
    for side, x in (("left", 0.08), ("right", -0.08)):
        for name in ("wrist", "index", "pinky"):
            person.world[:, AT(f"{side}_{name}")] = (x, 0.0, -0.1)
    rows = np.zeros(len(frames), int)
    xy = [32, 40] + pixels * person.world[rows, :, :2]
    body = Landmarks(LANDMARK_NAMES, xy, person.visibility[rows], person.world[rows], SOURCE)
    monkeypatch.setattr(landmarks_mediapipe, "HandDetector", Looking)
    chosen = load_settings("landmarks", settings, LandmarksSettings)
    told = Provenance("landmarks", chosen)
    return landmarks_mediapipe._hands(directory, info, frames, body, chosen, told), told


def test_hands_that_are_small_in_the_frames_are_looked_for_in_the_video_file(studio_clip, tmp_path, monkeypatch):
    found, told = looked_for(studio_clip, tmp_path / "clip", monkeypatch, 30.0)
    assert set(Looking.seen) == {(160, 128, 3)} and len(Looking.seen) == 28
    assert told.facts["sharper_pictures"] == ["128x160: hands are 30 px long in the frames"]
    assert told.facts["hands_seen_frames"] == {"left": 14, "right": 14}
    for side in ("left", "right"):
        wrist, hand = AT(f"{side}_wrist"), found.names.index(f"{side}_hand_wrist")
        np.testing.assert_allclose(found.xy[:, hand], found.xy[:, wrist], atol=1e-9)  # in pixels of frames/
        np.testing.assert_allclose(found.xy[:, hand + 20] - found.xy[:, hand], 1.0, atol=1e-9)
        assert (found.visibility[:, hand] == 0.9).all()


@pytest.mark.parametrize(
    "length, settings",
    [(30.0, {"sharper": False}), (15.0, {})],
    ids=["in the frames alone they are too small", "and in the file, too"],
)
def test_hands_that_are_small_everywhere_are_not_looked_for(studio_clip, tmp_path, monkeypatch, length, settings):
    Looking.seen = []
    found, told = looked_for(studio_clip, tmp_path / "clip", monkeypatch, length, **settings)
    assert found.names == LANDMARK_NAMES and not Looking.seen and not told.facts


def test_hands_that_are_large_in_the_frames_need_no_file(studio_clip, tmp_path, monkeypatch):
    _, told = looked_for(studio_clip, tmp_path / "clip", monkeypatch, 100.0)
    assert set(Looking.seen) == {(80, 64, 3)} and "sharper_pictures" not in told.facts


def test_another_hand_in_the_crop_is_not_taken():
    far, other = hand(560, "left"), hand(708, "right")
    assert with_hands(standing(400.0), FRAMES, Found(far))[1] == {"left": 0, "right": 0}
    mine = hand(712, "left")
    found, _ = with_hands(standing(400.0), FRAMES, Found(other, mine))
    assert found.xy[0, found.names.index("left_hand_wrist"), 0] == 712


def test_the_fit_leaves_mediapipes_fingers_alone(body):
    found, _ = with_hands(standing(400.0), FRAMES, Found(hand(700, "left")))
    assert landmark_map(body, found.names, found.source).names == landmark_map(body).names


@pytest.mark.parametrize("source", [SOURCE, "rtmw"])
def test_toes_and_heels_turn_with_the_foot(body, source):
    """Both fits go by this map."""
    marks = landmark_map(body, (*LANDMARK_NAMES, *WHOLE_BODY), source)
    toe = "left_foot_index" if source == SOURCE else "left_big_toe"
    for name in (toe, "left_heel"):
        at = marks.names.index(name)
        assert JOINT_NAMES[marks.joint[at]] == "left_ankle" and marks.trust[at] > 0.5
    lengthwise = marks.template[marks.names.index(toe)] - marks.template[marks.names.index("left_heel")]
    assert lengthwise[2] > 0.1  # metres: the heel tells the foot's direction from its toes


def test_the_real_graph_sees_no_hand_in_an_empty_picture():
    with HandDetector(0.5) as detector:
        assert detector.detect(np.full((200, 200, 3), 128, np.uint8), (20, 20, 180, 180)) == []
