"""The last value, quality and time of every tag of the cell: what interlocks, staleness and people look at."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gateway.model import Reading, Scan, StatusCode, Tag, TagGroup, Value

_NEVER = Reading(None, StatusCode.BAD_WAITING_FOR_INITIAL_DATA, 0, 0, stale=True)


class Image:
    def __init__(self, groups: Iterable[TagGroup]) -> None:
        self._groups = tuple(groups)
        self._where = {tag.id: (group, column) for group in self._groups for column, tag in enumerate(group.columns)}
        self._last: dict[TagGroup, Scan] = {}

    def adopt(self, before: Image) -> None:
        """Go on from `before` with the groups that are in both."""
        ours = set(self._groups)
        self._last = {group: scan for group, scan in before._last.items() if group in ours}

    def update(self, scan: Scan) -> None:
        """A whole row replaces the last one; a partial one is laid over it."""
        if scan.columns is not None:
            scan = _overlay(self._last.get(scan.group), scan)
        self._last[scan.group] = scan

    def read(self, tag: str, now: int) -> Reading:
        """The last value of a tag as seen at `now`. Raises KeyError for a tag that does not exist."""
        group, column = self._where[tag]
        scan = self._last.get(group)
        if scan is None or (scan.columns is not None and not scan.columns[column]):
            return _NEVER
        source = scan.source_time
        source_time = int(source[column]) if isinstance(source, np.ndarray) else source
        status = 0 if scan.status is None else int(scan.status[column])
        stale = now - scan.gateway_time > group.stale_after
        return Reading(_value(scan, column), status, source_time, scan.gateway_time, stale)

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


def _overlay(below: Scan | None, scan: Scan) -> Scan:
    """`scan`'s columns over those of `below`; the mask says which have ever been there."""
    assert scan.columns is not None
    if below is None:
        return scan
    mask = scan.columns
    width = len(scan.group.columns)
    values = tuple(
        np.where(mask[span.start : span.stop], new, old)
        for span, new, old in zip(scan.group.spans, scan.values, below.values, strict=True)
    )
    times = np.where(mask, scan.source_time, below.source_time)
    good = np.zeros(width, np.uint32)
    old_status = good if below.status is None else below.status
    status = np.where(mask, good if scan.status is None else scan.status, old_status)
    present = None if below.columns is None else mask | below.columns
    return Scan(scan.group, times, scan.gateway_time, values, status, present)
