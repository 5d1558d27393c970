"""Rows and events as the columns of two tables: a list for each column, all of one length. Pure.

A point of telemetry is a row of its table. `value` holds every number and every boolean as a float64, so that a chart
needs no other column. Beside it stands what that may not hold: integers in `value_int`, booleans in `value_bool`,
strings in `value_text`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec
import numpy as np

from gateway.model import (
    AlarmChanged,
    AnyEvent,
    CommandDone,
    DeviceChanged,
    Mask,
    Plane,
    Quality,
    Rows,
    Span,
    ValueType,
)
from gateway.sinks._rows import marks

Cell: TypeAlias = bool | int | float | str | None
Columns: TypeAlias = dict[str, list[Cell]]

_ABOUT = ("device", "tag_group", "tag", "time_ns", "gateway_time_ns", "quality")
_VALUES = ("value", "value_int", "value_bool", "value_text")
_EVENT = ("type", "subject", "time_ns", "tag", "state", "message", "detail")


def telemetry_columns(batches: Iterable[Rows], largest: int | None = None) -> Columns:
    """Every value that is there. One that is bad, or no finite number, is null and has its code in `quality`. An
    integer above `largest`, where that is given, does not fit `value_int`: its digits stand in `value_text`."""
    columns: Columns = {name: [] for name in (*_ABOUT, *_VALUES)}
    for rows in batches:
        shape = (len(rows.gateway_time), len(rows.schema.columns))
        everywhere = np.ones(shape, np.bool_) if rows.present is None else rows.present
        codes = marks(rows)
        for span, plane in zip(rows.schema.spans, rows.values, strict=True):
            there = everywhere[:, span.start : span.stop]
            status = codes[:, span.start : span.stop]
            _add(columns, _about(rows, span, there) | {"quality": status[there].tolist()})
            _add(columns, _values(span, plane[there], _hidden(span, plane, status)[there], largest))
    return columns


def event_columns(events: Iterable[AnyEvent]) -> Columns:
    """`subject` is what an event is known by beside its time and type; `detail` is all of it, as JSON."""
    columns: Columns = {name: [] for name in _EVENT}
    for event in events:
        fields = {name: plain(value) for name, value in msgspec.to_builtins(event).items()}
        row = {"type": fields["type"], "time_ns": event.time, "tag": fields.get("tag"), **_told(event)}
        _add(columns, {name: [plain(value)] for name, value in row.items()})
        columns["detail"].append(msgspec.json.encode(fields).decode())
    return columns


def plain(value: Cell) -> Cell:
    """Text as a database takes it: a NUL becomes its Unicode picture, and a lone surrogate, which UTF-8 cannot carry,
    `?`. Anything else is left alone."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "␀").encode("utf-8", "replace").decode()


def _add(columns: Columns, more: Columns) -> None:
    for name, cells in more.items():
        columns[name] += cells


def _about(rows: Rows, span: Span, there: Mask) -> Columns:
    """What is known of the points of one plane besides their values."""
    count = int(np.count_nonzero(there))
    names = np.array([plain(column.name) for column in rows.schema.columns[span.start : span.stop]], object)
    times = rows.source_time[:, None] if rows.source_time.ndim == 1 else rows.source_time[:, span.start : span.stop]
    return {
        "device": [plain(rows.schema.device)] * count,
        "tag_group": [plain(rows.schema.group)] * count,
        "tag": np.broadcast_to(names, there.shape)[there].tolist(),
        "time_ns": np.broadcast_to(times, there.shape)[there].tolist(),
        "gateway_time_ns": np.broadcast_to(rows.gateway_time[:, None], there.shape)[there].tolist(),
    }


def _hidden(span: Span, plane: Plane, status: Plane) -> Mask:
    bad: Mask = status.astype(np.uint32) >> 30 >= Quality.BAD
    return bad | ~np.isfinite(plane) if span.type.is_float else bad


def _values(span: Span, plane: Plane, hidden: Mask, largest: int | None) -> Columns:
    """The value columns of the points of one plane; null where `hidden`."""
    known = _known(span.type, plane, largest)
    columns: Columns = {name: known.get(name) or [None] * len(plane) for name in _VALUES}
    at = np.flatnonzero(hidden).tolist()
    for cells in columns.values():
        for i in at:
            cells[i] = None
    return columns


def _known(kind: ValueType, plane: Plane, largest: int | None) -> Columns:
    if kind is ValueType.STRING:
        return {"value_text": [plain(str(value)) for value in plane]}
    columns: Columns = {"value": plane.astype(np.float64).tolist()}
    if kind is ValueType.BOOL:
        columns["value_bool"] = plane.tolist()
    elif not kind.is_float:
        exact: list[int] = plane.tolist()
        columns["value_int"] = list(exact)
        if kind is ValueType.UINT64 and largest is not None:
            columns["value_int"] = [number if number <= largest else None for number in exact]
            columns["value_text"] = [None if number <= largest else str(number) for number in exact]
    return columns


def _told(event: AnyEvent) -> dict[str, Cell]:
    if isinstance(event, AlarmChanged):
        return {"subject": event.alarm, "state": event.state.value, "message": event.message}
    if isinstance(event, DeviceChanged):
        return {"subject": event.device, "state": event.state.value, "message": event.reason}
    if isinstance(event, CommandDone):
        return {"subject": event.command, "state": event.outcome.value, "message": event.reason}
    return {"subject": event.reason, "state": "", "message": event.reason}
