"""Small people: the video file is decoded once more for the detector, in step with the frames."""

import json

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.estimators.settings import LandmarksSettings
from pipeline.estimators.sharper import pictures
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import mask_box
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings


def decoded(studio_clip, folder, **settings) -> VideoDir:
    directory = VideoDir(folder)
    assert main(["decode", str(studio_clip.video), str(folder), "--settings", json.dumps(settings)]) == 0
    return directory


def looked_at(directory: VideoDir, height: float):
    """The pictures of a person of this height in the frames."""
    frames, told = (
        FrameFolder(directory.frames),
        Provenance("landmarks", load_settings("landmarks", {}, LandmarksSettings)),
    )
    info = VideoInfo.load(directory.video)
    return pictures(directory, info, frames, [(5.0, 5.0, 15.0, 5 + height)] * len(frames), told), told


@pytest.mark.parametrize("selection", [{}, {"start": 3, "step": 2}, {"start": "0.4s", "stop": 11, "step": 3}])
def test_pictures_are_the_frames_only_larger(studio_clip, tmp_path, selection):
    directory = decoded(studio_clip, tmp_path / "clip", longest_side=80, shot="all", **selection)
    sharp, told = looked_at(directory, 60.0)
    frames = FrameFolder(directory.frames)
    assert len(sharp) == len(frames) and tuple(sharp.scale) == (2.0, 2.0)
    assert sharp.box((1, 2, 3, 4)) == (2, 4, 6, 8)
    assert told.facts["sharper_pictures"] == ["128x160: the person is 60 px high in the frames"]
    for index in range(len(frames)):
        picture = sharp[index]
        assert picture.shape == (160, 128, 3)
        small = np.asarray(Image.fromarray(picture).resize((64, 80), Image.Resampling.LANCZOS), float)
        others = [np.abs(small - other).mean() for other in frames]
        assert np.argmin(others) == index and others[index] < 4
    with pytest.raises(IndexError, match="passed already"):
        sharp[0]


def test_no_second_decoding_where_it_tells_nothing_more(studio_clip, tmp_path):
    whole = decoded(studio_clip, tmp_path / "whole")
    assert tuple(looked_at(whole, 60.0)[0].scale) == (1, 1), "the file has no more pixels"
    small = decoded(studio_clip, tmp_path / "small", longest_side=80)
    assert tuple(looked_at(small, 300.0)[0].scale) == (1, 1), "the person is large enough"
    assert tuple(looked_at(small, 192.0)[0].scale) == (2, 2)
    small.provenance("decode").unlink()
    assert tuple(looked_at(small, 60.0)[0].scale) == (1, 1), "frames that the user put there"


def test_a_file_that_is_gone_or_shorter_is_told(studio_clip, tmp_path):
    directory = decoded(studio_clip, tmp_path / "clip", longest_side=80)
    record = json.loads(directory.video.read_text())
    directory.video.write_text(json.dumps(record | {"source": "videos/gone.mp4"}))
    sharp, told = looked_at(directory, 60.0)
    assert tuple(sharp.scale) == (1, 1) and "videos/gone.mp4: not found; the person is 60 px high" in told.warnings[0]
    longer = {"frames": 20, "seconds": [0.1 * k for k in range(20)]}
    directory.video.write_text(json.dumps(record | longer))
    sharp, _ = looked_at(directory, 60.0)
    with pytest.raises(UserError, match=r"tiny\.mp4: has fewer frames than were decoded of it; decode it again"):
        sharp[19]


def test_landmarks_of_a_small_person_come_nearer_to_those_of_the_whole_picture(studio_clip, tmp_path):
    whole = decoded(studio_clip, tmp_path / "whole")
    small = decoded(studio_clip, tmp_path / "small", longest_side=56)
    assert main(["masks", str(whole.root)]) == 0
    for directory in (whole, small):
        info = VideoInfo.load(directory.video)
        directory.masks.mkdir(exist_ok=True)
        for index, mask in enumerate(MaskFolder(whole.masks)):
            Image.fromarray(mask).resize((info.width, info.height)).save(directory.masks / f"{index:06d}.png")
    found = {}
    for name, directory, sharper in (("whole", whole, True), ("sharp", small, True), ("blunt", small, False)):
        assert main(["landmarks", str(directory.root), "--settings", json.dumps({"sharper": sharper})]) == 0
        found[name] = Landmarks.load(directory.landmarks)
        told = read_provenance(directory.provenance("landmarks"))["facts"]
        assert ("sharper_pictures" in told) == (name == "sharp")
    scale = np.array([128, 160]) / [VideoInfo.load(small.video).width, VideoInfo.load(small.video).height]
    seen = (found["whole"].visibility > 0.5) & (found["sharp"].visibility > 0) & (found["blunt"].visibility > 0)
    off = {
        name: np.median(np.linalg.norm(found[name].xy * scale - found["whole"].xy, axis=-1)[seen])
        for name in ("sharp", "blunt")
    }
    assert mask_box(MaskFolder(small.masks)[0]) is not None
    assert off["sharp"] < 0.5 * off["blunt"] and off["sharp"] < 1.0
