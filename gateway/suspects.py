"""The columns that a server refused lately: they travel apart, so that they do not stop the others again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.halving import pick
from gateway.model import Rows

_MOST = 1000
_PROVEN = 8
"""So many values in a row, each refused alone and none accepted: it is the column, not the value."""

Key = tuple[str, str, str]


class Suspects:
    """At most a thousand columns are remembered, each with how many of its values were refused since one was not."""

    def __init__(self) -> None:
        self._refused: dict[Key, int] = {}

    def sort(self, rows: Rows) -> tuple[tuple[Rows, ...], tuple[Rows, ...]]:
        """The rows without their suspect columns, and these."""
        if not self._refused:
            return (rows,), ()
        schema = rows.schema
        names = [(schema.device, schema.group, column.name) in self._refused for column in schema.columns]
        good = [number for number, is_suspect in enumerate(names) if not is_suspect]
        bad = [number for number, is_suspect in enumerate(names) if is_suspect]
        return ((pick(rows, good),) if good else ()), tuple(pick(rows, [number]) for number in bad)

    def is_proven(self, column: Rows) -> bool:
        return self._refused.get(key(column), 0) >= _PROVEN

    def learn(self, tried: Iterable[Rows], refused: Sequence[Rows]) -> None:
        """Of the columns `tried`, the values `refused` were refused, and all the others accepted. What was refused and
        not tried as a suspect becomes one."""
        bad: dict[Key, int] = {}
        for rows in refused:
            bad[key(rows)] = bad.get(key(rows), 0) + rows.points
        suspects: dict[Key, int] = {}
        for rows in tried:
            suspects[key(rows)] = suspects.get(key(rows), 0) + rows.points
        for one, points in suspects.items():
            if one not in bad:
                self._refused.pop(one, None)
            elif bad[one] < points:
                self._refused[one] = 0
        for one, points in bad.items():
            if one in self._refused or len(self._refused) < _MOST:
                whole = one in suspects and points >= suspects[one]
                self._refused[one] = self._refused.get(one, 0) + points if whole else 0


def key(column: Rows) -> Key:
    """Rows of one column belong to it."""
    return column.schema.device, column.schema.group, column.schema.columns[0].name
