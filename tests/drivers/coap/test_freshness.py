from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap.freshness import Mark

NUMBERS = st.integers(0, 2**24 - 1)


@pytest.mark.parametrize(
    ("last", "next_", "seconds", "newer"),
    [
        (1, 2, 0, True),
        (2, 1, 0, False),
        (5, 5, 0, False),
        (2**24 - 1, 0, 0, True),
        (0, 2**24 - 1, 0, False),
        (0, 2**23 - 1, 0, True),
        (2, 1, 128, False),
        (2, 1, 128.1, True),
    ],
)
def test_rfc_7641_section_3_4(last: int, next_: int, seconds: float, newer: bool) -> None:
    assert Mark(next_, seconds).is_after(Mark(last, 0)) is newer


@given(NUMBERS, NUMBERS)
def test_of_two_at_most_one_is_newer(a: int, b: int) -> None:
    assert not (Mark(a, 0).is_after(Mark(b, 0)) and Mark(b, 0).is_after(Mark(a, 0)))
