"""What is refused is found in few requests, and costs nobody else. Counted in requests, not measured in time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import pytest

from gateway.clock import MILLISECOND, ManualClock
from gateway.contracts import Ability, Repeats, Sink
from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed
from gateway.handover import Handover, Refusal, Unproven
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.journal import Journal
from gateway.letter import letter, reopen
from gateway.model import AnyEvent, Column, DataLost, Rows, Schema, ValueType
from tests.gateway.sinks.samples import START

TAGS, ROWS = 100, 50
EVENTS, NORMAL = Stream.EVENTS, Stream.NORMAL

Value = tuple[str, float]


class Server(Sink):
    """Refuses what `is_bad` says of a tag's name and value, and more than `most` points at once."""

    ability = Ability(precision=1, repeats=Repeats.OVERWRITTEN, typed=False)

    def __init__(self) -> None:
        self.is_bad: Callable[[str, float], bool] = lambda tag, value: False
        self.refusal: type[GatewayError] = ChunkRejected
        self.most = 10**9
        self.requests = 0
        self.sizes: list[int] = []
        self.got: set[Value] = set()
        self.events: list[AnyEvent] = []
        self.busy = 0

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._one_at_a_time()
        self.requests += 1
        values = [value for part in rows for value in told(part)]
        if len(values) > self.most:
            raise ChunkTooLarge("413")
        if any(self.is_bad(*value) for value in values):
            raise self.refusal("it will not do")
        self.sizes.append(len(values))
        self.got.update(values)

    async def report(self, events: Sequence[AnyEvent]) -> None:
        await self._one_at_a_time()
        if any(event.time < 0 for event in events):
            raise self.refusal("no such time")
        self.events += events

    async def _one_at_a_time(self) -> None:
        self.busy += 1
        await asyncio.sleep(0)
        assert self.busy == 1
        self.busy -= 1


def told(rows: Rows) -> list[Value]:
    planes = zip(rows.schema.spans, rows.values, strict=True)
    return [
        (rows.schema.columns[span.start + column].name, float(plane[row, column]))
        for span, plane in planes
        for row in range(plane.shape[0])
        for column in range(plane.shape[1])
    ]


def chunk(seq: int, tags: int = TAGS, count: int = ROWS) -> Chunk:
    """No two of its values are alike, nor are those of two chunks."""
    columns = tuple(Column(f"t{number}", ValueType.FLOAT64) for number in range(tags))
    times = np.arange(START + seq * count, START + (seq + 1) * count)
    values = (np.arange(tags * count, dtype=np.float64) + seq * tags * count).reshape(count, tags)
    return Chunk(NORMAL, seq, tags * count, (Rows(Schema("press-1", "fast", columns), times, times, (values,)),))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def handover(server: Server) -> Handover:
    return Handover("cloud", server, cast(Journal, None), ManualClock())


async def test_one_bad_point_in_5000_costs_few_requests(server: Server, handover: Handover) -> None:
    """D1: 2 log2(n) + 2, after the one that was refused."""
    for number in (0, 1, 99, 2500, 4998, 4999):
        fresh = Handover("cloud", server, cast(Journal, None), ManualClock())
        server.is_bad, server.requests, server.got = lambda tag, value, n=number: value == n, 0, set()
        (refusal,) = await fresh.give(NORMAL, [chunk(0)])
        assert server.requests - 1 <= 2 * math.log2(TAGS * ROWS) + 2
        assert len(server.got) == TAGS * ROWS - 1
        assert refusal.points == 1
        back = reopen(refusal.content)
        assert isinstance(back, Rows)
        assert told(back)[0][1] == number


async def test_a_bad_tag_in_a_hundred_leaves_a_third_of_the_throughput(server: Server, handover: Handover) -> None:
    """A million points; a write of the clean ones would hold 5,000 each."""
    server.is_bad = lambda tag, value: tag == "t7"
    refused: list[Refusal] = []
    for seq in range(200):
        refused += await handover.give(NORMAL, [chunk(seq)])
    assert len(refused) == 200 * ROWS
    assert len(server.got) == 200 * ROWS * (TAGS - 1)
    assert 200 / server.requests >= 0.3


async def test_a_tag_that_becomes_good_again_loses_nothing_from_then_on(server: Server, handover: Handover) -> None:
    server.is_bad = lambda tag, value: tag == "t7" and value < 2 * TAGS * ROWS + 1000
    refused = [await handover.give(NORMAL, [chunk(seq)]) for seq in range(4)]
    assert [len(some) for some in refused] == [ROWS, ROWS, 10, 0]
    before = server.requests
    await handover.give(NORMAL, [chunk(5)])
    assert server.requests - before == 1


