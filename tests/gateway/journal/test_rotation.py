"""A key that is rotated while everything else goes on, and what may be in its way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.clock import ManualClock
from gateway.errors import ConfigError
from gateway.journal import keys
from gateway.journal.chunk import Stream
from gateway.journal.journal import Journal
from gateway.journal.keys import KeyRing
from gateway.journal.segment import Segment
from gateway.journal.store import FAILURES, Store
from tests.gateway.journal.test_journal import QUICK, opened, put, read_all

NORMAL = Stream.NORMAL


def nothing(done: int, total: int) -> None:
    return None


async def reopened(path: Path, ring: KeyRing) -> list[float]:
    """What another start with these keys has pending."""
    journal = Journal(path, ring, ManualClock(), QUICK)
    await journal.open(None)
    values = await read_all(journal)
    await journal.close()
    return values


async def test_it_tells_how_far_it_is_and_wraps_all(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    async with opened(tmp_path, "cloud") as journal:
        for value in range(3):
            await put(journal, value)
            await journal.own(lambda: journal.store.rotate(NORMAL))
        await journal.rotate(lambda done, total: told.append((done, total)))
        await put(journal, 3)
        ring = journal.keys
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert ring.previous == ()
    assert await reopened(tmp_path, ring) == [0, 1, 2, 3]


async def test_two_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """The one that ended last once took the other's key for one that nobody needs."""
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        first = asyncio.create_task(journal.rotate(nothing))
        second = asyncio.create_task(journal.rotate(nothing))
        await asyncio.sleep(0)
        assert journal.is_turning
        await asyncio.gather(first, second, journal.resume())
        await put(journal, 2)
        ring = journal.keys
    assert await reopened(tmp_path, ring) == [1, 2]


async def test_an_earlier_key_stays_as_long_as_a_segment_is_not_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key was forgotten once, and everything in it with it."""
    recover = Segment.recover

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        monkeypatch.setattr(Segment, "recover", fail)
        with pytest.raises(FAILURES, match="not closed yet"):
            await journal.rotate(nothing)
        assert journal.keys.previous
        monkeypatch.setattr(Segment, "recover", recover)
        await journal.own(journal.store.rest)
        await journal.resume()
        ring = journal.keys
    assert ring.previous == ()
    assert await reopened(tmp_path, ring) == [1]


async def test_a_rotation_that_is_tried_again_begins_no_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Store.finish

    def fail(store: Store, ring: KeyRing) -> None:
        raise OSError(28, "No space left on device")

    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        monkeypatch.setattr(Store, "finish", fail)
        with pytest.raises(OSError, match="No space"):
            await journal.rotate(nothing)
        for value in range(2, 5):
            await put(journal, value)
            with pytest.raises(OSError, match="No space"):
                await journal.resume()
        monkeypatch.setattr(Store, "finish", finish)
        assert len(list(tmp_path.glob("normal-*.db"))) == 2
        await journal.resume()
        ring = journal.keys
    assert await reopened(tmp_path, ring) == [1, 2, 3, 4]


async def test_a_damaged_segment_stops_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        for value in range(2):
            await put(journal, value)
            await journal.own(lambda: journal.store.rotate(NORMAL))
        min(tmp_path.glob("normal-*.db")).write_bytes(bytes(50_000))
        await journal.rotate(nothing)
        assert journal.keys.previous == ()
        assert await read_all(journal) == [1]


async def test_the_file_has_only_the_new_key(tmp_path: Path) -> None:
    path = tmp_path / "journal.key"
    journal = Journal(tmp_path / "journal", keys.load(path), ManualClock(), QUICK)
    await journal.open(["cloud"])
    before = path.read_text()
    await journal.rotate(nothing)
    await journal.close()
    assert before.strip() not in path.read_text()
    assert keys.load(path) == journal.keys


@pytest.mark.parametrize("is_broken", [True, False])
async def test_that_the_catalogue_is_new_is_known_to_whoever_needs_it(tmp_path: Path, is_broken: bool) -> None:
    """Somebody who only looked made a new one, and then nobody knew any more that it was one."""
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1, 2)
    catalogue = tmp_path / "catalog.db"
    catalogue.write_bytes(b"broken" * 1000) if is_broken else catalogue.unlink()
    for _ in range(2):
        store = Store(tmp_path, KeyRing(b"k" * 32), 1 << 20)
        assert store.is_rebuilt
        store.close()
    async with opened(tmp_path, "cloud") as journal:
        assert await read_all(journal) == [1, 2]
    async with opened(tmp_path, "cloud") as journal:
        assert not journal.store.is_rebuilt
        assert journal.statistics("cloud").pending == 0


async def test_as_it_is_nobody_joins_or_leaves(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud", "files") as journal:
        await put(journal, 1)
    async with opened(tmp_path, "cloud") as journal:  # files leaves
        await put(journal, 2)
    journal = Journal(tmp_path, KeyRing(b"k" * 32), ManualClock(), QUICK)
    before = [(each.sink, each.stream, each.is_open, each.pending) for each in journal.deliveries.values()]
    for _ in range(2):
        journal = Journal(tmp_path, KeyRing(b"k" * 32), ManualClock(), QUICK)
        await journal.open(None)
        stands = [(each.sink, each.stream, each.is_open, each.pending) for each in journal.deliveries.values()]
        assert before in ([], stands)
        before = stands
        await journal.close()
    assert {sink for sink, _, is_open, _ in before if is_open} == {"cloud"}
    assert sum(pending for sink, _, _, pending in before if sink == "files") == 2


def test_a_recovery_key_is_one_key(tmp_path: Path) -> None:
    path = tmp_path / "safe.key"
    path.write_text(f"{'ab' * 32}\n{'cd' * 32}\n")
    with pytest.raises(ConfigError, match="holds 2 keys"):
        keys.read_recovery(path)
    path.write_text(f"{'ab' * 32}\n")
    assert "abab" not in repr(keys.read_recovery(path))
