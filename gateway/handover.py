"""Gives chunks to a sink, one call at a time, and finds out what of them it refuses, so that one bad value holds up no
other.

A refusal convicts what was refused alone: a value, or an event. Two cases would take too long value by value: a column
of which every value was refused alone, until its newest is accepted; and chunks of which a hundred parts of any size
were refused and none accepted, such as those that are too old for the server.

And a refusal convicts only if the server took something else, in the same attempt or since it first refused this, and
values where they are values: one that refuses everything has lost its mind or its configuration, and then all is kept.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway import bisection
from gateway.clock import Clock
from gateway.contracts import Sink
from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed
from gateway.fitting import Fitting
from gateway.halving import crop
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.journal import Journal
from gateway.journal.store import FAILURES
from gateway.letter import event_letter, letter, reopen
from gateway.model import AnyEvent, Rows
from gateway.pace import Pace
from gateway.portion import Part, cut, ones, portions
from gateway.suspects import Key, Suspects, key

_ALIKE = 5
_DOUBTS = 100
_RETRIED = 1000
_GENTLY = 50
_WRITE_SECONDS = 60.0


class Unproven(ServerFailed):
    """The server refused all that it got. Keep it, and see whether it takes something else."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One value, or one event, of chunk `seq` that the server refused for good."""

    seq: int
    content: bytes
    points: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Note:
    """An event of one chunk."""

    seq: int
    event: AnyEvent


class _Piece(Protocol):
    @property
    def seq(self) -> int: ...


_T = TypeVar("_T")
_P = TypeVar("_P", bound=_Piece)


@dataclass(frozen=True, slots=True)
class _Way(Generic[_P]):
    """How pieces of one kind reach the sink. `split` cuts one in two, or returns nothing; `ones` cuts it up."""

    write: Callable[[Sequence[_P]], Awaitable[None]]
    split: Callable[[_P], Sequence[_P]]
    ones: Callable[[_P], Iterable[_P]]
    pace: Pace


