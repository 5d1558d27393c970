"""The journal as the rest of the cell knows it: append and be told when it is on disk; read, and say what was done.

Everything here runs on the event loop; what touches the disk runs on two threads of its own, one that owns the files
and one that reads those which are closed.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from gateway.clock import SECOND, Clock
from gateway.errors import JournalFull
from gateway.journal.catalog import DeadLetter, Head, Standing
from gateway.journal.chunk import Chunk, Origin, Stream
from gateway.journal.delivery import Delivery
from gateway.journal.ranges import OPEN_END, Ranges
from gateway.journal.segment import Mark
from gateway.journal.store import FAILURES, Batch, Store
from gateway.model import AnyEvent, DataLost, Scan
from gateway.site import JournalSettings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_SETTLE_EVERY = SECOND
_RETRY_SECONDS = 1.0
_MOST_EVENTS = 100_000
_MOST_WAITING = 4_000_000
"""Points that may wait in memory for the disk."""


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """One sink's account, in points, over both streams."""

    ingested: int
    delivered: int
    pending: int
    dead_letters: int
    dropped: int


class Journal:
    def __init__(self, directory: Path, key: bytes, clock: Clock, settings: JournalSettings) -> None:
        self._directory = directory
        self._key = key
        self._clock = clock
        self._settings = settings
        self._boot = uuid.uuid4().hex
        self._owner = ThreadPoolExecutor(1, "journal")
        self._reader = ThreadPoolExecutor(1, "journal-reader")
        self._scans: list[Scan] = []
        self._events: list[AnyEvent] = []
        self._durable: list[Callable[[], None]] = []
        self._waiting = dict.fromkeys(Stream, 0)
        self._overflow = 0
        self._urgent = asyncio.Event()
        self._closing = False
        self._grown: WeakSet[asyncio.Event] = WeakSet()
        self._letters: list[DeadLetter] = []
        self._dirty = False
        self._settled_at = clock.monotonic()
        self.failing = ""
        """Why nothing can be written, as long as that is so."""
        self.deliveries: dict[tuple[str, Stream], Delivery] = {}
        """Replaced as a whole when a sink joins, so that whoever goes through it may wait in between."""
        self._heads: dict[Stream, Head] = {}
        self._leaving: set[str] = set()

    async def open(self, sinks: Iterable[str]) -> None:
        """Raises `FAILURES` or ConfigError when the store cannot be used at all."""
        arguments = (self._directory, self._key, self._settings.segment_bytes)
        self._store = await self._own(lambda: Store(*arguments))
        self.deliveries = await self._own(lambda: _deliveries(self._store, set(sinks)))
        self._heads = dict(self._store.heads)
        await self._own(lambda: self._store.settle([d.standing() for d in self.deliveries.values()]))

    # Who gets it

    def join(self, sink: str) -> None:
        """`sink` is configured from now on. One that is new begins with what is not yet on disk; one that was here
        before goes on with what it has pending."""
        self._leaving.discard(sink)
        fresh = {(sink, stream): Delivery.begin(sink, stream, head) for stream, head in self._heads.items()}
        self.deliveries = fresh | self.deliveries
        for place in fresh:
            self.deliveries[place].rejoin()
        self._dirty = True

    def leave(self, sink: str) -> None:
        """`sink` is not configured any more. What it has pending is kept, and what was appended before this, which may
        still have to reach the disk, is pending too."""
        self._leaving.add(sink)
        self.follow(lambda: self._release(sink))

    def _release(self, sink: str) -> None:
        if sink not in self._leaving:
            return  # it has joined again meanwhile
        self._leaving.discard(sink)
        for stream in Stream:
            self.deliveries[sink, stream].leave()
        self._dirty = True
        _log.warning("sink %s is not configured any more; what it has pending is kept", sink)

    async def note(self) -> None:
        """Write down now how the deliveries stand; otherwise that is done once a second."""
        await self._settle()

    # Taking in

    def append(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        """Keep a scan; call `durable` once it is on disk. Raises JournalFull: a scan whose source waits for `durable`
        will come again, any other is lost, and counted."""
        points = scan.points
        if self._waiting[Stream.TELEMETRY] + points > _MOST_WAITING:
            if durable is None:
                self._overflow += points
            raise JournalFull("the disk does not keep up: too many values wait in memory")
        self._scans.append(scan)
        self._waiting[Stream.TELEMETRY] += points
        if durable is not None:
            self._durable.append(durable)
            self._urgent.set()

    def follow(self, durable: Callable[[], None]) -> None:
        """Call `durable` once all that was appended before is on disk; there is nothing to keep itself."""
        self._durable.append(durable)
        self._urgent.set()

    def record(self, event: AnyEvent) -> None:
        """Keep an event; it is committed at once. On a disk that takes nothing only so many wait."""
        if self._waiting[Stream.EVENTS] >= _MOST_EVENTS:
            return
        self._events.append(event)
        self._waiting[Stream.EVENTS] += 1
        self._urgent.set()

    async def run(self) -> None:
        """Commit, until `stop`. A sick disk is tried again for ever; after `stop`, `FAILURES` are raised."""
        while not (self._closing and not self._scans and not self._events):
            await self._due()
            await self._commit()
            if self._clock.monotonic() - self._settled_at >= _SETTLE_EVERY:
                await self._tidy()

    async def _due(self) -> None:
        """Until somebody waits for the disk, or the commit interval is over."""
        try:
            async with asyncio.timeout(self._settings.commit_interval / SECOND):
                await self._urgent.wait()
        except TimeoutError:
            pass
        self._urgent.clear()

    async def _commit(self) -> None:
        if not self._scans and not self._events:
            durable, self._durable = self._durable, []
            _call(durable)
            await self._guarded(self._mend)
            return
        origin = Origin(self._boot, self._clock.monotonic(), self._clock.now())
        durable, self._durable = self._durable, []
        batch = Batch(self._scans, self._events, origin)
        self._scans, self._events = [], []
        rotated = await self._persist(batch)
        self._waiting[Stream.TELEMETRY] -= sum(scan.points for scan in batch.scans)
        self._waiting[Stream.EVENTS] -= len(batch.events)
        self._heads = dict(self._store.heads)
        for (_, stream), delivery in self.deliveries.items():
            delivery.advance(self._heads[stream])
        _call(durable)
        for grown in self._grown:
            grown.set()
        if rotated:
            await self._guarded(self._evict)

    async def _persist(self, batch: Batch) -> bool:
        while True:
            try:
                rotated = await self._own(lambda: self._store.commit(batch))
            except FAILURES as error:
                self._fail(error)
                if self._closing:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
                await self._own(self._store.give_reserve)
                await self._tidy()  # what is delivered may make room
            else:
                self._recover()
                return rotated

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Housekeeping that a sick disk may stop: it is told, and done another time."""
        try:
            await work()
        except FAILURES as error:
            self._fail(error)

    async def _mend(self) -> None:
        if self._store.is_left:
            await self._own(self._store.mend)

    def _fail(self, error: Exception) -> None:
        if not self.failing:
            _log.error("the journal cannot write, and tries again every second: %s", error)
        self.failing = str(error)

    def _recover(self) -> None:
        if self.failing:
            _log.warning("the journal writes again")
        self.failing = ""
        if self._overflow:
            lost, self._overflow = self._overflow, 0
            for (_, stream), delivery in self.deliveries.items():
                if stream is Stream.TELEMETRY:
                    delivery.base -= lost
                    delivery.dropped += lost
            self.record(DataLost(self._clock.now(), lost, "the disk did not keep up"))

    # Giving out

    def watch(self) -> asyncio.Event:
        """An event that is set whenever something was committed. It is the caller's to clear, and to keep."""
        grown = asyncio.Event()
        self._grown.add(grown)
        return grown

    async def read(self, stream: Stream, start: int, stop: int, most_points: int) -> list[Chunk]:
        """Committed chunks from `start` on, fewer than asked for where a segment ends; none if `start` was dropped."""
        if start >= self._store.open_from[stream].seq:
            chunks = await self._own(lambda: self._store.fetch_open(stream, start, stop, most_points))
            if chunks:
                return chunks
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, self._store.fetch_closed, stream, start, stop, most_points)

    def settle(
        self, sink: str, chunks: Sequence[Chunk], letters: Mapping[int, Sequence[DeadLetter]] | None = None
    ) -> None:
        """`sink` is done with chunks, but for what went to the dead letters, by chunk number. Chunks that could not be
        read are given up, and that is told."""
        broken = [chunk for chunk in chunks if chunk.broken]
        for chunk in chunks:
            delivery = self.deliveries[sink, chunk.stream]
            dead = (letters or {}).get(chunk.seq, ())
            if chunk.broken:
                delivery.drop(chunk.seq, chunk.points)
            else:
                delivery.settle(chunk.seq, chunk.points, sum(letter.points for letter in dead))
            self._letters.extend(dead)
        if broken:
            lost = sum(chunk.points for chunk in broken)
            first, last = broken[0].seq, broken[-1].seq
            _log.error("sink %s: chunks %d to %d are lost: %s", sink, first, last, broken[0].broken)
            self.record(DataLost(self._clock.now(), lost, broken[0].broken))
        self._dirty = True

    def statistics(self, sink: str) -> SinkStatistics:
        parts = [self.deliveries[sink, stream] for stream in Stream]
        waiting = sum(self._waiting.values())
        return SinkStatistics(
            ingested=sum(part.ingested for part in parts) + waiting + self._overflow,
            delivered=sum(part.delivered for part in parts),
            pending=sum(part.pending for part in parts) + waiting,
            dead_letters=sum(part.dead_letters for part in parts),
            dropped=sum(part.dropped for part in parts) + self._overflow,
        )

    async def dead_letters(self) -> list[DeadLetter]:
        """All of them, those not yet on disk included."""
        return await self._own(self._store.dead_letters) + self._letters

    async def remember(self, order: str, expires: int) -> bool:
        """On disk when this returns: `order` is taken, and may be forgotten some time after `expires` (nanoseconds
        UTC). False where it was taken before. Raises `FAILURES`."""
        now = self._clock.now()
        return await self._own(lambda: self._store.remember(order, expires, now))

    # Housekeeping

    async def _tidy(self) -> None:
        """What was done is written down once a second; after a crash a second's worth is sent again, which is
        harmless."""
        self._settled_at = self._clock.monotonic()
        if self._dirty:
            await self._settle()
            await self._guarded(self._collect)

    async def _collect(self) -> None:
        """Segments that no sink needs any more go."""
        await self._own(self._store.keep_reserve)
        for number, marks in list(self._store.closed.items()):
            if not any(self._holds(stream, mark.first, mark.stop) for stream, mark in marks.items()):
                await self._remove(number)

    async def _settle(self) -> None:
        letters, self._letters, self._dirty = self._letters, [], False
        standings = [delivery.standing() for delivery in self.deliveries.values()]
        try:
            await self._own(lambda: self._store.settle(standings, letters))
        except FAILURES as error:
            self._letters, self._dirty = letters + self._letters, True
            self._fail(error)

    def _holds(self, stream: Stream, first: int, stop: int) -> bool:
        return any(
            delivery.ranges.first(first, stop) is not None
            for (_, of), delivery in self.deliveries.items()
            if of is stream
        )

    async def _evict(self) -> None:
        """The oldest segments go when the journal is larger than it may be, and what is lost is said."""
        while self._store.closed and await self._own(self._store.size) > self._settings.max_bytes:
            number = min(self._store.closed)
            lost = 0
            for stream, mark in self._store.closed[number].items():
                for delivery in self._of(stream):
                    lost = max(lost, await self._drop(delivery, mark))
            await self._remove(number)
            if lost:
                _log.error("the journal is full: %d points of the oldest segment were dropped", lost)
                self.record(DataLost(self._clock.now(), lost, "the journal is full: the oldest segment was dropped"))

    async def _drop(self, delivery: Delivery, mark: Mark) -> int:
        """Taken out of the ranges before anything is awaited, so that nobody settles it meanwhile."""
        part = delivery.take(mark.first, mark.stop)
        try:
            points = await self._own(lambda: self._store.points(delivery.stream, part))
        except FAILURES:
            delivery.give_back(part)
            raise
        delivery.lose(points)
        return points

    def _of(self, stream: Stream) -> list[Delivery]:
        return [delivery for (_, of), delivery in self.deliveries.items() if of is stream]

    async def _remove(self, number: int) -> None:
        standings = [delivery.standing() for delivery in self.deliveries.values()]
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._reader, self._store.forget, number)
        await self._own(lambda: self._store.remove(number, standings))

    async def close(self) -> None:
        """After `run` has ended by `stop`."""
        await self._settle()
        self._reader.shutdown()
        await self._own(self._store.close)
        self._owner.shutdown()

    def stop(self) -> None:
        """`run` commits what waits and ends."""
        self._closing = True
        self._urgent.set()

    async def _own(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._owner, call)


