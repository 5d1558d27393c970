"""What every sink has to know about rows: which values are not good, and which have a source time of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gateway.model import Rows, StatusCode, Statuses, Times


def marks(rows: Rows) -> Statuses:
    """The status codes that stand beside the values: those that are not good, and BAD where a float that was called
    good is no finite number. 0 elsewhere. Shape (rows, columns)."""
    shape = (len(rows.gateway_time), len(rows.schema.columns))
    codes = np.zeros(shape, np.uint32) if rows.status is None else np.where(rows.status >> 30 > 0, rows.status, 0)
    for span, plane in zip(rows.schema.spans, rows.values, strict=True):
        if span.type.is_float:
            here = codes[:, span.start : span.stop]
            here[~np.isfinite(plane) & (here == 0)] = StatusCode.BAD
    if rows.present is not None:
        codes[~rows.present] = 0
    return codes.astype(np.uint32, copy=False)


def times(source_time: Times) -> list[int | Times]:
    """The source time of each row: one integer where all its values share it, else one a column."""
    if source_time.ndim == 1:
        return list(source_time.tolist())
    return [int(row[0]) if (row == row[0]).all() else row for row in source_time]


def moments(time: int | Times, columns: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    """The distinct source times of one row among the given columns, in order, each with its columns."""
    if not columns:
        return
    if isinstance(time, int):
        yield time, columns
        return
    there = np.asarray(columns)
    order = there[np.argsort(time[there], kind="stable")]
    for group in np.split(order, np.flatnonzero(np.diff(time[order])) + 1):
        yield int(time[group[0]]), group.tolist()
