"""Small builders: groups and scans to test with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.clock import SECOND
from gateway.model import Mask, Scan, Statuses, Tag, TagGroup, Times, Value, ValueType

NOW = 1_700_000_000 * SECOND


def group(
    *types: ValueType | str, device: str = "press", name: str = "fast", interval: int | None = SECOND
) -> TagGroup:
    """A group with a column of each type, named t0, t1, …"""
    tags = [Tag(f"{device}/t{i}", ValueType(kind), writable=True) for i, kind in enumerate(types)]
    return TagGroup(device, name, TagGroup.sort(tags), interval, 3 * SECOND)


def scan(
    of: TagGroup,
    values: Sequence[Value],
    time: int | Times = NOW,
    status: Statuses | None = None,
    columns: Mask | None = None,
) -> Scan:
    """A row from plain values, in column order."""
    planes = of.zeros()
    for span, plane in zip(of.spans, planes, strict=True):
        plane[:] = np.array(values[span.start : span.stop], plane.dtype)
    at = time if isinstance(time, int) else int(time.max())
    return Scan(of, time, at, planes, status, columns)
