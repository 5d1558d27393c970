"""The journal as the rest of the cell knows it: append and be told when it is on disk; read, and say what was done.

Everything here runs on the event loop; what touches the disk runs on two threads of its own, one that owns the files
and one that reads those which are closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, TypeVarTuple
from weakref import WeakSet

from gateway.clock import SECOND, Clock
from gateway.errors import JournalFull
from gateway.journal.books import DeadLetter, FieldType, Head, Loss
from gateway.journal.calendar import Calendar, Stamp
from gateway.journal.chunk import TELEMETRY, Chunk, Stream, by_stream
from gateway.journal.delivery import Delivery
from gateway.journal.keys import KeyRing
from gateway.journal.lane import Lane
from gateway.journal.muster import muster
from gateway.journal.recollection import Memory, Recollection
from gateway.journal.rotation import Rotation
from gateway.journal.store import FAILURES, Batch, Store
from gateway.journal.ties import Ties
from gateway.journal.upkeep import Upkeep
from gateway.model import AnyEvent, Plane, Scan
from gateway.site import JournalSettings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")

_TIDY_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_MOST_EVENTS = 100_000
_LANES = {"telemetry": TELEMETRY, "events": (Stream.EVENTS,)}
_LAST_CHUNKS = 64
"""So much may come again after a crash, because it was not acknowledged yet, or belong to one time of a clock of whole
seconds."""
_AT_ONCE = 100_000

_SCAN_BYTES, _STRING_BYTES = 600, 50
"""What a scan, and a string, take up in memory beside their content."""

_OVERFLOW = "the disk did not keep up"
_GIVEN_UP = "dead letters were dropped by hand"


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """One sink's account, in points, over all streams."""

    ingested: int
    delivered: int
    pending: int
    dead_letters: int
    dropped: int


