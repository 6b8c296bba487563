"""docs/speed.md and its data: the files are as the schema wants them, and the page is what they give."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.rows import Row
from pipeline.runtime.errors import UserError

MACHINE = {
    "processor": "Chip",
    "processors": 4,
    "threads": 4,
    "vector_instructions": "avx2",
    "gpu": None,
    "version": "1.0.0",
    "commit": None,
    "date": "2030-01-02",
    "notes": ["Loud."],
    "rows": {
        "rasterizer": {"unit": "ms", "value": 2, "rival": 84.04, "ratio": 42},
        "demo": {"unit": "s", "low": 59, "high": 61},
    },
}
ROWS = [
    Row("step", "7k @ 256", "whole step", "1/s", 60.0, ratio=8.0, rival="torch step"),
    Row("step", "7k @ 256", "whole step, 1 thread", "1/s", 50.0),
    Row("step", "7k @ 256", "torch step", "1/s", 7.4),
    Row("step", "7k @ 256", "prototype step", "1/s", 120.0, ratio=2.0, rival="whole step"),
    Row("scale", "step", "60 frames", "ms", 10.0),
    Row("scale", "step", "1800 frames", "ms", 11.0, ratio=0.8, rival="60 frames"),
    Row("stages", "fit", "frames a second", "1/s", 1.0, note="14.50 s, run once"),
]


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data and the page in a folder of their own, to be changed."""
    shutil.copytree(page.RESULTS, tmp_path / "results")
    shutil.copy(page.PAGE, tmp_path / "speed.md")
    monkeypatch.setattr(page, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PAGE", tmp_path / "speed.md")
    return tmp_path


def write(folder: Path, values: dict) -> None:
    (folder / "chip.json").write_text(json.dumps(values))


def test_the_page_is_what_the_data_give() -> None:
    assert page.main(["--check"]) == 0


def test_a_changed_figure_changes_the_page(copied: Path) -> None:
    file = copied / "results" / "epyc-zen5.json"
    values = json.loads(file.read_text())
    values["rows"]["rasterizer"]["ratio"] = 47
    file.write_text(json.dumps(values))
    assert page.main(["--check"]) == 1
    assert page.main([]) == 0
    assert "47x (2.3 against 106 ms)" in (copied / "speed.md").read_text()
    assert page.main(["--check"]) == 0


def test_the_schema_names_every_line_of_the_tables() -> None:
    schema = json.loads((page.RESULTS / "schema.json").read_text())
    assert schema["properties"]["rows"]["propertyNames"]["enum"] == [line.key for line in (*page.LINES, *page.LOSSES)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": {"rasteriser": {"unit": "ms", "value": 1}}}, "rasteriser"),
        ({"rows": {"fit": {"unit": "min", "value": 1}}}, "rows.fit.unit"),
        ({"rows": {"fit": {"unit": "s"}}}, "rows.fit"),
        ({"commit": "main"}, "commit"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_file_that_is_not_as_the_schema_wants_is_named(copied: Path, change: dict, says: str) -> None:
    write(copied / "results", MACHINE | change)
    with pytest.raises(UserError, match=rf"chip\.json: .*{says}"):
        page.load(copied / "results")


def test_a_machine_in_the_tables(copied: Path) -> None:
    write(copied / "results", MACHINE)
    assert next(iter(page.load(copied / "results"))) == "chip"  # the newest
    lines = page.tables({"chip": MACHINE}).splitlines()
    assert "| `chip` | Chip, avx2 | 4 | 4 | none | 1.0.0, commit not known | 2030-01-02 |" in lines
    assert "- `chip`: Loud." in lines
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in lines if " | " in line}
    assert cells[page.LINES[0].text] == ["42x (2 against 84 ms)", "40x", "80x |"]
    assert cells[next(line.text for line in page.LINES if line.key == "demo")] == [
        "59 s to 1 min 1 s",
        "4 min",
        "2 min |",
    ]
    assert cells["CAMEL"] == ["- |"]


def test_lines_of_a_run() -> None:
    assert page.rows_of(ROWS) == {
        "step": {"unit": "1/s", "value": 60.0, "rival": 120.0, "ratio": 0.5},
        "torch-step": {"unit": "1/s", "value": 60.0, "rival": 7.4, "ratio": 8.0},
        "two-threads": {"unit": "1/s", "value": 60.0, "rival": 50.0, "ratio": 1.2},
        "long-clip": {"unit": "ms", "value": 10.0, "rival": 11.0, "ratio": 1.25},
        "fit": {"unit": "s", "value": 14.5},
    }


def test_one_command_adds_a_machine(copied: Path, capsys: pytest.CaptureFixture) -> None:
    bench = copied / "bench.json"
    about = {key: MACHINE[key] for key in ("processor", "processors", "threads", "vector_instructions")}
    values = {"machine": about, "quick": False, "rows": [vars(row) for row in ROWS]}
    bench.write_text(json.dumps(values))
    assert page.main(["--add", "chip", "--bench", str(bench)]) == 0
    assert page.load(copied / "results")["chip"]["rows"] == page.rows_of(ROWS)
    assert "0.5x (60 against 120 a second)" in (copied / "speed.md").read_text()

    bench.write_text(json.dumps(values | {"quick": True}))
    assert page.main(["--add", "quick", "--bench", str(bench)]) == 1
    assert "run make bench" in capsys.readouterr().err
    assert not (copied / "results" / "quick.json").exists()


def test_a_page_without_its_markers_is_refused(copied: Path, capsys: pytest.CaptureFixture) -> None:
    (copied / "speed.md").write_text("# Speed\n")
    assert page.main([]) == 1
    assert "put them back" in capsys.readouterr().err
