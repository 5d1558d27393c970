"""Modbus TCP frames: requests to bytes, bytes to replies. Pure: no I/O, no time, and every length is capped before use.

MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 (the MBAP header: transaction, protocol, length, unit) and
MODBUS Application Protocol V1.1b3, 6 (the function codes).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

READ_COILS = 1
READ_DISCRETE_INPUTS = 2
READ_HOLDING_REGISTERS = 3
READ_INPUT_REGISTERS = 4
WRITE_SINGLE_COIL = 5
WRITE_SINGLE_REGISTER = 6
WRITE_MULTIPLE_COILS = 15
WRITE_MULTIPLE_REGISTERS = 16

EXCEPTION = 0x80
"""Set in the function code of a reply that says no."""

_MBAP = struct.Struct(">HHHBB")  # and the function code
_LENGTHS = range(2, 255)  # of unit and PDU: a unit and a function code at least, 1 + 253 bytes at most
_BEFORE_LENGTH_COUNTS = 6

_MOST = {
    READ_COILS: 2000,
    READ_DISCRETE_INPUTS: 2000,
    READ_HOLDING_REGISTERS: 125,
    READ_INPUT_REGISTERS: 125,
    WRITE_MULTIPLE_COILS: 1968,
    WRITE_MULTIPLE_REGISTERS: 123,
}


class FrameError(ValueError):
    """What arrived is not Modbus TCP. Nothing that follows on this connection can be trusted."""


class Reply(NamedTuple):
    """One frame from a device. `body` is what follows the function code."""

    transaction: int
    unit: int
    function: int
    body: bytes

    @property
    def exception(self) -> int | None:
        """The exception code, or None where the device did as it was asked."""
        return self.body[0] if self.function & EXCEPTION and self.body else None


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One request, and all that is known beforehand about its reply.

    The body of a good reply starts with `head` (the byte count of a read, the whole echo of a write) and is `size`
    bytes long.
    """

    unit: int
    function: int
    body: bytes = field(repr=False)
    head: bytes
    size: int
    _wire: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        wire = struct.pack(">HHBB", 0, 2 + len(self.body), self.unit, self.function) + self.body
        object.__setattr__(self, "_wire", wire)

    def encode(self, transaction: int) -> bytes:
        return transaction.to_bytes(2, "big") + self._wire

    def fits(self, reply: Reply) -> bool:
        """True if `reply` can be the answer to this, by unit, function code and exact length."""
        if reply.unit != self.unit:
            return False
        if reply.function == self.function:
            return len(reply.body) == self.size and reply.body.startswith(self.head)
        return reply.function == self.function | EXCEPTION and len(reply.body) == 1


def read(unit: int, function: int, start: int, count: int) -> Request:
    """Read `count` bits (function codes 1, 2) or registers (3, 4) from `start` on."""
    _check(function, start, count)
    size = (count + 7) // 8 if function in (READ_COILS, READ_DISCRETE_INPUTS) else 2 * count
    return Request(unit, function, struct.pack(">HH", start, count), bytes([size]), 1 + size)


def write_coil(unit: int, address: int, on: bool) -> Request:
    """Function code 5."""
    body = struct.pack(">HH", address, 0xFF00 if on else 0)
    return Request(unit, WRITE_SINGLE_COIL, body, body, 4)


def write_register(unit: int, address: int, data: bytes) -> Request:
    """Function code 6; `data` are the two bytes of the register, as they go on the wire."""
    body = struct.pack(">H2s", address, data)
    return Request(unit, WRITE_SINGLE_REGISTER, body, body, 4)


def write_coils(unit: int, start: int, bits: Sequence[bool]) -> Request:
    """Function code 15."""
    _check(WRITE_MULTIPLE_COILS, start, len(bits))
    packed = sum(1 << i for i, bit in enumerate(bits) if bit).to_bytes((len(bits) + 7) // 8, "little")
    head = struct.pack(">HH", start, len(bits))
    return Request(unit, WRITE_MULTIPLE_COILS, head + bytes([len(packed)]) + packed, head, 4)


def write_registers(unit: int, start: int, data: bytes) -> Request:
    """Function code 16; `data` are the registers as they go on the wire, two bytes each."""
    _check(WRITE_MULTIPLE_REGISTERS, start, len(data) // 2)
    head = struct.pack(">HH", start, len(data) // 2)
    return Request(unit, WRITE_MULTIPLE_REGISTERS, head + bytes([len(data)]) + data, head, 4)


def _check(function: int, start: int, count: int) -> None:
    if not 1 <= count <= _MOST[function]:
        raise ValueError(f"function code {function} takes 1 to {_MOST[function]} addresses, not {count}")
    if not 0 <= start <= 65_536 - count:
        raise ValueError(f"{count} addresses from {start} on reach beyond 65535")


class Stream:
    """Cuts what arrives on one connection into replies, however TCP has cut it before."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes. Raises FrameError; the stream is of no more use then."""
        if self._rest:
            data = self._rest + data
        replies: list[Reply] = []
        at = 0
        while len(data) - at >= _MBAP.size:
            transaction, protocol, length, unit, function = _MBAP.unpack_from(data, at)
            if protocol != 0 or length not in _LENGTHS:
                raise FrameError(f"this is not Modbus TCP: protocol id {protocol}, length {length}")
            stop = at + _BEFORE_LENGTH_COUNTS + length
            if stop > len(data):
                break
            replies.append(Reply(transaction, unit, function, data[at + _MBAP.size : stop]))
            at = stop
        self._rest = data[at:]
        return replies
