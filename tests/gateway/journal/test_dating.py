"""What came in while the wall clock was wrong is dated before it is sent, to within a second, and never again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.clock import SECOND, ManualClock
from gateway.journal.calendar import Calendar
from gateway.journal.chunk import Stream
from gateway.journal.dating import Offset, Offsets, Origin, redate_rows
from gateway.journal.journal import Journal
from gateway.model import DataLost, Quality, Scan, quality
from tests.gateway.build import group
from tests.gateway.journal.test_journal import NORMAL, opened, read_times

RIGHT = 1_700_000_000 * SECOND
YEAR = 365 * 86_400 * SECOND
of = group("float64")


def now_scan(clock: ManualClock, value: float, source: int | None = None) -> Scan:
    time = clock.now()
    return Scan(of, time if source is None else source, time, (np.array([float(value)]),))


async def put(journal: Journal, *scans: Scan) -> None:
    durable = asyncio.Event()
    for scan in scans:
        journal.append(scan, durable.set)
    await durable.wait()


async def test_from_1970_to_today(tmp_path: Path) -> None:
    clock = ManualClock(5 * SECOND)
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, now_scan(clock, 1))
        clock.advance(60 * SECOND)
        device = RIGHT - 7 * SECOND
        await put(journal, now_scan(clock, 2, source=device))
        assert await journal.read(NORMAL, 0, 9, 99) == [], "nothing is sent with a wrong time"
        journal.record(DataLost(clock.now(), 1, "why"))
        clock.advance(10 * SECOND)
        clock.step(RIGHT - clock.now())
        await journal.tidy()
        await put(journal, now_scan(clock, 3))
        first, second, third = await read_times(journal)
    assert first == (RIGHT - 70 * SECOND, RIGHT - 70 * SECOND)
    assert second == (device, RIGHT - 10 * SECOND), "a device that has a clock of its own is believed"
    assert third == (RIGHT, RIGHT)


async def test_events_are_dated_too(tmp_path: Path) -> None:
    clock = ManualClock(5 * SECOND)
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        journal.record(DataLost(clock.now(), 1, "why"))
        done = asyncio.Event()
        journal.follow(done.set)
        await done.wait()
        assert await journal.read(Stream.EVENTS, 0, 9, 99) == []
        journal.record(DataLost(clock.now(), 2, "and what waits while the clock is set"))
        clock.step(RIGHT)
        await journal.tidy()
        journal.follow(done.set)
        done.clear()
        await done.wait()
        chunks = await journal.read(Stream.EVENTS, 0, 9, 99)
        assert [event.time for chunk in chunks for event in chunk.events] == [RIGHT + 5 * SECOND] * 2


async def test_what_was_gathered_around_the_step_goes_to_its_own_side(tmp_path: Path) -> None:
    """The clock is set between two scans that share a commit."""
    clock = ManualClock(5 * SECOND)
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, now_scan(clock, 0))
        early = now_scan(clock, 1)
        clock.step(RIGHT)
        await put(journal, early, now_scan(clock, 2))
        await journal.tidy()
        times = [gateway for _, gateway in await read_times(journal)]
    assert times == [RIGHT + 5 * SECOND] * 3


async def test_a_time_that_was_given_out_never_changes(tmp_path: Path) -> None:
    clock = ManualClock(5 * SECOND)
    async with opened(tmp_path, "cloud", "other", clock=clock) as journal:
        await put(journal, now_scan(clock, 1))
        clock.step(RIGHT)
        await journal.tidy()
        before = await read_times(journal)
        clock.step(3600 * SECOND)
        await put(journal, now_scan(clock, 2))
        await journal.tidy()
        assert (await read_times(journal, "other"))[:1] == before
    async with opened(tmp_path, "cloud", "again", clock=clock) as journal:
        (chunk,) = await journal.read(NORMAL, 0, 1, 99)
        assert int(chunk.rows[0].gateway_time[0]) == before[0][1]


async def test_a_jump_of_ten_years_is_undone(tmp_path: Path) -> None:
    clock = ManualClock(RIGHT)
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, now_scan(clock, 1))
        clock.step(10 * YEAR)
        clock.advance(SECOND)
        await put(journal, now_scan(clock, 2))
        clock.step(-10 * YEAR)
        await put(journal, now_scan(clock, 3))
        times = [gateway for _, gateway in await read_times(journal)]
    assert times == [RIGHT, RIGHT + SECOND, RIGHT + SECOND]


async def test_a_clock_that_was_ahead_and_is_set_right_by_hand(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From then on all is well, without another start of the machine."""
    clock = ManualClock(RIGHT + 10 * YEAR)
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        await put(journal, now_scan(clock, 1))
        clock.step(-10 * YEAR)
        await put(journal, now_scan(clock, 2))
        times = [gateway for _, gateway in await read_times(journal)]
    assert times == [RIGHT + 10 * YEAR, RIGHT]
    assert "cannot be right" not in caplog.text


