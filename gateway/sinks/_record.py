"""Rows and events as JSON objects, one a message or a line: what every sink says that speaks JSON. Pure.

The same row always gives the same bytes, so that an id made from them is the same when it is sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import orjson

from gateway.model import AnyEvent, Quality, Rows
from gateway.sinks._identity import event_id, row_id
from gateway.sinks._rows import marks, moments, times


class Place(NamedTuple):
    """Where everything that a sink sends comes from."""

    site: str
    cell: str


class Row(NamedTuple):
    """A row, or those of its values that share a source time. Times in nanoseconds; `body` is a JSON object."""

    device: str
    group: str
    time: int
    gateway_time: int
    body: bytes

    def id(self, place: Place) -> str:
        return row_id(*place, self.device, self.group, self.time, self.body)


class Happening(NamedTuple):
    """An event. `type` names its kind; `body` is a JSON object."""

    type: str
    time: int
    body: bytes

    def id(self, place: Place) -> str:
        return event_id(*place, self.body)


def row_records(batches: Iterable[Rows], place: Place) -> Iterator[Row]:
    """One a row, or one for each source time where the values of a row have their own. A value that is bad or no
    finite number is null, with its code in `quality`; one that is not there is left out."""
    for rows in batches:
        yield from _records(rows, place._asdict() | {"device": rows.schema.device, "group": rows.schema.group})


def _records(rows: Rows, place: Mapping[str, str]) -> Iterator[Row]:
    names = [column.name for column in rows.schema.columns]
    codes = marks(rows)
    for row, source_time in enumerate(times(rows.source_time)):
        gateway_time = int(rows.gateway_time[row])
        values = [value for plane in rows.values for value in plane[row]]
        status = codes[row].tolist()
        there = range(len(names)) if rows.present is None else np.flatnonzero(rows.present[row]).tolist()
        for time, columns in moments(source_time, there):
            record = {"time": time, "gateway_time": gateway_time, **place}
            record["values"] = {names[i]: None if status[i] >> 30 >= Quality.BAD else values[i] for i in columns}
            record["quality"] = {names[i]: status[i] for i in columns if status[i]}
            body = orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY)
            yield Row(rows.schema.device, rows.schema.group, time, gateway_time, body)


def event_records(events: Iterable[AnyEvent], place: Place) -> Iterator[Happening]:
    for event in events:
        record = place._asdict() | msgspec.to_builtins(event)
        yield Happening(record["type"], event.time, orjson.dumps(record))
