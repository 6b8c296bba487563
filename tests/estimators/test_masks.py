"""The masks stage: mediapipe on a studio clip against its truth, the clean-up, who is followed, and bad input."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.estimators import masks_mediapipe
from pipeline.estimators.masks_mediapipe import clean
from pipeline.estimators.settings import MasksSettings
from pipeline.formats.images import FrameFolder, MaskFolder, write_frame
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import Box, clip, grow, iou, mask_box, union
from pipeline.landmarks import detector
from pipeline.landmarks.detector import LANDMARK_NAMES, Detection, follow
from pipeline.people.in_clip import Everybody, Sighting, _extend, find_everybody
from pipeline.people.looks import BINS
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings


def video_dir(folder: Path, frames: list[np.ndarray]) -> VideoDir:
    """results/<video>/ as the decode stage leaves it."""
    directory = VideoDir(folder)
    directory.frames.mkdir(parents=True)
    for index, frame in enumerate(frames):
        write_frame(directory.frames / f"{index:06d}.jpg", frame)
    height, width = frames[0].shape[:2]
    VideoInfo("videos/some clip.mp4", "0" * 64, Fraction(10), width, height, len(frames), 0).save(directory.video)
    return directory


@pytest.fixture(scope="module")
def decoded(studio_clip, tmp_path_factory) -> VideoDir:
    folder = tmp_path_factory.mktemp("masks") / "tiny"
    assert main(["decode", str(studio_clip.video), str(folder)]) == 0
    return VideoDir(folder)


@pytest.fixture(scope="module")
def masked(decoded) -> VideoDir:
    assert main(["masks", str(decoded.root)]) == 0
    return decoded


def agreement(mask: np.ndarray, truth: np.ndarray) -> float:
    a, b = mask > 127, truth > 127
    return (a & b).sum() / (a | b).sum()


# --- The stage -------------------------------------------------------------------------------------------------------


def test_masks_cover_the_person(masked, studio_clip):
    masks, truth = MaskFolder(masked.masks), MaskFolder(studio_clip.truth / "masks")
    assert len(masks) == len(truth)
    assert np.mean([agreement(a, b) for a, b in zip(masks, truth)]) > 0.85
    record = read_provenance(masked.provenance("masks"))
    assert record["facts"]["lost_frames"] == []
    assert record["warnings"] == []


def test_masks_have_soft_edges(masked):
    mask = MaskFolder(masked.masks)[5]
    assert ((mask > 20) & (mask < 235)).sum() > 20


def test_a_clip_without_a_person_leaves_nothing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (6, 96, 128, 3), dtype=np.uint8)
    directory = video_dir(tmp_path / "empty room", list(noise))
    assert main(["masks", str(directory.root)]) == 1
    assert not directory.masks.exists()
    assert list(directory.root.glob(".masks*")) == []
    assert not directory.provenance("masks").exists()


def test_its_error_names_the_video(tmp_path):
    directory = video_dir(tmp_path / "x", [np.full((64, 64, 3), 90, np.uint8)] * 3)
    settings = load_settings("masks", {}, MasksSettings)
    with pytest.raises(UserError, match=r"videos/some clip\.mp4: no person"):
        masks_mediapipe.estimate(directory, settings, tmp_path, Provenance("masks", settings))


def test_an_unknown_backend_is_an_error(decoded):
    assert main(["masks", str(decoded.root), "--settings", "backend: magic"]) == 1


def test_missing_mediapipe_says_what_to_install(monkeypatch):
    def absent():
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(detector, "import_mediapipe", absent)
    with pytest.raises(UserError, match="opencv-contrib-python-headless"):
        detector.check_mediapipe()


def test_lost_frames_are_empty_and_told(decoded, tmp_path):
    frames = list(FrameFolder(decoded.frames))
    frames[4:6] = [np.full_like(frames[0], 120)] * 2
    directory = video_dir(tmp_path / "gap", frames)
    assert main(["masks", str(directory.root)]) == 0
    masks = MaskFolder(directory.masks)
    assert [int(mask.max()) for mask in list(masks)[4:6]] == [0, 0]
    assert masks[3].max() > 200 and masks[7].max() > 200
    record = read_provenance(directory.provenance("masks"))
    assert set(record["facts"]["lost_frames"]) >= {4, 5}
    assert "not found in" in record["warnings"][0]


def test_a_person_who_is_suddenly_elsewhere_is_found_again(decoded, tmp_path):
    """A cut: what the follower expects is nowhere, and the next sampled frame tells where the person is."""
    frames = []
    for index, frame in enumerate(FrameFolder(decoded.frames)):
        canvas = np.repeat(frame[:, :1], 320, axis=1)
        x = 0 if index < 7 else 150
        canvas[:, x : x + frame.shape[1]] = frame
        frames.append(canvas)
    directory = video_dir(tmp_path / "cut", frames)
    assert main(["masks", str(directory.root), "--settings", "samples: 5"]) == 0
    record = read_provenance(directory.provenance("masks"))
    assert record["facts"]["people"] == 1
    assert len(record["facts"]["lost_frames"]) <= 4


# --- Two people ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(decoded, studio_clip, tmp_path_factory) -> tuple[VideoDir, list[np.ndarray], int]:
    """The studio clip beside itself at half the size: frames, and the column at which the larger one's part begins."""
    frames = []
    for frame in FrameFolder(decoded.frames):
        height, width = frame.shape[:2]
        small = np.asarray(Image.fromarray(frame).resize((width * 3 // 4, height * 3 // 4)))
        canvas = np.full((height, width * 2, 3), frame[:8].mean((0, 1)), np.uint8)
        canvas[height - small.shape[0] :, : small.shape[1]] = small
        canvas[:, width:] = frame
        frames.append(canvas)
    directory = video_dir(tmp_path_factory.mktemp("pair") / "pair", frames)
    assert main(["masks", str(directory.root)]) == 0
    return directory, frames, frames[0].shape[1] // 2


def test_of_two_people_the_larger_is_followed_and_told(pair):
    directory, _, edge = pair
    masks = list(MaskFolder(directory.masks))
    found = [mask for mask in masks if mask.max() > 127]
    assert len(found) >= 12
    assert all((mask[:, :edge] > 127).sum() < 0.05 * (mask[:, edge:] > 127).sum() for mask in found)
    record = read_provenance(directory.provenance("masks"))
    assert any("more than one person" in line and "more prominent" in line for line in record["warnings"])


def test_whoever_is_expected_is_followed(pair):
    """Told to expect the smaller one, the tracker leaves the larger one alone."""
    _, frames, edge = pair
    box = (0.0, 0.25 * frames[0].shape[0], 0.75 * edge, float(frames[0].shape[0]))
    window = (0.0, 0.0, 2.0 * edge, float(frames[0].shape[0]))

    def expected(index: int, last: Box | None) -> Box:
        return last or grow(box, 0.8)

    found = [item for _, item in follow(frames, range(5), expected, window, False, 0.5)]
    centres = [item.xy[:, 0].mean() for item in found if item is not None]
    assert len(centres) >= 3
    assert max(centres) < edge


def test_one_person_is_not_two(masked):
    everybody = find_everybody(FrameFolder(masked.frames), 6, 0.5)
    subject = everybody.subject(0)
    assert (len(everybody.people), subject.seen, subject.crowded) == (1, 6, 0)
    assert read_provenance(masked.provenance("masks"))["facts"]["people"] == 1


def seen(box: Box, colour: int = 0, alone: bool = True) -> Sighting:
    look = np.zeros((2, BINS), np.float32)
    look[:, colour] = 1
    return Sighting(box, look, alone)


def test_boxes_are_linked_by_place_and_size():
    tracks: list[dict[int, Sighting]] = []
    _extend(tracks, 0, [seen((0, 0, 40, 100)), seen((200, 50, 220, 100))])
    _extend(tracks, 1, [seen((210, 50, 230, 100)), seen((20, 0, 60, 100))])
    _extend(tracks, 2, [seen((40, 0, 80, 100))])
    assert [sorted(track) for track in tracks] == [[0, 1, 2], [0, 1]]


@pytest.mark.parametrize("second", [0, 1], ids=["same clothes", "other clothes"])
def test_boxes_of_people_who_cross_are_linked_by_heading_and_look(second):
    """One goes right, the other left; between they are one detection, or both stop and turn back."""
    tracks: list[dict[int, Sighting]] = []
    for index, x in enumerate((0, 30, 60, 90, 120)):
        there = [seen((x, 0, x + 40, 100)), seen((120 - x, 0, 160 - x, 100), second)]
        _extend(tracks, index, there[:1] if index == 2 else there)
    assert [track[4].box[0] for track in tracks] == [120, 0]
    assert not tracks[0][2].alone  # the other may be behind


def test_another_look_is_another_person():
    tracks: list[dict[int, Sighting]] = []
    _extend(tracks, 0, [seen((0, 0, 40, 100), 0)])
    _extend(tracks, 1, [seen((0, 0, 40, 100), 7)])
    assert len(tracks) == 2


# --- Whom to follow --------------------------------------------------------------------------------------------------

ROOM = Everybody(
    sampled=[0, 10, 20],
    people=[
        {10: seen((300, 0, 400, 200)), 20: seen((0, 0, 100, 200))},
        {0: seen((0, 0, 50, 100)), 10: seen((100, 0, 150, 100))},
        {20: seen((500, 0, 520, 40))},
    ],
    size=(600, 200),
)


@pytest.mark.parametrize(
    "person, number",
    [("largest", 0), ("left", 1), ("right", 0), (2, 2), ("1", 1), (3, None), ("0.2,0.25", 1), ("0.6, 0.9", 0),
     ("0.9,0.9", None)],
)  # fmt: skip
def test_a_person_is_chosen(person, number):
    """Frame 10 is the first that shows two people: left, right and x,y speak of it."""
    assert ROOM.shown == 10
    assert ROOM.number(person) == number


@pytest.mark.parametrize("person", ["middle", "-1", -1, "0.3", "1.5,0.5", "0.1,0.2,0.3", ""])
def test_a_choice_that_says_nothing_is_an_error_before_any_work(person):
    settings = load_settings("masks", {"person": person}, MasksSettings)
    with pytest.raises(UserError, match=r"masks\.person: expected largest, left, right"):
        masks_mediapipe.check(settings)


def test_the_left_one_is_followed_when_asked(pair, tmp_path):
    _, frames, edge = pair
    directory = video_dir(tmp_path / "left", frames[:4])
    assert main(["masks", str(directory.root), "--settings", "{person: left, samples: 3}"]) == 0
    masks = list(MaskFolder(directory.masks))
    assert sum(mask[:, :edge].max() > 127 for mask in masks) >= 3
    assert all((mask[:, edge:] > 127).sum() == 0 for mask in masks)
    with Image.open(directory.people) as sheet:
        assert sheet.width == 960 and sheet.height > 400
    facts = read_provenance(directory.provenance("masks"))["facts"]
    assert facts["people"] == 2 and facts["followed"] == 1


def test_a_choice_that_nobody_answers_names_the_sheet(pair, tmp_path, capsys):
    _, frames, _ = pair
    directory = video_dir(tmp_path / "nobody", frames[:3])
    assert main(["masks", str(directory.root), "--settings", "{person: 5, samples: 2}"]) == 1
    message = capsys.readouterr().err
    assert "masks.person is 5" in message and "2 found (0 to 1)" in message
    assert str(directory.people_refused) in message
    assert directory.people_refused.is_file()
    assert not directory.people.exists() and not directory.masks.exists()


# --- Crossing, and far away ------------------------------------------------------------------------------------------


def texture(height: int, width: int) -> np.ndarray:
    """Coloured spots of several sizes, uint8 (H, W, 3)."""
    rng = np.random.default_rng(0)
    spots = [Image.fromarray(rng.integers(0, 255, (height // k, width // k, 3), dtype=np.uint8)) for k in (8, 32, 128)]
    layers = [np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), float) for image in spots]
    return (60 + 0.4 * np.mean(layers, axis=0)).astype(np.uint8)


def paste(canvas: np.ndarray, person: np.ndarray, mask: np.ndarray, x: int, y: int, height: int) -> np.ndarray:
    """Put a person, cut out by their mask, into the canvas; return where they are, bool (H, W)."""
    size = (round(person.shape[1] * height / person.shape[0]), height)
    image, alpha = (np.asarray(Image.fromarray(part).resize(size), float) for part in (person, mask))
    there = canvas[y : y + height, x : x + size[0]]
    there[:] = there + (image - there) * (alpha[..., None] / 255)
    where = np.zeros(canvas.shape[:2], bool)
    where[y : y + height, x : x + size[0]] = alpha > 127
    return where


def test_two_who_cross_are_not_exchanged(decoded, studio_clip, tmp_path):
    """One goes right; another, in other colours, goes left in front of them."""
    images, masks = list(FrameFolder(decoded.frames)), list(MaskFolder(studio_clip.truth / "masks"))
    frames, places = [], []
    for k, x in enumerate(range(0, 273, 14)):
        frame = np.repeat(texture(200, 400)[:, :1], 400, axis=1)
        k = min(k, 26 - k) % 14  # there and back
        behind = paste(frame, images[k], masks[k], x, 24, 160)
        before = paste(frame, images[k][..., [2, 0, 1]], masks[k], 272 - x, 36, 160)
        frames.append(frame)
        places.append((behind & ~before, before))
    directory = video_dir(tmp_path / "crossing", frames)
    for side, mine in (("left", 0), ("right", 1)):
        assert main(["masks", str(directory.root), "--settings", f"person: {side}"]) == 0
        found = [mask > 127 for mask in MaskFolder(directory.masks)]
        shares = [(mask & place[mine]).sum() - (mask & place[1 - mine]).sum() for mask, place in zip(found, places)]
        ends = [i for i in range(len(frames)) if abs(i - len(frames) // 2) >= 5]
        assert sum(shares[i] > 0 for i in ends) >= len(ends) - 2
        assert all(shares[i] >= 0 for i in ends)


def test_a_person_who_is_small_in_the_picture_is_found(decoded, studio_clip, tmp_path):
    """A tenth of the picture's height: the detector, which looks at 224 px, sees 13 of them."""
    images, masks = list(FrameFolder(decoded.frames)), list(MaskFolder(studio_clip.truth / "masks"))
    frames, places = [], []
    for k in range(8):
        frame = texture(720, 1280)
        places.append(paste(frame, images[k], masks[k], 700 + 6 * k, 400, 96))
        frames.append(frame)
    assert 60 < np.ptp(np.flatnonzero(places[0].any(1))) < 80
    directory = video_dir(tmp_path / "far", frames)
    assert main(["masks", str(directory.root), "--settings", "samples: 3"]) == 0
    found = [mask > 127 for mask in MaskFolder(directory.masks)]
    overlaps = [(mask & place).sum() / (mask | place).sum() for mask, place in zip(found, places)]
    assert np.median(overlaps) > 0.75 and min(overlaps) > 0.5
    warnings = read_provenance(directory.provenance("masks"))["warnings"]
    assert any("px high" in line and "video.longest_side: " in line for line in warnings)


# --- The clean-up ----------------------------------------------------------------------------------------------------


def standing(height=200, width=160) -> Detection:
    """A stick figure and a mask that is a bar around it, fading over four pixels."""
    places = {
        "nose": (80, 30), "ear": (80, 30), "eye": (80, 28), "shoulder": (80, 55), "elbow": (80, 85), "wrist": (80, 110),
        "hip": (80, 110), "knee": (80, 145), "ankle": (80, 175), "heel": (80, 180), "foot_index": (80, 182),
    }  # fmt: skip
    xy = np.array(
        [places.get(name.replace("left_", "").replace("right_", ""), (80, 100)) for name in LANDMARK_NAMES], float
    )
    xy[::2, 0] += 6
    columns = np.abs(np.arange(width) - 82.5)
    mask = np.zeros((height, width), np.float32)
    mask[20:186] = np.clip((22 - columns) / 4, 0, 1)
    return Detection(xy, np.ones(33), np.zeros((33, 3)), mask)


def test_clean_only_sharpens_a_good_mask():
    person = standing()
    sharper = np.clip(2 * person.mask - 0.5, 0, 1)
    assert np.abs(clean(person, 0.2).astype(int) - np.round(255 * sharper)).max() <= 1


def test_clean_drops_what_is_apart_and_what_is_far():
    person = standing()
    person.mask[90:110, 130:150] = 1.0  # apart
    person.mask[60:64, :80] = 1.0  # an arm's length and more, joined
    cleaned = clean(person, 0.2)
    assert cleaned[90:110, 132:150].max() == 0
    assert cleaned[62, :20].max() == 0
    assert cleaned[62, 50:60].min() == 255


def test_clean_fills_specks_and_keeps_the_space_in_an_arm():
    person = standing()
    person.mask[100:103, 80:83] = 0.0
    person.mask[60:85, 72:95] = 0.0
    cleaned = clean(person, 0.2)
    assert cleaned[100:103, 80:83].min() > 200
    assert cleaned[62:83, 74:93].max() == 0


# --- Boxes -----------------------------------------------------------------------------------------------------------


def test_boxes():
    assert grow((10, 20, 30, 60), 2.0) == (0, 0, 40, 80)
    assert grow((10, 20, 30, 60), 1.0, square=True) == (0, 20, 40, 60)
    assert clip((-5, 3.2, 1000, 9.1), 100, 50) == (0, 3, 100, 10)
    assert clip((300, 300, 400, 400), 100, 50) == (99, 49, 100, 50)  # outside: still a pixel
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert union([(0, 5, 2, 9), (1, 1, 8, 7)]) == (0, 1, 8, 9)
    mask = np.zeros((20, 30), np.uint8)
    assert mask_box(mask) is None
    mask[4:9, 10:12] = 200
    assert mask_box(mask) == (10, 4, 12, 9)


def test_the_stage_needs_frames(tmp_path):
    (tmp_path / "v" / "frames").mkdir(parents=True)
    assert main(["masks", str(tmp_path / "v")]) == 1
