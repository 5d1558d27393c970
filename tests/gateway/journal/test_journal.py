"""The journal as the cell uses it: durable before acknowledged, and every point accounted for at every moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from gateway.clock import ManualClock
from gateway.errors import JournalFull
from gateway.journal import journal as module
from gateway.journal.books import DeadLetter
from gateway.journal.chunk import Stream
from gateway.journal.journal import Journal, weight
from gateway.journal.keys import KeyRing
from gateway.journal.store import Batch, Store
from gateway.model import DataLost, Scan
from gateway.site import JournalSettings
from tests.gateway.build import NOW, group, scan

of = group("float64", "float64")
KEYS = KeyRing(b"k" * 32)
NORMAL = Stream.NORMAL
QUICK = JournalSettings.model_validate({"commit_interval": "5ms", "segment_bytes": 1 << 20})


@asynccontextmanager
async def opened(
    path: Path,
    *sinks: str,
    settings: JournalSettings = QUICK,
    clock: ManualClock | None = None,
    keys: KeyRing = KEYS,
    **changes: object,
) -> AsyncIterator[Journal]:
    journal = Journal(path, keys, clock or ManualClock(), settings.model_copy(update=changes))
    await journal.open(sinks)
    running = asyncio.create_task(journal.run())
    yield journal
    journal.stop()
    await running
    await journal.close()


async def put(journal: Journal, *values: float) -> None:
    """Appended, and on disk when this returns."""
    durable = asyncio.Event()
    for i, value in enumerate(values):
        journal.append(scan(of, [value, -value], NOW + i), durable.set if i == len(values) - 1 else None)
    await durable.wait()


def balanced(journal: Journal, sink: str = "cloud") -> bool:
    account = journal.statistics(sink)
    return account.ingested == account.delivered + account.pending + account.dead_letters + account.dropped


async def read_all(journal: Journal, sink: str = "cloud") -> list[float]:
    values: list[float] = []
    while work := journal.deliveries[sink, NORMAL].next():
        for chunk in await journal.read(NORMAL, *work, 10**6):
            values += [float(v) for rows in chunk.rows for v in rows.values[0][:, 0]]
            journal.settle(sink, [chunk])
            assert balanced(journal, sink)
    return values


async def read_times(journal: Journal, sink: str = "cloud") -> list[tuple[int, int]]:
    """Source and gateway time of all rows that are pending, which are settled."""
    times: list[tuple[int, int]] = []
    while work := journal.deliveries[sink, NORMAL].next():
        for chunk in await journal.read(NORMAL, *work, 10**6):
            for rows in chunk.rows:
                times += zip(rows.source_time.tolist(), rows.gateway_time.tolist(), strict=True)
            journal.settle(sink, [chunk])
    return times


async def test_acknowledged_means_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    commit = Store.commit

    def slow(store: Store, batch: Batch) -> bool:
        rolled = commit(store, batch)
        order.append("committed")
        return rolled

    monkeypatch.setattr(Store, "commit", slow)
    async with opened(tmp_path, "cloud") as journal:
        done = asyncio.Event()

        def acknowledge() -> None:
            order.append("acknowledged")
            done.set()

        journal.append(scan(of, [1, 2]), acknowledge)
        assert order == []
        await done.wait()
    assert order[:2] == ["committed", "acknowledged"]


async def test_acknowledgements_keep_their_order(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        order: list[int] = []
        done = asyncio.Event()
        for i in range(200):
            journal.append(scan(of, [i, i], NOW + i), lambda i=i: order.append(i))  # type: ignore[misc]
            if i % 50 == 0:
                await asyncio.sleep(0)
        journal.append(scan(of, [0, 0]), done.set)
        await done.wait()
        assert order == list(range(200))


async def test_what_is_pending_survives_a_restart_and_is_counted(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1, 2, 3)
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 4)
        assert journal.statistics("cloud").pending == 8
        assert await read_all(journal) == [1, 2, 3, 4]
        assert journal.statistics("cloud").delivered == 8
    async with opened(tmp_path, "cloud") as journal:
        account = journal.statistics("cloud")
        assert (account.pending, account.delivered, account.ingested) == (0, 8, 8)


async def test_a_gap_stays_behind_while_the_head_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        for value in range(4):
            await put(journal, value)
        delivery = journal.deliveries["cloud", NORMAL]
        head = await journal.read(NORMAL, 3, 4, 10**6)
        journal.settle("cloud", head)
        assert delivery.next() == (0, 3)
        assert delivery.next(3) is None
        assert balanced(journal)
        assert await read_all(journal) == [0, 1, 2]


async def test_every_sink_has_its_own_account(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud", "files") as journal:
        await put(journal, 1, 2)
        await read_all(journal, "files")
        assert journal.statistics("files").pending == 0
        assert journal.statistics("cloud").pending == 4


async def test_a_new_sink_starts_now_and_a_returning_one_where_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
    async with opened(tmp_path, "files") as journal:
        await put(journal, 2)
        assert await read_all(journal, "files") == [2]
    async with opened(tmp_path, "cloud", "files") as journal:
        assert balanced(journal)
        await put(journal, 3)
        assert await read_all(journal) == [1, 3]
        assert balanced(journal)


async def test_what_every_sink_has_leaves_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, *range(500))
        await read_all(journal)
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        await read_all(journal)
        await journal.tidy()
    assert not (tmp_path / "normal-00000001.db").exists()
    assert (tmp_path / "normal-00000002.db").exists()


@pytest.mark.slow
async def test_a_full_journal_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    """Random values do not compress: every commit fills a segment."""
    chance = np.random.default_rng(1)
    wide = group(*["float64"] * 10_000, device="wide")
    small = JournalSettings.model_validate({"commit_interval": "5ms", "segment_bytes": 1 << 20, "max_bytes": 4 << 20})
    async with opened(tmp_path, "cloud", settings=small) as journal:
        for _ in range(8):
            for i in range(16):
                journal.append(Scan(wide, NOW + i, NOW + i, (chance.random(10_000),)))
            await put(journal, 0)
            assert balanced(journal)
            await journal.tidy()
        account = journal.statistics("cloud")
        assert account.dropped > 0
        assert account.pending > 0
        await journal.tidy()
        events = await journal.read(Stream.EVENTS, *(journal.deliveries["cloud", Stream.EVENTS].next() or (0, 0)), 99)
        assert any(isinstance(event, DataLost) and event.points for chunk in events for event in chunk.events)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 8 << 20


async def test_a_sick_disk_costs_nothing_that_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = 3
    commit = Store.commit

    def sick(store: Store, batch: Batch) -> bool:
        nonlocal failures
        if failures:
            failures -= 1
            raise OperationalError("insert", {}, OSError("disk I/O error"))
        return commit(store, batch)

    monkeypatch.setattr(Store, "commit", sick)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1, 2)
        assert await read_all(journal) == [1, 2]


async def test_memory_is_bounded_and_the_loss_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path, "cloud") as journal:
        monkeypatch.setattr(journal, "_settings", QUICK.model_copy(update={"memory_bytes": weight(scan(of, [1, 1]))}))
        journal.append(scan(of, [1, 1]))
        journal.append(scan(of, [2, 2]))
        with pytest.raises(JournalFull):
            journal.append(scan(of, [3, 3]))
        with pytest.raises(JournalFull):
            journal.append(scan(of, [4, 4]), lambda: None)
        account = journal.statistics("cloud")
        assert (account.ingested, account.pending, account.dropped) == (6, 4, 2)


async def test_dead_letters_are_kept_sealed_and_can_be_read(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        chunk = (await journal.read(NORMAL, 0, 1, 9))[0]
        journal.settle("cloud", [chunk], {chunk.seq: [DeadLetter("cloud", NOW, 1, "conflict", b"canary")]})
        account = journal.statistics("cloud")
        assert (account.delivered, account.dead_letters, account.pending) == (1, 1, 0)
        assert balanced(journal)
    async with opened(tmp_path, "cloud") as journal:
        assert [letter.content for letter in await journal.dead_letters()] == [b"canary"]
        assert balanced(journal)
    assert all(b"canary" not in path.read_bytes() for path in tmp_path.iterdir())


async def test_a_lost_segment_is_accounted_for(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1, 2)
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 3)
    (tmp_path / "normal-00000001.db").unlink()
    async with opened(tmp_path, "cloud") as journal:
        account = journal.statistics("cloud")
        assert (account.dropped, account.pending) == (4, 2)
        assert balanced(journal)
        assert await read_all(journal) == [3]


async def test_a_disk_full_of_what_was_delivered_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        await read_all(journal)
    commit = Store.commit

    def full(store: Store, batch: Batch) -> bool:
        if (tmp_path / "normal-00000001.db").exists():
            raise OperationalError("insert", {}, OSError("database or disk is full"))
        return commit(store, batch)

    monkeypatch.setattr(Store, "commit", full)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    async with opened(tmp_path, "cloud") as journal:
        await journal.tidy()
        await put(journal, 2)
        assert await read_all(journal) == [2]
        assert journal.failing == ""


async def test_a_segment_that_cannot_be_removed_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def sick(store: Store, number: int, standings: object, losses: object) -> None:
        nonlocal calls
        calls += 1
        raise OSError("read-only file system")

    monkeypatch.setattr(Store, "remove", sick)
    small = JournalSettings.model_validate({"commit_interval": "5ms", "segment_bytes": 1 << 20, "max_bytes": 4 << 20})
    chance = np.random.default_rng(1)
    wide = group(*["float64"] * 10_000, device="wide")
    async with opened(tmp_path, "cloud", settings=small) as journal:
        for _ in range(6):
            for i in range(16):
                journal.append(Scan(wide, NOW + i, NOW + i, (chance.random(10_000),)))
            await put(journal, 0)
            assert balanced(journal)
        assert 0 < calls < 20


@pytest.mark.parametrize("how", ["lost", "broken"])
async def test_without_its_catalogue_everything_is_sent_again(tmp_path: Path, how: str) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1, 2)
    for path in tmp_path.glob("catalog.db*"):
        path.unlink()
    if how == "broken":
        (tmp_path / "catalog.db").write_bytes(b"no database at all" * 500)
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 3)
        assert balanced(journal)
        assert await read_all(journal) == [1, 2, 3]


@pytest.mark.slow
async def test_small_commits_do_not_make_large_files(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        for i in range(600):
            await put(journal, i)
        assert sum(path.stat().st_size for path in tmp_path.glob("normal-*")) < 10 << 20


@pytest.mark.slow
async def test_the_size_is_held_whatever_the_commits_are_like(tmp_path: Path) -> None:
    small = JournalSettings.model_validate({"commit_interval": "5ms", "segment_bytes": 1 << 20, "max_bytes": 4 << 20})
    noise = np.random.default_rng(1)
    wide = group(*["float64"] * 1000, device="wide")
    async with opened(tmp_path, "cloud", settings=small) as journal:
        for i in range(700):
            journal.append(Scan(wide, NOW + i, NOW + i, (noise.random(1000),)))
            await put(journal, i)
        assert journal.statistics("cloud").dropped > 0
        assert balanced(journal)
    files = [path for path in tmp_path.iterdir() if path.name != "reserve"]
    assert sum(path.stat().st_size for path in files) < 8 << 20


async def test_a_sink_that_joins_gets_what_comes_from_then_on(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        journal.join("archive")
        await put(journal, 2)
        assert await read_all(journal, "archive") == [2]
        assert await read_all(journal) == [1, 2]
    async with opened(tmp_path, "cloud", "archive") as journal:
        await put(journal, 3)
        assert await read_all(journal, "archive") == [3]


async def test_the_first_sink_of_all_joins(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await put(journal, 1)
        journal.join("cloud")
        await put(journal, 2)
        assert await read_all(journal) == [2]
        assert balanced(journal)


async def test_to_join_twice_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        journal.join("cloud")
        assert await read_all(journal) == [1]


async def test_a_sink_that_leaves_keeps_what_was_appended_before(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        journal.append(scan(of, [2, -2], NOW))
        journal.leave("cloud")
        await put(journal, 3)  # may share the commit with what was appended before
        await put(journal, 4)
        journal.join("cloud")
        await put(journal, 5)
        assert set(await read_all(journal)) - {3} == {1, 2, 5}
        assert balanced(journal)


async def test_back_before_it_was_gone(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        journal.leave("cloud")
        journal.join("cloud")
        await put(journal, 1)
        await put(journal, 2)
        assert await read_all(journal) == [1, 2]


async def test_who_left_is_not_taken_to_have_lost_what_came_meanwhile(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        journal.leave("cloud")
        await put(journal, 2)
    async with opened(tmp_path, "other") as journal:
        await put(journal, 3)
    async with opened(tmp_path, "cloud", "other") as journal:
        await put(journal, 4)
        assert journal.statistics("cloud").dropped == 0
        assert set(await read_all(journal)) - {2} == {1, 4}
        account = journal.statistics("cloud")
        assert (account.pending, account.dropped) == (0, 0)
        assert balanced(journal)


async def test_noted_is_on_disk(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        journal.join("archive")
        await journal.note()
        assert {standing.sink for standing in journal.store.catalog.standings()} == {"cloud", "archive"}
