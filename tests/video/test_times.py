"""The time that each decoded frame has in its file."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video_files import counting_clip, decode, ffmpeg, numbers, pattern, warnings

from pipeline.formats.paths import VideoDir
from pipeline.formats.records import read_json, write_json
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.video.probe import probe


def test_a_part_keeps_its_times(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "clip.mp4", 20)
    info = decode(clip, tmp_path / "results", "--start", "5", "--step", "3")
    np.testing.assert_allclose(info.seconds, np.array([5, 8, 11, 14, 17]) / 25, atol=1e-6)


def test_images_have_the_times_of_their_rate(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    pattern(tmp_path / "images" / "%03d.png", "25", "64x48", 6)
    info = decode(tmp_path / "images", tmp_path / "results", "--settings", "image_fps: 8")
    np.testing.assert_allclose(info.seconds, np.arange(6) / 8, atol=1e-6)


def test_what_an_edit_list_cuts_away_is_no_frame(tmp_path: Path) -> None:
    """A part that is copied begins at a key frame; an edit list hides what lies before it."""
    whole = counting_clip(tmp_path / "whole.mp4", 30)
    ffmpeg("-ss", "0.48", "-i", whole, "-c", "copy", tmp_path / "part.mp4")
    source = probe(tmp_path / "part.mp4")
    assert (source.fps, source.constant, source.frames) == (25, True, 18)
    info = decode(tmp_path / "part.mp4", tmp_path / "results")
    assert numbers(VideoDir(tmp_path / "results").frames) == list(range(12, 30))
    np.testing.assert_allclose(info.seconds, np.arange(18) / 25, atol=1e-6)
    assert not warnings(tmp_path / "results")


@pytest.mark.parametrize(("slow_from", "frames"), [(9, 17), (14, 23)])
def test_at_a_varying_rate_a_frame_has_the_time_that_it_was_shown(tmp_path: Path, slow_from: int, frames: int) -> None:
    """Early frames come 40 ms apart, later ones 60 ms: at one rate for all, some are dropped or repeated."""
    whole = counting_clip(tmp_path / "whole.mp4", 20)
    late = f"setpts='(0.04*min(N,{slow_from})+0.06*max(N-{slow_from},0))/TB'"
    ffmpeg("-i", whole, "-vf", late, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", tmp_path / "clip.mkv")
    assert not probe(tmp_path / "clip.mkv").constant
    info = decode(tmp_path / "clip.mkv", tmp_path / "results")
    shown = np.array(numbers(VideoDir(tmp_path / "results").frames))
    assert info.frames == frames
    true = 0.04 * np.minimum(shown, slow_from) + 0.06 * np.maximum(shown - slow_from, 0)
    np.testing.assert_allclose(info.seconds, true, atol=1.1e-3)  # the file counts milliseconds


def test_gaps_that_are_closed_stay_in_the_times(tmp_path: Path) -> None:
    whole = counting_clip(tmp_path / "whole.mp4", 20)
    late = "setpts='(0.04*N+3*gte(N,12))/TB'"
    ffmpeg("-i", whole, "-vf", late, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", tmp_path / "clip.mkv")
    info = decode(tmp_path / "clip.mkv", tmp_path / "results")
    assert numbers(VideoDir(tmp_path / "results").frames) == list(range(20))
    np.testing.assert_allclose(info.seconds, 0.04 * np.arange(20) + 3 * (np.arange(20) >= 12), atol=1.1e-3)


def test_an_older_file_has_none_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "video.json"
    VideoInfo("clip.mp4", "0" * 64, Fraction(25), 48, 32, 3, 0, seconds=(0.0, 0.04, 0.08)).save(path)
    assert VideoInfo.load(path).seconds == (0.0, 0.04, 0.08)
    values = read_json(path)
    write_json(path, {key: value for key, value in values.items() if key != "seconds"})
    assert VideoInfo.load(path).seconds is None
    for wrong, told in (([0.0], r"should have shape \(3\)"), (["a", "b", "c"], "should be a list of numbers")):
        write_json(path, values | {"seconds": wrong})
        with pytest.raises(UserError, match=f"video.json: key 'seconds' {told}"):
            VideoInfo.load(path)
