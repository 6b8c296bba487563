"""docs/design.md draws the rooms as they are and are checked, and names the files' keys with their shapes."""

import re
import tomllib
from pathlib import Path

import pytest

from pipeline.formats import avatar, camera_track, landmarks, pose
from pipeline.formats.arrays import Shape

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def layers() -> list[set[str]]:
    """The rooms that the page draws, from top to bottom; those of one layer stand without an empty line between."""
    picture = PAGE.split("```\n")[1]
    return [set(re.findall(r"^(\w+)/ +\S", layer, re.MULTILINE)) for layer in picture.split("\n\n")]


def test_the_rooms_are_those_of_the_contract(layers: list[set[str]]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    contract = next(each["layers"] for each in contracts if each["type"] == "layers")
    assert layers == [{name.strip().removeprefix("pipeline.") for name in layer.split("|")} for layer in contract]


def test_the_rooms_are_the_folders(layers: list[set[str]]) -> None:
    folders = {file.parent.name for file in (REPOSITORY / "pipeline").glob("*/__init__.py")}
    assert set().union(*layers) == folders
    assert sum(map(len, layers)) == len(folders)


@pytest.mark.parametrize(
    "shapes",
    [avatar._SHAPES, camera_track._SHAPES, landmarks._SHAPES, pose._SHAPES],
    ids=["avatar", "camera_track", "landmarks", "pose"],
)
def test_keys_stand_there_with_their_shapes(shapes: dict[str, Shape]) -> None:
    row = next(
        line for line in PAGE.splitlines() if line.startswith("| `") and all(f"`{key}`" in line for key in shapes)
    )
    for key, shape in shapes.items():
        text = str(shape).replace("'", "")
        assert f"`{key}` {text}" in row if shape else f"`{key}`," in row
