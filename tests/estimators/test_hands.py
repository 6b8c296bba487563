"""Hands: looked for around the wrists where they are large enough, and written beside the other landmarks."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.body import JOINT_NAMES
from pipeline.formats.landmarks import Landmarks
from pipeline.landmarks.detector import LANDMARK_NAMES, SOURCE
from pipeline.landmarks.hands import LEAST, Hand, HandDetector, large_hands, with_hands
from pipeline.landmarks.names import HAND, WHOLE_BODY
from pipeline.landmarks.on_body import landmark_map

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


def test_large_hands_are_those_of_half_of_the_frames():
    assert large_hands(standing(1.1 * LEAST / 0.18)) and not large_hands(standing(0.9 * LEAST / 0.18))
    nobody = standing(400.0)
    assert not large_hands(replace(nobody, visibility=np.zeros((3, 33))))
    once = nobody.visibility * [[1.0], [0], [0]]  # the others tell nothing
    assert large_hands(replace(nobody, visibility=once))


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
