"""What is let go of, in which order, and that every loss is written down and told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.clock import SECOND, ManualClock
from gateway.journal.chunk import Stream
from gateway.journal.journal import Journal
from gateway.journal.keys import KeyRing, generate, load
from gateway.journal.store import Store
from gateway.model import DataLost, Priority, Scan, TagGroup
from tests.gateway.build import NOW, group, scan
from tests.gateway.journal.test_journal import KEYS, NORMAL, QUICK, balanced, opened, put, read_all

DAY = 86_400 * SECOND
wide = group(*["float64"] * 10_000, device="wide")
chance = np.random.default_rng(1)


def of(priority: Priority) -> TagGroup:
    return replace(wide, name=priority.value, priority=priority)


async def fill(journal: Journal, groups: Sequence[TagGroup], times: int) -> None:
    """Random values do not compress: each round fills a segment of a megabyte a group."""
    for i in range(times):
        durable = asyncio.Event()
        for each in groups:
            for k in range(14):
                journal.append(Scan(each, NOW + i * 100 + k, NOW + i * 100 + k, (chance.random(10_000),)))
        journal.follow(durable.set)
        await durable.wait()


async def told(journal: Journal, sink: str = "cloud") -> list[DataLost]:
    """The gap markers that are on their way to a sink."""
    await journal.tidy()
    done = asyncio.Event()
    journal.follow(done.set)
    await done.wait()
    events: list[DataLost] = []
    work = journal.deliveries[sink, Stream.EVENTS].next()
    for chunk in await journal.read(Stream.EVENTS, *work, 10**6) if work else []:
        events += [event for event in chunk.events if isinstance(event, DataLost)]
    return events


@pytest.mark.slow
async def test_the_least_important_goes_first_and_events_last(tmp_path: Path) -> None:
    groups = [of(Priority.HIGH), of(Priority.NORMAL), of(Priority.LOW)]
    async with opened(tmp_path, "cloud", max_bytes=8 << 20) as journal:
        journal.record(DataLost(NOW, 7, "an event that must stay"))
        await fill(journal, groups, 4)
        high, normal, low = (journal.deliveries["cloud", s] for s in (Stream.HIGH, Stream.NORMAL, Stream.LOW))
        assert high.dropped == 0
        assert low.dropped > normal.dropped
        assert low.dropped > 0
        assert balanced(journal)
        assert DataLost(NOW, 7, "an event that must stay") in await told(journal)


@pytest.mark.slow
async def test_a_sink_that_is_away_costs_another_nothing(tmp_path: Path) -> None:
    """Its backlog goes, and not what has just come in, however unimportant that is."""
    clock = ManualClock()
    async with opened(tmp_path, "away", "cloud", clock=clock, max_bytes=5 << 20) as journal:
        await fill(journal, [of(Priority.HIGH)], 4)
        while work := journal.deliveries["cloud", Stream.HIGH].next():
            journal.settle("cloud", await journal.read(Stream.HIGH, *work, 10**9))
        clock.advance(2 * SECOND)
        await journal.tidy()
        durable = asyncio.Event()
        journal.append(Scan(of(Priority.LOW), NOW, NOW, (chance.random(10_000),)), durable.set)
        await durable.wait()
        await fill(journal, [of(Priority.HIGH)], 2)
        away, cloud = (journal.statistics(sink) for sink in ("away", "cloud"))
        assert away.dropped > 0
        assert cloud.dropped == 0
        assert balanced(journal, "away")


@pytest.mark.slow
async def test_an_eviction_is_in_the_ledger_and_told_to_the_sink(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud", max_bytes=4 << 20) as journal:
        await fill(journal, [wide], 6)
        delivery = journal.deliveries["cloud", NORMAL]
        losses = await journal.losses()
        assert sum(loss.points for loss in losses) == delivery.dropped > 0
        assert {loss.sink for loss in losses} == {"cloud"}
        assert (losses[0].first, losses[-1].stop) == (0, next(iter(delivery.ranges))[0])
        events = await told(journal)
        assert sum(event.points for event in events) == delivery.dropped
        assert all(event.stream == "normal" and event.since and event.until for event in events)
        assert len(await told(journal)) == len(events), "told once"
        assert balanced(journal)


@pytest.mark.slow
async def test_a_loss_that_a_crash_kept_from_being_told_is_told_after_it(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud", max_bytes=4 << 20) as journal:
        await fill(journal, [wide], 6)
    for _ in range(2):  # told after the restart, and not once more after the next
        async with opened(tmp_path, "cloud", max_bytes=4 << 20) as journal:
            events = [event for event in await told(journal) if event.stream == "normal"]
            assert sum(event.points for event in events) == journal.deliveries["cloud", NORMAL].dropped > 0


async def test_what_nobody_took_for_a_week_goes(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, 1)
        clock.advance(QUICK.segment_age + SECOND)
        await journal.tidy()
        await put(journal, 2)
        clock.advance(QUICK.retention - SECOND)
        await journal.tidy()
        assert journal.statistics("cloud").dropped == 0
        clock.advance(2 * SECOND)
        await journal.tidy()
        assert journal.statistics("cloud").dropped == 2
        assert balanced(journal)
        assert [event.reason for event in await told(journal)] == ["older than the journal keeps values"]
        assert await read_all(journal) == [2]


async def test_age_is_counted_over_restarts(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, 1)
    for _ in range(8):
        clock = ManualClock()
        async with opened(tmp_path, "cloud", clock=clock) as journal:
            clock.advance(DAY)
            await journal.tidy()
    async with opened(tmp_path, "cloud") as journal:
        assert journal.statistics("cloud").dropped == 2


@pytest.mark.parametrize("step", [10 * 365 * DAY, -365 * DAY, -50 * 365 * DAY])
async def test_no_clock_deletes_anything(tmp_path: Path, step: int) -> None:
    clock = ManualClock()
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, 1)
    clock.step(step)
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await journal.tidy()
        clock.advance(DAY)
        await journal.tidy()
        assert journal.statistics("cloud").dropped == 0
        assert await read_all(journal) == [1]


async def test_a_segment_is_closed_by_age(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, 1)
        clock.advance(QUICK.segment_age + SECOND)
        await journal.tidy()
        await put(journal, 2)
        assert (tmp_path / "normal-00000002.db").exists()
        assert await read_all(journal) == [1, 2]


async def test_values_that_find_no_memory_are_in_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path, "cloud", memory_bytes=0) as journal:
        journal.append(scan(group("float64", "float64"), [1, 1]))
        with pytest.raises(Exception, match="memory"):
            journal.append(scan(group("float64", "float64"), [2, 2]))
        assert balanced(journal)
        done = asyncio.Event()
        journal.follow(done.set)
        await done.wait()
        await journal.tidy()
        assert [(loss.points, loss.reason) for loss in await journal.losses()] == [(2, "the disk did not keep up")]
        assert balanced(journal)


async def test_keys_are_rotated_while_the_journal_works(tmp_path: Path) -> None:
    ring = load(tmp_path / "journal.key")
    store = tmp_path / "journal"
    journal = Journal(store, ring, ManualClock(), QUICK)
    await journal.open(["cloud", "other"])
    running = asyncio.create_task(journal.run())
    await put(journal, 1)
    await journal.rotation.run()
    await put(journal, 2)
    assert await read_all(journal) == [1, 2]
    await journal.rotation.run()
    assert await read_all(journal, "other") == [1, 2]
    journal.stop()
    await running
    await journal.close()
    after = load(tmp_path / "journal.key")
    assert after.previous == ()
    assert after.current != ring.current
    reopened = Store(store, after, 1 << 20)
    assert [chunk.broken for chunk in reopened.fetch_closed(NORMAL, 0, 9, 99)] == [""]
    reopened.close()


@pytest.mark.parametrize("stage", ["adopt", "rewrap", "finish"])
async def test_a_rotation_that_was_interrupted_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    ring = load(tmp_path / "journal.key")
    store = tmp_path / "journal"
    first = Journal(store, ring, ManualClock(), QUICK)
    await first.open(["cloud"])
    running = asyncio.create_task(first.run())
    await put(first, 1)

    def stop(*_: object) -> None:
        raise OSError("power")

    monkeypatch.setattr(Store, stage, stop)
    with pytest.raises(OSError, match="power"):
        await first.rotation.run()
    first.stop()
    await running
    await first.close()
    monkeypatch.undo()
    both = load(tmp_path / "journal.key")
    assert len(both.previous) == 1
    second = Journal(store, both, ManualClock(), QUICK)
    await second.open(["cloud"])
    running = asyncio.create_task(second.run())
    await second.tidy()
    assert second.failing == ""
    assert await read_all(second) == [1]
    second.stop()
    await running
    await second.close()
    last = load(tmp_path / "journal.key")
    assert last == replace(both, previous=())
    Store(store, last, 1 << 20).close()


@pytest.mark.parametrize("content", [b"", b"no database at all"])
async def test_a_file_that_has_no_key_any_more_stops_no_rotation(tmp_path: Path, content: bytes) -> None:
    """However often it is looked at: nobody has to take it away."""
    ring = load(tmp_path / "journal.key")
    async with opened(tmp_path / "journal", "cloud", keys=ring) as journal:
        await put(journal, 1)
    (segment,) = (tmp_path / "journal").glob("normal-*.db")
    segment.write_bytes(content)
    async with opened(tmp_path / "journal", "cloud", keys=ring) as journal:
        for _ in range(2):
            await journal.rotation.run()
            assert load(tmp_path / "journal.key").previous == ()
        await journal.tidy()
        assert journal.failing == ""


async def test_a_ring_that_has_nothing_left_to_do_does_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The configuration still names the key before."""
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
    journal = Journal(tmp_path, KeyRing(KEYS.current, (generate(),)), ManualClock(), QUICK)
    await journal.open(["cloud"])
    running = asyncio.create_task(journal.run())
    await journal.tidy()
    assert journal.keys == KEYS
    journal.stop()
    await running
    await journal.close()
    assert not [record for record in caplog.records if "rotated" in record.message]


async def test_a_loss_is_in_the_ledger_although_its_segment_could_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, 1)
        clock.advance(QUICK.segment_age + SECOND)
        await journal.tidy()
        clock.advance(QUICK.retention + SECOND)

        def refuse(*_: object) -> None:
            raise OSError("disk I/O error")

        with monkeypatch.context() as sick:
            sick.setattr(Store, "remove", refuse)
            await journal.tidy()
        await journal.note()
        assert sum(loss.points for loss in await journal.losses()) == journal.statistics("cloud").dropped == 2
