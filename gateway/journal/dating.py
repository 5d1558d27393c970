"""When something was, where the wall clock was wrong when it came in. Pure.

A chunk bears the wall time and the monotonic time of its sealing, and whether the wall clock was trusted then. Once
the clock of that boot is trusted, what it was off by is known, written down for good, and taken off everything that
came in before; until then such chunks are not given out. So no time that has been sent ever changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from gateway.clock import SECOND
from gateway.model import AnyEvent, Quality, Rows, StatusCode, Statuses, Times

_SAME_CLOCK = 3600 * SECOND
"""A source time that is within an hour of ours was taken from our clock, or from one that is as wrong."""


@dataclass(frozen=True, slots=True)
class Origin:
    """When and where a chunk was sealed. `time` is the wall clock's, `monotonic` counts from the start of `boot`."""

    boot: str
    time: int
    monotonic: int
    trusted: bool


@dataclass(frozen=True, slots=True)
class Offset:
    """In boot `boot`, from monotonic time `since` on, the right wall time is the monotonic time plus `nanoseconds`. It
    is `estimated` where the clock was never trusted in that boot: then it follows from what came after."""

    boot: str
    since: int
    nanoseconds: int
    estimated: bool = False


class Offsets:
    """What is known of the clocks of all boots. Offsets are added in order, and never change."""

    def __init__(self, offsets: Iterable[Offset] = ()) -> None:
        self._boots: dict[str, list[Offset]] = {}
        for offset in offsets:
            self.add(offset)

    def add(self, offset: Offset) -> None:
        known = self._boots.setdefault(offset.boot, [])
        if not known or known[-1].since < offset.since:
            known.append(offset)

    def __iter__(self) -> Iterator[Offset]:
        for offsets in list(self._boots.values()):
            yield from tuple(offsets)

    def knows(self, boot: str) -> bool:
        return boot in self._boots

    def last(self, boot: str) -> Offset | None:
        return self._boots[boot][-1] if boot in self._boots else None

    def at(self, origin: Origin) -> Offset | None:
        """What was known when it was sealed, or else what was found out first."""
        offsets = self._boots.get(origin.boot, ())
        before = [offset for offset in offsets if offset.since <= origin.monotonic]
        return before[-1] if before else next(iter(offsets), None)

    def dating(self, origin: Origin) -> Dating | None:
        """None where nobody can tell yet."""
        if origin.trusted:
            return RIGHT
        offset = self.at(origin)
        if offset is None:
            return None
        return Dating(origin.time - origin.monotonic - offset.nanoseconds, offset.estimated)


class Guesses(Offsets):
    """Where nobody can tell yet, the wall clock as it was, in doubt: for those who want to see all that is there."""

    def dating(self, origin: Origin) -> Dating:
        return super().dating(origin) or Dating(0, estimated=True)


@dataclass(frozen=True, slots=True)
class Dating:
    """By how much the wall clock was `ahead`, in nanoseconds, and whether that is only an estimate."""

    ahead: int
    estimated: bool

    def rows(self, rows: Rows) -> Rows:
        return rows if self == RIGHT else redate_rows(rows, self.ahead, self.estimated)

    def event(self, event: AnyEvent) -> AnyEvent:
        return event if self == RIGHT else redate_event(event, self.ahead)


RIGHT = Dating(0, False)


class _AsTold(Offsets):
    """Every time as it was told, right or wrong: nothing waits for a clock."""

    def dating(self, origin: Origin) -> Dating:
        return RIGHT


AS_TOLD = _AsTold()


def redate_rows(rows: Rows, ahead: int, estimated: bool) -> Rows:
    """The rows as if the clock had been right. A device's own time, which is another clock's, stays."""
    ours = np.abs(_beside(rows.gateway_time, rows.source_time) - rows.source_time) <= _SAME_CLOCK
    return replace(
        rows,
        gateway_time=rows.gateway_time - ahead,
        source_time=np.where(ours, rows.source_time - ahead, rows.source_time),
        status=_doubt(rows) if estimated else rows.status,
    )


def redate_event(event: AnyEvent, ahead: int) -> AnyEvent:
    return msgspec.structs.replace(event, time=event.time - ahead)


def _beside(times: Times, others: Times) -> Times:
    return times if others.ndim == 1 else times[:, np.newaxis]


def _doubt(rows: Rows) -> Statuses:
    """Good values become uncertain: nobody knows quite when they were."""
    shape = (len(rows.gateway_time), len(rows.schema.columns))
    status = np.zeros(shape, np.uint32) if rows.status is None else rows.status.copy()
    status[status >> 30 == Quality.GOOD] = StatusCode.UNCERTAIN
    return status
