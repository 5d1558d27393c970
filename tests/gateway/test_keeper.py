"""Who asks about the journal: dead letters are accounted for once, and nobody is in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from gateway import keeper as module
from gateway.errors import CommandRefused
from gateway.inquiry import AskLetters, DropLetters, Progress, ReplayLetters, ReplayReply
from gateway.journal.catalog import DeadLetter
from gateway.journal.chunk import Stream
from gateway.journal.journal import Journal
from gateway.keeper import Keeper
from gateway.phrase import Reply
from gateway.site import JournalSettings
from tests.gateway.build import NOW
from tests.gateway.journal.test_journal import balanced, opened, put

NORMAL = Stream.NORMAL
CONTENT = b'{"type":"float64","device":"press","tag":"t0"}'
SETTINGS = JournalSettings.model_validate({})


class Far:
    """Takes what it is told to take."""

    def __init__(self) -> None:
        self.refuses: set[int] = set()
        self.calls: list[int] = []
        self.go = asyncio.Event()
        self.go.set()

    async def replay(self, letters: Sequence[DeadLetter]) -> list[str]:
        self.calls.append(len(letters))
        await self.go.wait()
        return ["still no" if one.id in self.refuses else "" for one in letters]


async def bury(journal: Journal, sink: str = "cloud", count: int = 3) -> None:
    """So many chunks, each with one of its two points in a dead letter."""
    for value in range(count):
        await put(journal, value)
        work = journal.deliveries[sink, NORMAL].next()
        assert work is not None
        (chunk,) = await journal.read(NORMAL, *work, 1)
        dead = DeadLetter(sink, NOW, 1, f"no {value}", CONTENT)
        journal.settle(sink, [chunk], {chunk.seq: [dead]})
    await journal.note()


async def last(replies: AsyncGenerator[Reply]) -> ReplayReply:
    async with aclosing(replies) as each:
        got = [reply async for reply in each]
    assert all(isinstance(reply, Progress) for reply in got[:-1])
    assert isinstance(got[-1], ReplayReply)
    return got[-1]


async def ids(keeper: Keeper) -> list[int]:
    return [entry.id for entry in (await keeper.letters(AskLetters())).letters]


async def test_letters_are_listed_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LETTERS", 2)
    async with opened(tmp_path, "cloud", "files") as journal:
        await bury(journal, "cloud")
        keeper = Keeper(journal)
        first = await keeper.letters(AskLetters())
        assert [(one.id, one.tag, one.kind, one.reason) for one in first.letters] == [
            (1, "press/t0", "float64", "no 0"),
            (2, "press/t0", "float64", "no 1"),
        ]
        second = await keeper.letters(AskLetters(first.after))
        assert [one.id for one in second.letters] == [3]
        assert await keeper.letters(AskLetters(second.after)) == module.LettersReply(())
        assert (await keeper.letters(AskLetters(sink="files"))).letters == ()


async def test_what_goes_through_is_delivered_and_what_does_not_stays(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await bury(journal)
        keeper, far = Keeper(journal), Far()
        far.refuses = {2}
        reply = await last(keeper.replay(ReplayLetters((3, 1, 2, 2)), {"cloud": far}, "anna"))
        assert (reply.letters, reply.points, reply.refused, reply.user) == (2, 2, {2: "still no"}, "anna")
        account = journal.statistics("cloud")
        assert (account.delivered, account.dead_letters, account.dropped) == (5, 1, 0)
        assert balanced(journal)
        assert await journal.losses() == []
        (left,) = (await keeper.letters(AskLetters())).letters
        assert (left.id, left.reason, left.content[:7]) == (2, "still no", '{"type"')
    async with opened(tmp_path, "cloud") as journal:
        assert [(one.id, one.reason) for one in await journal.dead_letters()] == [(2, "still no")]
        assert journal.statistics("cloud").dead_letters == 1


async def test_what_is_dropped_is_in_the_ledger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await bury(journal)
        keeper = Keeper(journal)
        reply = await keeper.drop(DropLetters((1, 3)), "anna")
        assert (reply.letters, reply.points) == (2, 2)
        assert await ids(keeper) == [2]
        account = journal.statistics("cloud")
        assert (account.delivered, account.dead_letters, account.dropped) == (3, 1, 2)
        status = await keeper.status(SETTINGS, ["cloud"])
        assert [loss.reason for loss in status.losses] == ["dead letters were dropped by hand"] * 2
        assert status.letters == {"cloud": 1}
        with pytest.raises(CommandRefused, match="there is no dead letter 1"):
            await keeper.drop(DropLetters((2, 1)), "anna")
        assert await ids(keeper) == [2]
    assert "anna dropped 2 dead letters of 2 points" in caplog.text


async def test_the_number_of_a_letter_is_never_another_ones(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await bury(journal, count=2)
        keeper = Keeper(journal)
        await keeper.drop(DropLetters((1, 2)), "anna")
        await bury(journal, count=1)
        assert await ids(keeper) == [3]


async def test_nobody_accounts_for_a_letter_twice(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await bury(journal)
        keeper, far = Keeper(journal), Far()
        far.go.clear()
        replaying = asyncio.create_task(last(keeper.replay(ReplayLetters((1,)), {"cloud": far}, "anna")))
        while not far.calls:
            await asyncio.sleep(0)
        with pytest.raises(CommandRefused, match="somebody else"):
            await keeper.drop(DropLetters((1,)), "ben")
        with pytest.raises(CommandRefused, match="somebody else"):
            await last(keeper.replay(ReplayLetters((1,)), {"cloud": far}, "ben"))
        far.go.set()
        await replaying
        assert journal.statistics("cloud").dead_letters == 2


async def test_who_hangs_up_leaves_the_others_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PART", 1)
    async with opened(tmp_path, "cloud") as journal:
        await bury(journal)
        keeper, far = Keeper(journal), Far()
        replies = keeper.replay(ReplayLetters((1, 2, 3)), {"cloud": far}, "anna")
        for _ in range(2):
            await anext(replies)
        await replies.aclose()
        assert far.calls == [1]
        assert await ids(keeper) == [2, 3]
        assert (await last(keeper.replay(ReplayLetters((2, 3)), {"cloud": far}, "anna"))).letters == 2
        assert balanced(journal)


async def test_letters_of_a_sink_that_does_not_run_stay(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        await bury(journal)
        with pytest.raises(CommandRefused, match="letter 1 cannot go to sink cloud"):
            await last(Keeper(journal).replay(ReplayLetters((1,)), {}, "anna"))
        assert await ids(Keeper(journal)) == [1, 2, 3]


async def test_a_key_that_others_keep_is_theirs_to_rotate(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud") as journal:
        with pytest.raises(CommandRefused, match="previous_key"):
            await anext(Keeper(journal).rotate("anna"))


async def test_status(tmp_path: Path) -> None:
    async with opened(tmp_path, "cloud", "files") as journal:
        for value in range(4):
            await put(journal, value)
            if value == 1:
                await journal.own(lambda: journal.store.rotate(NORMAL))
        chunks = await journal.read(NORMAL, 1, 2, 1)
        journal.settle("files", chunks)
        status = await Keeper(journal).status(SETTINGS, ["cloud"])
    (stream,) = [one for one in status.streams if one.stream == "normal"]
    assert (stream.segments, stream.open, stream.points, stream.since > 0) == (2, True, 8, True)
    assert 0 < stream.bytes <= status.bytes
    stands = {one.sink: one for one in status.deliveries if one.stream == "normal"}
    assert (stands["cloud"].pending, stands["cloud"].ranges, stands["cloud"].oldest) == (8, 1, NOW)
    assert (stands["files"].pending, stands["files"].ranges, stands["files"].delivered) == (6, 2, 2)
    assert (stands["cloud"].configured, stands["files"].configured) == (True, False)
    assert (status.running, status.clock_trusted, status.key, status.rotating) == (True, True, "secret", False)
    assert (status.max_bytes, status.retention) == (SETTINGS.max_bytes, SETTINGS.retention)
