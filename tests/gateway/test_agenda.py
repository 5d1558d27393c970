"""What comes next, over a journal that a test fills by hand."""

from __future__ import annotations

from typing import cast

import pytest

from gateway.agenda import LATE, Agenda, Work
from gateway.clock import MILLISECOND, SECOND, ManualClock
from gateway.journal.books import Head
from gateway.journal.chunk import TELEMETRY, Chunk, Stream
from gateway.journal.delivery import Delivery
from gateway.journal.journal import Journal
from gateway.model import ValueType
from tests.gateway.sinks.samples import rows

HIGH, NORMAL, LOW = TELEMETRY
EVENTS = Stream.EVENTS
POINTS = 10


class Books:
    """The deliveries of a journal, without one. A chunk holds ten points."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.deliveries = {("cloud", stream): Delivery.begin("cloud", stream, Head()) for stream in Stream}

    def agenda(self, newest_first: bool = False) -> Agenda:
        return Agenda("cloud", cast(Journal, self), self.clock, newest_first)

    def put(self, stream: Stream, chunks: int) -> None:
        delivery = self.deliveries["cloud", stream]
        head = delivery.head
        delivery.advance(Head(head.seq + chunks, head.total + chunks * POINTS))

    def take(self, agenda: Agenda, points: int = POINTS, age: int = 0, duration: int = 0) -> Work | None:
        """The next work, done: as many chunks as make `points`, from its start on."""
        work = agenda.next(points)
        if work is None:
            return None
        stop = min(work.stop, work.start + max(1, points // POINTS))
        chunks = [self._chunk(work.stream, seq, age) for seq in range(work.start, stop)]
        for chunk in chunks:
            self.deliveries["cloud", work.stream].settle(chunk)
        agenda.done(work, chunks, duration)
        return Work(work.stream, work.first, work.start, stop, work.live, work.contended)

    def _chunk(self, stream: Stream, seq: int, age: int) -> Chunk:
        batch = rows({"t": ValueType.BOOL}, (True,))
        batch.gateway_time[:] = self.clock.now() - age
        return Chunk(stream, seq, POINTS, (batch,))

    def drain(self, agenda: Agenda, points: int = POINTS) -> list[tuple[Stream, int]]:
        taken = []
        while (work := self.take(agenda, points)) is not None:
            taken += [(work.stream, seq) for seq in range(work.start, work.stop)]
        return taken


@pytest.fixture
def books() -> Books:
    return Books()


def test_events_then_live_by_priority_then_backlog_by_priority(books: Books) -> None:
    for stream in (LOW, NORMAL, HIGH):
        books.put(stream, 1)
    agenda = books.agenda()
    for stream in (LOW, NORMAL, HIGH, EVENTS):
        books.put(stream, 1)
    live = [(HIGH, 1), (NORMAL, 1), (LOW, 1)]
    assert books.drain(agenda) == [(EVENTS, 0), *live, (HIGH, 0), (NORMAL, 0), (LOW, 0)]


def test_after_an_outage_every_stream_has_its_edge_at_the_head(books: Books) -> None:
    agenda = books.agenda()
    books.put(HIGH, 3)
    books.put(LOW, 3)
    agenda.rebase()
    assert books.drain(agenda) == [(HIGH, 2), (LOW, 2), (HIGH, 0), (HIGH, 1), (LOW, 0), (LOW, 1)]


def test_newest_first_goes_backwards_write_by_write_and_forwards_within_one(books: Books) -> None:
    books.put(NORMAL, 9)
    agenda = books.agenda(newest_first=True)
    books.put(NORMAL, 1)
    seqs = [seq for _, seq in books.drain(agenda, points=3 * POINTS)]
    assert seqs[0] == 9, "live"
    assert sorted(seqs) == list(range(10))
    assert seqs[-3:] == [0, 1, 2]
    assert seqs[-6:-3] == [3, 4, 5]


def contend(books: Books, agenda: Agenda, age: int, writes: int = 400) -> float:
    """Live data and backlog always wait. Returns the backlog's part of the time, each write taking 50 ms."""
    backlog = 0
    for _ in range(writes):
        books.put(NORMAL, 1)
        work = books.take(agenda, age=age, duration=50 * MILLISECOND)
        assert work is not None
        backlog += not work.live
    return backlog / writes


