"""Decoding and encoding, on clips made by ffmpeg and by our own writer."""

import errno
import hashlib
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_files import counting_clip, decode, ffmpeg, numbers, pattern, warnings

from pipeline.__main__ import main
from pipeline.errors import UserError
from pipeline.formats.images import FrameFolder
from pipeline.video.encode import VideoWriter, write_video
from pipeline.video.probe import probe
from pipeline.video.rates import STANDARD_RATES, frame_rate
from pipeline.video.tool import ffmpeg_binary, raise_if_disk_full

NTSC = Fraction(30000, 1001)


# The frame rate


@given(
    rate=st.sampled_from(STANDARD_RATES),
    base=st.sampled_from([Fraction(1, n) for n in (600, 1000, 12800, 15360, 30000, 90000)]),
    count=st.integers(1, 400),
    offset=st.integers(-1000, 1000),
)
def test_a_rate_is_found_again_from_rounded_timestamps(rate: Fraction, base: Fraction, count: int, offset: int) -> None:
    ticks = np.array([offset + round(i / rate / base) for i in range(count)])
    assert frame_rate(ticks, base, nominal=rate) == (rate, True)


@given(rate=st.sampled_from(STANDARD_RATES), base=st.sampled_from([Fraction(1, 1000), Fraction(1, 90000)]))
def test_a_long_clip_tells_its_rate_without_a_claim(rate: Fraction, base: Fraction) -> None:
    ticks = np.array([round(i / rate / base) for i in range(3000)])
    assert frame_rate(ticks, base) == (rate, True)


def test_an_odd_but_constant_rate_stays_what_it_is() -> None:
    assert frame_rate(np.arange(50) * 7, Fraction(1, 90)) == (Fraction(90, 7), True)


def test_a_false_claim_is_not_believed() -> None:
    assert frame_rate(np.arange(50) * 40, Fraction(1, 1000), nominal=Fraction(50)) == (Fraction(25), True)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_a_jittering_clock_becomes_the_standard_rate_nearby(seed: int) -> None:
    random = np.random.default_rng(seed)
    ticks = np.sort(np.round(np.arange(120) * 3000 + random.normal(0, 200, 120)).astype(int))
    assert frame_rate(ticks, Fraction(1, 90000), nominal=Fraction(30)) == (Fraction(30), False)


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "25", "30", "60", "15"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_the_rate_of_a_file_is_exact(tmp_path: Path, rate: str, suffix: str) -> None:
    source = probe(pattern(tmp_path / f"clip{suffix}", rate))
    assert (source.fps, source.constant, source.frames) == (Fraction(rate), True, 12)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_rate_is_made_constant(tmp_path: Path, suffix: str) -> None:
    whole = counting_clip(tmp_path / "whole.mp4", 24, 30)
    varying = tmp_path / f"varying{suffix}"
    # Without frames 3, 10, 17: each must be filled by a neighbour, the others stay at their time.
    ffmpeg("-i", whole, "-vf", "select=not(eq(mod(n\\,7)\\,3))", "-fps_mode", "vfr", "-crf", "8", varying)
    info = decode(varying, tmp_path / "out")
    assert info.fps == 30
    found = numbers(tmp_path / "out" / "frames")
    assert len(found) == 24
    assert all(got == i or (i % 7 == 3 and abs(got - i) == 1) for i, got in enumerate(found))
    assert any("varies" in warning for warning in warnings(tmp_path / "out"))


# What is decoded


