"""What has to be done beside reading and writing, once a second: note how the sinks stand, let go of what every sink
has, keep to size and age, write down what is lost, tell it.

Nothing here may stop anybody: what a sick disk hinders is told, and done another time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.clock import SECOND
from gateway.journal.books import Loss
from gateway.journal.catalog import Entry
from gateway.journal.chunk import Stream
from gateway.journal.delivery import Delivery
from gateway.journal.ranges import Ranges
from gateway.journal.store import FAILURES, Store
from gateway.model import DataLost
from gateway.site import JournalSettings

if TYPE_CHECKING:
    from gateway.journal.journal import Journal

_log = logging.getLogger(__name__)

_FULL = "the journal is full: the oldest values were dropped"
_OLD = "older than the journal keeps values"

_MOST_TOLD = 500
_FRESH = 3 * SECOND // 2
"""What was closed no longer ago is still on its way to the sinks that keep up."""


class Upkeep:
    def __init__(self, journal: Journal, settings: JournalSettings) -> None:
        self._journal = journal
        self._settings = settings
        self._telling: set[int] = set()
        self._told: list[int] = []
        self._evicting = asyncio.Lock()

    async def tidy(self) -> None:
        journal = self._journal
        journal.store.age += journal.calendar.ran()
        errors = [
            error
            for work in (
                self.date,
                journal.write_notes,
                self._checkpoint,
                self._collect,
                self._rest,
                self._roll,
                self._retire,
                self._evict,
                journal.rotation.resume,
                self._tell,
            )
            if (error := await _attempt(work)) is not None
        ]
        if errors:
            journal.fail("upkeep", errors[0])
        else:
            journal.recover("upkeep")

    async def date(self) -> None:
        """What was found out about the clock, written down."""
        journal = self._journal
        journal.calendar.look()
        while journal.calendar.found:
            offset = journal.calendar.found[0]
            await journal.own(journal.store.date, offset)
            if offset in journal.calendar.found:
                journal.calendar.found.remove(offset)
            if journal.calendar.is_trusted:
                await journal.own(journal.store.estimate, journal.calendar.began)

    async def _checkpoint(self) -> None:
        if self._journal.recollection is not None:
            await self._journal.recollection.tidy()

    async def _collect(self) -> None:
        """Segments that no sink needs any more go."""
        journal = self._journal
        await journal.own(journal.store.keep_reserve)
        for number, entry in list(journal.store.closed.items()):
            mark = entry.mark
            if not any(each.ranges.first(mark.first, mark.stop) for each in journal.of(entry.stream)):
                await journal.remove(number)

    async def _roll(self) -> None:
        """By age; size is looked at with every commit."""
        journal = self._journal
        for stream, begun in journal.store.opened().items():
            if journal.store.age - begun > self._settings.segment_age:
                await journal.own(journal.store.roll, stream)

    async def _rest(self) -> None:
        await self._journal.own(self._journal.store.rest)

    async def _retire(self) -> None:
        """By the time that the gateway has run, which no setting of a clock can change."""
        journal = self._journal
        limit = journal.store.age - self._settings.retention
        for number, entry in list(journal.store.closed.items()):
            if entry.age < limit:
                await self._drop(number, entry, _OLD)

    async def make_room(self) -> None:
        """After a segment was closed, before another one grows."""
        if (error := await _attempt(self._evict)) is not None:
            self._journal.fail("upkeep", error)

    async def _evict(self) -> None:
        """The least important and oldest segments go when the journal is larger than it may be."""
        journal = self._journal
        async with self._evicting:
            while await journal.own(journal.store.size) > self._settings.max_bytes:
                victim = await journal.own(_victim, journal.store)
                if victim is None:
                    return
                await self._drop(victim, journal.store.closed[victim], _FULL)

    async def _drop(self, number: int, entry: Entry, reason: str) -> None:
        """Taken out of the ranges before anything is awaited, so that nobody settles it meanwhile."""
        journal = self._journal
        taken = [(delivery, delivery.take(entry.mark.first, entry.mark.stop)) for delivery in journal.of(entry.stream)]
        try:
            points = await journal.own(lambda: [journal.store.points(entry.stream, part) for _, part in taken])
        except FAILURES:
            for delivery, part in taken:
                delivery.give_back(part)
            raise
        losses = []
        for (delivery, part), lost in zip(taken, points, strict=True):
            delivery.lose(lost)
            if lost:
                losses.append(self._loss(delivery, part, entry, lost, reason))
        journal.book(losses)
        await journal.remove(number)
        if losses:
            _log.error("%s: %d points", reason, max(points))

    def _loss(self, delivery: Delivery, part: Ranges, entry: Entry, points: int, reason: str) -> Loss:
        spans = list(part)
        mark = entry.mark
        return Loss(
            time=self._journal.now(),
            sink=delivery.sink,
            stream=delivery.stream,
            first=spans[0][0],
            stop=spans[-1][1],
            points=points,
            since=mark.since,
            until=mark.until,
            reason=reason,
        )

    async def _tell(self) -> None:
        """What is in the ledger becomes an event, once; what a crash kept from being told is told after it."""
        journal = self._journal
        told, self._told = self._told, []
        if told:
            await journal.own(journal.store.catalog.mark_told, told)
            self._telling.difference_update(told)
        untold = await journal.own(lambda: journal.store.catalog.losses(untold=True))
        fresh = [(id_, loss) for id_, loss in untold if id_ not in self._telling][:_MOST_TOLD]
        if not fresh:
            return
        events: dict[tuple[Stream, int, int, str], DataLost] = {}
        for _, loss in fresh:
            key = (loss.stream, loss.first, loss.stop, loss.reason)
            if key not in events or events[key].points < loss.points:
                events[key] = _event(loss)
        ids = [id_ for id_, _ in fresh]
        self._telling.update(ids)
        for event in events.values():
            journal.record(event)
        journal.follow(lambda: self._told.extend(ids))


async def _attempt(work: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await work()
    except FAILURES as error:
        return error
    return None


def _event(loss: Loss) -> DataLost:
    return DataLost(loss.time, loss.points, loss.reason, loss.stream.name.lower(), loss.since, loss.until)


def _victim(store: Store) -> int | None:
    """Telemetry before events, low priority before high, old before new. What has just come in goes only where there is
    nothing else: a sink that is away must not cost one that keeps up what is on its way to it."""
    aged = [
        (entry.stream, -number)
        for number, entry in store.closed.items()
        if entry.stream is not Stream.EVENTS and store.age - entry.age > _FRESH
    ]
    return -max(aged)[1] if aged else _last_resort(store)


def _last_resort(store: Store) -> int | None:
    """Where the least important is in an open segment only, that is closed for it."""
    least = max((*(entry.stream for entry in store.closed.values()), *store.opened()), default=None)
    if least is None:
        return None
    mine = [number for number, entry in store.closed.items() if entry.stream is least]
    if not mine:
        store.roll(least)
        mine = [number for number, entry in store.closed.items() if entry.stream is least]
    return min(mine, default=None)
