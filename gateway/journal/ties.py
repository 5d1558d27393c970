"""Keeps apart what a device says in one nanosecond. Pure.

A row is known by its group and its source time, and servers overwrite what has the same. So a row that says something
else than an earlier one of the same time is stored a nanosecond later, the next one two; a row that says the same again
is a repeat, and gets the time that it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gateway.clock import MILLISECOND
from gateway.model import Mask, Plane, Rows, Scan, Statuses, Times

_MOST_SEEN = 10_000
_FARTHEST = MILLISECOND
_FINEST = 1_000
"""Nanoseconds: clocks tell microseconds at best, so that what lies in between stands behind another row."""

_Fingerprint = tuple[object, ...]


@dataclass(slots=True)
class _Moment:
    """The rows of one time. `used` is, for each column, how many nanoseconds behind `time` are taken."""

    time: int
    used: npt.NDArray[np.int64]
    seen: dict[_Fingerprint, int] = field(default_factory=dict)
    is_cut: bool = False
    """It was remembered, and may have begun before what is remembered."""

    @property
    def end(self) -> int:
        """The first time that is free behind it."""
        return self.time + max(1, int(self.used.max(initial=0)))

    def holds(self, time: int) -> bool:
        """Whether a row was stored at `time`, by its own time or a nanosecond or more behind it."""
        return self.time <= time < self.end

    def reaches_back(self, time: int) -> bool:
        """Whether it began at `time`, which is its time from now on; what lies in between is taken."""
        behind = self.time - time
        if not self.is_cut or not 0 < behind < _FARTHEST or time % _FINEST or not self.time % _FINEST:
            return False
        self.time, self.is_cut = time, False
        self.used += behind
        self.seen = {key: place + behind for key, place in self.seen.items()}
        return True

    def place(self, planes: Sequence[Plane], status: Statuses | None, columns: Mask | None) -> int:
        """The time at which to store the row."""
        key = _fingerprint(planes, status, columns)
        place = self.seen.get(key)
        if place is None:
            mine = slice(None) if columns is None else columns
            place = int(self.used[mine].max(initial=0))
            self.used[mine] = place + 1
            if len(self.seen) < _MOST_SEEN:
                self.seen[key] = place
        return self.time + place


@dataclass(slots=True)
class _Columns:
    """Where each value has its own time: the last of each column, and how many nanoseconds behind it are taken."""

    times: Times
    extra: Times
    values: tuple[Plane, ...]

    def place(self, scan: Scan, times: Times) -> Times:
        here = np.ones(len(times), np.bool_) if scan.columns is None else scan.columns
        again = here & (times == self.times)
        other = np.zeros(len(times), np.bool_)
        for span, plane, old in zip(scan.group.spans, scan.values, self.values, strict=True):
            other[span.start : span.stop] = plane != old
        self.extra = np.where(again, self.extra + other, np.where(here, 0, self.extra))
        self.times = np.where(here, times, self.times)
        self.values = tuple(
            np.where(here[span.start : span.stop], plane, old)
            for span, plane, old in zip(scan.group.spans, scan.values, self.values, strict=True)
        )
        return times + np.where(again, self.extra, 0)


class Ties:
    """Remembers of each group the last time and what was said at it."""

    def __init__(self) -> None:
        self._last: dict[str, Scan] = {}
        self._moments: dict[str, _Moment] = {}
        self._columns: dict[str, _Columns] = {}

    def settle(self, scan: Scan) -> None:
        """Gives the row a source time that is its own."""
        time = scan.source_time
        if isinstance(time, int):
            self._settle_row(scan.group.id, scan, time)
        else:
            self._settle_columns(scan.group.id, scan, time)

    def _settle_row(self, name: str, scan: Scan, time: int) -> None:
        moment, last = self._moments.get(name), self._last.get(name)
        self._last[name] = scan
        if moment is not None and not moment.holds(time) and not moment.reaches_back(time):
            del self._moments[name]
            moment = None
        if moment is None and last is not None and last.source_time == time and _are_alike(last, scan):
            moment = self._moments[name] = _Moment(time, np.zeros(len(scan.group.columns), np.int64))
            moment.place(last.values, last.status, last.columns)
        if moment is not None and len(moment.used) == len(scan.group.columns):
            scan.source_time = moment.place(scan.values, scan.status, scan.columns)

    def _settle_columns(self, name: str, scan: Scan, times: Times) -> None:
        columns = self._columns.get(name)
        if columns is None or [len(plane) for plane in columns.values] != [len(plane) for plane in scan.values]:
            self._columns[name] = _Columns(times, np.zeros(len(times), np.int64), scan.values)
        else:
            scan.source_time = columns.place(scan, times)

    def remember(self, rows: Rows) -> None:
        """What was stored last, before a restart, in the order in which it was stored: what was not acknowledged then
        comes again now, and there may be more of the last time. Rows that stand a nanosecond apart had one time."""
        if rows.source_time.ndim != 1 or not len(rows.source_time):
            return
        name, width = f"{rows.schema.device}/{rows.schema.group}", len(rows.schema.columns)
        known = self._moments.get(name)
        moment = known if known is not None and len(known.used) == width else None
        first, time = _last_moment(rows.source_time.tolist(), moment)
        if moment is None or moment.time != time:
            moment = _Moment(time, np.zeros(width, np.int64), is_cut=known is None and first == 0)
        for row in range(first, len(rows.source_time)):
            status = None if rows.status is None else rows.status[row]
            present = None if rows.present is None or rows.present[row].all() else rows.present[row]
            moment.place([plane[row] for plane in rows.values], status, present)
        self._moments[name] = moment


def _last_moment(times: Sequence[int], moment: _Moment | None) -> tuple[int, int]:
    """The first row of the last moment in `times`, which may go on with `moment`; and the time of that moment."""
    first = 0
    begin, end = (times[0], times[0]) if moment is None else (moment.time, moment.end)
    for row, time in enumerate(times):
        if begin <= time <= end:
            end = max(end, time + 1)
        else:
            first, begin, end = row, time, time + 1
    return first, begin


def _are_alike(one: Scan, other: Scan) -> bool:
    return one.group is other.group or one.group.schema.digest == other.group.schema.digest


def _fingerprint(planes: Sequence[Plane], status: Statuses | None, columns: Mask | None) -> _Fingerprint:
    """Of what is there; values that are not mean nothing."""
    at, values = 0, []
    for plane in planes:
        there = plane if columns is None else plane[columns[at : at + len(plane)]]
        values.append(tuple(there) if there.dtype == object else there.tobytes())
        at += len(plane)
    doubts = None if status is None else status if columns is None else status[columns]
    return (
        *values,
        None if doubts is None or not doubts.any() else doubts.tobytes(),
        None if columns is None else columns.tobytes(),
    )
