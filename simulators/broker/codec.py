"""Bytes to MQTT packets and back. Pure; every refusal is a `Refused` with the reason that the standard gives.

Properties that a broker hands on unaltered (3.3.2.3) stay encoded; their form is checked all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from simulators.broker.packet import (
    NEVER,
    Connect,
    Disconnect,
    Kind,
    Packet,
    Ping,
    Puback,
    Publish,
    Reason,
    Refused,
    Subscribe,
    Unsubscribe,
)

PROPERTY_FORMS = {  # 2.2.2.2
    **dict.fromkeys((1, 23, 25, 36, 37, 40, 41, 42), "byte"),
    **dict.fromkeys((19, 33, 34, 35), "two"),
    **dict.fromkeys((2, 17, 24, 39), "four"),
    **dict.fromkeys((3, 8, 18, 21, 26, 28, 31), "text"),
    **dict.fromkeys((9, 22), "binary"),
    11: "varint",
    38: "pair",
}
SESSION_EXPIRY, TOPIC_ALIAS, USER_PROPERTY = 17, 35, 38
ASSIGNED_CLIENT, RECEIVE_MAXIMUM, MAXIMUM_PACKET = 18, 33, 39
MAXIMUM_QOS, RETAIN_AVAILABLE, IDENTIFIERS_AVAILABLE, SHARED_AVAILABLE = 36, 37, 41, 42


class Frames:
    """Cuts a stream into packets: `feed` gives each one's first byte and body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Raises Refused on a packet longer than the limit, before it is held."""
        self._held += data
        while frame := self._next():
            yield frame

    def _next(self) -> tuple[int, bytes] | None:
        length, size = 0, 1
        while True:
            if size >= len(self._held):
                return None
            byte = self._held[size]
            length |= (byte & 0x7F) << 7 * (size - 1)
            size += 1
            if byte < 0x80:
                break
            if size > 4:
                raise Refused(Reason.MALFORMED_PACKET)
        if size + length > self._limit:
            raise Refused(Reason.PACKET_TOO_LARGE)
        if len(self._held) < size + length:
            return None
        first, body = self._held[0], bytes(self._held[size : size + length])
        del self._held[: size + length]
        return first, body


class Reader:
    """A packet's body, taken from the front."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise Refused(Reason.MALFORMED_PACKET)
        self._at += size
        return self._body[self._at - size : self._at]

    def rest(self) -> bytes:
        return self.take(self.left)

    def byte(self) -> int:
        return self.take(1)[0]

    def two(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def four(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def varint(self) -> int:
        value = 0
        for place in range(4):
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value
        raise Refused(Reason.MALFORMED_PACKET)

    def binary(self) -> bytes:
        return self.take(self.two())

    def text(self) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            raise Refused(Reason.MALFORMED_PACKET) from None
        if "\0" in text:
            raise Refused(Reason.MALFORMED_PACKET)
        return text

    def packet_id(self) -> int:
        number = self.two()
        if not number:
            raise Refused(Reason.PROTOCOL_ERROR)
        return number

    def properties(self, level: int) -> tuple[bytes, dict[int, int]]:
        """As they were encoded, and those of them that are numbers; nothing before MQTT 5."""
        if level < 5:
            return b"", {}
        encoded = self.take(self.varint())
        reader, numbers, seen = Reader(encoded), {}, set[int]()
        while reader.left:
            kind = reader.varint()
            if kind not in PROPERTY_FORMS:
                raise Refused(Reason.MALFORMED_PACKET)
            if kind in seen and kind != USER_PROPERTY:
                raise Refused(Reason.PROTOCOL_ERROR)
            seen.add(kind)
            value = reader.value(PROPERTY_FORMS[kind])
            if value is not None:
                numbers[kind] = value
        return encoded, numbers

    def value(self, form: str) -> int | None:
        """Step over one property's value; give it where it is a number."""
        numbers = {"byte": self.byte, "two": self.two, "four": self.four, "varint": self.varint}
        if form in numbers:
            return numbers[form]()
        self.binary() if form == "binary" else self.text()
        if form == "pair":
            self.text()
        return None


def decode(first: int, body: bytes, level: int) -> Packet:
    """A packet from its first byte and body, on a connection of MQTT `level`. Raises Refused."""
    kind, flags, reader = first >> 4, first & 0x0F, Reader(body)
    if kind == Kind.PUBLISH:
        return _publish(flags, reader, level)
    if kind not in DECODERS or flags != (2 if kind in (Kind.SUBSCRIBE, Kind.UNSUBSCRIBE) else 0):
        raise Refused(Reason.MALFORMED_PACKET)
    return DECODERS[kind](reader, level)


def _publish(flags: int, reader: Reader, level: int) -> Publish:
    qos = flags >> 1 & 3
    if qos > 1:
        raise Refused(Reason.QOS_NOT_SUPPORTED if qos == 2 else Reason.MALFORMED_PACKET)
    topic = _topic(reader.text())
    packet_id = reader.packet_id() if qos else 0
    properties, numbers = reader.properties(level)
    if TOPIC_ALIAS in numbers:  # we allow none (3.2.2.3.8)
        raise Refused(Reason.PROTOCOL_ERROR)
    return Publish(topic, reader.rest(), qos, bool(flags & 1), packet_id, properties)


