"""Delivery to a sink that misbehaves in every way that one may."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway import forwarder as module
from gateway.backoff import Backoff
from gateway.clock import SECOND, ManualClock
from gateway.contracts import Ability, Repeats, Sink
from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.forwarder import Forwarder
from gateway.journal.books import FieldType
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.journal import Journal
from gateway.journal.keys import KeyRing
from gateway.letter import reopen
from gateway.model import AnyEvent, DataLost, Priority, Rows
from gateway.notice import Notices
from gateway.pace import Pace
from gateway.site import JournalSettings
from tests.gateway.build import NOW, group, scan

of = group("float64", "float64")
SETTINGS = JournalSettings.model_validate({"commit_interval": "2ms"})


class ChaosSink(Sink):
    """Fails as told, then takes everything; remembers the order of arrival."""

    ability = Ability(precision=1, repeats=Repeats.KEPT, typed=False)

    def __init__(self) -> None:
        self.failures: list[GatewayError] = []
        self.poison: set[float] = set()
        self.most = 10**9
        self.got: list[float] = []
        self.events: list[AnyEvent] = []
        self.order: list[str] = []
        self.refusal: type[GatewayError] = ChunkRejected
        self.attempts = 0

    async def write(self, rows: Sequence[Rows]) -> None:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        values = [float(v) for part in rows for plane in part.values for v in plane.ravel()]
        if len(values) > self.most:
            raise ChunkTooLarge("too much at once")
        if self.poison & set(values):
            raise self.refusal("it will not do")
        self.got += values
        self.order.append("rows")

    async def report(self, events: Sequence[AnyEvent]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.events += events
        self.order.append("events")


class Rig:
    def __init__(self, journal: Journal, sink: ChaosSink, forwarder: Forwarder) -> None:
        self.journal, self.sink, self.forwarder = journal, sink, forwarder
        self.forwarding = asyncio.create_task(forwarder.run())
        self._time = NOW

    async def put(self, *values: float) -> None:
        """Committed together, each in a row with its negative."""
        durable = asyncio.Event()
        for value in values:
            self._time += 1
            self.journal.append(scan(of, [value, -value], self._time), durable.set)
        await durable.wait()

    async def drained(self) -> None:
        async with asyncio.timeout(5):
            while self.journal.statistics("cloud").pending:
                await asyncio.sleep(0)
        account = self.journal.statistics("cloud")
        assert account.ingested == account.delivered + account.dead_letters + account.dropped


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    async with rigged(tmp_path, monkeypatch) as made:
        yield made


@asynccontextmanager
async def rigged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest_first: bool = False, sink: ChaosSink | None = None
) -> AsyncIterator[Rig]:
    """Pauses are not waited for: they are a matter of `backoff`."""
    clock = ManualClock()
    journal = Journal(tmp_path, KeyRing(b"k" * 32), clock, SETTINGS)
    await journal.open(["cloud"])
    sink = sink or ChaosSink()
    forwarder = Forwarder("cloud", sink, journal, clock, newest_first=newest_first)
    monkeypatch.setattr(forwarder._backoff, "fail", lambda: 0)
    monkeypatch.setattr(forwarder._unreachable, "fail", lambda: 0)
    monkeypatch.setattr(module, "_HELD", 0)
    running = asyncio.create_task(journal.run())
    rig = Rig(journal, sink, forwarder)
    yield rig
    rig.forwarding.cancel()
    journal.stop()
    await asyncio.gather(running, rig.forwarding, return_exceptions=True)
    await journal.close()


async def test_delivers_what_comes(rig: Rig) -> None:
    await rig.put(1, 2)
    await rig.drained()
    assert sorted(rig.sink.got) == [-2, -1, 1, 2]
    assert rig.forwarder.online


@pytest.mark.parametrize(
    "failure",
    [ConnectionLost("refused"), ConnectionLost("busy", 0.0), ServerFailed("500"), SinkHeld("401"), TimeoutError()],
)
async def test_nothing_is_lost_by_a_failure_that_passes(
    rig: Rig, failure: GatewayError, caplog: pytest.LogCaptureFixture
) -> None:
    rig.sink.failures = [failure, ConnectionLost("no route to host"), failure]  # one outage, by two names
    with caplog.at_level(logging.WARNING):
        await rig.put(1, 2)
        await rig.drained()
    assert sorted(rig.sink.got) == [-2, -1, 1, 2]
    told = [record for record in caplog.records if "cloud delivery" in record.message]
    assert len(told) == 2, "once when it starts, once when it is over"


@pytest.mark.parametrize(
    "failure", [ConnectionLost("429: 777.25 is no good"), SinkHeld("403: 777.25 is no good"), ServerFailed("5: 777.25")]
)
async def test_the_log_does_not_repeat_what_a_server_may_quote(
    rig: Rig, failure: GatewayError, caplog: pytest.LogCaptureFixture
) -> None:
    failure.brief = str(failure).partition(":")[0]
    rig.sink.failures = [failure]
    with caplog.at_level(logging.DEBUG):
        await rig.put(777.25)
        await rig.drained()
    assert f"delivery: {failure.brief}; edgeward status has the server's own words" in caplog.text
    assert "777" not in caplog.text


async def test_a_refused_value_costs_no_other(rig: Rig) -> None:
    await rig.put(1)
    await rig.drained()
    rig.sink.poison = {5.0}
    await rig.put(4, 5, 6)
    await rig.drained()
    assert sorted(rig.sink.got) == sorted([1, -1, 4, -4, -5, 6, -6])
    account = rig.journal.statistics("cloud")
    assert (account.dead_letters, account.delivered) == (1, 7)
    assert b'"value":5.0' in (await rig.journal.dead_letters())[0].content


async def test_a_refused_column_is_sent_apart_from_then_on(rig: Rig) -> None:
    await rig.put(1)
    await rig.drained()
    rig.sink.poison = {float(i) for i in range(2, 60)}
    await rig.put(2)
    await rig.drained()
    before = rig.sink.attempts
    await rig.put(3)
    await rig.drained()
    assert rig.sink.attempts - before <= 3
    assert -3.0 in rig.sink.got


async def test_too_much_at_once_is_sent_in_parts(rig: Rig) -> None:
    rig.sink.most = 3
    await rig.put(*range(1, 20))
    await rig.drained()
    assert len(rig.sink.got) == 38
    assert rig.journal.statistics("cloud").dead_letters == 0


async def test_a_permanent_refusal_in_disguise_is_found_out(rig: Rig) -> None:
    """A server that answers 500 to one value, for ever."""
    await rig.put(1)
    await rig.drained()
    rig.sink.refusal, rig.sink.poison = ServerFailed, {5.0}
    await rig.put(4, 5, 6)
    await rig.drained()
    assert rig.journal.statistics("cloud").dead_letters == 1


@pytest.mark.parametrize("refusal", [ChunkRejected, ServerFailed])
async def test_a_server_that_refuses_everything_gets_everything_later(rig: Rig, refusal: type[GatewayError]) -> None:
    rig.sink.refusal, rig.sink.poison = refusal, {float(i) for i in range(-400, 400)}
    await rig.put(*range(1, 300))
    async with asyncio.timeout(5):
        while rig.forwarder.retries < 8:
            await asyncio.sleep(0)
    rig.sink.poison = set()
    await rig.drained()
    assert len(rig.sink.got) == 2 * 299
    assert rig.journal.statistics("cloud").dead_letters == 0


async def test_a_server_that_was_well_and_then_refuses_all_costs_nothing(rig: Rig) -> None:
    """Live chunks come one by one, each of them small enough to be halved down to its last value."""
    await rig.put(1)
    await rig.drained()
    rig.sink.poison = {float(i) for i in range(-400, 400)}
    for value in range(2, 6):
        retries = rig.forwarder.retries
        await rig.put(value)
        while rig.forwarder.retries < retries + 2:
            await asyncio.sleep(0)
    assert not rig.forwarder.online
    rig.sink.poison = set()
    await rig.drained()
    assert rig.journal.statistics("cloud").dead_letters == 0


async def test_a_lone_culprit_waits_until_something_else_was_taken(rig: Rig) -> None:
    rig.sink.poison = {7.0, -7.0}
    await rig.put(7)
    while rig.forwarder.retries < 2:
        await asyncio.sleep(0)
    assert rig.journal.statistics("cloud").dead_letters == 0
    await rig.put(8)
    await rig.drained()
    assert rig.journal.statistics("cloud").dead_letters == 2


async def test_events_go_before_values(rig: Rig) -> None:
    rig.sink.failures = [ConnectionLost("away")]
    rig.journal.record(DataLost(NOW, 1, "why"))
    await rig.put(1)
    await rig.drained()
    assert rig.sink.order == ["events", "rows"]
    assert rig.sink.events == [DataLost(NOW, 1, "why")]


async def test_after_an_outage_the_live_edge_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(tmp_path, monkeypatch) as rig:
        rig.sink.failures = [ConnectionLost("away")] * 10**6
        for value in range(1, 6):
            await rig.put(value)
        tried = rig.forwarder.retries
        while rig.forwarder.retries < tried + 2:
            await asyncio.sleep(0)
        monkeypatch.setattr(rig.forwarder._handover, "size", lambda stream: 1)
        rig.sink.failures = []
        await rig.drained()
        positive = [value for value in rig.sink.got if value > 0]
        assert positive[0] == 5
        assert positive[1:] == [1, 2, 3, 4]


def test_a_server_that_is_not_there_is_asked_again_soon_and_one_that_has_a_wish_is_heard() -> None:
    forwarder = Forwarder.__new__(Forwarder)
    forwarder.name, forwarder.retries, forwarder.notices = "cloud", 0, Notices(logging.getLogger("test"))
    forwarder._trouble = ""
    forwarder._clock, forwarder._backoff = ManualClock(), Backoff()
    forwarder._unreachable = Backoff(SECOND // 4, 2 * SECOND)
    waits = [forwarder._down(ConnectionLost("refused")) for _ in range(30)]
    assert max(waits) <= 2 * SECOND
    assert max(forwarder._down(ServerFailed("500")) for _ in range(30)) > 10 * SECOND
    for error, least in ((ConnectionLost("slow down", 90.0), 90 * SECOND), (SinkHeld("401"), 30 * SECOND)):
        waits = [forwarder._down(error) for _ in range(30)]
        assert least <= min(waits) < max(waits) <= least + 60 * SECOND
        assert len(set(waits)) == 30, "not all gateways in the same moment"


async def test_stopping_waits_for_the_delivery_under_way(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, proceed = asyncio.Event(), asyncio.Event()
    write = ChaosSink.write

    async def slow(sink: ChaosSink, rows: Sequence[Rows]) -> None:
        begun.set()
        await proceed.wait()
        await write(sink, rows)

    monkeypatch.setattr(ChaosSink, "write", slow)
    await rig.put(1)
    await begun.wait()
    rig.forwarder.stop()
    await rig.put(2)
    proceed.set()
    await rig.forwarding
    assert rig.sink.got == [1, -1]
    assert rig.journal.statistics("cloud").delivered == 2, "and it is noted"
    assert rig.journal.statistics("cloud").pending == 2


async def test_stopping_waits_for_no_pause(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.forwarder._unreachable, "fail", lambda: 3600 * SECOND)
    rig.sink.failures = [ConnectionLost("away")]
    await rig.put(1)
    async with asyncio.timeout(5):
        while not rig.forwarder.retries:
            await asyncio.sleep(0)
        rig.forwarder.stop()
        await rig.forwarding


async def test_stopping_when_there_is_nothing_to_do(rig: Rig) -> None:
    async with asyncio.timeout(0.5):
        await asyncio.sleep(0)
        rig.forwarder.stop()
        await rig.forwarding


@dataclasses.dataclass
class Held:
    """A sink whose next write stands still until it may go on."""

    begun: asyncio.Event
    proceed: asyncio.Event


def hold(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held(asyncio.Event(), asyncio.Event())
    write = rig.sink.write

    async def slow(rows: Sequence[Rows]) -> None:
        held.begun.set()
        await held.proceed.wait()
        await write(rows)

    monkeypatch.setattr(rig.sink, "write", slow)
    return held


async def test_an_event_waits_for_the_write_under_way_and_for_no_other(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it one chunk, in writes of a few values."""
    monkeypatch.setattr(Pace, "size", 4)
    held = hold(rig, monkeypatch)
    await rig.put(*range(1, 9))
    await held.begun.wait()
    durable = asyncio.Event()
    rig.journal.record(DataLost(NOW, 1, "why"))
    rig.journal.follow(durable.set)
    await durable.wait()
    held.proceed.set()
    await rig.drained()
    assert rig.sink.order == ["rows", "events", "rows", "rows", "rows"]


