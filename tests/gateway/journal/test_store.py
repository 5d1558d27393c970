"""The files themselves: what is committed is found again, whatever happened to the process or the directory."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from gateway.errors import ConfigError
from gateway.journal import catalog, sqlite
from gateway.journal.catalog import Standing
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.dating import Offsets, Origin
from gateway.journal.keys import KeyRing
from gateway.journal.ranges import Ranges
from gateway.journal.segment import Mark, Name, Record, Segment
from gateway.journal.sqlite import _Connection as Connection
from gateway.journal.store import Batch, Store
from gateway.model import AnyEvent, DataLost, Scan
from tests.gateway.build import NOW, group, scan

KEY = KeyRing(b"k" * 32)
ORIGIN = Origin("boot", NOW, 1, True)
of = group("float64", "uint16", "string")
NORMAL = Stream.NORMAL


def batch(*values: float) -> Batch:
    return Batch(NORMAL, ORIGIN, scans=[scan(of, [7, value, "ä"], NOW + i) for i, value in enumerate(values)])


def told(*events: AnyEvent) -> Batch:
    return Batch(Stream.EVENTS, ORIGIN, events=events)


def values(chunks: list[Chunk]) -> list[float]:
    return [float(v) for chunk in chunks for rows in chunk.rows for v in rows.values[1][:, 0]]


def everything(store: Store) -> list[float]:
    found: list[float] = []
    at = 0
    while at < store.heads[NORMAL].seq:
        span = (NORMAL, at, 1 << 60, 10**9)
        chunks = store.fetch_closed(*span) or store.fetch_open(*span)
        found += values(chunks)
        at = chunks[-1].seq + 1
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path, KEY, 64 << 20)
    yield store
    store.close()


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path, KEY, 64 << 20)
    first.commit(batch(1, 2))
    first.commit(batch(3))
    first.close()
    second = Store(tmp_path, KEY, 64 << 20)
    second.commit(batch(4))
    assert everything(second) == [1, 2, 3, 4]
    assert second.heads[NORMAL].total == 12
    second.close()


def test_what_was_committed_is_there_after_the_process_was_killed(tmp_path: Path) -> None:
    """The files as a crash leaves them: a write-ahead log that was never brought in."""
    alive = Store(tmp_path / "alive", KEY, 64 << 20)
    alive.commit(batch(1, 2))
    alive.commit(batch(3))
    shutil.copytree(tmp_path / "alive", tmp_path / "dead")
    alive.close()
    reborn = Store(tmp_path / "dead", KEY, 64 << 20)
    assert everything(reborn) == [1, 2, 3]
    reborn.close()


def test_numbers_are_never_given_out_twice(tmp_path: Path) -> None:
    first = Store(tmp_path, KEY, 64 << 20)
    first.commit(batch(1))
    first.close()
    second = Store(tmp_path, KEY, 64 << 20)
    for number in list(second.closed):
        second.remove(number)
    second.close()
    third = Store(tmp_path, KEY, 64 << 20)
    assert third.heads[NORMAL].seq == 1
    assert third.heads[NORMAL].total == 3
    third.close()


def test_segments_rotate_by_size_and_read_across(tmp_path: Path) -> None:
    store = Store(tmp_path, KEY, 1)
    assert all(store.commit(batch(i)) for i in range(5))
    assert len(store.closed) == 5
    assert everything(store) == [0, 1, 2, 3, 4]
    store.close()


def test_points_of_any_range_come_from_totals(tmp_path: Path) -> None:
    store = Store(tmp_path, KEY, 1)
    for i in range(6):
        store.commit(batch(*range(i + 1)))
    assert store.points(NORMAL, Ranges([(0, 6)])) == 3 * 21
    assert store.points(NORMAL, Ranges([(1, 2), (4, 6)])) == 3 * (2 + 5 + 6)
    store.close()


def test_schemas_stay_with_the_chunks(tmp_path: Path) -> None:
    """A changed configuration never makes a backlog unreadable."""
    store = Store(tmp_path, KEY, 64 << 20)
    other = group("bool", device="pump")
    store.commit(batch(1))
    store.commit(Batch(NORMAL, ORIGIN, scans=[scan(other, [True])]))
    store.commit(told(DataLost(NOW, 3, "why")))
    chunks = store.fetch_open(NORMAL, 0, 9, 10**9)
    assert [rows.schema for chunk in chunks for rows in chunk.rows] == [of.schema, other.schema]
    assert store.fetch_open(Stream.EVENTS, 0, 9, 9)[0].events == (DataLost(NOW, 3, "why"),)
    store.close()


def test_a_damaged_chunk_costs_that_chunk(tmp_path: Path) -> None:
    store = Store(tmp_path, KEY, 64 << 20)
    for i in range(3):
        store.commit(batch(i))
    store.close()
    with sqlite3.connect(tmp_path / "normal-00000001.db") as file:
        file.execute("UPDATE chunk SET body = CAST(substr(body, 1, 40) || x'00' AS BLOB) WHERE seq = 1")
    file.close()
    store = Store(tmp_path, KEY, 64 << 20)
    chunks = store.fetch_closed(NORMAL, 0, 9, 10**9)
    assert [bool(chunk.broken) for chunk in chunks] == [False, True, False]
    assert values(chunks) == [0, 2]
    assert chunks[1].points == 3
    store.close()


def test_chunks_swapped_on_the_disk_are_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path, KEY, 64 << 20)
    store.commit(batch(1))
    store.commit(batch(2))
    store.close()
    with sqlite3.connect(tmp_path / "normal-00000001.db") as file:
        file.execute("UPDATE chunk SET seq = 2 - seq + 5 WHERE 1")
    file.close()
    reader = Segment.read(Name(NORMAL, 1), tmp_path / "normal-00000001.db", KEY)
    assert all(chunk.broken for chunk in reader.fetch(0, 99, 10**9, Offsets()))
    reader.abandon()


def test_nothing_stands_in_the_clear(tmp_path: Path) -> None:
    store = Store(tmp_path, KEY, 64 << 20)
    canary = "the canary sings"
    store.commit(Batch(NORMAL, ORIGIN, scans=[scan(of, [7, 1.5, canary])]))
    store.commit(told(DataLost(NOW, 1, canary)))
    store.close()
    assert all(canary.encode() not in path.read_bytes() for path in tmp_path.iterdir())


class SickDisk:
    """Fails the next commits, before or after they have reached the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
        self.failures = 1
        real = Segment.append

        def append(segment: Segment, records: Sequence[Record]) -> int:
            size = real(segment, records) if after or not self.failures else 0
            if self.failures:
                self.failures -= 1
                raise OperationalError("insert", {}, OSError("disk I/O error"))
            return size

        monkeypatch.setattr(Segment, "append", append)


