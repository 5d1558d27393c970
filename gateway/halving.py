"""Cuts rows: to some columns, to some rows, to single values. And in two, so that what a server refuses is found in a
few requests: by column first, because what is wrong with a value (its type, its name) is mostly wrong with its whole
column. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gateway.model import Mask, Plane, Rows, Schema


def halves(rows: Rows) -> tuple[Rows, ...]:
    """Two parts that together are `rows`; none if it is a single value, which cannot be cut."""
    width, count = len(rows.schema.columns), len(rows.gateway_time)
    if width > 1:
        return pick(rows, range(width // 2)), pick(rows, range(width // 2, width))
    if count > 1:
        return crop(rows, slice(0, count // 2)), crop(rows, slice(count // 2, count))
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


def crop(rows: Rows, part: slice | Mask) -> Rows:
    """Some rows, with all their columns; a mask tells of each whether it stays."""
    return replace(
        rows,
        source_time=rows.source_time[part],
        gateway_time=rows.gateway_time[part],
        values=tuple(plane[part] for plane in rows.values),
        status=None if rows.status is None else rows.status[part],
        present=None if rows.present is None else rows.present[part],
    )


def singles(rows: Rows) -> Iterator[Rows]:
    """Value by value, without those that are not there."""
    for number in range(len(rows.schema.columns)):
        column = pick(rows, [number])
        for row in range(len(rows.gateway_time)):
            one = crop(column, slice(row, row + 1))
            if one.points:
                yield one
