"""Delivers the journal to one sink. Retry, back-off, order, halving and dead letters happen here, so that a sink has
none of it.

Events go first, then what is live, then the backlog, oldest first. After an outage the live edge is set anew at the
head of the journal, so that what happens now is seen now while the gap drains behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from gateway import bisection
from gateway.backoff import Backoff
from gateway.clock import SECOND, Clock
from gateway.contracts import Sink
from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, ServerFailed, SinkHeld
from gateway.halving import Suspects, halves, letter
from gateway.journal.catalog import DeadLetter
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.journal import Journal
from gateway.journal.ranges import Range
from gateway.model import AnyEvent, Rows
from gateway.notice import Notices

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_POINTS = 50_000
_ALIKE = 5
_DOUBTS = 100
_HELD = 30 * SECOND
_UNREACHABLE = 2 * SECOND
"""A server that is not there is asked again soon: the attempt costs it nothing, and live data waits."""
_WRITE_SECONDS = 60.0
_IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of one chunk."""

    seq: int
    rows: Rows


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One value, or one event, of chunk `seq` that the server refused on its own."""

    seq: int
    content: bytes
    points: int
    reason: str


def _cut(part: _Part) -> list[_Part]:
    return [_Part(part.seq, rows) for rows in halves(part.rows)]


class Forwarder:
    def __init__(self, name: str, sink: Sink, journal: Journal, clock: Clock) -> None:
        self.name = name
        self.sink = sink
        self.notices = Notices(_log)
        self.online = False
        self.reason = "not tried yet"
        self.retries = 0
        self.newest_sent = 0
        self._journal = journal
        self._clock = clock
        self._grown = journal.watch()
        self._backoff = Backoff()
        self._unreachable = Backoff(SECOND // 4, _UNREACHABLE)
        self._live_from = journal.deliveries[name, Stream.NORMAL].head.seq
        self._failed_alike = 0
        self._failure = ""
        self._suspects = Suspects()
        self._taken = 0
        self._doubts: dict[tuple[Stream, int], int] = {}
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """`run` ends after the delivery that is under way: what the sink has then is noted, and not sent twice."""
        self._stopped.set()
        self._grown.set()

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stopped.is_set():
            self._grown.clear()
            work = self._next()
            if work is None:
                await self._wait()
                continue
            try:
                if await self._forward(*work):
                    self._up()
            except Exception as error:
                pause = self._down(error)
                await self._pause(pause / SECOND)
                self._live_from = max(self._live_from, self._head() - 1)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._grown.wait()
        except TimeoutError:
            self.notices.expire(self._clock.monotonic())

    def _head(self) -> int:
        return self._journal.deliveries[self.name, Stream.NORMAL].head.seq

    def _next(self) -> tuple[Stream, Range] | None:
        events = self._journal.deliveries[self.name, Stream.EVENTS].next()
        if events is not None:
            return Stream.EVENTS, events
        telemetry = self._journal.deliveries[self.name, Stream.NORMAL]
        work = telemetry.next(self._live_from) or telemetry.next(0, self._live_from)
        return None if work is None else (Stream.NORMAL, work)

    async def _forward(self, stream: Stream, work: Range) -> bool:
        """True if the sink took something."""
        chunks = await self._journal.read(stream, *work, _POINTS)
        if not chunks:
            await asyncio.sleep(_IDLE_SECONDS / 10)  # a segment was closed or dropped under us: look again
            return False
        taken = self._taken
        refused = await (self._report if stream is Stream.EVENTS else self._write)(chunks)
        if refused and not self._is_proven((stream, work[0]), taken):
            raise ServerFailed(f"it accepts nothing: {refused[0].reason}")
        self._journal.settle(self.name, chunks, self._bury(refused))
        self.notices.expire(self._clock.monotonic())
        return self._taken > taken

    def _is_proven(self, place: tuple[Stream, int], taken: int) -> bool:
        """A refusal convicts only if the server took something else, in the same attempt or since it first refused
        this: one that refuses everything has lost its mind or its configuration, and then all is kept."""
        if self._taken == self._doubts.setdefault(place, taken):
            while len(self._doubts) > _DOUBTS:
                del self._doubts[next(iter(self._doubts))]
            return False
        self._doubts.clear()
        return True

    async def _report(self, chunks: Sequence[Chunk]) -> list[_Refusal]:
        parts = [(chunk.seq, event) for chunk in chunks for event in chunk.events]
        refused = await self._deliver(parts, self._report_once, lambda part: ())
        return [_Refusal(seq, msgspec.json.encode(event), 1, reason) for (seq, event), reason in refused]

    async def _write(self, chunks: Sequence[Chunk]) -> list[_Refusal]:
        """Columns that were refused before travel apart, so that they do not stop the others again."""
        sound: list[_Part] = []
        suspect: list[_Part] = []
        for chunk in chunks:
            for rows in chunk.rows:
                good, bad = self._suspects.sort(rows)
                sound.extend(_Part(chunk.seq, part) for part in good)
                suspect.extend(_Part(chunk.seq, part) for part in bad)
        refused = await self._deliver(sound, self._write_once, _cut)
        refused += await self._deliver(suspect, self._write_once, _cut)
        self._suspects.learn([part.rows for part in suspect], [part.rows for part, _ in refused])
        return [_Refusal(part.seq, letter(part.rows), part.rows.points, reason) for part, reason in refused]

    async def _deliver(
        self,
        parts: Sequence[_T],
        write: Callable[[Sequence[_T]], Awaitable[None]],
        split: Callable[[_T], Sequence[_T]],
    ) -> list[tuple[_T, str]]:
        """Everything at once; only a refusal, or a failure that keeps coming back alike, makes it worth the halving."""
        if not parts:
            return []
        try:
            await write(parts)
        except ServerFailed as error:
            if not self._is_suspect(error):
                raise
            refusal: Exception = error
        except (ChunkRejected, ChunkTooLarge) as error:
            refusal = error
        else:
            self._failed_alike = 0
            return []
        return await bisection.narrow(parts, refusal, write, split)

    async def _write_once(self, parts: Sequence[_Part]) -> None:
        async with asyncio.timeout(_WRITE_SECONDS):
            await self.sink.write([part.rows for part in parts])
        self._taken += 1

    async def _report_once(self, parts: Sequence[tuple[int, AnyEvent]]) -> None:
        async with asyncio.timeout(_WRITE_SECONDS):
            await self.sink.report([event for _, event in parts])
        self._taken += 1

    def _is_suspect(self, error: ServerFailed) -> bool:
        """A permanent refusal may come disguised as a server's failure: after several alike, look for a culprit."""
        self._failed_alike = self._failed_alike + 1 if str(error) == self._failure else 1
        self._failure = str(error)
        return self._failed_alike >= _ALIKE

    def _bury(self, refused: Iterable[_Refusal]) -> dict[int, list[DeadLetter]]:
        """Dead letters by chunk number."""
        letters: dict[int, list[DeadLetter]] = {}
        for one in refused:
            dead = DeadLetter(self.name, self._clock.now(), one.points, one.reason, one.content)
            letters.setdefault(one.seq, []).append(dead)
            self.notices.begin(f"sink {self.name}", f"refused for good: {one.reason}", self._clock.monotonic())
        return letters

    def _up(self) -> None:
        self._backoff.reset()
        self._unreachable.reset()
        if not self.online:
            _log.info("sink %s: delivering", self.name)
            self.notices.end(f"sink {self.name} delivery", self._clock.monotonic())
        self.online, self.reason = True, ""

    def _down(self, error: Exception) -> int:
        """Says so once, and returns how long to wait, in nanoseconds."""
        self.retries += 1
        self.online = False
        self.reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        self.notices.begin(f"sink {self.name} delivery", self.reason, self._clock.monotonic(), lasting=True)
        if isinstance(error, ConnectionLost) and error.retry_after_s is None:
            return self._unreachable.fail()
        wait = self._backoff.fail()
        if isinstance(error, ConnectionLost):
            return max(wait, round((error.retry_after_s or 0) * SECOND))
        if isinstance(error, SinkHeld):
            return max(wait, _HELD)
        if not isinstance(error, (ServerFailed, TimeoutError)):
            _log.exception("sink %s", self.name)
        return wait
