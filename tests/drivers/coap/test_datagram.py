from __future__ import annotations

import pytest
from aiocoap.message import Message
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap.datagram import Datagram, Malformed, is_confirmable, parse


def test_a_request() -> None:
    """GET /temperature, the example of RFC 7252, appendix A, figure 16."""
    data = bytes.fromhex("40017d34bb74656d7065726174757265")
    assert parse(data) == Datagram(0, 1, 0x7D34, b"", ((11, b"temperature"),), b"", 0)
    assert parse(data).is_request


def test_a_response() -> None:
    """2.05 with "22.3 C", figure 17."""
    data = bytes.fromhex("60457d34ff32322e332043")
    assert parse(data) == Datagram(2, 0x45, 0x7D34, b"", (), b"22.3 C", 0)
    assert not parse(data).is_request


def test_long_options() -> None:
    name = b"x" * 255
    data = bytes.fromhex("40010001") + b"\xbd\xf2" + name + b"\x0d\x00" + b"y" * 13 + bytes.fromhex("e2000cabcd")
    assert parse(data).options == ((11, name), (11, b"y" * 13), (292, b"\xab\xcd"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "not CoAP"),
        ("400100", "not CoAP"),
        ("80010000", "not CoAP"),
        ("4901000000112233445566778899", "token"),
        ("420100000a", "token"),
        ("40200000", r"1\.00 is reserved"),
        ("40e00000", r"7\.00 is reserved"),
        ("4000000001", "empty message"),
        ("40010000ff", "announced"),
        ("400100000f", "head"),
        ("40010000f0", "head"),
        ("40010000d0", "head"),
        ("40010000e000", "head"),
        ("4001000005abcd", "cut off"),
        ("40010000e0ffffe0ffff", "out of range"),
        ("40010000" + "00" * 65, "one too many"),
    ],
)
def test_what_is_malformed(data: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        parse(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("option", "unknown"),
    [
        ("322ee0", 3),  # a Uri-Host that is not UTF-8
        ("30", 3),  # an empty one
        ("90", 9),  # OSCORE
        ("d40a01020304", 23),  # a Block2 of four bytes
        ("c401020304", 0),  # a Content-Format of four bytes is elective
        ("d9f5010203040506070809", 0),
    ],
)
def test_options_that_cannot_be_read(option: str, unknown: int) -> None:
    found = parse(bytes.fromhex("40010000" + option))
    assert (found.options, found.unknown) == ((), unknown)


def test_an_option_that_must_not_be_repeated() -> None:
    assert parse(bytes.fromhex("40010000" + "3161" + "0162")).unknown == 3
    assert parse(bytes.fromhex("40010000" + "c132" + "0133")).options == ((12, b"2"),)


@given(st.binary(max_size=64) | st.binary(max_size=60).map(lambda tail: b"\x40\x02ab" + tail))
def test_whatever_comes_is_parsed_or_malformed(data: bytes) -> None:
    is_confirmable(data)
    try:
        found = parse(data)
    except Malformed:
        return
    assert sum(len(value) for _, value in found.options) + len(found.payload) + len(found.token) + 4 <= len(data)
    assert all(number < 300 for number, _ in found.options)


@given(
    st.lists(st.text("abcü/", max_size=20), max_size=5),
    st.integers(0, 65_535),
    st.binary(max_size=8),
    st.binary(max_size=40),
    st.none() | st.tuples(st.integers(0, 4095), st.booleans(), st.integers(0, 6)),
)
def test_what_aiocoap_writes_is_read_alike(
    path: list[str], mid: int, token: bytes, payload: bytes, block: tuple[int, bool, int] | None
) -> None:
    message = Message(code=2, payload=payload, uri_path=path, content_format=50, block1=block)
    message.mtype, message.mid, message.token = 0, mid, token
    found = parse(message.encode())
    assert (found.mid, found.token, found.payload, found.unknown) == (mid, token, payload, 0)
    assert [value.decode() for number, value in found.options if number == 11] == path
