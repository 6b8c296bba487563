"""What is accepted as a video, and what is done about gaps, fields, cuts and slow motion."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_files import counting_clip, decode, ffmpeg, numbers, pattern, record, warnings

from pipeline.__main__ import main
from pipeline.formats.images import FrameFolder
from pipeline.runtime.settings import load_settings
from pipeline.video.decode import DecodeSettings, read_frames
from pipeline.video.encode import write_video
from pipeline.video.probe import probe
from pipeline.video.rates import close_gaps, frame_rate
from pipeline.video.suffixes import VIDEO_SUFFIXES, image_files, is_image_folder
from pipeline.video.tool import ffmpeg_binary


def refused(capsys: pytest.CaptureFixture, video: Path, directory: Path, *options: str) -> str:
    """The one line that says why a video is refused."""
    assert main(["decode", str(video), str(directory), *options]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: decode: ")
    assert not (directory / "frames").exists()
    return message


# Which files are opened

# A file of each kind, with a codec that is at home in it.
CODECS = {
    ".webm": ("-c:v", "libvpx", "-deadline", "realtime"),
    ".3gp": ("-c:v", "h263"),
    ".hevc": ("-c:v", "libx265", "-x265-params", "log-level=none"),
    ".mts": ("-c:v", "libx264"),
    ".m2ts": ("-c:v", "libx264"),
    ".ts": ("-c:v", "libx264"),
}


@pytest.mark.parametrize("suffix", [*VIDEO_SUFFIXES, ".MP4", ".MTS"])
def test_each_kind_of_file_is_decoded(tmp_path: Path, suffix: str) -> None:
    options = CODECS.get(suffix.lower(), ())
    video = pattern(tmp_path / f"clip{suffix}", "25", "352x288", 12, *([] if suffix == ".gif" else options))
    info = decode(video, tmp_path / "out")
    assert (info.fps, info.frames, info.height) == (25, 12, 288)
    assert warnings(tmp_path / "out") == []


def test_a_raw_stream_has_the_rate_of_its_header(tmp_path: Path) -> None:
    video = pattern(tmp_path / "clip.hevc", "30", "64x48", 9, *CODECS[".hevc"])
    assert (decode(video, tmp_path / "out").fps, probe(video).frames) == (30, 9)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nsecret.ts\n#EXT-X-ENDLIST\n",
    ],
)
@pytest.mark.parametrize("name", ["list.mp4", "list.ts"])
def test_a_text_that_names_other_files_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, text: str, name: str
) -> None:
    pattern(tmp_path / "secret.mp4")
    pattern(tmp_path / "secret.ts")
    (tmp_path / name).write_text(text)
    assert "found a text that names other files" in refused(capsys, tmp_path / name, tmp_path / "out")


def test_another_kind_of_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", "3", "-f", "yuv4mpegpipe", tmp_path / "clip.mp4")
    assert "is not accepted; convert it to .mp4" in refused(capsys, tmp_path / "clip.mp4", tmp_path / "out")


# Folders of images


def stills(folder: Path, count: int = 12, suffix: str = ".png", size: tuple[int, int] = (48, 32)) -> Path:
    """Images 8, 9, 10, ...; that of number n has the grey level 40 + 4 (n - 8)."""
    folder.mkdir()
    for index in range(count):
        Image.new("RGB", size, (40 + 4 * index,) * 3).save(folder / f"shot_{index + 8}{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".tif", ".bmp", ".webp"])
def test_images_are_a_video(tmp_path: Path, suffix: str) -> None:
    folder = stills(tmp_path / "walk", suffix=suffix)
    (folder / "notes.txt").write_text("not an image")
    (folder / f"._shot_9{suffix}").write_text("what a Mac leaves behind")
    info = decode(folder, tmp_path / "out")
    assert numbers(tmp_path / "out" / "frames") == list(range(12))
    assert (info.fps, info.source, info.start) == (30, str(folder), 0)


def test_images_take_the_same_settings(tmp_path: Path) -> None:
    settings = "{image_fps: 10, start: 0.2s, stop: 9, step: 3, longest_side: 24}"
    info = decode(stills(tmp_path / "walk"), tmp_path / "out", "--settings", settings)
    assert numbers(tmp_path / "out" / "frames") == [2, 5, 8]
    assert (info.fps, info.width, info.height, info.start) == (Fraction(10, 3), 24, 16, 2)


def test_images_are_turned_upright(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:, :32] = 200  # left half bright: the top when turned clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "walk" / "1.jpg", exif=exif)
    info = decode(tmp_path / "walk", tmp_path / "out")
    assert (info.width, info.height) == (32, 64)
    frame = FrameFolder(tmp_path / "out" / "frames")[0]
    assert frame[:30].min() > 180
    assert frame[34:].max() < 20


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    Image.fromarray(np.full((32, 48), 100 * 257, np.uint16)).save(tmp_path / "walk" / "1.png")
    decode(tmp_path / "walk", tmp_path / "out")
    assert FrameFolder(tmp_path / "out" / "frames")[0].mean() == pytest.approx(100, abs=1)


def another_size(folder: Path) -> None:
    Image.new("RGB", (64, 32)).save(folder / "shot_10.png")


def bomb(folder: Path) -> None:
    Image.new("1", (20000, 20000)).save(folder / "shot_10.png")


def damaged(folder: Path) -> None:
    (folder / "shot_10.png").write_bytes((folder / "shot_9.png").read_bytes()[:60])


def no_image(folder: Path) -> None:
    (folder / "shot_10.png").write_text("text")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (another_size, "expected 48x32 px as shot_8.png, found 64x32"),
        (bomb, "expected at most 134 megapixels"),
        (damaged, "not a readable image"),
        (no_image, "not a readable image"),
    ],
)
def test_a_bad_image_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture, spoil, told: str) -> None:
    folder = stills(tmp_path / "walk", 4)
    spoil(folder)
    message = refused(capsys, folder, tmp_path / "out")
    assert f"{folder / 'shot_10.png'}: " in message
    assert told in message


def test_which_folders_are_videos(tmp_path: Path) -> None:
    assert is_image_folder(stills(tmp_path / "walk", 1))
    assert not is_image_folder(stills(tmp_path / "walk.truth", 1))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.png").touch()
    assert not any(map(is_image_folder, (tmp_path / "empty", tmp_path / "file.png", tmp_path / "missing")))


def test_numbers_in_names_count(tmp_path: Path) -> None:
    for name in ("10.png", "9.png", "b2.png", "b10.png", "010.png", "a.png"):
        (tmp_path / name).touch()
    assert [file.name for file in image_files(tmp_path)] == ["9.png", "010.png", "10.png", "a.png", "b2.png", "b10.png"]


# Fields


def moving(size: tuple[int, int], moments: int) -> np.ndarray:
    """Soft bars that move by 4 px a moment, (moments, H, W, 3): what a comb shows best, and no detail to lose."""
    width, height = size
    columns = np.arange(width)[None] - 4 * np.arange(moments)[:, None]
    grey = (128 + 90 * np.sin(columns * (2 * np.pi / 80))).astype(np.uint8)
    return np.broadcast_to(grey[:, None, :, None], (moments, height, width, 3))


def interlaced(path: Path, top: bool, told: bool) -> np.ndarray:
    """A clip of 12 frames with two moments in each; returns the earlier ones, (12, H, W, 3)."""
    moments = moving((160, 480), 24)
    write_video(path.with_name("moments.mkv"), moments, 50, crf=1)
    weave = f"tinterlace={'interleave_top' if top else 'interleave_bottom'}"
    flags = ("-flags", "+ildct+ilme", "-x264opts", "tff=1" if top else "bff=1") if told else ()
    mark = "" if told else ",setfield=prog"
    options = ("-vf", weave + mark, "-c:v", "libx264", "-crf", "4", *flags)
    ffmpeg("-i", path.with_name("moments.mkv"), *options, path)
    return moments[::2]


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_an_interlaced_clip_has_no_combs(tmp_path: Path, top: bool, told: bool) -> None:
    truth = interlaced(tmp_path / "clip.mp4", top, told)
    info = decode(tmp_path / "clip.mp4", tmp_path / "out")
    assert info.frames == 12
    assert record(tmp_path / "out")["facts"]["interlaced"] == ("tff" if top else "bff")
    (warning,) = warnings(tmp_path / "out")
    assert f"interlaced, {'top' if top else 'bottom'} field first" in warning
    frames = np.stack(list(FrameFolder(tmp_path / "out" / "frames"))).astype(int)
    combs = np.abs(np.diff(frames, axis=1)).max(axis=(1, 2, 3))
    assert combs.max() < 16  # woven together, neighbouring lines differ by up to 28
    assert np.abs(frames - truth)[1:-1].mean() < 2


def test_a_raw_stream_shows_its_fields(tmp_path: Path) -> None:
    interlaced(tmp_path / "clip.mp4", True, False)
    ffmpeg("-i", tmp_path / "clip.mp4", *CODECS[".hevc"], tmp_path / "clip.hevc")  # cannot be sought in
    assert probe(tmp_path / "clip.hevc").fields == "tff"


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_an_interlaced_clip_is_turned_upright(tmp_path: Path, clockwise: int) -> None:
    truth = interlaced(tmp_path / "stored.mp4", True, False)
    ffmpeg("-display_rotation", -clockwise, "-i", tmp_path / "stored.mp4", "-c", "copy", tmp_path / "clip.mp4")
    decode(tmp_path / "clip.mp4", tmp_path / "out")
    frames = np.stack(list(FrameFolder(tmp_path / "out" / "frames"))).astype(int)
    upright = np.rot90(truth, -clockwise // 90, axes=(1, 2))
    assert np.abs(frames - upright)[1:-1].mean() < 2


def test_a_progressive_clip_is_left_alone(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", moving((160, 480), 12), 25, crf=4)
    decode(tmp_path / "clip.mp4", tmp_path / "out")
    assert record(tmp_path / "out")["facts"]["interlaced"] is None
    command = [ffmpeg_binary(), "-v", "error", "-i", str(tmp_path / "clip.mp4"), "-sws_flags"]
    flags = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
    command += [flags, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    plain = subprocess.run(command, capture_output=True, check=True).stdout
    settings = load_settings("video", {}, DecodeSettings)
    ours = b"".join(frame.tobytes() for frame in read_frames(probe(tmp_path / "clip.mp4"), settings, print))
    assert ours == plain


# Gaps, bursts and length


def test_long_gaps_are_closed(tmp_path: Path) -> None:
    whole = counting_clip(tmp_path / "whole.mp4", 30, 30)
    stamped = tmp_path / "stamped.mkv"
    # An hour passes before frame 10, ten seconds before frame 20.
    late = "setpts=PTS+3600/TB*gte(N\\,10)+10/TB*gte(N\\,20)"
    ffmpeg("-i", whole, "-vf", late, "-fps_mode", "passthrough", "-crf", "8", stamped)
    info = decode(stamped, tmp_path / "out")
    assert numbers(tmp_path / "out" / "frames") == list(range(30))
    assert info.fps == 30
    assert record(tmp_path / "out")["facts"]["seconds of gaps closed"] == pytest.approx(3610, abs=0.1)
    (warning,) = warnings(tmp_path / "out")
    assert "2 times more than 1 s pass between two frames; closed, which takes 3610.0 s away" in warning


def test_gaps_close_where_the_rate_varies(tmp_path: Path) -> None:
    whole = counting_clip(tmp_path / "whole.mp4", 30, 30)
    stamped = tmp_path / "stamped.mkv"
    late = "setpts=PTS+3600/TB*gte(N\\,10),select=not(eq(n\\,4))"
    ffmpeg("-i", whole, "-vf", late, "-fps_mode", "passthrough", "-crf", "8", stamped)
    decode(stamped, tmp_path / "out")
    found = numbers(tmp_path / "out" / "frames")
    assert len(found) == 30
    assert found[4] in (3, 5)
    assert found[:4] + found[5:] == [*range(4), *range(5, 30)]
    assert len(warnings(tmp_path / "out")) == 2


def test_slow_pictures_have_no_gaps() -> None:
    ticks = np.array([0, 2, 4, 6, 9, 11])  # seconds
    closed, gaps = close_gaps(ticks, Fraction(1))
    assert closed.tolist() == ticks.tolist()
    assert gaps is None


def test_bursts_do_not_make_a_million_frames() -> None:
    ticks = np.cumsum([0, *[1, 1, 898] * 100])  # ms: three frames at once, then nothing for most of a second
    rate, constant = frame_rate(ticks, Fraction(1, 1000))
    assert not constant
    assert rate * 90 <= 4 * len(ticks)


def test_hours_between_frames_are_a_rate_too() -> None:
    rate, _ = frame_rate(np.array([0, 1000, 5000, 12000]), Fraction(1))
    assert rate > 0


def test_a_long_video_is_announced_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.video.decode._MANY", 10)
    decode(counting_clip(tmp_path / "clip.mp4", 30), tmp_path / "out")
    (warning,) = warnings(tmp_path / "out")
    assert "30 frames are selected, 1 s of video, about 0 MB as pictures" in warning
    assert "video.start, video.stop and video.step cut it" in warning


def test_too_long_a_video_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    video = counting_clip(tmp_path / "clip.mp4", 30)
    told = refused(capsys, video, tmp_path / "out", "--settings", "most_frames: 14")
    assert "30 frames are selected" in told
    assert "expected at most 14 (video.most_frames)" in told
    assert decode(video, tmp_path / "out", "--settings", "{most_frames: 15, step: 2}").frames == 15


# Slow motion


def test_slow_motion_moves_at_the_speed_of_the_camera(tmp_path: Path) -> None:
    video = counting_clip(tmp_path / "clip.mp4", 30, 30)
    info = decode(video, tmp_path / "out", "--settings", "{capture_fps: 240, start: 0.5s, step: 2}")
    assert info.fps == 120
    assert numbers(tmp_path / "out" / "frames") == list(range(15, 30, 2))
    assert info.start == 15
    assert record(tmp_path / "out")["facts"]["plays at"] == "30"
