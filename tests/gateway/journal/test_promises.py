"""The table of promises in gateway/journal/README.md: every cell has an id, and every id a test that names it.

The hard proofs are the suites of `make faults`; these say in the small what each event may and may not do.
"""

from __future__ import annotations

import asyncio
import errno
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.clock import SECOND, ManualClock
from gateway.errors import ConfigError
from gateway.journal import journal as module
from gateway.journal.journal import Journal
from gateway.journal.keys import generate, load
from gateway.journal.segment import Segment
from gateway.journal.sqlite import FORMAT
from gateway.journal.store import Store
from gateway.model import Scan
from tests.gateway.build import NOW, group, scan
from tests.gateway.journal.test_journal import KEYS, NORMAL, QUICK, balanced, opened, put, read_all

ROOT = Path(__file__).parents[3]
PROMISED = ROOT / "gateway" / "journal" / "README.md"
_ID = r"[A-Z][1-4]"

promise = pytest.mark.promise


def test_every_promise_has_a_test_and_every_test_a_promise() -> None:
    promised = set(re.findall(rf"\*\*({_ID})\*\*", PROMISED.read_text()))
    named = {
        id_
        for path in (ROOT / "tests").rglob("*.py")
        for call in re.findall(r"promise\(([^)]*)\)", path.read_text())
        for id_ in re.findall(rf'"({_ID})"', call)
    }
    assert promised == named
    assert len(promised) == 12 * 4


async def settle(journal: Journal, count: int) -> None:
    """The first chunks are delivered."""
    start, _ = journal.deliveries["cloud", NORMAL].next() or (0, 0)
    journal.settle("cloud", await journal.read(NORMAL, start, start + count, 10**6))


def copy(journal: Journal, there: Path) -> None:
    shutil.copytree(journal._directory, there)


@promise("S1", "S2", "S3", "S4")
async def test_a_clean_stop(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        await put(journal, 2)
        await settle(journal, 1)
        journal.append(scan(group("float64", "float64"), [3, -3], NOW + 9))  # nobody waits for it
    async with opened(tmp_path, "cloud") as journal:
        assert await read_all(journal) == [2, 3]
        assert journal.statistics("cloud").dropped == 0


@promise("K1", "K2", "K3", "K4")
async def test_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files as they are when the process ends in the middle of everything."""
    monkeypatch.setattr(module, "_TIDY_SECONDS", 3600.0)  # nothing is noted before
    async with opened(tmp_path / "alive", "cloud") as journal:
        for value in (1, 2, 3):
            await put(journal, value)
        await settle(journal, 2)
        journal.append(scan(group("float64", "float64"), [4, -4], NOW + 9))  # not committed, and not acknowledged
        await journal.own(lambda: copy(journal, tmp_path / "dead"))
    async with opened(tmp_path / "dead", "cloud") as journal:
        assert await read_all(journal) in ([1, 2, 3], [1, 2, 3, 4])
        assert balanced(journal)


class SickDisk:
    """Refuses every write, as `error` says, while it is sick."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
        self.is_sick = False
        for of, name in ((Segment, "append"), (Store, "settle")):
            self._wrap(monkeypatch, of, name, error)
        monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, of: type, name: str, error: OSError) -> None:
        real = getattr(of, name)

        def write(*arguments: object) -> object:
            if self.is_sick:
                raise error
            return real(*arguments)

        monkeypatch.setattr(of, name, write)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(errno.EROFS, marks=promise("R1", "R2", "R3", "R4")),
        pytest.param(errno.EIO, marks=promise("E1", "E2", "E3", "E4")),
    ],
)
async def test_a_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """What waits in memory is written when it takes it again: all of it, once, in order; what finds no room in memory
    is counted, and brokers are made to wait."""
    disk = SickDisk(monkeypatch, OSError(code, "the disk"))
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        disk.is_sick = True
        writing = asyncio.create_task(put(journal, 2, 3))
        async with asyncio.timeout(20):
            while not journal.failing:
                await asyncio.sleep(0.001)
        assert not writing.done(), "nothing is acknowledged"
        assert balanced(journal)
        disk.is_sick = False
        await writing
        await journal.tidy()
        assert journal.failing == ""
        assert await read_all(journal) == [1, 2, 3]
        assert journal.statistics("cloud").dropped == 0
    async with opened(tmp_path, "cloud") as journal:
        assert await read_all(journal) == []


@pytest.fixture
def sealed_directory(tmp_path: Path) -> Iterator[Path]:
    """Mounted so that nothing can be written."""
    place = tmp_path / "mounted"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@promise("R1")
def test_a_start_on_a_disk_that_is_read_only_says_so(sealed_directory: Path) -> None:
    with pytest.raises(OSError, match="Read-only"):
        Store(sealed_directory / "journal", KEYS, 1 << 20)


