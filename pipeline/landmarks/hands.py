"""mediapipe's hand model on crops around the wrists: 21 points a hand, where hands are large enough to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from pipeline.formats.landmarks import Landmarks
from pipeline.geometry.boxes import Box, clip, inside
from pipeline.landmarks.detector import VISIBLE, import_mediapipe, quiet_stderr
from pipeline.landmarks.names import HAND
from pipeline.runtime.progress import track

LEAST = 40.0  # px that a hand must be long in the picture
_LENGTH = 0.18  # metres, of a hand
_CROP = 2.2  # hand lengths, a side of the crop
_NEAR = 0.5  # hand lengths between the two models' wrists, above which it is another hand
_OTHER = 0.25  # hand lengths that a hand of the other side must be nearer to be taken


@dataclass(frozen=True)
class Hand:
    """One hand in one picture."""

    xy: np.ndarray  # (21, 2) px of the whole picture
    world: np.ndarray  # (21, 3) metres about the wrist, camera axes
    score: float  # how sure the model is of its side
    side: str  # "left" or "right", of the person, as the model takes it


class HandDetector:
    """mediapipe's hand graph, each picture on its own; a context manager as `PoseDetector` is."""

    def __init__(self, min_confidence: float) -> None:
        solutions = import_mediapipe().solutions
        with quiet_stderr():
            self._graph = solutions.hands.Hands(
                static_image_mode=True, max_num_hands=2, model_complexity=1, min_detection_confidence=min_confidence
            )
            self._graph.process(np.zeros((64, 64, 3), np.uint8))  # the detector starts, and logs
        self._quiet = True  # until the first hand, at which the other network has started and logged

    def __enter__(self) -> HandDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self._graph.close()

    def detect(self, image: np.ndarray, box: Box) -> list[Hand]:
        """The hands, two at most, in the part of an image (H, W, 3) uint8 RGB within `box`."""
        height, width = image.shape[:2]
        x0, y0, x1, y1 = clip(box, width, height)
        size, corner = max(x1 - x0, y1 - y0), np.array([x0, y0])
        part = np.zeros((size, size, 3), np.uint8)  # the graph's depths are right in squares alone
        part[: y1 - y0, : x1 - x0] = image[y0:y1, x0:x1]
        with quiet_stderr() if self._quiet else nullcontext():
            found = self._graph.process(part)
        self._quiet = self._quiet and not found.multi_hand_landmarks
        hands = []
        lists = (found.multi_hand_landmarks, found.multi_hand_world_landmarks, found.multi_handedness)
        for points, world, sides in zip(*(each or () for each in lists)):
            metres = np.array([(point.x, point.y, point.z) for point in world.landmark])
            told = sides.classification[0]
            side = "right" if told.label == "Left" else "left"  # it takes pictures for mirrored
            xy = np.array([(point.x, point.y) for point in points.landmark]) * size + corner
            hands.append(Hand(xy, metres - metres[0], float(told.score), side))
        return hands


def hand_length(landmarks: Landmarks) -> float:
    """Of a hand in the picture, px: the median of the frames in which the person is found, 0 where there are none
    (arguments of `with_hands`)."""
    lengths = [_LENGTH * _pixels_a_metre(landmarks, index) for index in range(len(landmarks))]
    found = [length for length in lengths if length > 0]
    return float(np.median(found)) if found else 0.0


def with_hands(
    landmarks: Landmarks, frames: Sequence[np.ndarray], detector: HandDetector
) -> tuple[Landmarks, dict[str, int]]:
    """Landmarks of a clip and 21 more a hand, left_hand_wrist and so on; and in how many frames each hand is seen.

    Args:
        landmarks: of mediapipe, with world landmarks, left and right put right.
        frames: the pictures, uint8 (H, W, 3) RGB.
    """
    count = len(landmarks)
    names, parts = landmarks.names, [(landmarks.xy, landmarks.visibility, landmarks.world)]
    seen = {}
    for side in ("left", "right"):
        wrist = names.index(f"{side}_wrist")
        # Where a hand is not seen its points are guessed to be at the wrist.
        xy = np.repeat(landmarks.xy[:, wrist, None], len(HAND), 1)
        world = np.repeat(landmarks.world[:, wrist, None], len(HAND), 1)
        parts.append((xy, np.zeros((count, len(HAND))), world))
        names += tuple(f"{side}_hand_{name}" for name in HAND)
        seen[side] = 0
    for index in track(range(count), "hands", unit="frame"):
        length = _LENGTH * _pixels_a_metre(landmarks, index)
        places = {side: _place(landmarks, index, side, length) for side in seen}
        if length < LEAST or not any(place is not None for place in places.values()):
            continue
        image = frames[index]
        for (side, place), (xy, visibility, world) in zip(places.items(), parts[1:]):
            hand = None if place is None else _nearest(detector.detect(image, place), xy[index, 0], side, length)
            if hand is None:
                continue
            seen[side] += 1
            xy[index] = hand.xy
            visibility[index] = hand.score * inside(hand.xy, image.shape[1], image.shape[0])
            world[index] += hand.world
    xy, visibility, world = (np.concatenate(values, 1) for values in zip(*parts))
    return Landmarks(names, xy, visibility, world, landmarks.source), seen


def _pixels_a_metre(landmarks: Landmarks, index: int) -> float:
    """At the person: how widely the landmarks that are seen lie apart in the picture, over how widely in the world; 0
    where that is not known."""
    sure = landmarks.visibility[index] > VISIBLE
    breadth = landmarks.world[index, sure, :2].std(0).sum() if sure.sum() >= 4 else 0.0
    return float(landmarks.xy[index, sure].std(0).sum() / breadth) if breadth > 1e-3 else 0.0


def _place(landmarks: Landmarks, index: int, side: str, length: float) -> Box | None:
    """The square in which a hand is looked for: about its knuckles; None where its wrist is not seen."""
    wrist, *knuckles = (landmarks.names.index(f"{side}_{name}") for name in ("wrist", "index", "pinky"))
    if landmarks.visibility[index, wrist] <= VISIBLE:
        return None
    x, y = landmarks.xy[index, knuckles].mean(0)
    half = _CROP * length / 2
    return x - half, y - half, x + half, y + half


def _nearest(hands: list[Hand], wrist: np.ndarray, side: str, length: float) -> Hand | None:
    """The hand at a wrist, if one is there; of two, rather the one of this side."""
    away = [np.linalg.norm(hand.xy[0] - wrist) / length + _OTHER * (hand.side != side) for hand in hands]
    return hands[int(np.argmin(away))] if away and min(away) < _NEAR else None