def test_decode_writes_every_frame_in_order(tmp_path: Path) -> None:
    video = counting_clip(tmp_path / "clip.mp4", 30, NTSC)
    info = decode(video, tmp_path / "out")
    assert numbers(tmp_path / "out" / "frames") == list(range(30))
    assert info.source == str(video)
    assert info.sha256 == hashlib.sha256(video.read_bytes()).hexdigest()
    assert (info.fps, info.width, info.height, info.rotation) == (NTSC, 48, 32, 0)
    assert json.loads((tmp_path / "out" / "video.json").read_text())["fps"] == "30000/1001"
    assert warnings(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("options", "frames", "fps"),
    [
        (["--start", "5", "--stop", "9"], [5, 6, 7, 8], 25),
        (["--start", "1s"], [25, 26, 27, 28, 29], 25),
        (["--start", "0.2s", "--stop", "0.4s"], [5, 6, 7, 8, 9], 25),
        (["--step", "7"], [0, 7, 14, 21, 28], Fraction(25, 7)),
        (["--settings", "{start: 2, stop: 12, step: 4}"], [2, 6, 10], Fraction(25, 4)),
        (["--settings", "{start: 2, stop: 12}", "--start", "10"], [10, 11], 25),
        (["--start", "28", "--stop", "900"], [28, 29], 25),
    ],
)
def test_a_part_is_decoded(tmp_path: Path, options: list[str], frames: list[int], fps: Fraction) -> None:
    info = decode(counting_clip(tmp_path / "clip.mp4", 30), tmp_path / "out", *options)
    assert numbers(tmp_path / "out" / "frames") == frames
    assert info.fps == fps


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--start", "90"], "clip.mp4: video.start (90) is past its end: it has 4 frames"),
        (["--start", "3", "--stop", "2"], "stop (2) should be after start (3)"),
        (["--start", "-1"], "expected a frame such as 90, or seconds such as 3s, found -1"),
        (["--stop", "2 min"], "expected a frame such as 90, or seconds such as 3s, found '2 min'"),
        (["--step", "0"], "video.step: expected 1 or more, found 0"),
        (["--settings", "longest_side: 2"], "video.longest_side: expected 16 px or more, found 2"),
        (["--settings", "longest_sied: 2"], "unknown key 'longest_sied'"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str], told: str) -> None:
    options = [f"{options[0]}={options[1]}", *options[2:]]
    assert main(["decode", str(counting_clip(tmp_path / "clip.mp4", 4)), str(tmp_path / "out"), *options]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "frames").exists()


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_a_phone_clip_is_turned_upright(tmp_path: Path, clockwise: int) -> None:
    upright = np.zeros((64, 32, 3), np.uint8)  # portrait; one colour a quarter
    upright[:32, :16], upright[:32, 16:], upright[32:, :16] = (220, 30, 30), (30, 200, 30), (30, 30, 220)
    stored = np.rot90(upright, clockwise // 90)  # counterclockwise, as a phone stores it
    write_video(tmp_path / "stored.mp4", [stored] * 3, 25)
    video = tmp_path / "phone.mp4"
    ffmpeg("-display_rotation", -clockwise, "-i", tmp_path / "stored.mp4", "-c", "copy", video)
    info = decode(video, tmp_path / "out")
    assert (info.width, info.height, info.rotation) == (32, 64, clockwise)
    frame = FrameFolder(tmp_path / "out" / "frames")[0].astype(int)
    for rows, columns in ((16, 8), (16, 24), (48, 8), (48, 24)):
        assert np.abs(frame[rows, columns] - upright[rows, columns]).max() < 12


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ("64x48", 32, (32, 24)),
        ("48x64", 32, (24, 32)),
        ("64x48", 1280, (64, 48)),
        ("64x48", "null", (64, 48)),
        ("100x36", 50, (50, 18)),
        ("66x50", 33, (33, 25)),
    ],
)
def test_large_videos_shrink_and_small_ones_stay(
    tmp_path: Path, size: str, longest: int | str, expected: tuple[int, int]
) -> None:
    video = pattern(tmp_path / "clip.mp4", "25", size, 2)
    info = decode(video, tmp_path / "out", "--settings", f"longest_side: {longest}")
    assert (info.width, info.height) == expected


def test_odd_sizes_decode_whole(tmp_path: Path) -> None:
    options = ("-vf", "format=yuv444p,crop=51:37", "-c:v", "ffv1", "-pix_fmt", "yuv444p")
    video = pattern(tmp_path / "odd.mkv", "25", "64x48", 2, *options)
    info = decode(video, tmp_path / "out")
    assert (info.width, info.height) == (51, 37)


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    info = decode(pattern(tmp_path / "dv.mp4", "25", "64x48", 2, "-vf", "setsar=3/2"), tmp_path / "out")
    assert (info.width, info.height) == (96, 48)


def test_high_dynamic_range_is_toned_down(tmp_path: Path) -> None:
    grey = np.full((64, 64, 3), 190, np.uint8)
    grey[:, 32:] = (200, 40, 40)
    write_video(tmp_path / "sdr.mp4", [grey] * 2, 25)
    to_hlg = "format=gbrp,zscale=pin=bt709:tin=bt709:min=gbr:p=bt2020:t=arib-std-b67:m=bt2020nc:r=tv:npl=203"
    quiet = ("-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le")
    ffmpeg("-i", tmp_path / "sdr.mp4", "-vf", to_hlg, *quiet, tmp_path / "hlg.mp4")
    assert probe(tmp_path / "hlg.mp4").hdr
    decode(tmp_path / "hlg.mp4", tmp_path / "out")
    left, right = FrameFolder(tmp_path / "out" / "frames")[0][32, [16, 48]].astype(int)
    assert np.ptp(left) < 6
    assert 150 < left.mean() < 230
    assert right[0] > 150
    assert max(right[1:]) < 80


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    info = decode(counting_clip(tmp_path / "one.mp4", 1), tmp_path / "out")
    assert (info.frames, info.fps) == (1, 25)


@pytest.mark.parametrize("name", ["my clip.mp4", "tänzerin 舞.mp4", "it's 50%.mp4", "a:b,c;d[e].mp4"])
def test_any_name_is_read(tmp_path: Path, name: str) -> None:
    video = counting_clip(tmp_path / name, 3)
    assert decode(video, tmp_path / "results" / video.stem).source == str(video)


def test_decoding_again_replaces_the_frames(tmp_path: Path) -> None:
    video = counting_clip(tmp_path / "clip.mp4", 9)
    decode(video, tmp_path / "out")
    assert decode(video, tmp_path / "out", "--stop", "4").frames == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["frames", "provenance", "video.json"]


