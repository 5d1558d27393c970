"""Who made the device, by function code 43."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.frame import Reply
from drivers.modbus.identification import request, words

GOOD = bytes([14, 1, 1, 0, 0, 3, 0, 4]) + b"Acme" + bytes([1, 2]) + b"P7" + bytes([2, 3]) + b"1.0"


def test_the_basic_objects_are_read_out() -> None:
    assert words(GOOD) == "Acme P7 1.0"


def test_the_request_is_that_of_the_standard() -> None:
    assert request(1).encode(7) == bytes([0, 7, 0, 0, 0, 5, 1, 43, 14, 1, 0])


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_what_is_cut_off_is_read_as_far_as_it_goes(length: int) -> None:
    assert "Acme P7 1.0".startswith(words(GOOD[:length]).removesuffix(" "))


@given(st.binary(max_size=252))
def test_nothing_that_comes_breaks_it(body: bytes) -> None:
    assert words(body).isprintable()


@pytest.mark.parametrize(
    ("reply", "fits"),
    [
        (Reply(1, 1, 43, GOOD), True),
        (Reply(1, 1, 43 | 0x80, b"\x01"), True),
        (Reply(1, 2, 43, GOOD), False),
        (Reply(1, 1, 3, GOOD), False),
        (Reply(1, 1, 43, b"\x0d\x01"), False),
        (Reply(1, 1, 43, b""), False),
        (Reply(1, 1, 43 | 0x80, b""), False),
    ],
)
def test_only_its_own_answer_fits(reply: Reply, fits: bool) -> None:
    assert request(1).fits(reply) is fits
