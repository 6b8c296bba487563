"""Which clips a run is about: the folder, the sheet, and what is refused; what jobs say of files."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import default_config
from pipeline.workflow.clips import find_clips, shown, why_refused
from pipeline.workflow.fingerprints import stamp


def config_for(folder: Path, **changed: Any) -> dict[str, Any]:
    return default_config() | {"videos": str(folder)} | changed


def videos(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def sheet(folder: Path, text: str) -> str:
    path = folder / "sheet.tsv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_each_video_of_the_folder_is_a_clip(tmp_path: Path) -> None:
    found = find_clips(config_for(videos(tmp_path / "v", "b.MP4", "a.mov", ".hidden.mp4", "README.md", "x.srt")))
    assert {name: clip.path.name for name, clip in found.clips.items()} == {"a": "a.mov", "b": "b.MP4"}
    assert found.refused == []
    assert len(found.skipped) == 1 and "x.srt" in found.skipped[0]


def test_a_folder_of_images_is_a_clip(tmp_path: Path) -> None:
    folder = videos(tmp_path / "v", "a.mp4")
    videos(folder / "take.2", "1.png", "2.png")
    videos(folder / "a.truth", "1.png")
    videos(folder / "empty")
    found = find_clips(config_for(folder))
    assert list(found.clips) == ["a", "take.2"]
    assert len(found.skipped) == 1 and "empty: a folder without images" in found.skipped[0]


def test_two_videos_of_one_name_are_both_refused(tmp_path: Path) -> None:
    found = find_clips(config_for(videos(tmp_path / "v", "a.mov", "a.mp4", "b.mp4")))
    assert set(found.clips) == {"b"}
    assert [line.split(": ")[0].rsplit("/")[-1] for line in found.refused] == ["a.mov", "a.mp4"]


def test_a_folder_without_videos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no video found"):
        find_clips(config_for(videos(tmp_path / "v", "x.srt")))
    with pytest.raises(UserError, match="no such folder"):
        find_clips(config_for(tmp_path / "w"))


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=60))
def test_what_is_not_refused_can_be_a_wildcard(name: str) -> None:
    """Snakemake's patterns hold braces and stars, its file lists lines; the results a folder of that name."""
    if why_refused(name, Path("/")) is None:
        assert not set(name) & set("{}*?[]<>\n\r\t")
        assert name not in ("logs", "benchmark", "metrics.csv", ".", "..")
        name.encode("utf-8")


def test_a_path_of_any_bytes_is_shown_in_one_line() -> None:
    assert shown(Path(os.fsdecode(b"caf\xe9\n.mp4"))) == r"caf\xe9\n.mp4"


def test_the_sheet_names_clips_and_their_settings(tmp_path: Path) -> None:
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4")
    text = "video\tname\tstart\tstop\tfit.gaussians\n a.mp4 \tone\t3s\t90\t\n\na.mp4\ttwo\t\t\t500\n"
    found = find_clips(config_for(folder, sheet=sheet(tmp_path, text)))
    assert list(found.clips) == ["one", "two"]
    one, two = found.clips["one"].config, found.clips["two"].config
    assert (one["video"]["start"], one["video"]["stop"]) == ("3s", 90)
    assert one["fit"] == default_config()["fit"]
    assert two["video"] == default_config()["video"]
    assert two["fit"] == default_config()["fit"] | {"gaussians": 500}
    assert len(found.skipped) == 1 and "b.mp4: not in " in found.skipped[0]


def test_a_cell_is_read_as_settings_are_and_a_line_may_end_early(tmp_path: Path) -> None:
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4")
    text = "video\tname\tfit.rates.offsets\na.mp4\tone\t1e-4\nb.mp4\n"
    found = find_clips(config_for(folder, sheet=sheet(tmp_path, text)))
    assert found.refused == []
    assert list(found.clips) == ["one", "b"]
    assert found.clips["one"].config["fit"]["rates"]["offsets"] == 1e-4
    assert found.clips["b"].config == config_for(folder, sheet=str(tmp_path / "sheet.tsv"))


def test_commas_separate_the_columns_of_a_csv(tmp_path: Path) -> None:
    folder = videos(tmp_path / "v", "a.mp4")
    (tmp_path / "s.csv").write_text('video,name\na.mp4,"first, of two"\n')
    assert list(find_clips(config_for(folder, sheet=str(tmp_path / "s.csv"))).clips) == ["first, of two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "could not read it"),
        ("name\nx\n", "column 'video' is missing, found 'name'"),
        ("video name\na.mp4 x\n", "separated by tabs"),
        ("video\n", "no video in it"),
        ("video\tname\n\tx\n", "line 2: column 'video' is empty"),
        ("video\tcolour\na.mp4\tred\n", "column 'colour' is no setting"),
        ("video\tfit\na.mp4\t1\n", "column 'fit' is no setting"),
        ("video\tresults\na.mp4\tout\n", "column 'results' is no setting"),
        ("video\tstart\na.mp4\t[3\n", "line 2: column 'start': expected a value"),
    ],
)
def test_a_sheet_that_cannot_be_read_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    folder = videos(tmp_path / "v", "a.mp4")
    with pytest.raises(UserError, match=message):
        find_clips(config_for(folder, sheet=sheet(tmp_path, text)))


def test_a_sheet_that_was_asked_for_and_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.tsv: not found"):
        find_clips(config_for(videos(tmp_path / "v", "a.mp4"), sheet="mine.tsv"))


def test_a_bad_row_is_refused_alone(tmp_path: Path) -> None:
    folder = videos(tmp_path / "v", "a.mp4")
    text = "video\tname\tstep\na.mp4\tgood\t2\na.mp4\tbad\t-1\ngone.mp4\tgone\t\na.mp4\tx/y\t\n"
    found = find_clips(config_for(folder, sheet=sheet(tmp_path, text)))
    assert set(found.clips) == {"good"}
    assert [part for line, part in zip(found.refused, ("video.step", "not found", "may not hold"), strict=True)
            if part not in line] == []  # fmt: skip


def test_a_stamp_tells_size_time_and_absence(tmp_path: Path) -> None:
    file, folder = tmp_path / "f", tmp_path / "d"
    seen = {stamp([file])}
    file.write_bytes(b"1")
    os.utime(file, (2e9, 2e9))
    seen.add(stamp([file]))
    os.utime(file, (1e9, 1e9))
    seen.add(stamp([file]))
    file.write_bytes(b"22")
    os.utime(file, (1e9, 1e9))
    seen.add(stamp([file]))
    assert len(seen) == 4
    (folder / "deep").mkdir(parents=True)
    before = stamp([folder])
    (folder / "deep" / "x").write_bytes(b"")
    assert stamp([folder]) != before
    assert stamp([file]) == stamp([file])