@promise("B1", "B2", "B3", "B4")
async def test_a_flipped_byte(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        for value in range(5):
            await put(journal, value)
    with sqlite3.connect(tmp_path / "normal-00000001.db") as file:
        (body,) = file.execute("SELECT body FROM chunk WHERE seq = 2").fetchone()
        file.execute("UPDATE chunk SET body = ? WHERE seq = 2", (body[:30] + bytes((body[30] ^ 1,)) + body[31:],))
    file.close()
    async with opened(tmp_path, "cloud") as journal:
        assert await read_all(journal) == [0, 1, 3, 4]
        assert journal.statistics("cloud").dropped == 2
        await journal.tidy()
        assert [(loss.first, loss.stop, loss.points) for loss in await journal.losses()] == [(2, 3, 2)]


@promise("C1", "C2", "C3", "C4")
async def test_a_clock_that_is_set(tmp_path: Path) -> None:
    """An hour back: kept, sent once, in the order in which it came in."""
    clock = ManualClock()
    of = group("float64", "float64")
    async with opened(tmp_path, "cloud", clock=clock) as journal:
        for value, step in ((1, -3600), (2, 7200), (3, 0)):
            durable = asyncio.Event()
            now = clock.now()
            journal.append(Scan(of, now, now, (np.array([float(value), 0.0]),)), durable.set)
            await durable.wait()
            clock.step(step * SECOND)
        assert await read_all(journal) == [1, 2, 3]
        assert journal.statistics("cloud").dropped == 0


@promise("G1", "G2", "G3", "G4")
async def test_a_changed_configuration(tmp_path: Path) -> None:
    """A sink goes and comes back, and a group has other columns: the backlog is what it was."""
    other = group("bool", "string")
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1)
        await settle(journal, 1)
        await put(journal, 2)
    async with opened(tmp_path, "another") as journal:
        await put(journal, 3)
    async with opened(tmp_path, "cloud", "another") as journal:
        durable = asyncio.Event()
        journal.append(scan(other, [True, "x"], NOW + 5), durable.set)
        await durable.wait()
        start, stop = journal.deliveries["cloud", NORMAL].ranges
        (kept,) = await journal.read(NORMAL, *start, 10**6)
        (new,) = await journal.read(NORMAL, stop[0], stop[0] + 1, 10**6)
        assert [float(v) for rows in kept.rows for v in rows.values[0][:, 0]] == [2]
        assert new.rows[0].schema == other.schema
        assert balanced(journal)


@promise("O1", "O2", "O3", "O4")
async def test_restarts_while_the_cloud_is_away(tmp_path: Path) -> None:
    for value in range(6):
        async with opened(tmp_path, "cloud") as journal:
            await put(journal, value)
            assert journal.statistics("cloud").pending == 2 * (value + 1)
    async with opened(tmp_path, "cloud") as journal:
        assert await read_all(journal) == [0, 1, 2, 3, 4, 5]
        assert journal.statistics("cloud").dropped == 0


@promise("T1", "T2", "T3", "T4")
async def test_a_rotation_of_keys(tmp_path: Path) -> None:
    ring = load(tmp_path / "journal.key")
    for number in range(3):
        journal = Journal(tmp_path / "journal", load(tmp_path / "journal.key"), ManualClock(), QUICK)
        await journal.open(["cloud"])
        running = asyncio.create_task(journal.run())
        await put(journal, 2 * number)
        await journal.turn(journal.keys.rotated(generate()))
        await put(journal, 2 * number + 1)
        if number == 2:
            assert await read_all(journal) == [0, 1, 2, 3, 4, 5]
            assert balanced(journal)
        journal.stop()
        await running
        await journal.close()
    now = load(tmp_path / "journal.key")
    assert (now.previous, now.current != ring.current) == ((), True)


@promise("D1", "D2", "D3", "D4")
async def test_files_of_a_newer_edgeward_are_left_alone(tmp_path: Path) -> None:
    """An older one that meets them says so and changes nothing; the newer one goes on as if nothing had been."""
    async with opened(tmp_path, "cloud") as journal:
        await put(journal, 1, 2)
    with sqlite3.connect(tmp_path / "catalog.db") as file:
        file.execute(f"PRAGMA user_version={FORMAT + 1}")
    file.close()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.db")}
    with pytest.raises(ConfigError, match="newer Edgeward"):
        Store(tmp_path, KEYS, 1 << 20)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.db")} == before
    with sqlite3.connect(tmp_path / "catalog.db") as file:
        file.execute(f"PRAGMA user_version={FORMAT}")
    file.close()
    async with opened(tmp_path, "cloud") as journal:
        assert await read_all(journal) == [1, 2]
