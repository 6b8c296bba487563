"""The blob of viewer.html: what is packed comes back, to half a step."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pipeline.runtime.errors import UserError
from pipeline.viewer.blob import VERSION, Table, pack, quantised, unpack

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=12)
NUMBERS = st.one_of(arrays(np.uint8, SHAPES), arrays(np.uint16, SHAPES))


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,16}", fullmatch=True), NUMBERS, max_size=4), st.text(max_size=20))
def test_numbers_and_text_come_back(found: dict[str, np.ndarray], text: str) -> None:
    tables = {name: Table(numbers, -1.5, 0.25) for name, numbers in found.items()}
    back, words = unpack(pack(tables, {"text": text}))
    assert words == {"text": text}
    assert list(back) == list(tables)
    for name, table in tables.items():
        assert back[name].numbers.dtype == table.numbers.dtype
        np.testing.assert_array_equal(back[name].numbers, table.numbers)
        assert (back[name].low, back[name].step) == (-1.5, 0.25)


@given(arrays(np.float64, SHAPES, elements=st.floats(-1e3, 1e3)), st.sampled_from([2, 31, 256, 4096, 65536]))
def test_values_come_back_to_half_a_step(values: np.ndarray, levels: int) -> None:
    table = quantised(values, levels)
    assert table.numbers.max() < levels
    assert np.abs(table.values - values).max() <= table.step / 2 + 1e-9
    assert table.step <= max(np.ptp(values) / (levels - 1), 1.0)


def test_what_lies_outside_of_the_range_is_moved_to_its_edge() -> None:
    np.testing.assert_allclose(
        quantised(np.array([[-3.0], [0.5], [7.0]]), 256, 0, 1).values.ravel(), [0, 0.5, 1], atol=2e-3
    )


@pytest.mark.parametrize("values", [np.full((2, 3), np.nan), np.full((1, 1), np.inf), np.zeros((0, 3))])
def test_values_that_are_no_numbers_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        quantised(values, 256)


def _block() -> bytes:
    return pack({"a": Table(np.arange(12, dtype=np.uint16).reshape(4, 3))}, {"name": "x"})


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"", "expected b'AVTR'"),
        (b"GIF8" + _block()[4:], "found b'GIF8'"),
        (b"AVTR" + struct.pack("<H", VERSION + 1) + _block()[6:], f"expected version {VERSION}, found {VERSION + 1}"),
        (_block()[:-5], "cut short"),
        (_block()[:30], "cut short"),
    ],
    ids=["nothing", "magic", "version", "body", "head"],
)
def test_another_block_is_refused(block: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        unpack(block, "page.html")
    assert str(error.value).startswith("page.html: ")