def _topic(topic: str) -> str:
    if not topic or "+" in topic or "#" in topic:
        raise Refused(Reason.TOPIC_INVALID)
    return topic


def _connect(reader: Reader, level: int) -> Connect:
    protocol, level, flags = reader.text(), reader.byte(), reader.byte()
    if protocol != "MQTT" or level not in (4, 5):
        raise Refused(Reason.UNSUPPORTED_VERSION)
    if flags & 1:
        raise Refused(Reason.MALFORMED_PACKET)
    keep_alive = reader.two()
    _, numbers = reader.properties(level)
    client_id, clean = reader.text(), bool(flags & 2)
    will = _will(flags, reader, level) if flags & 4 else None
    for present in (flags & 0x80, flags & 0x40):  # user name and password: anybody on this machine is welcome
        if present:
            reader.binary()
    expiry = numbers.get(SESSION_EXPIRY, 0) if level == 5 else (0 if clean else NEVER)
    window, largest = numbers.get(RECEIVE_MAXIMUM, 0xFFFF), numbers.get(MAXIMUM_PACKET, NEVER)
    if not window or not largest:
        raise Refused(Reason.PROTOCOL_ERROR)
    return Connect(client_id, level, clean, keep_alive, expiry, window, largest, will)


def _will(flags: int, reader: Reader, level: int) -> Publish:
    reader.properties(level)
    topic = _topic(reader.text())
    return Publish(topic, reader.binary(), min(flags >> 3 & 3, 1), bool(flags & 0x20))


def _puback(reader: Reader, level: int) -> Puback:
    return Puback(reader.packet_id())


def _subscribe(reader: Reader, level: int) -> Subscribe:
    packet_id = reader.packet_id()
    reader.properties(level)
    filters: list[tuple[str, int]] = []
    while reader.left or not filters:
        pattern, options = reader.text(), reader.byte()
        if options & 3 == 3:
            raise Refused(Reason.MALFORMED_PACKET)
        filters.append((pattern, options))
    return Subscribe(packet_id, tuple(filters))


def _unsubscribe(reader: Reader, level: int) -> Unsubscribe:
    packet_id = reader.packet_id()
    reader.properties(level)
    filters: list[str] = []
    while reader.left or not filters:
        filters.append(reader.text())
    return Unsubscribe(packet_id, tuple(filters))


def _disconnect(reader: Reader, level: int) -> Disconnect:
    reason = reader.byte() if reader.left else 0
    _, numbers = reader.properties(level) if reader.left else (b"", {})
    return Disconnect(reason, numbers.get(SESSION_EXPIRY))


DECODERS: dict[int, Callable[[Reader, int], Packet]] = {
    Kind.CONNECT: _connect,
    Kind.PUBACK: _puback,
    Kind.SUBSCRIBE: _subscribe,
    Kind.UNSUBSCRIBE: _unsubscribe,
    Kind.PINGREQ: lambda reader, level: Ping(),
    Kind.DISCONNECT: _disconnect,
}


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def frame(kind: Kind, body: bytes, flags: int = 0) -> bytes:
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def publish(message: Publish, level: int, duplicate: bool) -> bytes:
    flags = duplicate << 3 | message.qos << 1 | message.retain
    packet_id = message.packet_id.to_bytes(2, "big") if message.qos else b""
    properties = varint(len(message.properties)) + message.properties if level == 5 else b""
    return frame(Kind.PUBLISH, text(message.topic) + packet_id + properties + message.payload, flags)


def puback(packet_id: int, reason: Reason, level: int) -> bytes:
    return frame(Kind.PUBACK, packet_id.to_bytes(2, "big") + (bytes([reason]) if level == 5 and reason else b""))


def acknowledge(kind: Kind, packet_id: int, reasons: Sequence[int], level: int) -> bytes:
    """SUBACK and UNSUBACK; the latter says nothing but its id before MQTT 5."""
    codes = bytes(reasons) if level == 5 or kind is Kind.SUBACK else b""
    return frame(kind, packet_id.to_bytes(2, "big") + (b"\0" if level == 5 else b"") + codes)


def connack(present: bool, reason: int, level: int, assigned: str = "") -> bytes:
    """What this broker has not, MQTT 5 lets it say: no QoS 2, nothing retained, no identifiers, nothing shared."""
    body = bytes([present, reason])
    if level < 5:
        return frame(Kind.CONNACK, body)
    properties = bytes([MAXIMUM_QOS, 1, RETAIN_AVAILABLE, 0, IDENTIFIERS_AVAILABLE, 0, SHARED_AVAILABLE, 0])
    if assigned:
        properties += bytes([ASSIGNED_CLIENT]) + text(assigned)
    return frame(Kind.CONNACK, body + varint(len(properties)) + properties)


def disconnect(reason: Reason) -> bytes:
    return frame(Kind.DISCONNECT, bytes([reason, 0]))
