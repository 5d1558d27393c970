from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import frame
from drivers.modbus.frame import FrameError, Reply, Stream


@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (frame.read(17, 1, 19, 37), "0007 0000 0006 11 01 0013 0025"),
        (frame.read(17, 2, 196, 22), "0007 0000 0006 11 02 00C4 0016"),
        (frame.read(17, 3, 107, 3), "0007 0000 0006 11 03 006B 0003"),
        (frame.read(17, 4, 8, 1), "0007 0000 0006 11 04 0008 0001"),
        (frame.write_coil(17, 172, True), "0007 0000 0006 11 05 00AC FF00"),
        (frame.write_coil(17, 172, False), "0007 0000 0006 11 05 00AC 0000"),
        (frame.write_register(17, 1, b"\x00\x03"), "0007 0000 0006 11 06 0001 0003"),
        (frame.write_coils(17, 19, [c == "1" for c in "1011001110"]), "0007 0000 0009 11 0F 0013 000A 02 CD01"),
        (frame.write_registers(17, 1, b"\x00\x0a\x01\x02"), "0007 0000 000B 11 10 0001 0002 04 000A 0102"),
    ],
)
def test_requests_are_those_of_the_standard(request_: frame.Request, wire: str) -> None:
    assert request_.encode(7) == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("function", "start", "count"), [(3, 0, 0), (3, 0, 126), (1, 0, 2001), (4, 65_535, 2), (3, -1, 1)]
)
def test_a_read_beyond_the_limits_is_never_made(function: int, start: int, count: int) -> None:
    with pytest.raises(ValueError):
        frame.read(1, function, start, count)


def test_a_reply_fits_by_unit_function_and_exact_length() -> None:
    request = frame.read(1, 3, 100, 2)
    assert request.fits(Reply(9, 1, 3, b"\x04abcd"))
    assert request.fits(Reply(9, 1, 0x83, b"\x02"))
    for stranger in (
        Reply(9, 2, 3, b"\x04abcd"),
        Reply(9, 1, 4, b"\x04abcd"),
        Reply(9, 1, 3, b"\x04abc"),
        Reply(9, 1, 3, b"\x02abcd"),
        Reply(9, 1, 3, b""),
        Reply(9, 1, 0x84, b"\x02"),
        Reply(9, 1, 0x83, b""),
        Reply(9, 1, 0x83, b"\x02\x02"),
    ):
        assert not request.fits(stranger), stranger


def test_the_reply_to_a_write_is_its_echo() -> None:
    request = frame.write_register(1, 5, b"\x00\x07")
    assert request.fits(Reply(1, 1, 6, b"\x00\x05\x00\x07"))
    assert not request.fits(Reply(1, 1, 6, b"\x00\x05\x00\x08"))


bodies = st.binary(max_size=252)
replies = st.lists(st.builds(Reply, st.integers(0, 0xFFFF), st.integers(0, 255), st.integers(0, 255), bodies))


@given(replies, st.data())
def test_replies_survive_any_cut_of_the_stream(sent: list[Reply], data: st.DataObject) -> None:
    wire = b"".join(struct.pack(">HHHBB", r[0], 0, 2 + len(r.body), r[1], r[2]) + r.body for r in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    stream = Stream()
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert [reply for piece in pieces for reply in stream.feed(piece)] == sent


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_garbage_raises_only_its_own_error(pieces: list[bytes]) -> None:
    stream = Stream()
    try:
        for piece in pieces:
            for reply in stream.feed(piece):
                assert len(reply.body) <= 252
    except FrameError:
        pass


@pytest.mark.parametrize("head", ["0001 0001 0006 01 03", "0001 0000 0001 01 03", "0001 0000 00FF 01 03"])
def test_what_is_not_modbus_is_told_from_the_header_alone(head: str) -> None:
    with pytest.raises(FrameError):
        Stream().feed(bytes.fromhex(head))
