"""What the cloud has taken, and whether it had it before. Pure.

A point is one value of one field: known by measurement, tags, field and time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TypeAlias

from simulators.lineprotocol import Field, Point

Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


class Ledger:
    """`counts`: lines, points (every one that was taken), duplicates (of these, the ones that it had, with the same
    value), conflicts (the ones that it had with another value; the last one counts)."""

    def __init__(self) -> None:
        self.counts = Counter[str](lines=0, points=0, duplicates=0, conflicts=0)
        self.measurements = Counter[str]()
        self._types: dict[tuple[str, str], str] = {}
        self._rows: defaultdict[Series, dict[int, dict[str, Field]]] = defaultdict(dict)

    def clash(self, point: Point) -> str | None:
        """Why a point cannot be taken: one of its fields has another type than before. InfluxDB refuses it whole."""
        for name, field in point.fields:
            known = self._types.get((point.measurement, name), field.type)
            if known != field.type:
                what = f'input field "{name}" on measurement "{point.measurement}"'
                return f"field type conflict: {what} is type {field.type}, already exists as type {known}"
        return None

    def enter(self, point: Point, time_ns: int) -> None:
        row = self._rows[point.measurement, point.tags].setdefault(time_ns, {})
        for name, field in point.fields:
            self._types.setdefault((point.measurement, name), field.type)
            if name in row:
                self.counts["duplicates" if row[name] == field else "conflicts"] += 1
            row[name] = field
        self.counts["lines"] += 1
        self.counts["points"] += len(point.fields)
        self.measurements[point.measurement] += len(point.fields)

    @property
    def series(self) -> int:
        return len(self._rows)
