"""From the values that a server sends to scans. Pure.

A server sends what has changed, each value with its own time and quality, and of one node perhaps several that have
queued up. The k-th value of a node in a message goes into the k-th scan made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from drivers.opcua.convert import BadValue, convert, converters
from gateway.clock import SECOND
from gateway.model import Plane, Scan, StatusCode, Statuses, TagGroup, Times, Value

EARLIEST: Final = 946_684_800 * SECOND
"""2000-01-01: a clock that says something earlier has never been set."""
LEAD: Final = 24 * 3600 * SECOND
"""How far ahead of ours the clock of a server may be."""

OVERFLOW: Final = 0x0480
"""OPC UA Part 4, 7.39.1: the info type "data value" with the overflow bit, in the lower half of a status code."""


class Sample(NamedTuple):
    """One value of one column as the server gave it: `kind` is its type, `status` all 32 bits of its status code,
    `time` nanoseconds UTC."""

    column: int
    kind: int
    value: object
    status: int
    time: int

    @property
    def overflowed(self) -> bool:
        """The server's queue was too short for what came between two messages."""
        return self.status & OVERFLOW == OVERFLOW


def pick_time(source: int | None, server: int | None, now: int) -> int:
    """The source timestamp; where it is missing or cannot be, the server's; or else `now`, our own."""
    for time in (source, server):
        if time is not None and EARLIEST <= time <= now + LEAD:
            return time
    return now


class Collector:
    """Makes scans of one group."""

    def __init__(self, group: TagGroup) -> None:
        self._group = group
        self._tables = [converters(tag.type) for tag in group.columns]
        self._spans = [number for number, span in enumerate(group.spans) for _ in range(span.start, span.stop)]

    def scans(self, samples: Iterable[Sample], now: int) -> list[Scan]:
        """In order; none where there are no samples. `now` is when they came."""
        rows: list[_Row] = []
        counts: dict[int, int] = {}
        for sample in samples:
            turn = counts.get(sample.column, 0)
            counts[sample.column] = turn + 1
            if turn == len(rows):
                rows.append(_Row(len(self._group.spans)))
            self._put(rows[turn], sample)
        return [row.scan(self._group, now) for row in rows]

    def confirm(self, samples: Sequence[Sample], now: int) -> Scan:
        """A row of values that are known already, and hold on: it has a time for each, as none of them is new."""
        (scan,) = self.scans(samples, now)
        if isinstance(scan.source_time, int):
            scan.source_time = np.full(len(self._group.columns), scan.source_time, np.int64)
        return scan

    def _put(self, row: _Row, sample: Sample) -> None:
        column, status = sample.column, sample.status
        try:
            row.keep(self._spans[column], column, convert(self._tables[column], sample.kind, sample.value))
        except BadValue as bad:
            status = status if status >> 31 else bad.status  # the server's own reason comes first
        row.note(column, status, sample.time)


class _Row:
    """One scan while it is being collected; values by span."""

    __slots__ = ("columns", "positions", "status", "times", "values")

    def __init__(self, spans: int) -> None:
        self.columns: list[int] = []
        self.times: list[int] = []
        self.status: list[int] = []
        self.positions: list[list[int]] = [[] for _ in range(spans)]
        self.values: list[list[Value]] = [[] for _ in range(spans)]

    def keep(self, span: int, column: int, value: Value) -> None:
        self.positions[span].append(column)
        self.values[span].append(value)

    def note(self, column: int, status: int, time: int) -> None:
        self.columns.append(column)
        self.status.append(status)
        self.times.append(time)

    def scan(self, group: TagGroup, now: int) -> Scan:
        mask = None
        if len(self.columns) < len(group.columns):
            mask = np.zeros(len(group.columns), np.bool_)
            mask[self.columns] = True
        return Scan(group, self._source_time(group, now), now, self._planes(group), self._statuses(group), mask)

    def _source_time(self, group: TagGroup, now: int) -> int | Times:
        first = self.times[0]
        if self.times.count(first) == len(self.times):
            return first
        times = np.full(len(group.columns), now, np.int64)
        times[self.columns] = self.times
        return times

    def _statuses(self, group: TagGroup) -> Statuses | None:
        if not any(self.status):
            return None
        status = np.full(len(group.columns), StatusCode.GOOD, np.uint32)
        status[self.columns] = np.array(self.status, np.uint32)
        return status

    def _planes(self, group: TagGroup) -> tuple[Plane, ...]:
        planes = group.zeros()
        for span, plane, positions, values in zip(group.spans, planes, self.positions, self.values, strict=True):
            if positions:
                # With its type from the start: numpy would take a list of mixed 64-bit integers for doubles.
                plane[np.array(positions) - span.start] = np.array(values, plane.dtype)
        return planes
