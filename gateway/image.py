"""The last value, quality and time of every tag of the cell: what interlocks, staleness and people look at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from gateway.model import Mask, Reading, Scan, StatusCode, Tag, TagGroup, Times, Value

_NEVER = Reading(None, StatusCode.BAD_WAITING_FOR_INITIAL_DATA, 0, 0, stale=True)


class _Row(NamedTuple):
    """What was last there of a group, and when each column came, on both clocks."""

    scan: Scan
    gateway_time: int | Times
    monotonic: int | Times


class Image:
    def __init__(self, groups: Iterable[TagGroup]) -> None:
        self._groups = tuple(groups)
        self._where = {tag.id: (group, column) for group in self._groups for column, tag in enumerate(group.columns)}
        self._last: dict[TagGroup, _Row] = {}

    def adopt(self, before: Image) -> None:
        """Go on from `before` with the groups that are in both."""
        ours = set(self._groups)
        self._last = {group: row for group, row in before._last.items() if group in ours}

    def update(self, scan: Scan, monotonic: int) -> None:
        """A whole row replaces the last one; a partial one is laid over it. It came at `monotonic`."""
        row = _Row(scan, scan.gateway_time, monotonic)
        self._last[scan.group] = row if scan.columns is None else _overlay(self._last.get(scan.group), row)

    def recall(self, scan: Scan) -> None:
        """Give a row that only says that what was there still holds the times and the status that were settled then:
        a device's clock that was not believed is not believed now either."""
        row = self._last.get(scan.group)
        if row is None or not _covers(row.scan.columns, scan.columns):
            return
        scan.source_time, scan.status = row.scan.source_time, row.scan.status

    def read(self, tag: str, monotonic: int) -> Reading:
        """The last value of a tag as seen at `monotonic`; how old it is does not depend on the wall clock. Raises
        KeyError for a tag that does not exist."""
        group, column = self._where[tag]
        row = self._last.get(group)
        if row is None or (row.scan.columns is not None and not row.scan.columns[column]):
            return _NEVER
        scan = row.scan
        status = 0 if scan.status is None else int(scan.status[column])
        fresh_until = _at(row.monotonic, column) + group.stale_after
        times = _at(scan.source_time, column), _at(row.gateway_time, column)
        return Reading(_value(scan, column), status, *times, monotonic > fresh_until, fresh_until)

    def tag(self, tag: str) -> Tag:
        """Raises KeyError."""
        group, column = self._where[tag]
        return group.columns[column]

    def groups(self) -> tuple[TagGroup, ...]:
        return self._groups

    def tags(self) -> Iterable[str]:
        return self._where


def _value(scan: Scan, column: int) -> Value:
    for span, plane in zip(scan.group.spans, scan.values, strict=True):
        if column < span.stop:
            value = plane[column - span.start]
            item: Value = value if isinstance(value, str) else value.item()
            return item
    raise IndexError(column)


def _at(times: int | Times, column: int) -> int:
    return times if isinstance(times, int) else int(times[column])


def _covers(there: Mask | None, asked: Mask | None) -> bool:
    return there is None or (asked is not None and not bool((asked & ~there).any()))


def _overlay(below: _Row | None, row: _Row) -> _Row:
    """Its columns over those of `below`, each with its own times; the mask says which have ever been there."""
    scan = row.scan
    assert scan.columns is not None
    if below is None:
        return row
    mask, under = scan.columns, below.scan
    values = tuple(
        np.where(mask[span.start : span.stop], new, old)
        for span, new, old in zip(scan.group.spans, scan.values, under.values, strict=True)
    )
    good = np.zeros(len(mask), np.uint32)
    old_status = good if under.status is None else under.status
    status = np.where(mask, good if scan.status is None else scan.status, old_status)
    present = None if under.columns is None else mask | under.columns
    times = np.where(mask, scan.source_time, under.source_time)
    merged = Scan(scan.group, times, scan.gateway_time, values, status, present)
    gateway_time = np.where(mask, row.gateway_time, below.gateway_time)
    return _Row(merged, gateway_time, np.where(mask, row.monotonic, below.monotonic))
