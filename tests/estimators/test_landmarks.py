"""The landmarks stage: what each backend gives of a tiny clip, and of files of the user's."""

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.estimators import landmarks_mediapipe
from pipeline.estimators.settings import LandmarksSettings
from pipeline.formats.images import MaskFolder, write_frame, write_mask
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.geometry.boxes import mask_box
from pipeline.landmarks.detector import LANDMARK_NAMES, SOURCE, Detection
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import check_config, default_config, load_settings, merged

SETTINGS = load_settings("landmarks", {}, LandmarksSettings)
LOST = (5, 6, 7)


@pytest.fixture(scope="module")
def masked(studio_clip, tmp_path_factory) -> VideoDir:
    """The tiny clip after the masks stage, three of its frames wiped."""
    directory = VideoDir(tmp_path_factory.mktemp("landmarks") / "tiny")
    assert main(["decode", str(studio_clip.video), str(directory.root)]) == 0
    assert main(["masks", str(directory.root)]) == 0
    for index in LOST:
        mask = MaskFolder(directory.masks)[index]
        write_mask(directory.masks / f"{index:06d}.png", np.zeros_like(mask))
        write_frame(directory.frames / f"{index:06d}.jpg", np.full((*mask.shape, 3), 110, np.uint8))
    return directory


@pytest.fixture(scope="module")
def found(masked) -> Landmarks:
    """What the default detector gives; no camera is needed."""
    assert main(["landmarks", str(masked.root)]) == 0
    return Landmarks.load(masked.landmarks)


def test_the_default_finds_the_person_where_they_are_seen(found, masked):
    assert found.names == LANDMARK_NAMES and found.source == SOURCE
    assert found.xy.shape == (14, 33, 2) and found.world.shape == (14, 33, 3)
    assert (found.visibility[list(LOST)] == 0).all() and (found.xy[list(LOST)] == 0).all()
    seen = found.visibility > 0.5
    assert seen.any(1).sum() == 11
    assert (found.xy[seen] >= 0).all() and (found.xy[seen] < (128, 160)).all()
    record = read_provenance(masked.provenance("landmarks"))
    assert record["facts"]["found_frames"] == 11 and record["settings"]["backend"] == "mediapipe"


def test_points_outside_the_picture_are_not_seen(masked):
    """Feet below the edge: kept where the detector guesses them, and not seen."""

    def follow(frames, indices, *_):
        for index in indices:
            x0, y0, x1, y1 = mask_box(MaskFolder(masked.masks)[index]) or (0, 0, 1, 1)
            rows = np.where(np.arange(33) < 29, np.linspace(y0, y1, 33), 170)
            xy = np.stack([np.full(33, (x0 + x1) / 2), rows], 1)
            yield index, Detection(xy, np.ones(33), np.zeros((33, 3)), None)

    provenance = Provenance("landmarks", SETTINGS)
    found = landmarks_mediapipe.estimate_from(follow, "mine", masked, SETTINGS, provenance)
    kept = np.setdiff1d(np.arange(14), LOST)
    assert (found.visibility[kept, :29] == 1).all() and (found.visibility[kept, 29:] == 0).all()
    assert (found.xy[kept, 29:, 1] == 170).all() and found.source == "mine"


def test_landmarks_of_somebody_before_the_person_are_not_taken():
    """The mask shows what is to be seen of the person: a strip beside whoever stands in front."""
    mask = np.zeros((100, 100), np.uint8)
    mask[10:90, 50:60] = 255
    rows = np.linspace(12, 88, 33)
    people = [Detection(np.stack([columns, rows], 1), np.ones(33), np.zeros((33, 3)), None)
              for columns in (np.linspace(20, 52, 33), np.linspace(49, 61, 33))]  # fmt: skip
    found = landmarks_mediapipe._detect(lambda *_: enumerate(people), [mask] * 2, [mask] * 2, 0.5)
    assert list(found) == [1]


def test_masks_of_another_clip_are_refused(masked, tmp_path):
    (masked.masks / "000013.png").rename(tmp_path / "last.png")
    try:
        with pytest.raises(UserError, match="14 masks expected, found 13"):
            landmarks_mediapipe.estimate(masked, SETTINGS, Provenance("landmarks", SETTINGS))
    finally:
        (tmp_path / "last.png").rename(masked.masks / "000013.png")


def test_nobody_in_the_masks_gives_no_landmarks_and_says_so(masked, tmp_path):
    provenance, nobody = Provenance("landmarks", SETTINGS), VideoDir(tmp_path / "nobody")
    nobody.masks.mkdir(parents=True)
    for name in ("frames", "video.json"):
        (nobody.root / name).symlink_to(masked.root / name)
    for index in range(14):
        write_mask(nobody.masks / f"{index:06d}.png", np.zeros((160, 128), np.uint8))
    none = landmarks_mediapipe.estimate(nobody, SETTINGS, provenance)
    assert none.visibility.shape == (14, 33) and not none.visibility.any()
    assert "found in no frame" in provenance.warnings[0]


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ({"min_confidence": 0.3}, "config.pose: the key 'min_confidence' is now landmarks.min_confidence"),
        ({"smplify": {"swap_doubt": 0.1}}, "config.pose.smplify: the key 'swap_doubt' is now landmarks.swap_doubt"),
    ],
)
def test_keys_that_moved_are_told(old, now):
    with pytest.raises(UserError, match=now):
        check_config(merged(default_config(), {"pose": old}))
