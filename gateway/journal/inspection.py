"""Looks at everything that a journal has: whether it can still be read, and what it says.

It goes step by step, on the thread that the segment belongs to, so that whoever writes or delivers waits for one step
at the most.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DatabaseError

from gateway.journal.catalog import Entry
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.dating import Guesses
from gateway.journal.journal import Journal
from gateway.journal.segment import Look, Mark, Name, Segment
from gateway.journal.store import Store

_POINTS = 50_000
"""In a step: some milliseconds."""

_TRIES = 256
"""Chunks of a damaged file that are tried one by one in a step."""

_DAMAGED = "its page of the file is damaged"


@dataclass(frozen=True, slots=True)
class Volume:
    """A segment as it was when somebody began to look: an open one grows."""

    name: Name
    mark: Mark

    @property
    def points(self) -> int:
        return self.mark.total_stop - self.mark.total_first


@dataclass(frozen=True, slots=True)
class Fault:
    """Chunks `first` to `stop` of a segment cannot be read. They were sealed between `since` and `until`, which are the
    times (nanoseconds UTC) of the chunks around them."""

    volume: Volume
    first: int
    stop: int
    points: int
    since: int
    until: int
    reason: str


def volumes(store: Store) -> list[Volume]:
    """For the owner: all that is there, in the order in which it was begun."""
    found = _known(store.closed) + [_growing(store, segment) for segment in store.open_segments().values()]
    return sorted(found, key=_number)


def expected(store: Store) -> list[Volume]:
    """For the owner: all that should be there."""
    return sorted(volumes(store) + _known(store.missing), key=_number)


def _known(entries: Mapping[int, Entry]) -> list[Volume]:
    return [Volume(Name(entry.stream, number), entry.mark) for number, entry in entries.items()]


def _growing(store: Store, segment: Segment) -> Volume:
    stream = segment.name.stream
    begin, end = store.open_from[stream], store.heads[stream]
    return Volume(segment.name, Mark(begin.seq, end.seq, begin.total, end.total))


def _number(volume: Volume) -> int:
    return volume.name.number


class Check:
    """Goes through the chunks of one segment. The running totals tell how many points lie between two that are sound,
    whatever has become of them."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.at = volume.mark.first
        self.chunks = 0
        self.faults: list[Fault] = []
        self._sound = volume.mark.first
        self._total = volume.mark.total_first
        self._time = volume.mark.since
        self._reason = ""

    @property
    def is_done(self) -> bool:
        return self.at >= self.volume.mark.stop

    @property
    def points(self) -> int:
        """That were gone through."""
        return self._total - self.volume.mark.total_first

    def take(self, looks: Sequence[Look]) -> None:
        """What lies from `at` on, in order; nothing, where nothing does."""
        for look in looks:
            self.at = look.seq + 1
            if look.broken:
                self._reason = self._reason or look.broken
            else:
                self._pass(look)
        if not looks:
            self.at = self.volume.mark.stop

    def skip(self, reason: str) -> None:
        """One chunk."""
        self._reason = self._reason or reason
        self.at += 1

    def finish(self, obstacle: str = "") -> None:
        """There is no more, or no more can be read because of an `obstacle`."""
        mark = self.volume.mark
        self._reason = obstacle or self._reason
        if self._sound < mark.stop or self._total != mark.total_stop:
            self._find(mark.stop, mark.total_stop - self._total, mark.until)
        self.at, self._total = mark.stop, mark.total_stop

    def _pass(self, look: Look) -> None:
        self.chunks += 1
        before = look.total - look.points
        if look.seq > self._sound or before != self._total:
            self._find(look.seq, before - self._total, look.time)
        self._sound, self._total, self._time, self._reason = look.seq + 1, look.total, look.time, ""

    def _find(self, stop: int, points: int, until: int) -> None:
        missing = "it is missing" if stop > self._sound else "the catalogue has another count"
        reason = self._reason or missing
        self.faults.append(Fault(self.volume, self._sound, stop, points, self._time, until, reason))


async def verify(journal: Journal, chosen: Sequence[Volume]) -> AsyncGenerator[Check]:
    """Opens and decodes every chunk. Yields after every step, and when a segment is done."""
    for volume in chosen:
        check = Check(volume)
        while not check.is_done:
            yield check
            await _step(journal, check)
        yield check


async def _step(journal: Journal, check: Check) -> None:
    number = check.volume.name.number
    if await journal.own(lambda: _step_open(journal, check)):
        return
    if number in journal.store.missing:
        check.finish("its file is gone")
    elif not await journal.peruse(lambda: _step_closed(journal, check)):
        check.at = check.volume.mark.stop  # every sink has it by now, or it was evicted


def _step_open(journal: Journal, check: Check) -> bool:
    segment = journal.store.open_segments().get(check.volume.name.number)
    if segment is not None:
        _go(segment, check)
    return segment is not None


def _step_closed(journal: Journal, check: Check) -> bool:
    segment = journal.store.reopened(check.volume.name.number)
    if segment is None:
        return False
    try:
        if segment.obstacle:
            check.finish(segment.obstacle)
        else:
            _go(segment, check)
    finally:
        segment.abandon()
    return True


def _go(segment: Segment, check: Check) -> None:
    stop = check.volume.mark.stop
    try:
        check.take(segment.look(check.at, stop, _POINTS))
    except DatabaseError:
        for _ in range(_TRIES):
            if check.is_done:
                break
            _try(segment, check)
    if check.is_done:
        check.finish()


def _try(segment: Segment, check: Check) -> None:
    try:
        looks = segment.look(check.at, check.at + 1, 1)
    except DatabaseError:
        looks = []
    if looks:
        check.take(looks)
    else:
        check.skip(_DAMAGED)


# What they say


async def fetch(journal: Journal, volume: Volume, start: int) -> list[Chunk]:
    """Chunks of a segment from `start` on, at least one where there is one. Those that cannot be read are broken; of
    those whose time nobody knows yet it is in doubt. Nothing where the segment is gone by now."""
    stop = volume.mark.stop
    guesses = Guesses(journal.store.offsets)

    def from_open() -> list[Chunk] | None:
        segment = journal.store.open_segments().get(volume.name.number)
        return None if segment is None else segment.fetch(start, stop, _POINTS, guesses)

    def from_closed() -> list[Chunk]:
        segment = journal.store.reopened(volume.name.number)
        if segment is None:
            return []
        try:
            return read(segment, volume.mark, start, guesses)
        finally:
            segment.abandon()

    chunks = await journal.own(from_open)
    return await journal.peruse(from_closed) if chunks is None else chunks


def read(segment: Segment, mark: Mark, start: int, guesses: Guesses) -> list[Chunk]:
    if segment.obstacle:
        return [lost(segment.name.stream, start, mark, segment.obstacle)]
    try:
        return segment.fetch(start, mark.stop, _POINTS, guesses)
    except DatabaseError:
        return segment.salvage(start, mark.stop, mark, guesses)


def lost(stream: Stream, start: int, mark: Mark, reason: str) -> Chunk:
    """All the rest of a segment, under the number of its last chunk."""
    points = mark.total_stop - mark.total_first if start == mark.first else 0
    return Chunk(stream, mark.stop - 1, points, broken=reason)
