"""Looking at everything that a journal has: what is broken is found, all of it, and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.journal import inspection
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.inspection import Fault, Volume
from gateway.journal.journal import Journal
from gateway.journal.keys import KeyRing
from gateway.model import DeviceChanged, DeviceState
from gateway.site import JournalSettings
from tests.gateway.build import NOW
from tests.gateway.journal.test_journal import opened, put

NORMAL = Stream.NORMAL
CHUNKS = 30


async def filled(path: Path, chunks: int = CHUNKS) -> Path:
    """A journal with a closed segment of so many chunks, of two points each; the segment."""
    async with opened(path, "cloud") as journal:
        for value in range(chunks):
            await put(journal, value)
        await journal.own(lambda: journal.store.rotate(NORMAL))
    (segment,) = path.glob("normal-*.db")
    return segment


async def found(journal: Journal) -> tuple[list[Fault], int]:
    """The faults, and how many points were gone through."""
    chosen = await journal.own(lambda: inspection.expected(journal.store))
    checks = [check async for check in inspection.verify(journal, chosen) if check.is_done]
    faults = {id(check): check for check in checks}.values()
    return [fault for check in faults for fault in check.faults], sum(check.points for check in faults)


async def everything(journal: Journal) -> list[Chunk]:
    chunks: list[Chunk] = []
    for volume in await journal.own(lambda: inspection.volumes(journal.store)):
        at = volume.mark.first
        while at < volume.mark.stop and (some := await inspection.fetch(journal, volume, at)):
            chunks += some
            at = some[-1].seq + 1
    return chunks


def values(chunks: list[Chunk]) -> list[float]:
    return [float(v) for chunk in chunks for rows in chunk.rows for v in rows.values[0][:, 0]]


def change(segment: Path, statement: str, *arguments: object) -> None:
    connection = sqlite3.connect(segment)
    connection.execute(statement, arguments)
    connection.commit()
    connection.close()


async def test_all_is_sound_closed_and_open(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with opened(tmp_path, "cloud") as journal:
        journal.record(DeviceChanged(NOW, "press", "bus", DeviceState.ONLINE))
        await put(journal, 100, 101)
        assert await found(journal) == ([], 2 * CHUNKS + 5)
        assert values(await everything(journal)) == [*map(float, range(CHUNKS)), 100, 101]


async def test_a_changed_chunk_is_named(tmp_path: Path) -> None:
    segment = await filled(tmp_path)
    change(segment, "update chunk set body = zeroblob(60) where seq in (4, 5, 9)")
    async with opened(tmp_path, "cloud") as journal:
        faults, points = await found(journal)
        assert [(fault.first, fault.stop, fault.points) for fault in faults] == [(4, 6, 4), (9, 10, 2)]
        assert {fault.reason for fault in faults} == {"a chunk was changed or moved"}
        assert {fault.volume.name.stream for fault in faults} == {NORMAL}
        assert points == 2 * CHUNKS
        assert [chunk.seq for chunk in await everything(journal) if chunk.broken] == [4, 5, 9]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("delete from chunk where seq between 10 and 12", (10, 13, 6, "it is missing")),
        (f"delete from chunk where seq >= {CHUNKS - 1}", (CHUNKS - 1, CHUNKS, 2, "it is missing")),
        ("delete from chunk where seq < 2", (0, 2, 4, "it is missing")),
        ("delete from chunk", (0, CHUNKS, 2 * CHUNKS, "it is missing")),
        ("update chunk set total = total + 1 where seq = 7", (7, 8, 2, "a chunk was changed or moved")),
        ("update chunk set points = 'many' where seq = 7", (7, 8, 2, "a chunk was changed or moved")),
        ("delete from schema", (0, CHUNKS, 2 * CHUNKS, "schema 1 is missing, or damaged")),
        ("delete from about", (0, CHUNKS, 2 * CHUNKS, "the data key was wrapped with another key")),
        ("drop table chunk", (0, CHUNKS, 2 * CHUNKS, "its page of the file is damaged")),
    ],
)
async def test_what_is_not_as_it_was(tmp_path: Path, statement: str, expected: tuple[int, int, int, str]) -> None:
    segment = await filled(tmp_path)
    change(segment, statement)
    async with opened(tmp_path, "cloud") as journal:
        (fault,), _ = await found(journal)
        assert (fault.first, fault.stop, fault.points, fault.reason) == expected


async def test_a_damaged_page_costs_its_chunks(tmp_path: Path) -> None:
    segment = await filled(tmp_path, 400)
    content = bytearray(segment.read_bytes())
    page = len(content) // 4096 // 2 * 4096
    content[page : page + 4096] = bytes(4096)
    segment.write_bytes(content)
    async with opened(tmp_path, "cloud") as journal:
        (fault,), points = await found(journal)
        assert fault.reason == "its page of the file is damaged"
        assert 0 < fault.points < 800
        assert points == 800
        read = values(await everything(journal))
        assert len(read) == 400 - fault.points // 2
        assert read == [float(n) for n in range(400) if not fault.first <= n < fault.stop]


@pytest.mark.parametrize("content", [b"", b"not a database", bytes(100_000)])
async def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    segment = await filled(tmp_path)
    segment.write_bytes(content)
    async with opened(tmp_path, "cloud") as journal:
        (fault,), points = await found(journal)
        assert (fault.first, fault.stop, fault.points, points) == (0, CHUNKS, 2 * CHUNKS, 2 * CHUNKS)
        (chunk,) = await everything(journal)
        assert (chunk.points, chunk.seq) == (2 * CHUNKS, CHUNKS - 1)


async def test_a_file_that_is_gone(tmp_path: Path) -> None:
    segment = await filled(tmp_path)
    segment.unlink()
    async with opened(tmp_path, "cloud") as journal:
        (fault,), _ = await found(journal)
        assert (fault.points, fault.reason) == (2 * CHUNKS, "its file is gone")
        assert await everything(journal) == []


async def test_a_segment_that_goes_meanwhile_is_no_fault(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with opened(tmp_path, "cloud") as journal:
        chosen = await journal.own(lambda: inspection.expected(journal.store))
        await journal.remove(chosen[0].name.number)
        checks = [check async for check in inspection.verify(journal, chosen)]
        assert all(check.is_done and not check.faults for check in checks[1:])


async def test_an_open_segment_that_is_closed_meanwhile_is_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "_POINTS", 2)
    async with opened(tmp_path, "cloud") as journal:
        for value in range(5):
            await put(journal, value)
        chosen: list[Volume] = await journal.own(lambda: inspection.volumes(journal.store))
        steps = inspection.verify(journal, chosen)
        await anext(steps)
        check = await anext(steps)
        assert check.points == 2
        await journal.own(lambda: journal.store.rotate(NORMAL))
        async for check in steps:
            assert not check.faults
        assert (check.points, check.chunks) == (10, 5)


async def test_what_nobody_can_date_yet_is_shown_in_doubt(tmp_path: Path) -> None:
    settings = JournalSettings.model_validate({"commit_interval": "5ms", "wait_for_clock": True})
    async with opened(tmp_path, "cloud", settings=settings) as journal:
        await put(journal, 1, 2)
        assert await journal.read(NORMAL, 0, 1, 10) == []
        (chunk,) = await everything(journal)
        assert values([chunk]) == [1, 2]
        status = chunk.rows[0].status
        assert status is not None
        assert (status >> 30 == 1).all()


async def test_another_key_opens_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    segment = await filled(tmp_path)
    reader = inspection.Segment.read(inspection.Name(NORMAL, 1), segment, KeyRing(b"x" * 32))
    assert reader.obstacle == "the data key was wrapped with another key"
    reader.abandon()
