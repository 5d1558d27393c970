from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap.code import Code, status_of, words
from gateway.model import Quality, StatusCode, quality


@pytest.mark.parametrize(
    ("code", "diagnostic", "text"),
    [
        (Code.NOT_FOUND, b"", "4.04 not found"),
        (Code.BAD_REQUEST, b"speed is 0 to 100", "4.00 bad request: speed is 0 to 100"),
        (0x9D, b"", "4.29"),
        (Code.FORBIDDEN, b"\x00\xff", "4.03 forbidden"),
    ],
)
def test_words(code: int, diagnostic: bytes, text: str) -> None:
    assert words(code, diagnostic) == text


@given(st.integers(0, 255), st.binary())
def test_whatever_a_server_says_is_a_line(code: int, diagnostic: bytes) -> None:
    assert words(code, diagnostic).isprintable()
    assert len(words(code, diagnostic)) < 120


def test_what_a_value_is_worth() -> None:
    assert status_of(Code.CONTENT) == StatusCode.GOOD
    assert status_of(Code.NOT_FOUND) == StatusCode.BAD_NODE_ID_UNKNOWN
    assert status_of(Code.SERVICE_UNAVAILABLE) == StatusCode.BAD_OUT_OF_SERVICE
    assert status_of(Code.UNAUTHORIZED) == StatusCode.BAD_CONFIGURATION_ERROR
    assert status_of(0xBF) == StatusCode.BAD_DEVICE_FAILURE
    assert all(quality(status_of(code)) is Quality.BAD for code in range(256) if code != Code.CONTENT)
