"""The pages: all of docs/ are in docs/index.md, and what they and those of the root point at is there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *REPOSITORY.glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A path of the repository in backticks; a name with <...>, {...}, % or * stands for several.
SOURCE = re.compile(r"`((?:pipeline|rules|config|profiles|envs|tests|benchmarks)/[\w./-]+)`")


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    listed = set(LINK.findall((DOCS / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    for link in (link for link in links if not re.match(r"\w+:", link)):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_the_repository_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    examples = set(re.findall(r"^```\w+ file=(\S+)$", text, re.MULTILINE))  # files that the reader writes
    gone = [path for path in SOURCE.findall(text) if path not in examples and not (REPOSITORY / path).exists()]
    assert gone == []