async def test_what_is_too_old_as_a_whole_is_set_aside_once_others_were_taken(
    server: Server, handover: Handover
) -> None:
    """D10: with a hundred requests or so, not with one for each value; and no column is suspect for it."""
    server.is_bad = lambda tag, value: value < TAGS * ROWS
    with pytest.raises(Unproven):
        await handover.give(NORMAL, [chunk(0)])
    assert await handover.give(NORMAL, [chunk(1)]) == []
    server.requests = 0
    assert len(await handover.give(NORMAL, [chunk(0)])) == TAGS * ROWS
    assert server.requests <= 110
    server.requests = 0
    assert await handover.give(NORMAL, [chunk(2)]) == []
    assert server.requests == 1


async def test_events_that_are_taken_convict_no_value(server: Server, handover: Handover) -> None:
    server.is_bad = lambda tag, value: True
    events = Chunk(EVENTS, 0, 1, events=(DataLost(1, 2, "why"),))
    for _ in range(3):
        with pytest.raises(Unproven):
            await handover.give(NORMAL, [chunk(0)])
        await handover.give(EVENTS, [events])


async def test_a_refused_event_is_convicted_by_values_that_are_taken(server: Server, handover: Handover) -> None:
    events = Chunk(EVENTS, 0, 1, events=(DataLost(-1, 2, "why"),))
    with pytest.raises(Unproven):
        await handover.give(EVENTS, [events])
    await handover.give(NORMAL, [chunk(0)])
    (refusal,) = await handover.give(EVENTS, [events])
    assert reopen(refusal.content) == DataLost(-1, 2, "why")


async def test_a_refusal_in_disguise_is_found_again_at_once(server: Server, handover: Handover) -> None:
    """D2: a server that answers 500 to one tag, for ever. Five times alike the first time, and never again."""
    server.is_bad, server.refusal = lambda tag, value: tag == "t7", ServerFailed
    for _ in range(4):
        with pytest.raises(ServerFailed):
            await handover.give(NORMAL, [chunk(0)])
    assert len(await handover.give(NORMAL, [chunk(0)])) == ROWS
    for seq in (1, 2, 3):
        assert len(await handover.give(NORMAL, [chunk(seq)])) == ROWS


async def test_a_refusal_in_disguise_is_found_while_all_else_goes_well(server: Server, handover: Handover) -> None:
    """It is in the backlog, and live data comes between any two attempts."""
    server.is_bad, server.refusal = lambda tag, value: value == 7, ServerFailed
    for seq in range(1, 5):
        with pytest.raises(ServerFailed):
            await handover.give(NORMAL, [chunk(0)])
        assert await handover.give(NORMAL, [chunk(seq)]) == []
    assert len(await handover.give(NORMAL, [chunk(0)])) == 1


async def test_a_server_that_fails_on_all_of_it_convicts_nothing(server: Server, handover: Handover) -> None:
    """However often, and though it takes all else: it may be sick, and one day well."""
    for seq in range(1, 20):
        server.is_bad, server.refusal = lambda tag, value: True, ServerFailed
        with pytest.raises(ServerFailed):
            await handover.give(NORMAL, [chunk(0)])
        server.is_bad = lambda tag, value: False
        await handover.give(NORMAL, [chunk(seq)])
    assert await handover.give(NORMAL, [chunk(0)]) == []


async def test_failures_that_pass_convict_nobody(server: Server, handover: Handover) -> None:
    """However alike they are: each time the second attempt goes well."""
    server.refusal = ServerFailed
    for seq in range(10):
        server.is_bad = lambda tag, value: True
        with pytest.raises(ServerFailed):
            await handover.give(NORMAL, [chunk(seq)])
        server.is_bad = lambda tag, value: False
        requests = server.requests
        assert await handover.give(NORMAL, [chunk(seq)]) == []
        assert server.requests == requests + 1


async def test_a_server_that_fails_is_not_taken_to_refuse_suspects(server: Server, handover: Handover) -> None:
    """It fails after the sound part, just when a column that was refused before is tried."""
    server.is_bad = lambda tag, value: tag == "t7"
    await handover.give(NORMAL, [chunk(0)])
    down = False

    def fails(tag: str, value: float) -> bool:
        nonlocal down
        down = down or tag == "t7"
        return down

    server.is_bad, server.refusal = fails, ServerFailed
    with pytest.raises(ServerFailed):
        await handover.give(NORMAL, [chunk(1)])
    server.is_bad = lambda tag, value: False
    assert await handover.give(NORMAL, [chunk(1)]) == []


