"""Sections of a page that are made apart from the rest of it: each stands between two comments."""

from __future__ import annotations

Marks = tuple[str, str]  # the comments


def section_of(text: str, marks: Marks) -> str | None:
    """The section of a page, its marks included, or None where it has none."""
    first, last = (text.find(mark) for mark in marks)
    return text[first : last + len(marks[1])] if 0 <= first < last else None


def with_section(text: str, section: str, marks: Marks, last: bool = False) -> str:
    """A page with its section replaced; one that has none gets it below its title, or as the last."""
    old = section_of(text, marks)
    if old is not None:
        return text.replace(old, section)
    if last:
        return f"{text.rstrip()}\n\n{section}\n"
    title, _, rest = text.partition("\n\n")
    return f"{title}\n\n{section}\n\n{rest}"
