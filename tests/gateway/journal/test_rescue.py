"""A journal whose key is lost, and the private half of its recovery key."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from gateway.clock import ManualClock
from gateway.export import Writer
from gateway.inquiry import Export, ExportedReply, ExportReply
from gateway.journal.chunk import Stream
from gateway.journal.journal import Journal
from gateway.journal.keys import KeyRing, RecoveryKey, generate, recovery_pair
from gateway.journal.rescue import Rescue
from gateway.keeper import export
from tests.gateway.journal.test_journal import QUICK, put

PRIVATE, PUBLIC = recovery_pair()


async def kept(path: Path, crashed: Path) -> None:
    """Two closed segments and an open one; as a crash leaves them in `crashed`."""
    ring = KeyRing(generate(), recovery=bytes.fromhex(PUBLIC))
    journal = Journal(path, ring, ManualClock(), QUICK)
    await journal.open(["cloud"])
    running = asyncio.create_task(journal.run())
    for value in range(3):
        await put(journal, value)
        if value < 2:
            await journal.own(lambda: journal.store.rotate(Stream.NORMAL))
    await journal.own(lambda: shutil.copytree(path, crashed))
    journal.stop()
    await running
    await journal.close()


async def rescued(path: Path, private: str = PRIVATE) -> tuple[str, ExportReply, list[str]]:
    """The lines, how it ended, and what was no segment any more."""
    rescue = Rescue(path, RecoveryKey(bytes.fromhex(private)))
    writer = Writer(Export(format="csv"), {})
    replies = [reply async for reply in export(rescue, rescue.volumes(), writer)]
    text = "".join(reply.text for reply in replies if isinstance(reply, ExportedReply))
    assert isinstance(replies[-1], ExportReply)
    return text, replies[-1], rescue.unreadable


async def test_all_of_it_is_read_also_after_a_crash(tmp_path: Path) -> None:
    await kept(tmp_path / "journal", tmp_path / "crashed")
    for folder in ("journal", "crashed"):
        text, done, unreadable = await rescued(tmp_path / folder)
        assert (done.points, done.lost, unreadable) == (6, 0, [])
        values = [line.split(",")[2] for line in text.splitlines()[1:]]
        assert values == ["0.0", "0.0", "1.0", "-1.0", "2.0", "-2.0"]


async def test_another_recovery_key_reads_nothing(tmp_path: Path) -> None:
    await kept(tmp_path / "journal", tmp_path / "crashed")
    other, _ = recovery_pair()
    text, done, _ = await rescued(tmp_path / "journal", other)
    assert (text, done.points, done.lost) == ("time,tag,value,quality\r\n", 0, 6)


async def test_what_is_damaged_costs_itself(tmp_path: Path) -> None:
    await kept(tmp_path / "journal", tmp_path / "crashed")
    first = min((tmp_path / "journal").glob("normal-*.db"))
    first.write_bytes(bytes(10_000))
    (tmp_path / "journal/catalog.db").unlink()
    _, done, unreadable = await rescued(tmp_path / "journal")
    assert (done.points, unreadable) == (4, [first.name])
