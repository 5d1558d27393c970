from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.broker import codec
from simulators.broker.packet import Connect, Disconnect, Packet, Publish, Reason, Refused, Subscribe

# Written out by hand from the standard: a client `c`, session expiry 60 s, receive maximum 2, keep alive 10 s.
CONNECT = bytes.fromhex("1016 0004 4d515454 05 00 000a 08 11 0000003c 21 0002 0001 63".replace(" ", ""))


def packets(data: bytes, level: int = 5, limit: int = 1 << 20) -> list[Packet]:
    return [codec.decode(first, body, level) for first, body in codec.Frames(limit).feed(data)]


def test_connect() -> None:
    assert packets(CONNECT) == [Connect("c", 5, False, 10, 60, 2, 0xFFFF_FFFF, None)]


@given(
    st.text(st.characters(exclude_characters="\0+#", codec="utf-8"), min_size=1, max_size=9), st.binary(max_size=300)
)
def test_publish_comes_back(topic: str, payload: bytes) -> None:
    message = Publish(topic, payload, 1, False, 7, b"\x01\x01")
    assert packets(codec.publish(message, 5, duplicate=True)) == [message]
    assert packets(codec.publish(message, 4, duplicate=False), 4) == [Publish(topic, payload, 1, False, 7)]


@given(st.lists(st.integers(1, 40), max_size=20))
def test_packets_are_cut_wherever_the_stream_breaks(cuts: list[int]) -> None:
    data = CONNECT + codec.publish(Publish("t", b"x" * 200), 5, False) + b"\xe0\x00"
    frames, found = codec.Frames(1 << 20), []
    for cut in [*cuts, len(data)]:
        found += list(frames.feed(data[:cut]))
        data = data[cut:]
    assert [first >> 4 for first, _ in found] == [1, 3, 14]


def test_a_long_packet_is_refused_before_it_is_held() -> None:
    with pytest.raises(Refused, match="PACKET_TOO_LARGE"):
        list(codec.Frames(1000).feed(b"\x30\xe9\x07"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("30 ffffffff7f", Reason.MALFORMED_PACKET),  # five bytes of length
        ("00 00", Reason.MALFORMED_PACKET),  # no such packet
        ("f0 00", Reason.MALFORMED_PACKET),  # AUTH, that nobody asked for
        ("36 00", Reason.MALFORMED_PACKET),  # QoS 3
        ("34 06 000161 0001 00", Reason.QOS_NOT_SUPPORTED),
        ("30 04 0001 23 00", Reason.TOPIC_INVALID),  # publish to #
        ("30 03 0000 00", Reason.TOPIC_INVALID),
        ("30 04 0001 00 00", Reason.MALFORMED_PACKET),  # U+0000
        ("30 04 0001 ff 00", Reason.MALFORMED_PACKET),  # not UTF-8
        ("30 03 0005 61", Reason.MALFORMED_PACKET),  # text longer than the packet
        ("32 06 0001 61 0000 00", Reason.PROTOCOL_ERROR),  # packet id 0
        ("30 07 0001 61 03 23 0001", Reason.PROTOCOL_ERROR),  # a topic alias
        ("30 08 0001 61 04 01 01 01 00", Reason.PROTOCOL_ERROR),  # a property given twice
        ("30 06 0001 61 02 7f 00", Reason.MALFORMED_PACKET),  # no such property
        ("80 07 0001 00 0001 61 01", Reason.MALFORMED_PACKET),  # SUBSCRIBE with the wrong flags
        ("82 07 0001 00 0001 61 03", Reason.MALFORMED_PACKET),  # QoS 3
        ("82 03 0001 00", Reason.MALFORMED_PACKET),  # no filter
        ("10 0d 0006 4d5149736470 03 02 000a 0000", Reason.UNSUPPORTED_VERSION),  # MQTT 3.1
        ("10 10 0004 4d515454 05 00 000a 03 21 0000 0000", Reason.PROTOCOL_ERROR),  # receive maximum 0
    ],
)
def test_what_the_standard_forbids(data: str, reason: Reason) -> None:
    with pytest.raises(Refused, match=reason.name):
        packets(bytes.fromhex(data.replace(" ", "")))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(Refused):
        packets(data)


def test_the_short_forms() -> None:
    assert packets(b"\xe0\x00") == [Disconnect()]
    assert packets(b"\xe0\x01\x04") == [Disconnect(4)]
    assert packets(bytes.fromhex("e0070005110000003c")) == [Disconnect(0, 60)]
    assert packets(bytes.fromhex("8206000100016101"), 4) == [Subscribe(1, (("a", 1),))]
