"""The time that each decoded frame has in its file."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video_files import counting_clip, decode, ffmpeg, numbers, pattern, warnings

from pipeline.formats.paths import VideoDir
from pipeline.formats.records import read_json, write_json
from pipeline.formats.video import VideoInfo
from pipeline.motion.readers.frames import decoded_clip, frame_numbers
from pipeline.motion.readers.motion import SourceMotion, Track
from pipeline.runtime.errors import UserError
from pipeline.video.encode import write_video
from pipeline.video.probe import probe


def test_a_part_keeps_its_times(tmp_path: Path) -> None:
    clip = counting_clip(tmp_path / "clip.mp4", 20)
    info = decode(clip, tmp_path / "results", "--start", "5", "--step", "3")
    np.testing.assert_allclose(info.seconds, np.array([5, 8, 11, 14, 17]) / 25, atol=1e-6)
    assert info.packets is None  # its frames are `numbers`


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


def slowing(folder: Path, whole: Path, slow_from: int) -> Path:
    """A video whose first frames come 40 ms apart, later ones 60 ms."""
    late = f"setpts='(0.04*min(N,{slow_from})+0.06*max(N-{slow_from},0))/TB'"
    ffmpeg("-i", whole, "-vf", late, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", folder / "clip.mkv")
    assert not probe(folder / "clip.mkv").constant
    return folder / "clip.mkv"


@pytest.mark.parametrize(("slow_from", "frames"), [(9, 17), (14, 23)])
def test_at_a_varying_rate_a_frame_has_the_time_that_it_was_shown(tmp_path: Path, slow_from: int, frames: int) -> None:
    """At one rate for all, some are dropped or repeated."""
    clip = slowing(tmp_path, counting_clip(tmp_path / "whole.mp4", 20), slow_from)
    info = decode(clip, tmp_path / "results")
    shown = np.array(numbers(VideoDir(tmp_path / "results").frames))
    assert info.frames == frames
    all_shown = 0.04 * np.minimum(np.arange(20), slow_from) + 0.06 * np.maximum(np.arange(20) - slow_from, 0)
    np.testing.assert_allclose(info.packets, all_shown, atol=1.1e-3)
    true = 0.04 * np.minimum(shown, slow_from) + 0.06 * np.maximum(shown - slow_from, 0)
    np.testing.assert_allclose(info.seconds, true, atol=1.1e-3)  # the file counts milliseconds


def rows_of(directory: Path, info: VideoInfo, rows: int | None, last: int = 0) -> list[int]:
    """Which row of an imported motion each decoded frame is."""
    frames = np.arange(rows or last + 1)
    zeros = np.zeros((len(frames), 24, 3))
    track = Track("p", frames, zeros, zeros[:, 0], np.zeros(10), "smpl", None, None)
    clip = decoded_clip(VideoDir(directory), info)
    return frame_numbers(Path("m.pt"), SourceMotion("T", (track,), rows), clip)[0].tolist()


@pytest.mark.parametrize(
    ("slow_from", "part"),
    [(14, ("--start", "4", "--stop", "19", "--step", "3")), (9, ()), (9, ("--start", "0.2s", "--stop", "15"))],
)
def test_rows_of_all_frames_of_a_varying_rate(tmp_path: Path, slow_from: int, part: tuple[str, ...]) -> None:
    """A tool that reads the file itself sees each of its frames once, also those that were cut away or dropped."""
    clip = slowing(tmp_path, counting_clip(tmp_path / "whole.mp4", 20), slow_from)
    info = decode(clip, tmp_path / "results", *part)
    shown = numbers(VideoDir(tmp_path / "results").frames)
    assert len(set(shown)) < 20  # the decoded frames do not tell them all
    assert rows_of(tmp_path / "results", info, 20) == shown
    assert rows_of(tmp_path / "results", info, 21) == shown
    assert rows_of(tmp_path / "results", info, None, 18) == shown  # it numbers them and does not tell how many


def test_rows_of_all_frames_where_a_shot_is_cut_out(tmp_path: Path) -> None:
    dark, bright = np.indices((48, 64)).sum(0) // 8 % 2, np.indices((48, 64))[0] // 12 % 2
    scenes = [np.repeat(each[..., None] * 150 + 50, 3, 2).astype(np.uint8) for each in (dark, bright)]
    write_video(tmp_path / "whole.mp4", [scenes[0]] * 12 + [scenes[1]] * 24, 25)
    info = decode(slowing(tmp_path, tmp_path / "whole.mp4", 30), tmp_path / "results")
    assert info.start == 12
    shown = 0.04 * np.minimum(np.arange(36), 30) + 0.06 * np.maximum(np.arange(36) - 30, 0)
    expected = np.abs(np.array(info.seconds)[:, None] - shown).argmin(1).tolist()
    assert rows_of(tmp_path / "results", info, 36) == expected


def test_gaps_that_are_closed_stay_in_the_times(tmp_path: Path) -> None:
    whole = counting_clip(tmp_path / "whole.mp4", 20)
    late = "setpts='(0.04*N+3*gte(N,12))/TB'"
    ffmpeg("-i", whole, "-vf", late, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", tmp_path / "clip.mkv")
    info = decode(tmp_path / "clip.mkv", tmp_path / "results")
    assert numbers(VideoDir(tmp_path / "results").frames) == list(range(20))
    np.testing.assert_allclose(info.seconds, 0.04 * np.arange(20) + 3 * (np.arange(20) >= 12), atol=1.1e-3)


def test_an_older_file_has_none_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "video.json"
    times = {"seconds": (0.0, 0.04, 0.08), "packets": (0.0, 0.04, 0.07, 0.08)}
    VideoInfo("clip.mp4", "0" * 64, Fraction(25), 48, 32, 3, 0, **times).save(path)
    assert VideoInfo.load(path).seconds == times["seconds"]
    assert VideoInfo.load(path).packets == times["packets"]
    values = read_json(path)
    write_json(path, {key: value for key, value in values.items() if key not in times})
    assert VideoInfo.load(path).seconds is None
    assert VideoInfo.load(path).packets is None
    for wrong, told in (([0.0], r"should have shape \(3\)"), (["a", "b", "c"], "should be a list of numbers")):
        write_json(path, values | {"seconds": wrong})
        with pytest.raises(UserError, match=f"video.json: key 'seconds' {told}"):
            VideoInfo.load(path)
    for wrong, told in (([0.04, 0.0], "should be times in their order"), ([], "should be times in their order")):
        write_json(path, values | {"packets": wrong})
        with pytest.raises(UserError, match=f"video.json: key 'packets' {told}"):
            VideoInfo.load(path)
