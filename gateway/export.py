"""What a journal holds, as lines of text: JSON lines as the files sink writes them, or CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import numpy as np

from gateway import sheet
from gateway.clock import SECOND
from gateway.halving import pick
from gateway.inquiry import Export
from gateway.journal.chunk import Chunk
from gateway.model import AnyEvent, Mask, Quality, Rows, Schema, Value, quality
from gateway.sinks._json import event_messages, row_messages
from gateway.sinks._rows import marks, moments, times

HEADER = "time,tag,value,quality\r\n"


class Writer:
    """Turns chunks into lines; `place` (site and cell) stands in each JSON line. Counts what it wrote, and what could
    not be read."""

    def __init__(self, request: Export, place: Mapping[str, str]) -> None:
        self.points = 0
        self.events = 0
        self.lost = 0
        self._request = request
        self._place = place
        self._columns: dict[bytes, list[int]] = {}

    @property
    def head(self) -> str:
        """What comes before the first line."""
        return HEADER if self._request.format == "csv" else ""

    def lines(self, chunks: Sequence[Chunk]) -> Iterator[str]:
        for chunk in chunks:
            yield from self._lines(chunk)

    def _lines(self, chunk: Chunk) -> Iterator[str]:
        if chunk.broken:
            self.lost += chunk.points
        chosen = [some for rows in chunk.rows if (some := self._some(rows)) is not None]
        self.points += sum(rows.points for rows in chosen)
        if self._request.format == "csv":
            for rows in chosen:
                yield from csv_lines(rows)
            return
        yield from (f"{message.body.decode()}\n" for message in row_messages(chosen, self._place))
        events = [event for event in chunk.events if self._is_wanted(event)]
        self.events += len(events)
        yield from (f"{message.body.decode()}\n" for message in event_messages(events, self._place))

    def _some(self, rows: Rows) -> Rows | None:
        """Those that are wanted; None where none is."""
        columns = self._wanted(rows.schema)
        inside = (rows.gateway_time >= self._request.since) & (rows.gateway_time < self._request.until)
        if not columns or not inside.any():
            return None
        if not inside.all():
            rows = _where(rows, inside)
        return rows if len(columns) == len(rows.schema.columns) else pick(rows, columns)

    def _wanted(self, schema: Schema) -> list[int]:
        if schema.digest not in self._columns:
            names = [f"{schema.device}/{column.name}" for column in schema.columns]
            self._columns[schema.digest] = [n for n, name in enumerate(names) if self._matches(schema.device, name)]
        return self._columns[schema.digest]

    def _matches(self, device: str, tag: str) -> bool:
        request = self._request
        if request.device and device != request.device:
            return False
        return not request.tag or fnmatchcase(tag, request.tag)

    def _is_wanted(self, event: AnyEvent) -> bool:
        """Where a tag is asked for, only what is about it."""
        if not self._request.since <= event.time < self._request.until:
            return False
        tag = getattr(event, "tag", "")
        device = getattr(event, "device", "") or tag.partition("/")[0]
        if self._request.tag and not tag:
            return False
        return self._matches(device, tag)


def csv_lines(rows: Rows) -> Iterator[str]:
    """A line a value: its own time in UTC, the tag's id, the value (nothing where it is bad), and its quality."""
    names = [_quoted(sheet.cell(f"{rows.schema.device}/{column.name}")) for column in rows.schema.columns]
    codes = marks(rows)
    for row, source_time in enumerate(times(rows.source_time)):
        values = [value for plane in rows.values for value in plane[row].tolist()]
        status = codes[row].tolist()
        there = range(len(names)) if rows.present is None else np.flatnonzero(rows.present[row]).tolist()
        for time, columns in moments(source_time, there):
            at = moment(time)
            for column in columns:
                yield f"{at},{names[column]},{_shown(values[column], status[column])}\r\n"


def _shown(value: Value, code: int) -> str:
    """A value and its quality."""
    if code == 0:
        return f"{value!r},good" if isinstance(value, float) else f"{_quoted(sheet.cell(value))},good"
    if quality(code) is Quality.BAD:
        return ",bad"
    return f"{_quoted(sheet.cell(value))},{quality(code).name.lower()}"


def moment(time: int) -> str:
    """`2026-11-23T08:15:00.250000000Z`."""
    seconds, rest = divmod(time, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def _quoted(text: str) -> str:
    """RFC 4180, 2.6 and 2.7."""
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text


def _where(rows: Rows, inside: Mask) -> Rows:
    return replace(
        rows,
        source_time=rows.source_time[inside],
        gateway_time=rows.gateway_time[inside],
        values=tuple(plane[inside] for plane in rows.values),
        status=None if rows.status is None else rows.status[inside],
        present=None if rows.present is None else rows.present[inside],
    )