async def test_what_is_said_of_a_clock_that_jumped_is_what_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock(RIGHT)
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        clock.step(10 * YEAR)
        await put(journal, now_scan(clock, 1))
        assert [gateway for _, gateway in await read_times(journal)] == [RIGHT]
    assert "is dated as if it had not jumped" in caplog.text
    assert "will be dated and sent when it is" not in caplog.text


async def test_a_boot_that_never_knew_the_time_ends_where_the_next_begins(tmp_path: Path) -> None:
    lost = ManualClock(5 * SECOND)
    lost.boot = "lost"
    async with opened(tmp_path, "cloud", clock=lost) as journal:
        await put(journal, now_scan(lost, 1))
        lost.advance(100 * SECOND)
        await put(journal, now_scan(lost, 2))
    clock = ManualClock(RIGHT)
    clock.advance(30 * SECOND)
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        chunks = await journal.read(NORMAL, 0, 9, 99)
        times = [int(t) for chunk in chunks for rows in chunk.rows for t in rows.gateway_time]
        assert times == [RIGHT - 100 * SECOND, RIGHT]
        statuses = [rows.status for chunk in chunks for rows in chunk.rows]
        assert all(s is not None and quality(int(s[0, 0])) is Quality.UNCERTAIN for s in statuses)


async def test_a_clock_that_is_waited_for(tmp_path: Path) -> None:
    clock = ManualClock(RIGHT)
    async with opened(tmp_path, "cloud", clock=clock, wait_for_clock=True) as journal:
        await put(journal, now_scan(clock, 1))
        assert await journal.read(NORMAL, 0, 9, 99) == []
        clock.step(7200 * SECOND)
        clock.is_synchronised = True
        await journal.tidy()
        assert await read_times(journal) == [(RIGHT + 7200 * SECOND,) * 2]


def test_an_offset_counts_from_its_own_time_on() -> None:
    offsets = Offsets([Offset("b", 10, 100), Offset("b", 20, 200)])
    wrong = [Origin("b", 0, monotonic, False) for monotonic in (5, 15, 25)]
    assert [offsets.at(origin) for origin in wrong] == [
        Offset("b", 10, 100),
        Offset("b", 10, 100),
        Offset("b", 20, 200),
    ]
    assert offsets.dating(Origin("other", 0, 0, False)) is None


def test_values_with_times_of_their_own_are_dated_one_by_one() -> None:
    from gateway.model import Rows

    times = np.array([[5 * SECOND, RIGHT]])
    rows = Rows(group("float64", "float64").schema, times, np.array([6 * SECOND]), (np.array([[1.0, 2.0]]),))
    dated = redate_rows(rows, -100 * SECOND, estimated=False)
    assert dated.source_time.tolist() == [[105 * SECOND, RIGHT]]
    assert dated.gateway_time.tolist() == [106 * SECOND]
    assert dated.status is None


@pytest.mark.parametrize(("start", "notes"), [(5 * SECOND, 0), (RIGHT, 1)])
def test_a_calendar_notes_the_first_offset_of_a_boot(start: int, notes: int) -> None:
    calendar = Calendar(ManualClock(start), Offsets(), wait=False)
    assert len(calendar.found) == notes
    calendar.look()
    assert len(calendar.found) == notes
