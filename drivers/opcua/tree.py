"""From the variables that a server has to devices and tags. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from drivers.opcua.address import Address, parse_address
from drivers.opcua.convert import DTYPES, Kind
from gateway.model import ValueType
from gateway.survey import Line, Names, Part, Plain, remark, shown

MOST_UNIT: Final = 32

_TYPES: Final[Mapping[int, ValueType]] = MappingProxyType(
    {kind: ValueType(dtype) for kind, dtype in DTYPES.items()}
    | {
        Kind.BOOLEAN: ValueType.BOOL,
        Kind.STRING: ValueType.STRING,
        Kind.GUID: ValueType.STRING,
        Kind.LOCALIZED_TEXT: ValueType.STRING,
        Kind.DATETIME: ValueType.INT64,
    }
)
_PLAIN: Final = 1e15
"""Larger numbers are not written without an exponent."""
_SETS: Final = frozenset(("DeviceSet", "Machines"))
"""Folders of devices (OPC UA Part 100, 5.2.3, and Part 40001-1, 8.2): what is in them are the devices."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: the browse names that lead to it, its node, the kind of its value (-1 for an array), and what its
    properties say of it."""

    path: tuple[str, ...]
    address: Address
    kind: int
    is_writable: bool = False
    example: object = None
    unit: str = ""
    range: tuple[float, float] | None = None


def devices(variables: Sequence[Variable], link: str) -> dict[str, Part]:
    """Whatever stands right below Objects is a device; so is whatever stands in a folder of devices."""
    members: dict[str, list[Variable]] = defaultdict(list)
    for variable in variables:
        if is_usable(variable):
            members["/".join(_device(variable.path))].append(variable)
    names = Names()
    made = {}
    for own in members.values():
        head = _device(own[0].path)
        name = names.take(head[-1] if head else "server", "device")
        tags = _tags(own, len(head))
        made[name] = Part({"link": Line(link), "groups": Part({"values": Part({"tags": Part(tags)})})})
    return made


def is_usable(variable: Variable) -> bool:
    """Of a type that tags have, and with a node id that can be written down."""
    text = str(variable.address)
    try:
        return variable.kind in _TYPES and text.isprintable() and parse_address(text) == variable.address
    except ValueError:
        return False


def _device(path: tuple[str, ...]) -> tuple[str, ...]:
    if len(path) > 2 and path[0] in _SETS:
        return path[:2]
    return path[:1] if len(path) > 1 else ()


def _tags(variables: Sequence[Variable], depth: int) -> dict[str, Line]:
    names = Names()
    lines = {}
    for each in variables:
        body: dict[str, Plain] = {"node": str(each.address), "type": _TYPES[each.kind].value}
        if unit := remark(each.unit, MOST_UNIT):
            body["unit"] = unit
        if each.range is not None and _is_range(*each.range):
            body["range"] = [int(end) if end.is_integer() and abs(end) < _PLAIN else end for end in each.range]
        if each.is_writable:
            body["writable"] = True
        name = names.take(".".join(each.path[depth:]), each.path[-1] if each.path else "", "value")
        lines[name] = Line(body, "" if each.example is None else shown(each.example))
    return lines


def _is_range(low: float, high: float) -> bool:
    return math.isfinite(low) and math.isfinite(high) and low < high
