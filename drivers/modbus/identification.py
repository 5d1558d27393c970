"""Who made the device: function code 43, MEI type 14 (MODBUS Application Protocol V1.1b3, 6.21). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drivers.modbus.frame import EXCEPTION, Reply, Request
from gateway.survey import remark

ENCAPSULATED: Final = 43
_MEI: Final = 14
_BASIC: Final = 1
_HEAD: Final = 6  # MEI type, code, conformity, more follows, next object, number of objects
_OBJECTS: Final = 3
"""Vendor, product code and revision: the basic category, which every device has that has any."""


@dataclass(frozen=True, slots=True, eq=False)
class Identify(Request):
    """The only reply whose length nobody knows beforehand."""

    def fits(self, reply: Reply) -> bool:
        if reply.unit != self.unit or reply.function & ~EXCEPTION != self.function:
            return False
        return reply.exception is not None or reply.body[:2] == self.body[:2]


def request(unit: int) -> Identify:
    return Identify(unit, ENCAPSULATED, bytes([_MEI, _BASIC, 0]), b"", 0)


def words(body: bytes) -> str:
    """`Vendor Product 1.0`, out of the body of a reply; as much of it as can be read."""
    found: list[str] = []
    at = _HEAD
    while at + 2 <= len(body) and len(found) < _OBJECTS:
        length = body[at + 1]
        found.append(body[at + 2 : at + 2 + length].decode(errors="replace"))
        at += 2 + length
    return remark(" ".join(found))