def _call(durable: Iterable[Callable[[], None]]) -> None:
    """What a driver does with the news is its own affair: the journal goes on."""
    for call in durable:
        try:
            call()
        except Exception:
            _log.exception("a source could not be acknowledged")


def _deliveries(store: Store, sinks: set[str]) -> dict[tuple[str, Stream], Delivery]:
    """As they stood, brought up to what is on disk now."""
    deliveries = {(s.sink, s.stream): Delivery(s, store.heads[s.stream]) for s in store.standings()}
    for sink in sinks:
        for stream in Stream:
            deliveries.setdefault((sink, stream), _begin(store, sink, stream))
    for (sink, _), delivery in deliveries.items():
        _settle_holes(store, delivery)
        if sink in sinks:
            delivery.rejoin()
        else:
            _log.warning("sink %s is not configured any more; what it has pending is kept", sink)
            delivery.leave()
    return deliveries


def _begin(store: Store, sink: str, stream: Stream) -> Delivery:
    """A new sink gets what comes from now on. When nobody knows any more what it has had, it gets all that is there:
    twice is better than never."""
    first = store.first(stream) if store.is_rebuilt else None
    if first is None:
        return Delivery.begin(sink, stream, store.heads[stream])
    _log.error("the journal's catalogue is new: %s gets all of %s again", sink, stream.name.lower())
    return Delivery(Standing(sink, stream, ((first.seq, OPEN_END),), first.total), store.heads[stream])


def _settle_holes(store: Store, delivery: Delivery) -> None:
    """What is pending is what is not accounted for. Chunks that are pending and not there any more, because somebody
    removed their file, are dropped."""
    done = delivery.delivered + delivery.dead_letters + delivery.dropped
    delivery.pending = delivery.ingested - done
    head = delivery.head.seq
    covered = store.covered(delivery.stream)
    wanted = Ranges(delivery.ranges.within(0, head))
    there = Ranges(part for start, stop in wanted for part in covered.within(start, stop))
    if list(there) == list(wanted):
        return
    lost = delivery.pending - store.points(delivery.stream, there)
    is_open = delivery.is_open
    delivery.ranges = there
    if is_open:
        delivery.ranges.add(head, OPEN_END)
    delivery.lose(lost)
    _log.error("sink %s has lost %d points: their segment is gone", delivery.sink, lost)
