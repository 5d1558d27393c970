"""Report by exception: of a tag with a deadband, only a change larger than it is stored. Applied behind the rules,
which see every value."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gateway.clock import SECOND
from gateway.model import Plane, Scan, TagGroup, ValueType

_HEARTBEAT = 60 * SECOND
"""However still a signal is, it is stored this often: nobody shall wonder whether it is still there."""


class Deadband:
    """Remembers what was stored last of one group."""

    def __init__(self, group: TagGroup) -> None:
        width = len(group.columns)
        self._bands = np.array([tag.deadband for tag in group.columns])
        self._last = np.zeros(width)
        self._status = np.zeros(width, np.uint32)
        self._stored = np.full(width, np.iinfo(np.int64).min)
        self._good = np.zeros(width, np.uint32)

    def filter(self, scan: Scan) -> Scan | None:
        """The row with only those columns that have news; None if none has."""
        values = _numbers(scan)
        status = self._good if scan.status is None else scan.status
        with np.errstate(invalid="ignore"):
            moved = ~(np.abs(values - self._last) <= self._bands)
        news = moved | (self._bands == 0) | (status != self._status) | (self._stored < scan.gateway_time - _HEARTBEAT)
        if scan.columns is not None:
            news &= scan.columns
        if not news.any():
            return None
        if news.all():
            return scan
        return Scan(scan.group, scan.source_time, scan.gateway_time, scan.values, scan.status, news)

    def stored(self, row: Scan) -> None:
        """What `filter` returned has been taken. If it was not, it stays news: its source will send it again."""
        columns = slice(None) if row.columns is None else row.columns
        self._last[columns] = _numbers(row)[columns]
        self._status[columns] = 0 if row.status is None else row.status[columns]
        self._stored[columns] = row.gateway_time


def _numbers(scan: Scan) -> npt.NDArray[np.float64]:
    return np.concatenate(
        [_number(plane, span.type) for span, plane in zip(scan.group.spans, scan.values, strict=True)]
    )


def _number(plane: Plane, kind: ValueType) -> npt.NDArray[np.float64]:
    """Strings have no size, and so no deadband."""
    return np.zeros(len(plane)) if kind is ValueType.STRING else plane.astype(np.float64)


def deadbands(groups: Iterable[TagGroup]) -> dict[TagGroup, Deadband]:
    """For the groups that have any."""
    return {group: Deadband(group) for group in groups if any(tag.deadband for tag in group.columns)}