class Handover:
    """One sink's. What it says of the server is remembered from one `give` to the next."""

    def __init__(self, name: str, sink: Sink, journal: Journal, clock: Clock) -> None:
        self.urgent: Callable[[], Awaitable[None]] = _nothing
        """Awaited before every write of values: it may give what shall not wait until all of a chunk is written."""
        self.taken = 0
        """How many calls the sink took."""
        self._taken_values = 0
        self._sink = sink
        self._clock = clock
        self._fitting = Fitting(name, journal) if sink.ability.typed else None
        self._turn = asyncio.Lock()
        self._notes = _Way(self._report_once, lambda note: (), lambda note: [note], Pace())
        self._parts = _Way(self._write_next, cut, ones, Pace())
        self._suspects = Suspects()
        self._failures = 0
        self._failed_alike = 0
        self._failure = ""
        self._failed = (Stream.EVENTS, 0, 0)
        """The stream, and the chunks from the first to before the second, that a server's failure came to last."""
        self._doubts: dict[tuple[Stream, int], int] = {}

    def size(self, stream: Stream) -> int:
        """How many points to give at once."""
        return (self._notes if stream is Stream.EVENTS else self._parts).pace.size

    async def give(self, stream: Stream, chunks: Sequence[Chunk]) -> list[Refusal]:
        """What the server refuses of them; it has the rest. Raises what the sink raises, `Unproven`, TimeoutError and
        `FAILURES`: then they are to be given again."""
        taken = self._evidence(stream)
        try:
            refused = await (self._report(chunks) if stream is Stream.EVENTS else self._write(chunks))
        except ServerFailed:
            self._failed = stream, chunks[0].seq, chunks[-1].seq + 1
            raise
        if refused and not self._is_proven((stream, chunks[0].seq), taken):
            raise Unproven(f"it accepts nothing: {refused[0].reason}")
        if self._failed[0] is stream and chunks[0].seq < self._failed[2] and self._failed[1] <= chunks[-1].seq:
            self._failed_alike = 0
        return refused

    def _evidence(self, stream: Stream) -> int:
        return self.taken if stream is Stream.EVENTS else self._taken_values

    def _is_proven(self, place: tuple[Stream, int], taken: int) -> bool:
        if self._evidence(place[0]) == self._doubts.setdefault(place, taken):
            while len(self._doubts) > _DOUBTS:
                del self._doubts[next(iter(self._doubts))]
            return False
        self._doubts.clear()
        return True

    async def _report(self, chunks: Sequence[Chunk]) -> list[Refusal]:
        notes = [_Note(chunk.seq, event) for chunk in chunks for event in chunk.events]
        size = self._notes.pace.size
        refused: list[tuple[_Note, str]] = []
        for start in range(0, len(notes), size):
            refused += await self._deliver(notes[start : start + size], self._notes)
        return [Refusal(note.seq, event_letter(note.event), 1, reason) for note, reason in refused]

    async def _write(self, chunks: Sequence[Chunk]) -> list[Refusal]:
        """Columns that were refused before travel apart, so that they do not stop the others again."""
        sound: list[Part] = []
        suspect: list[Part] = []
        for chunk in chunks:
            for rows in chunk.rows:
                good, bad = self._suspects.sort(await self._fit(rows))
                sound.extend(Part(chunk.seq, part) for part in good)
                suspect.extend(Part(chunk.seq, part) for part in bad)
        refused: list[tuple[Part, str]] = []
        for portion in portions(sound, self._parts.pace.size):
            refused += await self._deliver(portion, self._parts)
        refused += await self._try_suspects(suspect, sound)
        if suspect or refused:
            self._suspects.learn(
                *([part.rows for part in parts] for parts in (sound, suspect, [p for p, _ in refused]))
            )
        return [
            Refusal(part.seq, letter(part.rows), part.rows.points, reason) async for part, reason in _gently(refused)
        ]

    async def _fit(self, rows: Rows) -> Rows:
        return rows if self._fitting is None else await self._fitting.fit(rows)

    # What was refused before

    async def _try_suspects(self, suspect: Sequence[Part], sound: Sequence[Part]) -> list[tuple[Part, str]]:
        """Their refusal may come disguised as a server's failure, and at once. So that a failure is not taken for a
        refusal, the server has to take something sound once more."""
        failures = self._failures
        proven: defaultdict[Key, list[Part]] = defaultdict(list)
        others: list[Part] = []
        for part in suspect:
            (proven[key(part.rows)] if self._suspects.is_proven(part.rows) else others).append(part)
        refused = await self._deliver(others, self._parts, at_once=True)
        for column in proven.values():
            refused += await self._try_column(column)
        if self._failures > failures and sound:
            await self._write_next([Part(sound[-1].seq, crop(sound[-1].rows, slice(-1, None)))])
        return refused

    async def _try_column(self, parts: Sequence[Part]) -> list[tuple[Part, str]]:
        """One request for a column that has gone bad, however much there is of it: its last value stands for all."""
        values = [one async for one in _gently(one for part in parts for one in ones(part))]
        reason = await bisection.fault(self._write_next, values[-1:])
        if reason is None:
            return await self._deliver(values[:-1], self._parts, at_once=True)
        return [(one, str(reason)) for one in values]

    # One call at a time

    async def _deliver(self, pieces: Sequence[_P], way: _Way[_P], at_once: bool = False) -> list[tuple[_P, str]]:
        """Everything at once; only a refusal, or a failure that keeps coming back alike, makes it worth the halving."""
        if not pieces:
            return []
        try:
            await way.write(pieces)
        except ServerFailed as error:
            if not at_once and not self._is_suspect(error):
                raise
            refusal: GatewayError = error
        except (ChunkRejected, ChunkTooLarge) as error:
            refusal = error
        else:
            return []
        try:
            refused = await bisection.narrow(pieces, refusal, way.write, way.split)
        except bisection.NothingTaken as error:
            if isinstance(error.__cause__, ServerFailed):
                raise Unproven(str(error)) from error
            every = (one for piece in pieces for one in way.ones(piece))
            refused = [(one, str(error)) async for one in _gently(every)]
        way.pace.judged(guilty=bool(refused))
        return refused

    def _is_suspect(self, error: ServerFailed) -> bool:
        """A permanent refusal may come disguised as a server's failure: after several alike, look for a culprit. That
        other chunks go well in between says nothing about it."""
        self._failed_alike = self._failed_alike + 1 if str(error) == self._failure else 1
        self._failure = str(error)
        return self._failed_alike >= _ALIKE

    async def _write_next(self, parts: Sequence[Part]) -> None:
        await self.urgent()
        await self._write_once(parts)

    async def _write_once(self, parts: Sequence[Part]) -> None:
        points = sum(part.rows.points for part in parts)
        await self._once(lambda: self._sink.write([part.rows for part in parts]), self._parts.pace, points)
        self._taken_values += 1

    async def _report_once(self, notes: Sequence[_Note]) -> None:
        await self._once(lambda: self._sink.report([note.event for note in notes]), self._notes.pace, len(notes))

    async def _once(self, call: Callable[[], Awaitable[None]], pace: Pace, points: int) -> None:
        async with self._turn:
            began = self._clock.monotonic()
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await call()
            except (TimeoutError, ConnectionLost):
                pace.failed(self._clock.monotonic() - began)
                raise
            except ServerFailed:
                self._failures += 1
                raise
            except ChunkTooLarge:
                pace.too_large(points)
                raise
            pace.took(points, self._clock.monotonic() - began)
            self.taken += 1

    # Dead letters

    async def retry(self, contents: Sequence[bytes]) -> list[str]:
        """What comes of sending the contents of dead letters again: of each why not, or nothing where it went through.
        May run beside `give`."""
        reasons = ["it was not tried"] * len(contents)
        parts: list[Part] = []
        notes: list[_Note] = []
        async for number, content in _gently(enumerate(contents)):
            try:
                one = reopen(content)
                if isinstance(one, Rows):
                    parts.append(Part(number, await self._fit(one)))
                else:
                    notes.append(_Note(number, one))
            except (ValueError, *FAILURES) as error:
                reasons[number] = f"it cannot be read: {error}"
        await self._retry(notes, self._notes, reasons)
        await self._retry(parts, _Way(self._write_once, cut, ones, self._parts.pace), reasons)
        return reasons

    async def _retry(self, pieces: Sequence[_P], way: _Way[_P], reasons: list[str]) -> None:
        """The first that does not get through for another reason than itself ends it."""
        for start in range(0, len(pieces), _RETRIED):
            some = pieces[start : start + _RETRIED]
            try:
                refused = await self._deliver(some, way, at_once=True)
            except (GatewayError, TimeoutError) as error:
                for piece in pieces[start:]:
                    reasons[piece.seq] = str(error) or "no answer in time"
                return
            for piece in some:
                reasons[piece.seq] = ""
            for piece, reason in refused:
                reasons[piece.seq] = reason


async def _nothing() -> None:
    return None


async def _gently(items: Iterable[_T]) -> AsyncIterator[_T]:
    """Thousands of values, one by one, are made to wait for whoever else has to do."""
    for number, item in enumerate(items):
        if number % _GENTLY == 0:
            await asyncio.sleep(0)
        yield item
