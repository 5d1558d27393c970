"""The columns that a server refused lately: they travel apart, so that they do not stop the others again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gateway.halving import pick
from gateway.model import Rows

_MOST = 1000
_PROVEN = 8
"""So many values in a row, each refused alone and none accepted: it is the column, not the value."""

Key = tuple[str, str, str]


class Suspects:
    """At most a thousand columns are remembered, each with how many of its values were refused since one was
    accepted."""

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

    def learn(self, sound: Sequence[Rows], suspect: Sequence[Rows], refused: Iterable[Rows]) -> None:
        """Of what was tried as sound and as suspect, the values `refused` were refused, and all the others accepted."""
        bad = _points(refused)
        if any(one not in self._refused for one in bad):
            self._accuse(bad, _by_column(sound))
        for one, points in _points(suspect).items():
            if one not in bad:
                self._refused.pop(one, None)
            elif one in self._refused:
                self._refused[one] = self._refused[one] + points if bad[one] >= points else 0

    def _accuse(self, bad: dict[Key, int], tried: dict[Key, int]) -> None:
        """Where all columns are bad, or some values of more than half of them, it is not for being these columns: rows
        that are too old, say."""
        guilty = [one for one in bad if one in tried]
        if len(guilty) == len(tried):
            return
        for one in guilty[: _MOST - len(self._refused)]:
            if bad[one] >= tried[one]:
                self._refused[one] = bad[one]
            elif 2 * len(guilty) <= len(tried):
                self._refused[one] = 0


def _by_column(batch: Iterable[Rows]) -> dict[Key, int]:
    """How many values there are of each column."""
    points: dict[Key, int] = {}
    for rows in batch:
        schema, count = rows.schema, len(rows.gateway_time)
        there = [count] * len(schema.columns) if rows.present is None else np.count_nonzero(rows.present, axis=0)
        for column, values in zip(schema.columns, there, strict=True):
            one = schema.device, schema.group, column.name
            points[one] = points.get(one, 0) + int(values)
    return points


def _points(columns: Iterable[Rows]) -> dict[Key, int]:
    points: dict[Key, int] = {}
    for rows in columns:
        points[key(rows)] = points.get(key(rows), 0) + rows.points
    return points


def key(column: Rows) -> Key:
    """Rows of one column belong to it."""
    return column.schema.device, column.schema.group, column.schema.columns[0].name
