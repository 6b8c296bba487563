"""Named tables of quantised numbers, and a text, in one block of bytes: what viewer.html unpacks (page/blob.js).

All numbers are little-endian. VERSION grows with every change of this layout or of what contents.py puts into it.

    offset  bytes  what
         0      4  MAGIC
         4      2  VERSION
         6      2  number of tables
         8      4  bytes of the text
        12     48  a table, and so on: name (16, ASCII, zeros behind it), bytes a number (1: 1 or 2), delta (1: 0 or 1),
                   columns (2), rows (4), low (8, float64), step (8, float64), where its numbers begin (4), reserved (4)
                   then the text (UTF-8, JSON), then the numbers of the tables

A number q stands for low + step q. The numbers of a table lie column by column, so that neighbours are alike; with
delta 1 each is the difference to the one before it in its column, modulo 256 or 65536. Numbers of two bytes lie as all
their low bytes, then all their high bytes. All this is for gzip, which makes less of it so.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.runtime.errors import UserError

MAGIC, VERSION = b"AVTR", 2
_HEAD, _TABLE = struct.Struct("<4sHHI"), struct.Struct("<16sBBHIddII")


@dataclass(frozen=True)
class Table:
    """Numbers (rows, columns), uint8 or uint16; each stands for low + step q."""

    numbers: np.ndarray
    low: float = 0.0
    step: float = 1.0

    @property
    def values(self) -> np.ndarray:
        """(rows, columns) float64."""
        return self.low + self.step * self.numbers


def quantised(values: np.ndarray, levels: int, low: float | None = None, high: float | None = None) -> Table:
    """Values (rows, columns), or one column (rows,), as numbers below `levels`.

    What lies outside of [low, high] is moved to its edge.

    Args:
        levels: 2 to 65536; up to 256 take one byte each.
        low, high: the range; that of the values where None.
    """
    values = np.asarray(values, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected finite values and at least one of them, found {values.shape} with others")
    values = values.reshape(len(values), -1)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    step = (high - low) / (levels - 1) or 1.0
    numbers = np.clip(np.rint((values - low) / step), 0, levels - 1)
    return Table(numbers.astype(np.uint8 if levels <= 256 else np.uint16), low, step)


def pack(tables: Mapping[str, Table], text: Any) -> bytes:
    """The block of these tables and of `text`, anything that JSON holds."""
    words = json.dumps(text, ensure_ascii=False, separators=(",", ":")).encode()
    start = _HEAD.size + _TABLE.size * len(tables) + len(words)
    heads, bodies = [], []
    for name, table in tables.items():
        size, delta, body = _smallest(table.numbers)
        rows, columns = table.numbers.shape
        heads.append(_TABLE.pack(name.encode("ascii"), size, delta, columns, rows, table.low, table.step, start, 0))
        bodies.append(body)
        start += len(body)
    return b"".join([_HEAD.pack(MAGIC, VERSION, len(tables), len(words)), *heads, words, *bodies])


def unpack(block: bytes, source: str = "blob") -> tuple[dict[str, Table], Any]:
    """What `pack` packed.

    Args:
        source: name of where it comes from, for errors.

    Raises:
        UserError: it is no such block, of another version, or cut short.
    """
    if len(block) < _HEAD.size or block[: len(MAGIC)] != MAGIC:
        raise UserError(f"{source}: expected {MAGIC!r} at the start, found {block[: len(MAGIC)]!r}; export again")
    _, version, count, length = _HEAD.unpack_from(block)
    if version != VERSION:
        raise UserError(f"{source}: expected version {VERSION}, found {version}; export again")
    try:
        tables = {}
        for index in range(count):
            name, size, delta, columns, rows, low, step, start, _ = _TABLE.unpack_from(
                block, _HEAD.size + index * _TABLE.size
            )
            planes = np.frombuffer(block, np.uint8, columns * size * rows, start).reshape(columns, size, rows)
            numbers = sum(planes[:, byte].astype(np.uint16) << (8 * byte) for byte in range(size))
            numbers = numbers.astype([np.uint8, np.uint16][size - 1])
            if delta:
                numbers = np.cumsum(numbers, axis=1, dtype=numbers.dtype)
            tables[name.rstrip(b"\0").decode("ascii")] = Table(np.ascontiguousarray(numbers.T), low, step)
        words = _HEAD.size + count * _TABLE.size
        return tables, json.loads(block[words : words + length])
    except (struct.error, ValueError, IndexError) as error:
        raise UserError(f"{source}: cut short or damaged ({error}); export again") from error


def _smallest(numbers: np.ndarray) -> tuple[int, int, bytes]:
    """Bytes a number, whether differences are stored, and the bytes: the way of which gzip makes less."""
    size = numbers.dtype.itemsize
    columns = np.ascontiguousarray(numbers.T)
    found = []
    for delta in (0, 1):
        stored = np.diff(columns, axis=1, prepend=columns.dtype.type(0)) if delta else columns
        planes = np.stack([(stored >> (8 * byte)).astype(np.uint8) for byte in range(size)], axis=1)
        found.append((delta, planes.tobytes()))
    delta, body = min(found, key=lambda way: len(zlib.compress(way[1], 6)))
    return size, delta, body