class Journal:
    def __init__(self, directory: Path, keys: KeyRing, clock: Clock, settings: JournalSettings) -> None:
        self._directory = directory
        self.keys = keys
        self._clock = clock
        self._settings = settings
        self._owner = ThreadPoolExecutor(1, "journal")
        self._reader = ThreadPoolExecutor(1, "journal-reader")
        self._scans: Lane[Scan] = Lane(is_urgent=False)
        self._events: Lane[AnyEvent] = Lane(is_urgent=True)
        self._ties = Ties()
        self._overflow = dict.fromkeys(Stream, 0)
        self._closing = asyncio.Event()
        self._grown: WeakSet[asyncio.Event] = WeakSet()
        self._notes = Notes()
        self._failing: dict[str, str] = {}
        self.deliveries: dict[tuple[str, Stream], Delivery] = {}
        """Replaced as a whole when a sink joins, so that whoever goes through it may wait in between."""
        self._heads: dict[Stream, Head] = {}
        self._leaving: set[str] = set()
        self.rotation = Rotation(self)
        self._upkeep = Upkeep(self, settings)
        self.recollection: Recollection | None = None

    async def open(self, sinks: Iterable[str] | None, memory: Memory | None = None) -> None:
        """For `sinks`, or as it is: then nobody joins or leaves. `memory` is brought up to the last event on disk, and
        kept there. Raises `FAILURES` or ConfigError when the store cannot be used at all."""
        self.store = await self.own(Store, self._directory, self.keys, self._settings.segment_bytes)
        now = self._clock.now()
        members = None if sinks is None else set(sinks)
        self.deliveries, self._notes.losses = await self.own(muster, self.store, members, now)
        self._heads = dict(self.store.heads)
        self.calendar = Calendar(self._clock, self.store.offsets, self._settings.wait_for_clock)
        self._notes.is_dirty = True
        await self.write_notes()
        await self._upkeep.date()
        await self._remember()
        if memory is not None:
            self.recollection = Recollection(self, memory)
            await self.recollection.open()

    async def _remember(self) -> None:
        """What was stored last: of that, what was not acknowledged comes again. Some of it may be gone already, because
        every sink has it."""
        for stream in TELEMETRY:
            head = self._heads[stream].seq
            at = max(0, head - _LAST_CHUNKS)
            while at < head:
                chunks = await self.read(stream, at, head, _AT_ONCE)
                for rows in (rows for chunk in chunks for rows in chunk.rows):
                    self._ties.remember(rows)
                at = chunks[-1].seq + 1 if chunks else at + 1

    # Who gets it

    def join(self, sink: str) -> None:
        """`sink` is configured from now on. One that is new begins with what is not yet on disk; one that was here
        before goes on with what it has pending."""
        self._leaving.discard(sink)
        fresh = {(sink, stream): Delivery.begin(sink, stream, head) for stream, head in self._heads.items()}
        self.deliveries = fresh | self.deliveries
        for place in fresh:
            self.deliveries[place].rejoin()
        self._notes.is_dirty = True

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
        self._notes.is_dirty = True
        _log.warning("sink %s is not configured any more; what it has pending is kept", sink)

    # Taking in

    def append(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        """Keep a scan; call `durable` once it is on disk. Raises JournalFull: a scan whose source waits for `durable`
        will come again, any other is lost, and counted."""
        points = scan.points
        if self._scans.bytes > self._settings.memory_bytes:
            if durable is None:
                self._overflow[Stream.of(scan.group.priority)] += points
            raise JournalFull("the disk does not keep up: too many values wait in memory")
        self._ties.settle(scan)
        self._scans.put(scan, points, weight(scan), durable)

    def follow(self, durable: Callable[[], None]) -> None:
        """Call `durable` once all that was appended and recorded before is on disk; there is nothing to keep itself."""
        lanes = [self._scans, self._events]

        def passed() -> None:
            lanes.pop()
            if not lanes:
                durable()

        self._scans.follow(passed)
        self._events.follow(passed)

    def record(self, event: AnyEvent) -> None:
        """Keep an event; it is committed at once. On a disk that takes nothing only so many wait, and the others are
        lost, and counted."""
        if self._events.points < _MOST_EVENTS:
            self._events.put(event, 1, 0)
        else:
            self._overflow[Stream.EVENTS] += 1

    def stop(self) -> None:
        """`run` commits what waits and ends."""
        self._closing.set()
        self._scans.wake()
        self._events.wake()

    async def run(self) -> None:
        """Commit, until `stop`. A sick disk is tried again for ever; after `stop`, `FAILURES` are raised."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tidying = tasks.create_task(self._keep_tidy(), name="journal upkeep")
                events = tasks.create_task(self._keep_events(self.calendar.stamp()), name="journal events")
                scans = tasks.create_task(self._keep_scans(self.calendar.stamp()), name="journal telemetry")
                await asyncio.wait((events, scans))
                tidying.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _keep_tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            await self.tidy()

    async def tidy(self) -> None:
        """The upkeep, which `run` does once a second."""
        await self._upkeep.tidy()

    async def _keep_events(self, stamp: Stamp) -> None:
        lane = self._events
        while not (self._closing.is_set() and lane.is_empty):
            await lane.wait_due(SECOND)
            events, durable = lane.take()
            batches = [Batch(Stream.EVENTS, origin, events=part) for origin, part in stamp.split(events, _event_time)]
            await self._commit("events", batches)
            lane.done()
            self._committed((Stream.EVENTS,), durable)

    async def _keep_scans(self, stamp: Stamp) -> None:
        lane = self._scans
        while not (self._closing.is_set() and lane.is_empty):
            await lane.wait_due(self._settings.commit_interval)
            scans, durable = lane.take()
            batches = [
                Batch(stream, origin, scans=each)
                for origin, part in stamp.split(scans, _scan_time)
                for stream, each in by_stream(part).items()
            ]
            await self._commit("telemetry", batches)
            lane.done()
            self._committed(TELEMETRY, durable)

    async def _commit(self, lane: str, batches: Iterable[Batch]) -> None:
        for batch in batches:
            while True:
                try:
                    rolled = await self.own(self.store.commit, batch)
                except FAILURES as error:
                    self.fail(lane, error)
                    if self._closing.is_set():
                        raise
                    await asyncio.sleep(_RETRY_SECONDS)
                    await self.own(self.store.give_reserve)
                else:
                    self.recover(lane)
                    break
            if batch.events and self.recollection is not None:
                self.recollection.follow(batch.events)
            if rolled:
                await self._upkeep.make_room()

    def _committed(self, streams: Iterable[Stream], durable: Iterable[Callable[[], None]]) -> None:
        has_grown = False
        for stream in streams:
            head = self.store.heads[stream]
            has_grown |= head != self._heads[stream]
            self._heads[stream] = head
            for delivery in self.of(stream):
                delivery.advance(head)
        _call(durable)
        if has_grown:
            for grown in self._grown:
                grown.set()

    # How it is

    @property
    def failing(self) -> str:
        """Why something cannot be written, as long as that is so."""
        return next(iter(self._failing.values()), "")

    @property
    def is_dated(self) -> bool:
        """The clock is trusted, so that what comes in can be sent."""
        return self.calendar.is_trusted

    def fail(self, part: str, error: Exception) -> None:
        """`part` could not do its work with the disk. Told once, when it begins."""
        if not self._failing:
            _log.error("the journal cannot write, and tries again every second: %s", error)
        self._failing[part] = str(error)

    def recover(self, part: str) -> None:
        """`part` could."""
        if self._failing.pop(part, None) is not None and not self._failing:
            _log.warning("the journal writes again")
        for stream in _LANES.get(part, ()):
            if self._overflow[stream]:
                self._account_overflow(stream)

    def _account_overflow(self, stream: Stream) -> None:
        now = self._clock.now()
        lost, self._overflow[stream] = self._overflow[stream], 0
        seq = self._heads[stream].seq
        for delivery in self.of(stream):
            delivery.base -= lost
            delivery.dropped += lost
            self._notes.losses.append(Loss(now, delivery.sink, stream, seq, seq, lost, 0, now, _OVERFLOW))
        self._notes.is_dirty = True

    # Giving out

    def watch(self) -> asyncio.Event:
        """An event that is set whenever something was committed. It is the caller's to clear, and to keep."""
        grown = asyncio.Event()
        self._grown.add(grown)
        return grown

    async def read(self, stream: Stream, start: int, stop: int, most_points: int) -> list[Chunk]:
        """Committed chunks from `start` on, fewer than asked for where a segment ends; none if `start` was dropped, or
        if nobody knows yet when it was."""
        if start >= self.store.open_from[stream].seq:
            chunks = await self.own(self.store.fetch_open, stream, start, stop, most_points)
            if chunks:
                return chunks
        return await self.peruse(self.store.fetch_closed, stream, start, stop, most_points)

    def settle(
        self, sink: str, chunks: Sequence[Chunk], letters: Mapping[int, Sequence[DeadLetter]] | None = None
    ) -> None:
        """`sink` is done with chunks, but for what went to the dead letters, by chunk number. Chunks that could not be
        read are given up, and that is told."""
        for chunk in chunks:
            delivery = self.deliveries[sink, chunk.stream]
            dead = (letters or {}).get(chunk.seq, ())
            if not chunk.broken:
                delivery.settle(chunk, sum(letter.points for letter in dead))
            elif delivery.drop(chunk):
                self._give_up(sink, chunk)
            self._notes.letters.extend(dead)
        self._notes.is_dirty = True

    def _give_up(self, sink: str, chunk: Chunk) -> None:
        _log.error("sink %s: %d points of chunk %d are lost: %s", sink, chunk.points, chunk.seq, chunk.broken)
        now = self._clock.now()
        loss = Loss(now, sink, chunk.stream, chunk.seq, chunk.seq + 1, chunk.points, 0, 0, chunk.broken)
        self._notes.losses.append(loss)

    def statistics(self, sink: str) -> SinkStatistics:
        parts = self._parts(sink)
        waiting = self._scans.points + self._events.points
        overflow = sum(self._overflow.values())
        return SinkStatistics(
            ingested=sum(part.ingested for part in parts) + waiting + overflow,
            delivered=sum(part.delivered for part in parts),
            pending=sum(part.pending for part in parts) + waiting,
            dead_letters=sum(part.dead_letters for part in parts),
            dropped=sum(part.dropped for part in parts) + overflow,
        )

    def _parts(self, sink: str) -> list[Delivery]:
        return [self.deliveries[sink, stream] for stream in Stream]

    @property
    def waiting(self) -> tuple[int, int]:
        """What is not on disk yet: points, and about how many bytes they take up in memory."""
        return self._scans.points + self._events.points, self._scans.bytes

    async def dead_letters(self) -> list[DeadLetter]:
        """All of them, those not yet on disk included; these have no id yet."""
        return await self.own(self.store.catalog.dead_letters) + self._notes.letters

    async def letters_after(self, id: int, most: int) -> list[DeadLetter]:
        """Those on disk that are not redeemed, from the first above `id` on; some of `most`."""
        letters = await self.own(self.store.catalog.dead_letters, id, most)
        gone = set(self._notes.gone)
        return [letter for letter in letters if letter.id not in gone]

    def renew(self, letters: Iterable[DeadLetter]) -> None:
        """Dead letters that are on disk were refused again, for the reason that they bear now."""
        self._notes.letters.extend(letters)
        self._notes.is_dirty = True

    def redeem(self, letters: Iterable[DeadLetter], delivered: bool) -> None:
        """Dead letters that are on disk were delivered after all, or are dropped."""
        for letter in letters:
            self.deliveries[letter.sink, letter.stream].redeem(letter.points, delivered)
            self._notes.gone.append(letter.id)
            if not delivered:
                now = self._clock.now()
                self._notes.losses.append(Loss(now, letter.sink, letter.stream, 0, 0, letter.points, 0, 0, _GIVEN_UP))
        self._notes.is_dirty = True

    async def field_types(self, sink: str) -> list[FieldType]:
        """The types that the fields of `sink` were first sent with. Raises `FAILURES`."""
        return await self.own(self.store.catalog.field_types, sink)

    async def note_types(self, sink: str, new: Sequence[FieldType]) -> None:
        """On disk when this returns; a field that has a type keeps it. Raises `FAILURES`."""
        await self.own(self.store.catalog.note_types, sink, new)

    async def remember(self, order: str, expires: int) -> bool:
        """On disk when this returns: `order` is taken, and may be forgotten some time after `expires` (nanoseconds
        UTC). False where it was taken before. Raises `FAILURES`."""
        return await self.own(self.store.catalog.remember, order, expires, self._clock.now())

    async def losses(self) -> list[Loss]:
        """The drop ledger, oldest first."""
        return [loss for _, loss in await self.own(self.store.catalog.losses)]

    # For the upkeep, and the rotation

    def now(self) -> int:
        return self._clock.now()

    def of(self, stream: Stream) -> list[Delivery]:
        return [delivery for (_, of), delivery in self.deliveries.items() if of is stream]

    async def note(self) -> None:
        """Write down now how the deliveries stand, which is otherwise done once a second."""
        try:
            await self.write_notes()
        except FAILURES as error:
            self.fail("upkeep", error)

    async def write_notes(self) -> None:
        """After a crash, what was not noted is sent again, which is harmless. Raises `FAILURES`."""
        notes, self._notes = self._notes, Notes()
        if not notes.is_dirty:
            return
        standings = [delivery.standing() for delivery in self.deliveries.values()]
        try:
            await self.own(self.store.settle, standings, notes.letters, notes.losses, notes.gone)
        except FAILURES:
            self._notes = notes.before(self._notes)
            raise

    def book(self, losses: Iterable[Loss]) -> None:
        """What deliveries have just lost: whatever is written next of how they stand, has these with it."""
        self._notes.losses.extend(losses)
        self._notes.is_dirty = True

    async def remove(self, number: int) -> None:
        """With it goes how the deliveries stand, and what they have lost. Raises `FAILURES`."""
        if not await self._can_spare(number):
            return
        await self.peruse(self.store.forget, number)
        losses, self._notes.losses = self._notes.losses, []
        standings = [delivery.standing() for delivery in self.deliveries.values()]
        try:
            await self.own(self.store.remove, number, standings, losses)
        except FAILURES:
            self._notes.losses = losses + self._notes.losses
            self._notes.is_dirty = True
            raise

    async def _can_spare(self, number: int) -> bool:
        """Whether what is made of the segment's events is kept elsewhere. False where they were committed so recently
        that nobody has heard of it: it can be spared soon."""
        entry = self.store.closed.get(number)
        if self.recollection is None or entry is None or entry.stream is not Stream.EVENTS:
            return True
        return await self.recollection.covers(entry.mark.stop)

    async def own(self, call: Callable[[*_Arguments], _T], *arguments: *_Arguments) -> _T:
        """On the thread that owns the files."""
        return await asyncio.get_running_loop().run_in_executor(self._owner, call, *arguments)

    async def peruse(self, call: Callable[[*_Arguments], _T], *arguments: *_Arguments) -> _T:
        """On the thread that reads closed segments."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, call, *arguments)

    async def close(self) -> None:
        """After `run` has ended by `stop`."""
        self._notes.is_dirty = True
        self.store.age += self.calendar.ran()
        await self.note()
        if self.recollection is not None:
            await self.recollection.note()
        self._reader.shutdown()
        await self.own(self.store.close)
        self._owner.shutdown()


@dataclass(slots=True)
class Notes:
    """What is still to be written into the catalogue."""

    letters: list[DeadLetter] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    is_dirty: bool = False

    def before(self, later: Notes) -> Notes:
        return Notes(self.letters + later.letters, self.losses + later.losses, self.gone + later.gone, True)


def weight(scan: Scan) -> int:
    """About how many bytes a scan takes up in memory."""
    return _SCAN_BYTES + sum(_plane_bytes(plane) for plane in scan.values)


def _plane_bytes(plane: Plane) -> int:
    if plane.dtype != object:
        return plane.nbytes
    return sum(_STRING_BYTES + len(text) for text in plane)


def _scan_time(scan: Scan) -> int:
    return scan.gateway_time


def _event_time(event: AnyEvent) -> int:
    return event.time


def _call(durable: Iterable[Callable[[], None]]) -> None:
    """What a driver does with the news is its own affair: the journal goes on."""
    for call in durable:
        try:
            call()
        except Exception:
            _log.exception("a source could not be acknowledged")
