"""Rows for the tests of sinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gateway.clock import SECOND
from gateway.model import Column, Plane, Rows, Schema, StatusCode, Value, ValueType

START = 1_700_000_000 * SECOND
NOT_CONNECTED = int(StatusCode.BAD_NOT_CONNECTED)
UNCERTAIN = int(StatusCode.UNCERTAIN)


def schema(columns: Mapping[str, ValueType], device: str = "press-1", group: str = "fast") -> Schema:
    """`columns` are in column order already: sorted by type."""
    return Schema(device, group, tuple(Column(name, type) for name, type in columns.items()))


def rows(
    columns: Mapping[str, ValueType],
    *values: Sequence[Value],
    device: str = "press-1",
    group: str = "fast",
    times: Sequence[int] | Sequence[Sequence[int]] | None = None,
    status: Sequence[Sequence[int]] | None = None,
    present: Sequence[Sequence[bool]] | None = None,
) -> Rows:
    """One row a sequence of values, a second apart, each at the gateway a nanosecond later."""
    made = schema(columns, device, group)
    arrival = np.array([START + i * SECOND + 1 for i in range(len(values))], np.int64)
    planes: tuple[Plane, ...] = tuple(
        np.array([list(row[span.start : span.stop]) for row in values], span.type.dtype).reshape(
            len(values), span.stop - span.start
        )
        for span in made.spans
    )
    return Rows(
        made,
        arrival - 1 if times is None else np.array(times, np.int64),
        arrival,
        planes,
        None if status is None else np.array(status, np.uint32),
        None if present is None else np.array(present, np.bool_),
    )