@pytest.mark.parametrize("after", [False, True])
def test_a_failed_commit_is_repeated_and_never_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    store = Store(tmp_path, KEY, 64 << 20)
    store.commit(batch(1))
    SickDisk(monkeypatch, after)
    again = batch(2)
    with pytest.raises(OperationalError):
        store.commit(again)
    store.commit(again)
    store.commit(batch(3))
    assert everything(store) == [1, 2, 3]
    store.close()


def test_a_file_that_somebody_removed_is_noticed_at_start(tmp_path: Path) -> None:
    store = Store(tmp_path, KEY, 1)
    for i in range(3):
        store.commit(batch(i))
    store.close()
    (tmp_path / "normal-00000002.db").unlink()
    store = Store(tmp_path, KEY, 1)
    assert list(store.covered(NORMAL)) == [(0, 1), (2, 3)]
    store.close()


def test_start_does_not_look_at_the_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, KEY, 1)
    for i in range(20):
        store.commit(batch(i))
    store.close()

    def refuse(*_: object) -> None:
        raise AssertionError("a closed segment was opened at start")

    monkeypatch.setattr(Segment, "read", refuse)
    monkeypatch.setattr(Segment, "recover", refuse)
    Store(tmp_path, KEY, 1).close()


def test_another_process_is_locked_out(store: Store, tmp_path: Path) -> None:
    store.commit(batch(1))
    stranger = sqlite3.connect(tmp_path / "normal-00000001.db", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        stranger.execute("SELECT * FROM chunk").fetchall()
    stranger.close()


def test_a_scan_of_each_group_shares_a_chunk(store: Store) -> None:
    groups = [group("float32", device=f"d{i}") for i in range(50)]
    scans: list[Scan] = [scan(g, [1.0]) for g in groups]
    store.commit(Batch(NORMAL, ORIGIN, scans=scans))
    chunks = store.fetch_open(NORMAL, 0, 9, 10**9)
    assert len(chunks) == 1
    assert len(chunks[0].rows) == 50


def test_a_segment_that_cannot_be_closed_costs_nothing_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = Segment.recover, 2

    def sick(path: Path) -> Mark | None:
        nonlocal failures
        if failures:
            failures -= 1
            raise OperationalError("checkpoint", {}, OSError("disk I/O error"))
        return real(path)

    monkeypatch.setattr(Segment, "recover", staticmethod(sick))
    store = Store(tmp_path, KEY, 1)
    assert store.commit(batch(1))
    second = batch(2)
    with pytest.raises(OperationalError):
        store.commit(second)
    store.commit(second)
    store.commit(batch(3))
    store.mend(NORMAL)
    assert everything(store) == [1, 2, 3]
    assert store.heads[NORMAL].total == 9
    store.close()


def test_another_key_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, KEY, 64 << 20)
    store.commit(batch(1))
    store.close()
    with pytest.raises(ConfigError, match="key"):
        Store(tmp_path, KeyRing(b"j" * 32), 64 << 20)
    store = Store(tmp_path, KEY, 64 << 20)
    assert everything(store) == [1]
    store.close()


