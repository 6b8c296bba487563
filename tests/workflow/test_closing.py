"""The last lines of a run: videos that other code made are named."""

from pathlib import Path
from types import SimpleNamespace

from pipeline.formats.provenance import CODE
from pipeline.formats.records import write_json
from pipeline.runtime.code import code_digest
from pipeline.workflow.closing import Ending, last_words


def job(video: str) -> Ending:
    return Ending("fit", video, f"{video} · fit", (), needed=False, finished=False, ready=True)


def folder_of(tmp_path: Path, codes: dict[str, str | None]) -> SimpleNamespace:
    """Results of videos by the code that made them; None: by code that did not tell."""
    for video, code in codes.items():
        (tmp_path / video / "provenance").mkdir(parents=True)
        versions = {"python": "3.11"} | ({CODE: code} if code else {})
        record = {"stage": "fit", "seconds": 1, "settings": {}, "facts": {}, "warnings": [], "versions": versions}
        write_json(tmp_path / video / "provenance" / "fit.json", record)

    def read(name: str) -> Path | None:
        return path if (path := tmp_path / name).is_file() else None

    return SimpleNamespace(read=read, where=read)


def test_videos_of_other_code_are_named(tmp_path):
    results = folder_of(tmp_path, {"a": code_digest(), "b": "0123456789", "c": None})
    assert last_words([job(video) for video in "abcd"], results) == [
        "4 videos were up to date",
        "2 videos were made by other code than this (b, c); to make all anew: --forceall",
    ]


def test_where_all_is_of_this_code_nothing_is_said(tmp_path):
    results = folder_of(tmp_path, {"a": code_digest()})
    assert last_words([job("a")], results) == ["1 video was up to date"]


def test_of_many_a_few_are_named(tmp_path):
    videos = [f"v{number}" for number in range(7)]
    said = last_words([job(video) for video in videos], folder_of(tmp_path, dict.fromkeys(videos)))[-1]
    assert said.startswith("7 videos were made by other code than this (v0, v1, v2, v3, v4, ...);")