async def test_too_much_at_once_is_remembered(server: Server, handover: Handover) -> None:
    """D6, 413: nothing is refused for good, and the next write holds less."""
    server.most = 1000
    assert await handover.give(NORMAL, [chunk(0)]) == []
    server.requests = 0
    for seq in range(1, 11):
        assert await handover.give(NORMAL, [chunk(seq)]) == []
    assert server.requests <= 10 * 10
    assert handover.size(NORMAL) <= 1000


async def test_a_single_value_that_is_too_large_makes_no_write_smaller(server: Server, handover: Handover) -> None:
    server.refusal, server.is_bad = ChunkTooLarge, lambda tag, value: value == 7
    assert len(await handover.give(NORMAL, [chunk(0)])) == 1
    assert handover.size(NORMAL) >= 5000


async def test_a_large_chunk_goes_in_several_writes_with_events_in_between(server: Server) -> None:
    """A slow server: a millisecond a point."""
    clock = ManualClock()
    handover = Handover("cloud", server, cast(Journal, None), clock)
    write = server.write

    async def slow(rows: Sequence[Rows]) -> None:
        await write(rows)
        clock.advance(sum(part.points for part in rows) * MILLISECOND)

    server.write = slow  # type: ignore[method-assign]
    for seq in range(10):
        await handover.give(NORMAL, [chunk(seq)])
    writes: list[int] = []

    async def urgent() -> None:
        writes.append(len(server.sizes))

    handover.urgent = urgent
    server.sizes.clear()
    await handover.give(NORMAL, [chunk(10)])
    assert writes == list(range(len(server.sizes))), "before every write"
    assert max(server.sizes) <= 2 * TAGS, "a row is not torn apart"
    assert sum(server.sizes) == TAGS * ROWS


async def test_rows_of_any_shape_arrive_whole(server: Server, handover: Handover) -> None:
    """Wide ones, long ones, empty ones, and such of which nothing is there."""
    chunks = [chunk(0, 1, 20_000), chunk(1, 7000, 2), chunk(2, 3, 1), chunk(3, 5, 0)]
    absent = chunks[2].rows[0]
    gone = Rows(absent.schema, absent.source_time, absent.gateway_time, absent.values, None, np.zeros((1, 3), np.bool_))
    await handover.give(NORMAL, [*chunks, Chunk(NORMAL, 4, 0, (gone,))])
    assert server.got == {value for one in chunks for value in told(one.rows[0])}
    assert sum(server.sizes) == 20_000 + 14_000 + 3 + 3, "and once"


# Dead letters


def letters(*values: float) -> list[bytes]:
    columns = (Column("t0", ValueType.FLOAT64),)
    at = np.array([START])
    return [letter(Rows(Schema("press-1", "fast", columns), at, at, (np.array([[value]]),))) for value in values]


async def test_letters_go_through_or_say_why_not(server: Server, handover: Handover) -> None:
    server.is_bad = lambda tag, value: value == 2
    contents = [*letters(1, 2, 3), b'{"type":"DataLost","time":1,"points":2,"reason":"why"}', b"garbage"]
    reasons = await handover.retry(contents)
    assert [bool(reason) for reason in reasons] == [False, True, False, False, True]
    assert reasons[1] == "it will not do"
    assert "cannot be read" in reasons[4]
    assert server.got == {("t0", 1.0), ("t0", 3.0)}
    assert server.events == [DataLost(1, 2, "why")]


async def test_a_server_that_is_away_leaves_all_letters(server: Server, handover: Handover) -> None:
    server.is_bad, server.refusal = lambda tag, value: True, ConnectionLost
    assert await handover.retry(letters(1, 2, 3)) == ["it will not do"] * 3


async def test_a_server_that_refuses_everything_leaves_all_letters(server: Server, handover: Handover) -> None:
    server.is_bad = lambda tag, value: True
    reasons = await handover.retry(letters(*range(500)))
    assert all("it will not do" in reason for reason in reasons)
    assert server.requests <= 110


async def test_letters_are_sent_beside_what_is_new_one_call_at_a_time(server: Server, handover: Handover) -> None:
    async with asyncio.TaskGroup() as tasks:
        replay = tasks.create_task(handover.retry(letters(*range(10_000_000, 10_003_000))))
        for seq in range(5):
            await handover.give(NORMAL, [chunk(seq)])
    assert set(replay.result()) == {""}
    assert len(server.got) == 3000 + 5 * TAGS * ROWS