def test_a_segment_of_another_journal_has_counts_and_no_content(tmp_path: Path) -> None:
    stranger = Store(tmp_path / "a", KeyRing(b"j" * 32), 64 << 20)
    stranger.commit(batch(1, 2))
    stranger.close()
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "normal-00000001.db", tmp_path / "b")
    store = Store(tmp_path / "b", KEY, 64 << 20)
    (chunk,) = store.fetch_closed(NORMAL, 0, 9, 9)
    assert (bool(chunk.broken), chunk.points) == (True, 6)
    store.close()


@pytest.mark.parametrize("seed", range(8))
def test_damaged_pages_cost_their_chunks_and_every_point_is_known(tmp_path: Path, seed: int) -> None:
    """Whole pages of zeros, anywhere behind the first, which holds the file's header."""
    chance = random.Random(seed)
    store = Store(tmp_path, KEY, 64 << 20)
    noise = group(*["string"] * 20, device="noise")
    for i in range(60):
        row = scan(noise, [chance.randbytes(40).hex() for _ in range(20)], NOW + i)
        store.commit(Batch(NORMAL, ORIGIN, scans=[row]))
    store.close()
    path = tmp_path / "normal-00000001.db"
    body = bytearray(path.read_bytes())
    for _ in range(3):
        page = chance.randrange(5, len(body) // 4096)
        body[page * 4096 : (page + 1) * 4096] = bytes(4096)
    path.write_bytes(body)
    store = Store(tmp_path, KEY, 64 << 20)
    chunks: list[Chunk] = []
    while not chunks or chunks[-1].seq < 59:
        at = chunks[-1].seq + 1 if chunks else 0
        chunks += store.fetch_closed(NORMAL, at, 1 << 60, 10**9)
    assert [chunk.seq for chunk in chunks] == list(range(60))
    assert sum(chunk.points for chunk in chunks) == 60 * 20
    assert all(rows.points == 20 for chunk in chunks for rows in chunk.rows)
    store.close()


def test_a_segment_that_cannot_be_begun_does_not_stand_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error, which somebody may hold, holds no file."""
    store = Store(tmp_path, KEY, 1 << 20)
    commit, failures = Connection.commit, 1

    def sick(connection: Connection) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise sqlite3.OperationalError("disk I/O error")
        commit(connection)

    monkeypatch.setattr(Connection, "commit", sick)
    with pytest.raises(OperationalError) as held:
        store.commit(batch(1))
    store.commit(batch(1))
    assert held.value is not None
    assert store.heads[NORMAL].seq == 1
    store.close()


@pytest.mark.parametrize("page", range(8))
@pytest.mark.slow
def test_a_file_that_a_crash_left_open_and_that_is_damaged_needs_no_hand(tmp_path: Path, page: int) -> None:
    alive = Store(tmp_path / "alive", KEY, 64 << 20)
    for i in range(40):
        alive.commit(batch(*range(i, i + 9)))
    alive.settle(())
    path = tmp_path / "dead" / "normal-00000001.db"
    shutil.copytree(tmp_path / "alive", tmp_path / "dead")
    alive.close()
    checkpointed = sqlite3.connect(path)
    checkpointed.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    checkpointed.close()
    body = bytearray(path.read_bytes())
    at = page * 4096 % len(body)
    body[at : at + 4096] = bytes(4096)
    path.write_bytes(body)
    store = Store(tmp_path / "dead", KEY, 64 << 20)
    assert store.heads[NORMAL].seq == 40, "no number is given out again"
    covered = store.covered(NORMAL)
    chunks = [
        c for seq in range(40) for c in store.fetch_closed(NORMAL, seq, seq + 1, 9) if covered.first(seq, seq + 1)
    ]
    held = store.points(NORMAL, covered)
    assert sum(chunk.points for chunk in chunks) == held <= 40 * 27
    assert all(chunk.rows[0].points == 27 for chunk in chunks if not chunk.broken)
    store.commit(batch(1))
    assert values(store.fetch_open(NORMAL, 40, 41, 9)) == [1]
    store.close()


def test_a_catalogue_that_says_something_else_is_set_aside(tmp_path: Path) -> None:
    """A value that changed on the disk: SQLite does not notice."""
    store = Store(tmp_path, KEY, 64 << 20)
    store.commit(batch(1, 2))
    store.settle([Standing("cloud", NORMAL, ((0, 1 << 62),), 0)])
    store.close()
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection, connection:
        connection.execute("UPDATE pending SET start = 1")
    store = Store(tmp_path, KEY, 64 << 20)
    assert store.is_rebuilt
    assert (tmp_path / "catalog.db.broken").exists()
    assert everything(store) == [1, 2]
    store.close()


def test_a_disk_that_does_not_answer_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read now is not damaged: it must not be given up."""
    store = Store(tmp_path, KEY, 1)
    store.commit(batch(1, 2))

    def sick(*_: object) -> None:
        raise OperationalError("SELECT", {}, sqlite3.OperationalError("disk I/O error"))

    for reader in ("fetch", "read"):
        with monkeypatch.context() as patched:
            patched.setattr(Segment, reader, sick)
            with pytest.raises(OperationalError):
                store.fetch_closed(NORMAL, 0, 9, 9)
        store.forget(1)
    assert everything(store) == [1, 2]
    store.close()


def test_an_order_is_taken_once(tmp_path: Path) -> None:
    first = Store(tmp_path, KEY, 64 << 20)
    assert first.remember("cloud/o-1", NOW + 1, NOW)
    assert not first.remember("cloud/o-1", NOW + 1, NOW)
    # Not closed: as after a kill.
    shutil.copytree(tmp_path, tmp_path / "copy")
    second = Store(tmp_path / "copy", KEY, 64 << 20)
    assert not second.remember("cloud/o-1", NOW + 1, NOW)
    assert second.remember("cloud/o-2", NOW + 1, NOW)
    for each in (first, second):
        each.close()


def test_only_old_orders_are_forgotten_and_never_the_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_ORDERS", 3)
    for number in range(6):
        assert store.remember(f"o-{number}", NOW + number, NOW)
    assert not any(store.remember(f"o-{number}", NOW, NOW) for number in range(6)), "none has expired"
    assert store.remember("o-6", NOW + 100, NOW + 3)
    assert [store.remember(f"o-{number}", NOW + 100, NOW + 3) for number in range(7)] == [True] * 3 + [False] * 4
    assert not store.remember("o-4", NOW, NOW - 10**18), "a clock that is set back changes nothing"


@pytest.mark.slow
def test_damage_in_an_open_segment_costs_its_chunks_at_once(tmp_path: Path) -> None:
    """And not only when it is closed, hours later."""
    store = Store(tmp_path, KEY, 64 << 20)
    noise = group(*["string"] * 20, device="noise")
    chance = random.Random(3)
    for i in range(60):
        row = scan(noise, [chance.randbytes(40).hex() for _ in range(20)], NOW + i)
        store.commit(Batch(NORMAL, ORIGIN, scans=[row]))
    sqlite.checkpoint(store._open[NORMAL]._engine, "TRUNCATE")
    path = tmp_path / "normal-00000001.db"
    with path.open("r+b") as file:
        for page in (9, 10):
            file.seek(page * 4096)
            file.write(bytes(4096))
    store._open[NORMAL]._engine.dispose()  # or its cache would know better
    assert store.fetch_open(NORMAL, 0, 99, 10**9) == []
    chunks: list[Chunk] = []
    pending = Ranges([(0, 60)])
    while (work := pending.first(0, 60)) is not None:
        for chunk in store.fetch_closed(NORMAL, *work, 10**9):
            chunks.append(chunk)
            pending.remove(chunk.seq, chunk.seq + 1)
    assert sorted(chunk.seq for chunk in chunks) == list(range(60))
    assert 0 < sum(bool(chunk.broken) for chunk in chunks) < 10
    assert sum(chunk.points for chunk in chunks) == 60 * 20
    store.commit(batch(1))
    assert values(store.fetch_open(NORMAL, 60, 99, 10**9)) == [1]
    store.close()