async def test_streams_by_priority(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    held = hold(rig, monkeypatch)
    await rig.put(1)
    await held.begun.wait()
    durable = asyncio.Event()
    for value, priority in enumerate((Priority.LOW, Priority.NORMAL, Priority.HIGH), 2):
        named = dataclasses.replace(of, name=str(priority), priority=priority)
        rig.journal.append(scan(named, [value, -value], NOW + value), durable.set)
    await durable.wait()
    held.proceed.set()
    await rig.drained()
    assert [value for value in rig.sink.got if value > 0] == [1, 4, 3, 2]


async def test_newest_first_if_the_sink_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rigged(tmp_path, monkeypatch, newest_first=True) as rig:
        rig.sink.failures = [ConnectionLost("away")] * 10**6
        for value in range(1, 6):
            await rig.put(value)
        tried = rig.forwarder.retries
        while rig.forwarder.retries < tried + 2:
            await asyncio.sleep(0)
        monkeypatch.setattr(rig.forwarder._handover, "size", lambda stream: 1)
        rig.sink.failures = []
        await rig.drained()
        assert [value for value in rig.sink.got if value > 0] == [5, 4, 3, 2, 1]


async def test_what_is_held_back_stops_nobody_and_nobody_spins(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal does not give values out whose time is not trusted yet."""
    reads = 0
    read = rig.journal.read

    async def hesitant(stream: Stream, start: int, stop: int, most_points: int) -> list[Chunk]:
        nonlocal reads
        reads += 1
        return [] if stream is Stream.NORMAL else await read(stream, start, stop, most_points)

    monkeypatch.setattr(rig.journal, "read", hesitant)
    await rig.put(1)
    durable = asyncio.Event()
    rig.journal.append(scan(dataclasses.replace(of, priority=Priority.LOW), [2, -2], NOW), durable.set)
    await durable.wait()
    async with asyncio.timeout(5):
        while len(rig.sink.got) < 2:
            await asyncio.sleep(0)
    assert rig.sink.got == [2, -2]
    assert reads < 20
    monkeypatch.setattr(rig.journal, "read", read)
    await rig.drained()
    assert sorted(rig.sink.got) == [-2, -1, 1, 2]


async def test_a_refused_event_holds_up_no_value(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(events: Sequence[AnyEvent]) -> None:
        raise ChunkRejected("no such event")

    monkeypatch.setattr(rig.sink, "report", refuse)
    rig.journal.record(DataLost(NOW, 1, "why"))
    await rig.put(1)
    await rig.drained()
    assert rig.sink.got == [1, -1]
    (dead,) = await rig.journal.dead_letters()
    assert reopen(dead.content) == DataLost(NOW, 1, "why")


async def test_dead_letters_are_sent_again(rig: Rig) -> None:
    await rig.put(1)
    await rig.drained()
    rig.sink.poison = {4.0, 5.0}
    await rig.put(4, 5, 6)
    await rig.drained()
    letters = await rig.journal.dead_letters()
    rig.sink.poison = {5.0}
    reasons = await rig.forwarder.replay(letters)
    assert sorted(reasons) == ["", "it will not do"]
    assert 4.0 in rig.sink.got
    assert len(await rig.journal.dead_letters()) == 2, "what becomes of them is not for the forwarder to say"


class TypedSink(ChaosSink):
    """Keeps the type of every field for ever, and refuses a line for any other."""

    ability = Ability(precision=1, repeats=Repeats.OVERWRITTEN, typed=True)

    def __init__(self) -> None:
        super().__init__()
        self.types: dict[str, str] = {}

    async def write(self, rows: Sequence[Rows]) -> None:
        for part in rows:
            for column in part.schema.columns:
                if self.types.setdefault(column.name, column.type) != column.type:
                    raise ChunkRejected("field type conflict")
        await super().write(rows)


async def test_fields_keep_their_type_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The backlog holds what was said before the change."""
    sink = TypedSink()
    kinds = [group("int32"), group("float64"), group("string"), group("int32"), group("float64")]
    for number, kind in enumerate(kinds):
        async with rigged(tmp_path, monkeypatch, sink=sink) as rig:
            durable = asyncio.Event()
            rig.journal.append(scan(kind, [str(number) if kind is kinds[2] else number], NOW + number), durable.set)
            await durable.wait()
            await rig.drained()
            assert rig.journal.statistics("cloud").dead_letters == 0
    assert sink.types == {"t0": "int32", "t0.float64": "float64", "t0.string": "string"}
    assert sorted(sink.got) == [0, 1, 2, 3, 4]
    assert len([record for record in caplog.records if "changed their type" in record.message]) == 2, "once each"


async def test_types_are_on_disk_before_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    async with rigged(tmp_path, monkeypatch, sink=TypedSink()) as rig:
        note, write = rig.journal.note_types, rig.sink.write

        async def note_types(sink: str, new: Sequence[FieldType]) -> None:
            await note(sink, new)
            noted.extend(field.tag for field in await rig.journal.field_types(sink))

        async def check(rows: Sequence[Rows]) -> None:
            assert noted == ["t0", "t1"]
            await write(rows)

        monkeypatch.setattr(rig.journal, "note_types", note_types)
        monkeypatch.setattr(rig.sink, "write", check)
        await rig.put(1)
        await rig.put(2)
        await rig.drained()
    assert noted == ["t0", "t1"]


async def test_a_disk_that_takes_nothing_does_not_stop_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what makes room; and what could not be noted is noted later."""
    async with rigged(tmp_path, monkeypatch, sink=TypedSink()) as rig:
        note = rig.journal.note_types

        async def full(sink: str, new: Sequence[FieldType]) -> None:
            raise OSError(errno.ENOSPC, "no space left")

        monkeypatch.setattr(rig.journal, "note_types", full)
        await rig.put(1)
        await rig.drained()
        assert await rig.journal.field_types("cloud") == []
        monkeypatch.setattr(rig.journal, "note_types", note)
        await rig.put(2)
        await rig.drained()
        assert [field.tag for field in await rig.journal.field_types("cloud")] == ["t0", "t1"]