def test_the_backlog_has_its_share_beside_live_data_that_saturates_the_sink(books: Books) -> None:
    books.put(NORMAL, 1000)
    agenda = books.agenda()
    books.put(NORMAL, 500)
    assert contend(books, agenda, age=5 * SECOND) == pytest.approx(0.2, abs=0.05)


def test_fresh_live_data_leaves_more(books: Books) -> None:
    books.put(NORMAL, 1000)
    agenda = books.agenda()
    books.put(NORMAL, 500)
    assert contend(books, agenda, age=0) == pytest.approx(0.8, abs=0.05)


def test_live_data_alone_waits_for_nobody(books: Books) -> None:
    agenda = books.agenda()
    books.put(NORMAL, 100)
    for _ in range(50):
        work = books.take(agenda, duration=SECOND)
        assert work is not None
        assert work.live
    assert not agenda.share.is_backlogs_turn


def test_live_data_that_is_late_is_backlog(books: Books) -> None:
    agenda = books.agenda()
    books.put(NORMAL, 100)
    books.take(agenda, age=LATE + 1)
    assert books.take(agenda) == Work(NORMAL, 99, 99, 100, live=True, contended=True)


def test_a_sink_that_is_always_late_does_not_shred_its_backlog(books: Books) -> None:
    agenda = books.agenda()
    for _ in range(1000):
        books.put(NORMAL, 3)
        books.take(agenda, age=LATE + 1)
    assert len(books.deliveries["cloud", NORMAL].ranges) <= 65


def test_nor_does_one_that_comes_and_goes(books: Books) -> None:
    agenda = books.agenda()
    for _ in range(3000):
        books.put(NORMAL, 3)
        agenda.rebase()
        books.take(agenda)
    assert len(books.deliveries["cloud", NORMAL].ranges) <= 1025


def missed(books: Books, agenda: Agenda, points: int = POINTS) -> Work:
    work = agenda.next(points)
    assert work is not None
    agenda.missed(work)
    return work


def test_what_is_held_back_stops_no_other_stream(books: Books) -> None:
    agenda = books.agenda()
    books.put(HIGH, 5)
    books.put(LOW, 1)
    tried = 0
    while (work := agenda.next(POINTS)) is not None and work.stream is HIGH:
        agenda.missed(work)
        tried += 1
    assert tried <= 3
    assert work is not None
    assert work.stream is LOW
    assert agenda.misses


def test_what_is_held_back_stops_nothing_behind_it(books: Books) -> None:
    """Ten thousand chunks of a start whose clock was never right."""
    books.put(NORMAL, 10_000)
    agenda = books.agenda()
    tried: list[int] = []
    while (work := agenda.next(POINTS)) is not None:
        tried.append(work.start)
        agenda.missed(work)
    assert len(tried) <= 14
    assert tried == sorted(tried)


@pytest.mark.parametrize("newest_first", [False, True])
def test_what_is_held_back_is_looked_at_again(books: Books, newest_first: bool) -> None:
    books.put(NORMAL, 4)
    agenda = books.agenda(newest_first)
    while agenda.next(POINTS) is not None:
        missed(books, agenda)
    books.clock.advance(50 * MILLISECOND)
    assert agenda.next(POINTS) is None
    books.clock.advance(50 * MILLISECOND)
    assert agenda.next(POINTS) is not None
    assert sorted(seq for _, seq in books.drain(agenda)) == [0, 1, 2, 3]


def test_newest_first_reaches_further_back_before_it_gives_up(books: Books) -> None:
    """A window may lie within one compacted chunk, which begins before it."""
    books.put(NORMAL, 100)
    agenda = books.agenda(newest_first=True)
    starts = [missed(books, agenda).start for _ in range(4)]
    assert starts == [90, 80, 60, 20]
    assert not agenda.misses
    assert missed(books, agenda).start == 0
    assert agenda.misses


def test_nothing_pending_is_nothing_to_do(books: Books) -> None:
    assert books.agenda().next(POINTS) is None
