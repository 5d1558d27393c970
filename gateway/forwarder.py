"""Delivers the journal to one sink: what comes next, retry and back-off, so that a sink has none of it.

The order is the agenda's, and what a sink refuses is found out by the handover.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence

from gateway.agenda import Agenda, Work
from gateway.backoff import Backoff
from gateway.clock import SECOND, Clock
from gateway.contracts import Sink
from gateway.errors import ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.handover import Handover, Refusal, Unproven
from gateway.journal.books import DeadLetter
from gateway.journal.chunk import Stream
from gateway.journal.journal import Journal
from gateway.notice import Notices

_log = logging.getLogger(__name__)

_HELD = 30 * SECOND
_UNREACHABLE = 2 * SECOND
"""A server that is not there is asked again soon: the attempt costs it nothing, and live data waits."""
_IDLE_SECONDS = 1.0
_MISSED_SECONDS = 0.1


# A server that judges the content may quote it, and a log lies on some disk in the clear.
_REFUSED = "values are refused for good; edgeward journal dead-letters says which and why"
_MORE = "edgeward status has the server's own words"


class Forwarder:
    def __init__(self, name: str, sink: Sink, journal: Journal, clock: Clock, *, newest_first: bool = False) -> None:
        self.name = name
        self.sink = sink
        self.newest_first = newest_first
        self.notices = Notices(_log)
        self.online = False
        self.reason = "not tried yet"
        self.retries = 0
        self.cut = ""
        """Why it is cut off on purpose: then it is to it as if the far end could not be reached."""
        self._trouble = ""
        self._journal = journal
        self._clock = clock
        self._grown = journal.watch()
        self._backoff = Backoff()
        self._unreachable = Backoff(SECOND // 4, _UNREACHABLE)
        self._agenda = Agenda(name, journal, clock, newest_first)
        self._handover = Handover(name, sink, journal, clock)
        self._handover.urgent = self._report
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """`run` ends after the delivery that is under way: what the sink has then is noted, and not sent twice."""
        self._stopped.set()
        self._grown.set()

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stopped.is_set():
            self._grown.clear()
            work = self._agenda.next(self._handover.size(Stream.NORMAL))
            if work is None:
                await self._wait()
                continue
            try:
                if await self._forward(work):
                    self._up()
            except Exception as error:
                await self._pause(self._down(error))
                self._agenda.rebase()
                if isinstance(error, Unproven):
                    self._agenda.missed(work)  # others may prove that the server is in its right mind

    async def replay(self, letters: Sequence[DeadLetter]) -> list[str]:
        """Sends dead letters again, beside all else. Returns of each why it is still refused, or nothing where it went
        through; what becomes of the letters is the journal's affair."""
        if self.cut:
            return [self.cut] * len(letters)
        return await self._handover.retry([letter.content for letter in letters])

    async def _pause(self, wait: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait / SECOND):
                await self._stopped.wait()

    async def _wait(self) -> None:
        seconds = _MISSED_SECONDS if self._agenda.misses else _IDLE_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._grown.wait()
            return
        self._agenda.look_again()
        self.notices.expire(self._clock.monotonic())

    async def _report(self) -> None:
        """Events do not wait until all of a chunk is written. A failure of theirs is no answer to the values."""
        while (work := self._agenda.events()) is not None:
            try:
                await self._forward(work)
            except ServerFailed as error:
                raise ConnectionLost(str(error)) from error

    async def _forward(self, work: Work) -> bool:
        """True if the sink took something."""
        if self.cut:
            raise ConnectionLost(self.cut)
        began = self._clock.monotonic()
        size = self._handover.size(work.stream)
        chunks = await self._journal.read(work.stream, work.start, work.stop, size)
        if not chunks:
            self._agenda.missed(work)
            return False
        taken = self._handover.taken
        refused = await self._handover.give(work.stream, chunks)
        self._journal.settle(self.name, chunks, self._bury(work.stream, refused))
        self._agenda.done(work, chunks, self._clock.monotonic() - began)
        self.notices.expire(self._clock.monotonic())
        return self._handover.taken > taken

    def _bury(self, stream: Stream, refused: Iterable[Refusal]) -> dict[int, list[DeadLetter]]:
        """Dead letters by chunk number."""
        letters: dict[int, list[DeadLetter]] = {}
        for one in refused:
            dead = DeadLetter(self.name, self._clock.now(), one.points, one.reason, one.content, stream)
            letters.setdefault(one.seq, []).append(dead)
            self.notices.begin(f"sink {self.name}", _REFUSED, self._clock.monotonic())
        return letters

    def _up(self) -> None:
        self._backoff.reset()
        self._unreachable.reset()
        if not self.online:
            _log.info("sink %s: delivering", self.name)
            self.notices.end(f"sink {self.name} delivery", self._clock.monotonic())
        self.online, self.reason, self._trouble = True, "", ""

    def _down(self, error: Exception) -> int:
        """Says so once, and returns how long to wait, in nanoseconds: partly by chance, whatever the far end wishes, so
        that those that were sent away together do not come back together."""
        self.retries += 1
        self.online = False
        self.reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        self._trouble = self._trouble or self._told(error)  # one outage, by whatever names it goes
        self.notices.begin(f"sink {self.name} delivery", self._trouble, self._clock.monotonic(), lasting=True)
        if isinstance(error, ConnectionLost) and error.retry_after_s is None:
            return self._unreachable.fail()
        wait = self._backoff.fail()
        if isinstance(error, ConnectionLost):
            return wait + round((error.retry_after_s or 0) * SECOND)
        if isinstance(error, SinkHeld):
            return wait + _HELD
        if not isinstance(error, (ServerFailed, TimeoutError)):
            _log.exception("sink %s", self.name)
        return wait

    def _told(self, error: Exception) -> str:
        brief = error.brief if isinstance(error, GatewayError) else ""
        if isinstance(error, ServerFailed):
            brief = brief or self.reason.partition(":")[0]
        return f"{brief}; {_MORE}" if brief else self.reason
