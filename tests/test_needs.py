"""What a job asks a cluster for: more for a longer video, more for another try."""

from pathlib import Path

from pipeline.workflow.needs import frames_of, megabytes, minutes


def test_frames_are_counted_once_decoded_and_guessed_before(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    assert frames_of(tmp_path, None) == 0
    assert frames_of(tmp_path, video) == 0  # gone: the job says so
    with video.open("wb") as file:
        file.truncate(6_000_000)
    assert frames_of(tmp_path, video) == 300
    with video.open("wb") as file:
        file.truncate(90_000_000_000)
    assert frames_of(tmp_path, video) == 10_000
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abc":
        (pictures / name).touch()
    assert frames_of(tmp_path, pictures) == 3
    (tmp_path / "video.json").write_text('{"frames": 42}')
    assert frames_of(tmp_path, video) == 42
    (tmp_path / "video.json").write_text('{"fra')  # while it is written
    assert frames_of(tmp_path, pictures) == 3


def test_memory_and_time_grow_with_frames_and_tries() -> None:
    for amount in (megabytes, minutes):
        short, long = amount("fit", 100, False, 1), amount("fit", 10_000, False, 1)
        assert short < long
        assert amount("fit", 10_000, False, 3) == 3 * long
        assert amount("pose", 100, True, 1) > amount("pose", 100, False, 1)
    assert megabytes("fit", 14_326, False, 1) > 5_900 + 1_000  # what ten minutes of video took: docs/speed.md