# Bad input


def audio_only(path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", path)


def no_index(path: Path) -> None:
    whole = pattern(path.with_name("whole.mp4"), frames=50)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def picture(path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", "1", path.with_suffix(".png"))
    path.with_suffix(".png").rename(path)


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("missing.mp4", None, "not found"),
        ("folder.mp4", lambda path: path.mkdir(), "found a folder"),
        ("empty.mp4", lambda path: path.touch(), "found an empty file"),
        ("notes.mp4", lambda path: path.write_text("not a video\n" * 99), "found something ffmpeg cannot read"),
        ("notes.txt", lambda path: path.write_text("not a video\n" * 99), "expected a video"),
        ("noise.mkv", lambda path: path.write_bytes(np.random.default_rng(0).bytes(9999)), "expected a video"),
        ("photo.mp4", picture, "found a still image"),
        ("sound.mp4", audio_only, "no picture stream"),
        ("cut.mp4", no_index, "the index at its end (moov atom) is missing"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, name, make, told) -> None:
    video = tmp_path / name
    if make is not None:
        make(video)
    assert main(["decode", str(video), str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith(f"error: decode: {video}: ")
    assert told in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_decodes_of_a_cut_file_is_used(tmp_path: Path, suffix: str) -> None:
    whole = pattern(tmp_path / f"whole{suffix}", "25", "64x48", 200, "-g", "12", "-movflags", "+faststart")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    info = decode(cut, tmp_path / "out")
    assert 20 < info.frames < 150
    (warning,) = warnings(tmp_path / "out")
    assert warning.startswith(f"{cut}: cut short or damaged")
    assert f"{info.frames} of about 200 frames" in warning


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    video = counting_clip(tmp_path / "clip.mp4", 6)
    decode(video, tmp_path / "out", "--stop", "4")
    capsys.readouterr()

    def write_until_full(path: Path, frame: np.ndarray) -> None:
        if path.stem == "000003":
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(b"")

    monkeypatch.setattr("pipeline.stages.decode.write_frame", write_until_full)
    assert main(["decode", str(video), str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith(f"error: decode: {tmp_path / 'out' / 'frames'}: No space left on device; ")
    assert numbers(tmp_path / "out" / "frames") == [0, 1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["frames", "provenance", "video.json"]


# Encoding


def test_written_frames_come_back(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:48, 0:64]
    smooth = np.stack([rows * 5, columns * 4, 255 - rows * 3], axis=-1).astype(np.uint8)
    write_video(tmp_path / "sub" / "clip.mp4", [smooth, smooth[::-1]], NTSC)
    info = decode(tmp_path / "sub" / "clip.mp4", tmp_path / "out")
    frames = FrameFolder(tmp_path / "out" / "frames")
    assert info.fps == NTSC
    for found, wanted in zip(frames, (smooth, smooth[::-1])):
        assert np.abs(found.astype(int) - wanted).mean() < 3
        assert np.abs((found.astype(int) - wanted).mean(axis=(0, 1))).max() < 1.5  # no colour cast


def test_a_float_rate_is_taken_for_its_fraction(tmp_path: Path) -> None:
    frames = [np.zeros((16, 16, 3), np.uint8)] * 3
    write_video(tmp_path / "clip.mp4", frames, 29.97002997)
    assert probe(tmp_path / "clip.mp4").fps == NTSC


def test_odd_sizes_grow_by_their_edge(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [np.full((33, 21, 3), 200, np.uint8)] * 2, 25)
    info = decode(tmp_path / "clip.mp4", tmp_path / "out")
    assert (info.width, info.height) == (22, 34)
    assert FrameFolder(tmp_path / "out" / "frames")[0][33, 21].min() > 190


def test_a_failed_video_leaves_nothing(tmp_path: Path) -> None:
    frame = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(KeyError, match="later"), VideoWriter(tmp_path / "clip.mp4", 25) as video:
        video.write(frame)
        raise KeyError("later")
    with pytest.raises(ValueError, match="no frame was written"), VideoWriter(tmp_path / "clip.mp4", 25):
        pass
    with pytest.raises(ValueError, match="has shape"):
        write_video(tmp_path / "clip.mp4", [frame, frame[:8]], 25)
    with pytest.raises(ValueError, match="expected a uint8"):
        write_video(tmp_path / "clip.mp4", [frame / 255], 25)
    assert list(tmp_path.iterdir()) == []


def test_ffmpegs_full_disk_is_ours() -> None:
    with pytest.raises(OSError, match=r"x\.mp4") as raised:
        raise_if_disk_full("[out#0] Error writing trailer: No space left on device\n", "x.mp4")
    assert raised.value.errno == errno.ENOSPC
    raise_if_disk_full("Past duration 0.9 too large", "x.mp4")


def test_a_missing_ffmpeg_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    ffmpeg_binary.cache_clear()
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", nowhere)
    with pytest.raises(UserError, match="pip install imageio-ffmpeg"):
        ffmpeg_binary()
    ffmpeg_binary.cache_clear()
