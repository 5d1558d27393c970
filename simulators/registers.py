"""A Modbus register map as data, and values to registers and back. Pure; big-endian, high word first (order ABCD).

Addresses count from 0, as they stand in the protocol. Written with the standard library alone, so that neither the
Modbus library nor the gateway's decoder can agree with it by mistake.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from simulators.device import Value

CODES = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "float32": "f", "float64": "d"}


class Table(StrEnum):
    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def is_bits(self) -> bool:
        return self in (Table.COIL, Table.DISCRETE)


@dataclass(frozen=True, slots=True)
class Register:
    """Where one value lies. `type` is `bool` in the two tables of bits, else one of `CODES`."""

    name: str
    table: Table
    address: int
    type: str = "bool"

    @property
    def width(self) -> int:
        """In registers, or in bits."""
        return 1 if self.table.is_bits else struct.calcsize(CODES[self.type]) // 2

    def within(self, address: int, count: int) -> bool:
        return address <= self.address and self.address + self.width <= address + count

    def touches(self, address: int, count: int) -> bool:
        return self.address < address + count and address < self.address + self.width

    def encode(self, value: Value) -> list[int]:
        """The registers of a value. An integer beyond the type's range becomes its nearest end, as in most devices."""
        if self.table.is_bits:
            return [int(bool(value))]
        code = CODES[self.type]
        packed = struct.pack(f">{code}", value if code in "fd" else _clamp(value, code))
        return list(struct.unpack(f">{self.width}H", packed))

    def decode(self, words: Sequence[int]) -> Value:
        if self.table.is_bits:
            return bool(words[0])
        value: Value = struct.unpack(f">{CODES[self.type]}", struct.pack(f">{self.width}H", *words))[0]
        return value


def pack(registers: Iterable[Register], values: Mapping[str, Value], size: int) -> list[int]:
    """The first `size` registers, or bits, of one table; zero where nothing lies."""
    words = [0] * size
    for register in registers:
        words[register.address : register.address + register.width] = register.encode(values[register.name])
    return words


def unpack(registers: Iterable[Register], address: int, words: Sequence[int]) -> dict[str, Value]:
    """The values that lie wholly within `words`, which begin at `address`."""
    held = [register for register in registers if register.within(address, len(words))]
    return {r.name: r.decode(words[r.address - address : r.address - address + r.width]) for r in held}


def _clamp(value: Value, code: str) -> int:
    bits = 8 * struct.calcsize(code)
    low, high = (0, (1 << bits) - 1) if code.isupper() else (-(1 << bits - 1), (1 << bits - 1) - 1)
    return max(low, min(high, round(value)))
