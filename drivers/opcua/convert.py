"""What a tag makes of the values of its node: exact conversions, and nothing else. Pure.

| tag                  | takes these types (OPC UA Part 6, 5.1.2)                                                    |
|----------------------|---------------------------------------------------------------------------------------------|
| bool                 | Boolean                                                                                     |
| int8 … uint64        | the integers whose whole range fits, so int32 takes SByte, Byte, Int16, UInt16 and Int32    |
| int64                | DateTime as well, as unix nanoseconds                                                       |
| float32, float64     | Float; float64 also Double; integers of up to 16 bits, float64 of up to 32                  |
| string               | String, LocalizedText (its text), Guid; over MAX_STRING characters is BAD_OUT_OF_RANGE      |

Anything else, and every array, is BAD_TYPE_MISMATCH, and its value is dropped. Null is BAD_NO_DATA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final, TypeAlias, cast

import numpy as np

from gateway.model import StatusCode, Value, ValueType

MAX_STRING: Final = 4_096
ARRAY: Final = -1
"""Stands in the place of a kind for an array of whatever it is."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Convert: TypeAlias = Callable[[object], Value]


class Kind(IntEnum):
    """The built-in types that a value can have which is of use to us."""

    NULL = 0
    BOOLEAN = 1
    SBYTE = 2
    BYTE = 3
    INT16 = 4
    UINT16 = 5
    INT32 = 6
    UINT32 = 7
    INT64 = 8
    UINT64 = 9
    FLOAT = 10
    DOUBLE = 11
    STRING = 12
    DATETIME = 13
    GUID = 14
    LOCALIZED_TEXT = 21


DTYPES: Final[Mapping[int, str]] = {
    Kind.SBYTE: "int8",
    Kind.BYTE: "uint8",
    Kind.INT16: "int16",
    Kind.UINT16: "uint16",
    Kind.INT32: "int32",
    Kind.UINT32: "uint32",
    Kind.INT64: "int64",
    Kind.UINT64: "uint64",
    Kind.FLOAT: "float32",
    Kind.DOUBLE: "float64",
}


class BadValue(ValueError):
    """This value cannot be had; its column gets `status`."""

    def __init__(self, status: StatusCode) -> None:
        super().__init__(status.name)
        self.status = status


def nanoseconds(moment: datetime) -> int:
    """Since 1970, UTC. asyncua keeps microseconds of the 100 ns that are on the wire."""
    return (moment - EPOCH) // _MICROSECOND * 1_000


def converters(type: ValueType) -> Mapping[int, Convert]:
    """By the kind of the value that comes; what is not there does not become a `type`. They raise BadValue."""
    if type is ValueType.BOOL:
        return {Kind.BOOLEAN: _keep}
    if type is ValueType.STRING:
        return {Kind.STRING: _text, Kind.LOCALIZED_TEXT: _localized, Kind.GUID: str}
    take: Convert = _real if type.is_float else _keep
    table = {int(kind): take for kind, dtype in DTYPES.items() if _fits(dtype, type.value)}
    return table | {int(Kind.DATETIME): _moment} if type is ValueType.INT64 else table


def convert(table: Mapping[int, Convert], kind: int, value: object) -> Value:
    """Raises BadValue."""
    take = table.get(kind)
    if take is not None:
        return take(value)
    raise BadValue(StatusCode.BAD_NO_DATA if kind == Kind.NULL else StatusCode.BAD_TYPE_MISMATCH)


def _fits(source: str, target: str) -> bool:
    """numpy counts a 64-bit integer as safe in a double, which has 53 bits."""
    wide = source in ("int64", "uint64") and target == "float64"
    return np.can_cast(source, target, "safe") and not wide


def _keep(value: object) -> Value:
    return cast(Value, value)


def _real(value: object) -> Value:
    return float(cast(float, value))


def _text(value: object) -> Value:
    text = cast("str | None", value) or ""  # OPC UA Part 6, 5.2.2.4: many servers send null for the empty string
    if len(text) > MAX_STRING:
        raise BadValue(StatusCode.BAD_OUT_OF_RANGE)
    return text


def _localized(value: object) -> Value:
    return _text(getattr(value, "Text", None))


def _moment(value: object) -> Value:
    return nanoseconds(cast(datetime, value))
