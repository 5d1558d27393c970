"""Cuts rows in two, so that what a server refuses is found in a few requests: by column first, because what is wrong
with a value (its type, its name) is mostly wrong with its whole column. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from gateway.model import Plane, Rows, Schema


def halves(rows: Rows) -> tuple[Rows, ...]:
    """Two parts that together are `rows`; none if it is a single value, which cannot be cut."""
    width, count = len(rows.schema.columns), len(rows.gateway_time)
    if width > 1:
        return pick(rows, range(width // 2)), pick(rows, range(width // 2, width))
    if count > 1:
        return _rows(rows, slice(0, count // 2)), _rows(rows, slice(count // 2, count))
    return ()


def pick(rows: Rows, columns: Sequence[int]) -> Rows:
    """Some columns, in their order, as rows of a schema that has only these."""
    chosen = np.asarray(columns, np.intp)
    values: list[Plane] = []
    for span, plane in zip(rows.schema.spans, rows.values, strict=True):
        inside = chosen[(chosen >= span.start) & (chosen < span.stop)]
        if inside.size:
            values.append(plane[:, inside - span.start])
    schema = rows.schema
    return Rows(
        Schema(schema.device, schema.group, tuple(schema.columns[column] for column in columns)),
        rows.source_time if rows.source_time.ndim == 1 else rows.source_time[:, chosen],
        rows.gateway_time,
        tuple(values),
        None if rows.status is None else rows.status[:, chosen],
        None if rows.present is None else rows.present[:, chosen],
    )


def _rows(rows: Rows, part: slice) -> Rows:
    return replace(
        rows,
        source_time=rows.source_time[part],
        gateway_time=rows.gateway_time[part],
        values=tuple(plane[part] for plane in rows.values),
        status=None if rows.status is None else rows.status[part],
        present=None if rows.present is None else rows.present[part],
    )


def letter(rows: Rows) -> bytes:
    """One value as JSON: what a dead letter keeps of it."""
    column = rows.schema.columns[0]
    value = rows.values[0][0, 0]
    return msgspec.json.encode(
        {
            "device": rows.schema.device,
            "group": rows.schema.group,
            "tag": column.name,
            "type": column.type,
            "value": value if isinstance(value, str) else value.item(),
            "status": 0 if rows.status is None else int(rows.status[0, 0]),
            "source_time": int(np.asarray(rows.source_time).flat[0]),
            "gateway_time": int(rows.gateway_time[0]),
        }
    )


class Suspects:
    """The columns that a server refused lately. At most a thousand are remembered."""

    _MOST = 1000

    def __init__(self) -> None:
        self._columns: set[tuple[str, str, str]] = set()

    def sort(self, rows: Rows) -> tuple[tuple[Rows, ...], tuple[Rows, ...]]:
        """The rows without their suspect columns, and these."""
        if not self._columns:
            return (rows,), ()
        schema = rows.schema
        names = [(schema.device, schema.group, column.name) in self._columns for column in schema.columns]
        good = [number for number, is_suspect in enumerate(names) if not is_suspect]
        bad = [number for number, is_suspect in enumerate(names) if is_suspect]
        return ((pick(rows, good),) if good else ()), tuple(pick(rows, [number]) for number in bad)

    def learn(self, tried: Sequence[Rows], refused: Sequence[Rows]) -> None:
        """What was refused is suspect; what was tried as a suspect and accepted no longer is."""
        guilty = {key for rows in refused for key in _keys(rows)}
        self._columns -= {key for rows in tried for key in _keys(rows)} - guilty
        self._columns |= set(list(guilty)[: self._MOST - len(self._columns)])


def _keys(rows: Rows) -> list[tuple[str, str, str]]:
    return [(rows.schema.device, rows.schema.group, column.name) for column in rows.schema.columns]
