"""Three days of the demo's plant, written by the gateway's own sink: what the dashboards must be able to show.

Every device delivers each of its groups every five minutes; machines run in every second hour. The value of a number is
its column plus the minute of the hour; one value of each group is bad, at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gateway.clock import SECOND
from gateway.model import (
    AlarmChanged,
    AlarmState,
    AnyEvent,
    CommandDone,
    DataLost,
    Device,
    DeviceChanged,
    DeviceState,
    Outcome,
    Plane,
    Rows,
    Span,
    StatusCode,
    TagGroup,
    Times,
    ValueType,
)
from gateway.settings import Configuration
from gateway.sinks.influxdb import Sink

DAYS = 3
STEP = 300 * SECOND
HOUR = 3600 * SECOND
ROWS = DAYS * 24 * 12
LOST = 4711

NORMAL, RAISED, SEEN, GONE = AlarmState


@dataclass(frozen=True)
class History:
    """`now` is where it ends, in nanoseconds."""

    configuration: Configuration
    now: int

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(device for link in self.configuration.links for device in link.devices)

    @property
    def stale(self) -> Device:
        """The one that has been silent for an hour, as far as the events say."""
        return self.devices[-1]

    @property
    def times(self) -> Times:
        """From the beginning, of which the last is `now`."""
        return self.now - STEP * np.arange(ROWS, dtype=np.int64)[::-1]

    async def write(self, sink: Sink) -> None:
        for device in self.devices:
            await sink.write([self.rows(group) for group in device.groups])
        await sink.report([*self.comings(), *self.alarms(), *self.commands(), *self.losses()])

    def rows(self, group: TagGroup) -> Rows:
        times = self.times
        status = np.zeros((ROWS, len(group.columns)), np.uint32)
        status[-1, 0] = StatusCode.BAD_OUT_OF_RANGE
        values = tuple(_plane(span, times) for span in group.spans)
        return Rows(group.schema, times, times, values, status)

    def comings(self) -> Iterator[AnyEvent]:
        start = int(self.times[0])
        for link in self.configuration.links:
            for device in link.devices:
                yield DeviceChanged(start, device.id, link.id, DeviceState.CONNECTING, "waiting for the first value")
                yield DeviceChanged(start + SECOND, device.id, link.id, DeviceState.ONLINE)
                if device is self.stale:
                    yield DeviceChanged(self.now - HOUR, device.id, link.id, DeviceState.STALE, "no fresh values")

    def alarms(self) -> Iterator[AnyEvent]:
        """One stands, one is gone but nobody has seen it, one is over; the first one first."""
        stands, gone, over = self.configuration.rules[:3]
        for rule, hours, path in (
            (stands.name, 3, (NORMAL, RAISED)),
            (gone.name, 2, (NORMAL, RAISED, GONE)),
            (over.name, 1, (NORMAL, RAISED, SEEN, NORMAL)),
        ):
            yield from self._course(rule, self.now - hours * HOUR, path)

    def _course(self, alarm: str, start: int, path: Sequence[AlarmState]) -> Iterator[AnyEvent]:
        priority = next(rule.settings.priority for rule in self.configuration.rules if rule.name == alarm)
        for i, (previous, state) in enumerate(pairwise(path)):
            actor = "user:night" if state is SEEN else ""
            yield AlarmChanged(
                start + i * 60 * SECOND, alarm, "pump-1/x", state, previous, priority, 81.5, "It is hot", actor
            )

    def commands(self) -> Iterator[AnyEvent]:
        yield CommandDone(self.now - 3 * HOUR, "c1", "pump-1/run", False, "rule:bearing-hot", Outcome.DONE)
        yield CommandDone(self.now - 2 * HOUR, "c2", "pump-1/run", True, "user:night", Outcome.REFUSED, "not writable")

    def losses(self) -> Iterator[AnyEvent]:
        yield DataLost(self.now - 5 * HOUR, LOST, "the journal is full: the oldest segment was dropped")


def _plane(span: Span, times: Times) -> Plane:
    width = span.stop - span.start
    if span.type is ValueType.STRING:
        return np.full((len(times), width), "text", dtype=object)
    minute = (times // (60 * SECOND)) % 60
    column = (times // HOUR) % 2 if span.type is ValueType.BOOL else minute
    numbers = column[:, None] + (0 if span.type is ValueType.BOOL else 1) * np.arange(width)
    return numbers.astype(span.type.dtype)
