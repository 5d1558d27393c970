"""What a sink still has to get: a set of ranges of chunk numbers, not one cursor, so that live data can go on at the
head while a gap drains behind it. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]

OPEN_END = 1 << 62
"""The stop of the last range: whatever will be appended is pending too."""


class Ranges:
    """Sorted, disjoint, non-empty half-open ranges `[start, stop)`, never touching each other."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._ranges: list[Range] = []
        for start, stop in sorted(ranges):
            self.add(start, stop)

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __repr__(self) -> str:
        return f"Ranges({self._ranges})"

    def add(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        first = bisect_left(self._ranges, start, key=lambda r: r[1])
        last = bisect_right(self._ranges, stop, key=lambda r: r[0])
        if first < last:
            start = min(start, self._ranges[first][0])
            stop = max(stop, self._ranges[last - 1][1])
        self._ranges[first:last] = [(start, stop)]

    def remove(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        first = bisect_right(self._ranges, start, key=lambda r: r[1])
        last = bisect_left(self._ranges, stop, key=lambda r: r[0])
        rest: list[Range] = []
        if first < last:
            rest.append((self._ranges[first][0], start))
            rest.append((stop, self._ranges[last - 1][1]))
        self._ranges[first:last] = [(a, b) for a, b in rest if a < b]

    def within(self, start: int, stop: int) -> Iterator[Range]:
        """The parts of the ranges that lie in `[start, stop)`, in order."""
        first = bisect_right(self._ranges, start, key=lambda r: r[1])
        for a, b in self._ranges[first:]:
            if a >= stop or start >= stop:
                return
            yield max(a, start), min(b, stop)

    def first(self, start: int, stop: int) -> Range | None:
        """The first part that lies in `[start, stop)`."""
        return next(self.within(start, stop), None)
