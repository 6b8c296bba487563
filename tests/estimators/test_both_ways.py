"""Pictures looked at twice: what is found in the mirror image is mirrored back, the mean is of those that agree."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from pipeline.landmarks.both_ways import follow_both, mean_of_both, mirrored_back
from pipeline.landmarks.detector import LANDMARK_NAMES, Detection, quiet_stderr
from pipeline.landmarks.swaps import swapped_world

EVERY = np.ones((4, 33), bool)


def person(frames: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    world = rng.normal(0, 0.1, (frames, 33, 3))
    for k, name in enumerate(LANDMARK_NAMES):
        world[:, k, 0] += 0.5 if name.startswith("left") else -0.5
    return {"xy": 100 + 50 * world[..., :2], "visibility": rng.uniform(0, 1, (frames, 33)), "world": world}


def test_mirrored_twice_is_as_before():
    seen = person()
    one = Detection(*(seen[key][0] for key in ("xy", "visibility", "world")), None)
    back = mirrored_back(one, 200)
    left, right = (LANDMARK_NAMES.index(f"{side}_wrist") for side in ("left", "right"))
    np.testing.assert_allclose(back.xy[left], [200 - one.xy[right, 0], one.xy[right, 1]])
    np.testing.assert_allclose(back.world[left], one.world[right] * [-1, 1, 1])
    np.testing.assert_allclose(mirrored_back(back, 200).xy, one.xy)


def test_the_mean_is_of_frames_that_face_the_same_way():
    one, other = person(), person()
    other["xy"] = other["xy"] + 2
    other["world"][2:] = swapped_world(other["world"], EVERY)[2:]  # the back for the front
    mean, agreed = mean_of_both(one, other)
    assert agreed.tolist() == [True, True, False, False]
    np.testing.assert_allclose(mean["xy"], one["xy"] + [[[1]], [[1]], [[0]], [[0]]])
    np.testing.assert_array_equal(mean["world"], one["world"])


@pytest.mark.parametrize("lost", [None, 1])
def test_both_detectors_see_their_pictures_in_step(lost):
    """A detector that tells where the brightest pixel is; the pictures come once, as from a stream."""
    columns, read = [10, 40, 70], []

    class Stream:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            read.append(index)
            picture = np.zeros((20, 100, 3), np.uint8)
            picture[5, columns[index]] = 255
            return picture

    def follow(frames, indices, expected, window, segmentation, min_confidence):
        assert window[2] - window[0] == 80 and not segmentation
        last = None
        for index in indices:
            x = float(np.argmax(frames[index][5, :, 0])) + 0.5
            x0, _, x1, _ = expected(index, last)
            assert x0 <= x <= x1
            last = (x - 3, 0, x + 3, 20)
            seen = Detection(np.tile([x, 5.5], (33, 1)), np.ones(33), np.zeros((33, 3)), None)
            yield index, None if index == lost and window[0] > 5 else seen

    def expected(index, last):
        return (columns[index] - 2, 0, columns[index] + 2, 20)

    found = list(follow_both(follow, Stream(), range(3), expected, (0, 0, 80, 20), 0.5))
    assert read == [0, 1, 2] and [index for index, *_ in found] == [0, 1, 2]
    for index, straight, mirrored in found:
        assert straight.xy[0, 0] == columns[index] + 0.5
        assert mirrored is None if index == lost else mirrored.xy[0, 0] == columns[index] + 0.5


def test_nothing_to_look_at_is_nothing_found():
    assert list(follow_both(None, [], [], None, (0, 0, 1, 1), 0.5)) == []


def test_two_threads_that_silence_stderr_leave_it_as_it_was(capfd):
    """The second would have saved the first one's nowhere, and put it back last."""
    first_in, second_in, first_out = Event(), Event(), Event()

    def first():
        with quiet_stderr():
            first_in.set()
            second_in.wait(0.3)
        first_out.set()

    def second():
        first_in.wait(5)
        with quiet_stderr():
            second_in.set()
            first_out.wait(5)

    with ThreadPoolExecutor(2) as pool:
        for work in [pool.submit(first), pool.submit(second)]:
            work.result()
    os.write(2, b"still here")
    assert "still here" in capfd.readouterr().err
