"""One datagram of CoAP, taken apart (RFC 7252, 3). Pure, and it trusts nothing that came over the wire.

Only options that somebody here reads come out. An elective one that is not known, badly sized or repeated against the
rules is left out, a critical one is named as `unknown` (RFC 7252, 5.4.1 to 5.4.5).
"""

from __future__ import annotations

from typing import NamedTuple

CONFIRMABLE, NON_CONFIRMABLE, ACKNOWLEDGEMENT, RESET = range(4)
MAX_OPTIONS = 64
MAX_NUMBER = 0xFFFF

_HEADER = 4
_PAYLOAD_MARKER = 0xFF
_CLASSES = (0, 2, 4, 5)


class Malformed(ValueError):
    """This is no message that could be answered; the text says why."""


class Datagram(NamedTuple):
    """`options` are pairs of a number and a value, in order; `unknown` is a critical option's number, or 0."""

    type: int
    code: int
    mid: int
    token: bytes
    options: tuple[tuple[int, bytes], ...]
    payload: bytes
    unknown: int

    @property
    def is_request(self) -> bool:
        return 0 < self.code < 32


class _Rule(NamedTuple):
    """RFC 7252, 5.10: how long the value may be, in bytes."""

    least: int
    most: int
    repeats: bool = False
    is_text: bool = False


_TEXT = _Rule(0, 255, repeats=True, is_text=True)
_BLOCK = _Rule(0, 3)
_RULES = {
    3: _Rule(1, 255, is_text=True),  # Uri-Host
    4: _Rule(1, 8, repeats=True),  # ETag
    6: _Rule(0, 3),  # Observe (RFC 7641)
    7: _Rule(0, 2),  # Uri-Port
    11: _TEXT,  # Uri-Path
    12: _Rule(0, 2),  # Content-Format
    14: _Rule(0, 4),  # Max-Age
    15: _TEXT,  # Uri-Query
    17: _Rule(0, 2),  # Accept
    23: _BLOCK,  # Block2 (RFC 7959)
    27: _BLOCK,  # Block1
    60: _Rule(0, 4),  # Size1
    292: _Rule(0, 8, repeats=True),  # Request-Tag (RFC 9175)
}


def parse(data: bytes) -> Datagram:
    """Raises Malformed."""
    if len(data) < _HEADER or data[0] >> 6 != 1:
        raise Malformed("this is not CoAP")
    length, code = data[0] & 0x0F, data[1]
    start = _HEADER + length
    if length > 8 or start > len(data):
        raise Malformed("the token is longer than 8 bytes, or than the datagram")
    if code >> 5 not in _CLASSES:
        raise Malformed(f"the code {code >> 5}.{code & 31:02} is reserved")
    if code == 0 and len(data) > _HEADER:
        raise Malformed("an empty message holds something")
    every, payload = _split(data, start)
    options, unknown = _sift(every)
    return Datagram(
        data[0] >> 4 & 3, code, int.from_bytes(data[2:4], "big"), data[_HEADER:start], options, payload, unknown
    )


def is_confirmable(data: bytes) -> bool:
    """Whether its sender waits to hear that it was rejected, however malformed the rest is (RFC 7252, 4.2)."""
    return len(data) >= _HEADER and data[0] >> 4 == 0b0100


def _split(data: bytes, at: int) -> tuple[list[tuple[int, bytes]], bytes]:
    """Every option, and the payload."""
    options: list[tuple[int, bytes]] = []
    number = 0
    while at < len(data):
        head = data[at]
        at += 1
        if head == _PAYLOAD_MARKER:
            if at == len(data):
                raise Malformed("the payload is announced, but there is none")
            return options, data[at:]
        delta, at = _extended(data, head >> 4, at)
        length, at = _extended(data, head & 0x0F, at)
        number += delta
        if number > MAX_NUMBER or at + length > len(data) or len(options) >= MAX_OPTIONS:
            raise Malformed("an option is cut off, out of range, or one too many")
        options.append((number, data[at : at + length]))
        at += length
    return options, b""


def _extended(data: bytes, nibble: int, at: int) -> tuple[int, int]:
    """An option's delta or length, and where the next field is (RFC 7252, 3.1)."""
    if nibble < 13:
        return nibble, at
    width = nibble - 12
    if nibble == 15 or at + width > len(data):
        raise Malformed("an option's head is cut off, or reserved")
    return int.from_bytes(data[at : at + width], "big") + (13 if width == 1 else 269), at + width


def _sift(options: list[tuple[int, bytes]]) -> tuple[tuple[tuple[int, bytes], ...], int]:
    kept: list[tuple[int, bytes]] = []
    unknown = 0
    for number, value in options:
        rule = _RULES.get(number)
        first = not kept or kept[-1][0] != number
        if rule is not None and (first or rule.repeats) and _fits(value, rule):
            kept.append((number, value))
        elif number & 1:  # RFC 7252, 5.4.6: odd numbers are critical
            unknown = unknown or number
    return tuple(kept), unknown


def _fits(value: bytes, rule: _Rule) -> bool:
    if rule.is_text:
        try:
            value.decode()
        except UnicodeDecodeError:
            return False
    return rule.least <= len(value) <= rule.most
