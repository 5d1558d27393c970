"""One group's subscription: its monitored items, what comes of them, and whether they can still be believed.

That a server sends nothing means that nothing has changed, or that it has stopped looking. So a quiet group is read now
and then: a value that is still what was last sent is confirmed, which keeps it fresh; one that has changed, and of
which no notification comes, convicts the subscription.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from asyncua import ua

from drivers.opcua.collect import Collector, Sample
from drivers.opcua.convert import Kind
from drivers.opcua.sample import sample
from drivers.opcua.session import Granted, Rhythm, Session
from drivers.opcua.settings import GroupSettings, TagSettings
from gateway.clock import SECOND
from gateway.contracts import Receiver
from gateway.errors import ConnectionLost
from gateway.model import StatusCode, TagGroup

RETRY: Final = 60 * SECOND
"""After so long a node that the server has refused is tried again."""
SIGNS: Final = 3
"""So many signs of life may be missed before a subscription is given up."""
PATIENCE: Final = 3
"""A change must be sent within so many publishing and sampling intervals, and within a second where those are short."""
CONFIRMATIONS: Final = 3
"""So many times within `stale_after` is a quiet group read."""


class Subscription:
    """Belongs to one session: `open` once, then `tend` beside `take` and `check`."""

    def __init__(self, group: TagGroup, session: Session, receiver: Receiver, keepalive: int) -> None:
        self.group = group
        self.refused: dict[int, int] = dict.fromkeys(range(len(group.columns)), int(StatusCode.BAD_NODE_ID_UNKNOWN))
        self._session = session
        self._receiver = receiver
        self._rhythm = _rhythm(cast(GroupSettings, group.settings), keepalive)
        self._collector = Collector(group)
        self._sequence = 1
        self._nodes: dict[int, ua.NodeId] = {}
        self._last: dict[int, Sample] = {}
        self._heard = self._tried = receiver.clock.monotonic()
        self._touched: set[int] = set()
        self._suspects: dict[int, int] = {}
        self._granted = Granted(0, self._rhythm.publishing, keepalive)
        self._sampling = self._rhythm.sampling

    @property
    def id(self) -> int:
        return self._granted.id

    async def open(self) -> None:
        """Raises NoRoom."""
        self._granted = await self._session.subscribe(self._rhythm)
        self._heard = self._receiver.clock.monotonic()
        await self._monitor()

    async def tend(self) -> None:
        """For ever: show what the server refuses, confirm what is quiet."""
        self._tell_refused()
        while True:
            await asyncio.sleep(self.group.stale_after / CONFIRMATIONS / SECOND)
            if self.refused and self._receiver.clock.monotonic() - self._tried >= RETRY:
                await self._monitor()
                self._tell_refused()
            await self._confirm()

    def check(self) -> None:
        """Raises ConnectionLost when the server has said nothing about this subscription for too long."""
        silence = self._receiver.clock.monotonic() - self._heard
        if silence > SIGNS * self._granted.keepalive:
            raise ConnectionLost(f"the subscription of {self.group.id} is silent for {silence / SECOND:.0f} s")

    def take(self, message: ua.NotificationMessage) -> None:
        """Publish what the server has sent; nothing in it is a sign of life."""
        self._heard = self._receiver.clock.monotonic()
        if not message.NotificationData:
            return
        self._count(int(message.SequenceNumber))
        items: list[ua.MonitoredItemNotification] = []
        for part in message.NotificationData:
            if isinstance(part, ua.StatusChangeNotification):
                raise ConnectionLost(f"the server has ended the subscription of {self.group.id}: {part.Status.name}")
            if isinstance(part, ua.DataChangeNotification):
                items += part.MonitoredItems
        self._publish(items)

    def _publish(self, items: Sequence[ua.MonitoredItemNotification]) -> None:
        now = self._receiver.clock.now()
        known = self._nodes
        samples = [sample(item.ClientHandle, item.Value, now) for item in items if item.ClientHandle in known]
        begins = any(each.column not in self._last for each in samples)
        for each in samples:
            self._last[each.column] = each
            self._touched.add(each.column)
            self._suspects.pop(each.column, None)
            if each.overflowed:
                self._tell_overflow(each.column)
        for number, scan in enumerate(self._collector.scans(samples, now)):
            scan.held = begins and not number  # the first of a node is what it has been since its last change
            self._receiver.publish(scan)

    def _count(self, sequence: int) -> None:
        """OPC UA Part 4, 7.26: they are counted from 1, and after 2^32 - 1 comes 1 again."""
        missing = sequence - self._sequence
        if missing > 0:
            self._receiver.refuse(f"{self.group.id} lost", f"{missing} notifications were lost on the way")
        self._sequence = 1 if sequence == 0xFFFF_FFFF else sequence + 1

    def _tell_overflow(self, column: int) -> None:
        tag = self.group.columns[column].id
        self._receiver.refuse(f"{tag} queue", f"{tag} changed more often than its queue holds: raise queue_size")

    # Nodes that cannot be subscribed to

    async def _monitor(self) -> None:
        """Subscribe to what is not subscribed to yet."""
        self._tried = self._receiver.clock.monotonic()
        nodes = {column: self._session.resolve(_tag(self.group, column).node) for column in self.refused}
        items = [(column, node) for column, node in nodes.items() if node is not None]
        # Known before the answer comes, as the first notification may come with it.
        self._nodes |= dict(items)
        made = await self._session.monitor(self.id, items, self._rhythm)
        for (column, _), item in zip(items, made, strict=True):
            if item.status >> 31:
                self.refused[column] = item.status
                del self._nodes[column]
            else:
                del self.refused[column]
                self._sampling = max(self._sampling, item.sampling)

    def _tell_refused(self) -> None:
        """A tag that the server refuses is a bad value, with the server's reason."""
        now = self._receiver.clock.now()
        samples = [Sample(column, Kind.NULL, None, status, now) for column, status in self.refused.items()]
        for scan in self._collector.scans(samples, now):
            self._receiver.publish(scan)

    # Values that do not change

    async def _confirm(self) -> None:
        self._touched.clear()
        nodes = dict(self._nodes)
        data = await self._session.read(list(nodes.values()))
        now = self._receiver.clock.now()
        found = [sample(column, value, now) for column, value in zip(nodes, data, strict=True)]
        # What has been sent meanwhile is newer than what was read, or needs no confirmation.
        quiet = [each for each in found if each.column not in self._touched]
        same = [each for each in quiet if _same(each, self._last.get(each.column))]
        self._suspect({each.column for each in quiet} - {each.column for each in same})
        if same:
            # With the time that is known: it is the same value as before, not a new one.
            known = [each._replace(time=self._last[each.column].time) for each in same]
            scan = self._collector.confirm(known, now)
            scan.known = scan.held = True
            self._receiver.publish(scan)

    def _suspect(self, changed: set[int]) -> None:
        """What has changed is on its way here, or will be when the server looks; but not for ever."""
        now = self._receiver.clock.monotonic()
        self._suspects = {column: self._suspects.get(column, now) for column in changed}
        patience = max(PATIENCE * (self._granted.publishing + self._sampling), SECOND)
        for column, since in self._suspects.items():
            if now - since > patience:
                tag = self.group.columns[column].id
                raise ConnectionLost(f"{tag} has changed, and the subscription of {self.group.id} did not say so")


def _rhythm(settings: GroupSettings, keepalive: int) -> Rhythm:
    publishing = settings.publishing_interval
    sampling = publishing if settings.sampling_interval is None else settings.sampling_interval
    return Rhythm(publishing, sampling, keepalive, settings.queue_size, settings.trigger == "timestamp")


def _tag(group: TagGroup, column: int) -> TagSettings:
    return cast(TagSettings, group.columns[column].address)


def _same(one: Sample, other: Sample | None) -> bool:
    """But for the time, and for bits of the status that are about the queue."""
    if other is None or one.status >> 16 != other.status >> 16:
        return False
    # NaN is not equal to itself.
    return one.value == other.value or (one.value != one.value and other.value != other.value)
