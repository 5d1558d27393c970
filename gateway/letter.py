"""What a dead letter keeps: one value, or one event, as JSON that people can read, and back again, exactly. Pure."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from gateway.model import (
    AlarmChanged,
    AnyEvent,
    Column,
    CommandDone,
    DataLost,
    DeviceChanged,
    Rows,
    Schema,
    Value,
    ValueType,
)

_EVENT = AlarmChanged | CommandDone | DataLost | DeviceChanged
_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}


class _Kind(msgspec.Struct, frozen=True):
    type: str


class _Letter(msgspec.Struct, frozen=True):
    """`value` is null for NaN, and text for the infinities, which JSON has no numbers for."""

    device: str
    group: str
    tag: str
    type: ValueType
    value: Value | None
    status: int
    source_time: int
    gateway_time: int
    unit: str = ""


def letter(rows: Rows) -> bytes:
    """`rows` hold one value."""
    column = rows.schema.columns[0]
    return msgspec.json.encode(
        _Letter(
            rows.schema.device,
            rows.schema.group,
            column.name,
            column.type,
            _write(rows.values[0][0, 0]),
            0 if rows.status is None else int(rows.status[0, 0]),
            int(np.asarray(rows.source_time).flat[0]),
            int(rows.gateway_time[0]),
            column.unit,
        )
    )


def event_letter(event: AnyEvent) -> bytes:
    return msgspec.json.encode(event)


def reopen(content: bytes) -> Rows | AnyEvent:
    """What `letter`, or `event_letter`, was given. Raises ValueError where it is neither."""
    if msgspec.json.decode(content, type=_Kind).type not in list(ValueType):
        event: AnyEvent = msgspec.json.decode(content, type=_EVENT)
        return event
    one = msgspec.json.decode(content, type=_Letter)
    try:
        return Rows(
            Schema(one.device, one.group, (Column(one.tag, one.type, one.unit),)),
            np.array([one.source_time], np.int64),
            np.array([one.gateway_time], np.int64),
            (np.array([[_read(one)]], one.type.dtype),),
            np.array([[one.status]], np.uint32) if one.status else None,
        )
    except OverflowError as error:
        raise ValueError(f"a number is out of range: {error}") from error


def _write(value: np.generic | str) -> Value | None:
    plain: Value = value if isinstance(value, str) else value.item()
    if not isinstance(plain, float) or math.isfinite(plain):
        return plain
    return None if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"


def _read(one: _Letter) -> Value:
    """Nothing is made to fit: numpy would take 3.5 for an integer, and any text for true."""
    value = one.value
    if one.type.is_float:
        value = math.nan if value is None else _INFINITE.get(str(value), value)
        value = float(value) if type(value) is int else value
    if value is None or type(value) is not _plain(one.type):
        raise ValueError(f"{value!r} is no {one.type}")
    return value


def _plain(type: ValueType) -> object:
    if type is ValueType.BOOL:
        return bool
    if type is ValueType.STRING:
        return str
    return float if type.is_float else int
