"""What a sink gets next: events; then what is live, by priority; then the backlog, by priority.

Each stream of telemetry has a live edge. After an outage, or where a sink falls behind, it is set at the head of the
journal: what happens now is seen now, while the gap drains behind it, from either end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.clock import MILLISECOND, SECOND, Clock
from gateway.journal.chunk import TELEMETRY, Chunk, Stream
from gateway.journal.delivery import Delivery
from gateway.journal.journal import Journal
from gateway.journal.ranges import Range, Ranges
from gateway.share import Share

LATE = 10 * SECOND
"""Live data of that age is none."""

_MOST_PIECES = 1024
_MOST_LATE = 64
"""Neither a sink that comes and goes nor one that is always too slow cuts its backlog into ever more pieces."""
_PATIENCE = 100 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Work:
    """Chunks `start` to `stop` of `stream`, which begin a pending range at `first`. `contended` where live data and
    backlog both wait."""

    stream: Stream
    first: int
    start: int
    stop: int
    live: bool = False
    contended: bool = False


class Agenda:
    def __init__(self, name: str, journal: Journal, clock: Clock, newest_first: bool) -> None:
        self.share = Share()
        self._name = name
        self._journal = journal
        self._clock = clock
        self._newest_first = newest_first
        self._edges = {stream: self._delivery(stream).head.seq for stream in TELEMETRY}
        self._per_chunk = 1.0
        self._stretch = 1
        self._holes: dict[Stream, Ranges] = {}
        self._look_again = 0

    def rebase(self) -> None:
        """After an outage: what came last is live, what waited is backlog."""
        for stream in TELEMETRY:
            self._rebase(stream, _MOST_PIECES)

    def events(self) -> Work | None:
        return _work(Stream.EVENTS, self._first(Stream.EVENTS, 0, self._delivery(Stream.EVENTS).head.seq))

    def next(self, points: int) -> Work | None:
        """None where there is nothing, or nothing to be had at present. `points` is about how many will be read."""
        if self._clock.monotonic() >= self._look_again:
            self._holes.clear()
        events = self.events()
        if events is not None:
            return events
        live = next(self._live(), None)
        backlog = next(self._backlog(points), None)
        if live is None or backlog is None:
            return live or backlog
        turn = backlog if self.share.is_backlogs_turn else live
        return Work(turn.stream, turn.first, turn.start, turn.stop, turn.live, contended=True)

    def done(self, work: Work, chunks: Sequence[Chunk], duration: int) -> None:
        """All of `chunks`, which were read for `work`, is where it shall be, after `duration` in all."""
        self._stretch = 1
        if work.stream is Stream.EVENTS:
            return
        numbers = chunks[-1].seq + 1 - chunks[0].seq
        self._per_chunk = max(1.0, sum(chunk.points for chunk in chunks) / numbers)
        if work.contended:
            self.share.spend(duration, work.live)
        if work.live:
            age = max((self._clock.now() - int(rows.gateway_time[0]) for rows in chunks[0].rows), default=0)
            self.share.arrived(age)
            if age > LATE:
                self._rebase(work.stream, _MOST_LATE)

    def missed(self, work: Work) -> None:
        """Nothing was to be had: it is held back, or a segment was closed or dropped under us. Others go on, and this
        is looked at again a little later."""
        self._stretch *= 2
        if work.start > work.first:
            return  # from its newest end on we reached too short, and reach further next time
        if not self._holes:
            self._look_again = self._clock.monotonic() + _PATIENCE
        stop = min(work.stop, work.start + self._stretch)
        self._holes.setdefault(work.stream, Ranges()).add(work.start, stop)

    @property
    def misses(self) -> bool:
        """Something is pending that could not be had."""
        return bool(self._holes)

    def look_again(self) -> None:
        self._holes.clear()

    def _live(self) -> Iterator[Work]:
        for stream in TELEMETRY:
            pending = self._first(stream, self._edges[stream], self._delivery(stream).head.seq)
            if pending is not None:
                yield Work(stream, pending[0], *pending, live=True)

    def _backlog(self, points: int) -> Iterator[Work]:
        for stream in TELEMETRY:
            stop = min(self._edges[stream], self._delivery(stream).head.seq)
            if not self._newest_first:
                work = _work(stream, self._first(stream, 0, stop))
            else:
                work = self._newest(stream, stop, points)
            if work is not None:
                yield work

    def _newest(self, stream: Stream, stop: int, points: int) -> Work | None:
        """About as many chunks as make `points`, or more where so many gave nothing."""
        pending = self._last(stream, 0, stop)
        if pending is None:
            return None
        reach = max(1, int(points / self._per_chunk)) * self._stretch
        return Work(stream, pending[0], max(pending[0], pending[1] - reach), pending[1])

    def _first(self, stream: Stream, start: int, stop: int) -> Range | None:
        return next(iter(self._free(stream, start, stop)), None)

    def _last(self, stream: Stream, start: int, stop: int) -> Range | None:
        return next(reversed(list(self._free(stream, start, stop))), None)

    def _free(self, stream: Stream, start: int, stop: int) -> Ranges | Iterator[Range]:
        """What is pending, but for the holes."""
        pending = self._delivery(stream).ranges.within(start, stop)
        holes = self._holes.get(stream)
        if holes is None:
            return pending
        free = Ranges(pending)
        for hole in holes:
            free.remove(*hole)
        return free

    def _rebase(self, stream: Stream, most: int) -> None:
        delivery = self._delivery(stream)
        if len(delivery.ranges) < most:
            self._edges[stream] = max(self._edges[stream], delivery.head.seq - 1)

    def _delivery(self, stream: Stream) -> Delivery:
        return self._journal.deliveries[self._name, stream]


def _work(stream: Stream, pending: Range | None) -> Work | None:
    return None if pending is None else Work(stream, pending[0], *pending)
