"""Rows and events as JSON objects, for sinks that send or keep JSON. Pure.

A row is one object, or one for each source time where its values have their own:
`{"time":…,"gateway_time":…,"site":…,"cell":…,"device":…,"group":…,"values":{TAG:…},"quality":{TAG:CODE}}`.
A value that is bad or no finite number is null, with its code in `quality`; one that is not there is left out. Integers
are exact, 64 bits of them; a float is written as short as it can be and still be read back as the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import orjson

from gateway.model import AnyEvent, Quality, Rows
from gateway.sinks._rows import marks, moments, times


class Message(NamedTuple):
    """One JSON object, and what it is about. `kind` is what an event is called; empty for a row. `time` is the source
    time or the event's, in nanoseconds UTC, `gateway_time` when it reached the gateway. `points` counts its values."""

    device: str
    group: str
    kind: str
    time: int
    gateway_time: int
    points: int
    body: bytes


def row_messages(batches: Iterable[Rows], place: Mapping[str, str]) -> Iterator[Message]:
    """`place` stands in every object: the site and the cell."""
    for rows in batches:
        yield from _messages(rows, dict(place) | {"device": rows.schema.device, "group": rows.schema.group})


def _messages(rows: Rows, place: Mapping[str, str]) -> Iterator[Message]:
    device, group = rows.schema.device, rows.schema.group
    names = [column.name for column in rows.schema.columns]
    codes = marks(rows)
    for row, source_time in enumerate(times(rows.source_time)):
        gateway_time = int(rows.gateway_time[row])
        values = [value for plane in rows.values for value in plane[row]]
        status = codes[row].tolist()
        there = range(len(names)) if rows.present is None else np.flatnonzero(rows.present[row]).tolist()
        for time, columns in moments(source_time, there):
            line = {"time": time, "gateway_time": gateway_time, **place}
            line["values"] = {names[i]: None if status[i] >> 30 >= Quality.BAD else values[i] for i in columns}
            line["quality"] = {names[i]: status[i] for i in columns if status[i]}
            body = orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY)
            yield Message(device, group, "", time, gateway_time, len(columns), body)


def event_messages(events: Iterable[AnyEvent], place: Mapping[str, str]) -> Iterator[Message]:
    """`type` names the kind of event."""
    for event in events:
        line = dict(place) | msgspec.to_builtins(event)
        yield Message("", "", type(event).__name__, event.time, event.time, 1, orjson.dumps(line))
