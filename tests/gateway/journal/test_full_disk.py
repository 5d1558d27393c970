"""A disk that is full: no exit, alarms still get through, and all goes on by itself when there is room again."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import JournalFull
from gateway.journal import journal as module
from gateway.journal.chunk import Stream
from gateway.journal.journal import Journal
from gateway.journal.store import Batch, Store
from gateway.model import DataLost, Scan
from tests.gateway.build import NOW, group
from tests.gateway.journal.test_journal import NORMAL, balanced, opened

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")

PATIENCE_S = 20.0
wide = group(*["float64"] * 20_000, device="wide")
chance = np.random.default_rng(1)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """24 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Somebody else takes all the room that is left."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
    return filler


def row(number: int) -> Scan:
    return Scan(wide, NOW + number, NOW + number, (chance.random(20_000),))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


async def values(journal: Journal) -> int:
    """Rows that are pending, all of which can be read."""
    count = 0
    start, stop = journal.deliveries["cloud", NORMAL].next() or (0, 0)
    while start < stop:
        chunks = await journal.read(NORMAL, start, stop, 10**6)
        count += sum(len(rows.gateway_time) for chunk in chunks for rows in chunk.rows)
        start = chunks[-1].seq + 1
    return count


@pytest.mark.promise("F1", "F3", "F4")
async def test_alarms_get_through_and_all_goes_on_by_itself(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    async with opened(disk / "journal", "cloud") as journal:
        durable = asyncio.Event()
        journal.append(row(0), durable.set)
        await durable.wait()
        filler = fill(disk)
        kept = asyncio.Event()
        for number in range(1, 20):
            journal.append(row(number), kept.set if number == 19 else None)
        await until(lambda: bool(journal.failing))
        for number in range(50):
            journal.record(DataLost(NOW + number, 1, "an alarm, say"))
        await until(lambda: journal.deliveries["cloud", Stream.EVENTS].head.seq > 0 and journal._events.points == 0)
        assert not kept.is_set()
        chunks = await journal.read(Stream.EVENTS, 0, 99, 99)
        assert sum(len(chunk.events) for chunk in chunks) == 50
        assert balanced(journal)
        filler.unlink()
        await until(kept.is_set)
        await journal.tidy()
        assert journal.failing == ""
        assert await values(journal) == 20
        assert balanced(journal)


@pytest.mark.promise("F2")
async def test_memory_is_the_bound_and_what_goes_beyond_is_counted(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    async with opened(disk / "journal", "cloud", memory_bytes=1 << 20) as journal:
        filler = fill(disk)
        taken = refused = 0
        for number in range(20):
            try:
                journal.append(row(number))
                taken += 1
            except JournalFull:
                refused += 1
        assert taken
        assert refused
        assert balanced(journal)
        filler.unlink()
        await until(lambda: journal.statistics("cloud").dropped > 0 and not journal._scans.points)
        account = journal.statistics("cloud")
        assert (account.pending, account.dropped) == (taken * 20_000, refused * 20_000)
        assert balanced(journal)


async def test_events_that_find_no_room_in_memory_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "_MOST_EVENTS", 3)
    async with opened(tmp_path, "cloud") as journal:
        with monkeypatch.context() as sick:
            sick.setattr(Store, "commit", no_room)
            for number in range(5):
                journal.record(DataLost(NOW + number, 1, "an alarm, say"))
            await until(lambda: bool(journal.failing))
            assert journal.statistics("cloud").dropped == 2
            assert balanced(journal)
        await until(lambda: not journal._events.points)
        await journal.tidy()
        assert journal.statistics("cloud").dropped == 2
        assert [(loss.stream, loss.points) for loss in await journal.losses()] == [(Stream.EVENTS, 2)]
        assert balanced(journal)


def no_room(store: Store, batch: Batch) -> bool:
    raise OSError(errno.ENOSPC, "no room")


async def test_a_start_on_a_full_disk(disk: Path) -> None:
    async with opened(disk / "journal", "cloud") as journal:
        journal.append(row(0))
    fill(disk)
    async with opened(disk / "journal", "cloud") as journal:
        assert await values(journal) == 1
        journal.record(DataLost(NOW, 1, "an alarm, say"))
        await until(lambda: not journal._events.points)
