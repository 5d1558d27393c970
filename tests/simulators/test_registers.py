from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.registers import Register, Table, pack, unpack

LIMITS = {
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
}


def test_high_word_first() -> None:
    assert Register("a", Table.INPUT, 0, "uint32").encode(0x0001_0002) == [1, 2]
    assert Register("a", Table.INPUT, 0, "float32").encode(1.0) == [0x3F80, 0]
    assert Register("a", Table.INPUT, 0, "int32").encode(-2) == [0xFFFF, 0xFFFE]


@given(st.floats(width=32, allow_nan=False))
def test_float32_comes_back_exactly(value: float) -> None:
    register = Register("a", Table.INPUT, 0, "float32")
    assert register.decode(register.encode(value)) == value


@pytest.mark.parametrize("kind", LIMITS)
def test_integers_stop_at_the_ends_of_their_type(kind: str) -> None:
    register = Register("a", Table.INPUT, 0, kind)
    low, high = LIMITS[kind]
    assert [register.decode(register.encode(value)) for value in (low, high, low - 1, high + 1)] == [
        low,
        high,
        low,
        high,
    ]


def test_only_what_lies_wholly_within_is_read() -> None:
    registers = [Register("a", Table.INPUT, 0, "uint32"), Register("b", Table.INPUT, 2, "uint16")]
    words = pack(registers, {"a": 70_000, "b": 7}, 4)
    assert unpack(registers, 0, words) == {"a": 70_000, "b": 7}
    assert unpack(registers, 1, words[1:]) == {"b": 7}
    assert unpack(registers, 0, words[:1]) == {}
