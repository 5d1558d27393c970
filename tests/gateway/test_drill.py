"""A drill in a whole cell: the cut is a cut, it ends, and what it tells is so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from gateway.drill import Drills
from gateway.errors import CommandRefused
from gateway.inquiry import Drill, DrillReply, SampleReply
from gateway.phrase import Reply
from tests.gateway.gate import FakeSink, Gate, fake_plugins, running, wait_until


@pytest.fixture(autouse=True)
def _fake_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)


async def delivered(gate: Gate) -> int:
    """Of the only sink, once it is online."""
    gate.publish(True, 1, 12.5, "ok")
    await wait_until(lambda: gate.cell.forwarders["cloud"].online)
    await wait_until(lambda: gate.cell.journal.statistics("cloud").pending == 0)
    return gate.cell.journal.statistics("cloud").delivered


async def test_nothing_is_delivered_while_it_lasts_and_all_of_it_after(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        before = await delivered(gate)
        replies: list[Reply] = []
        async for reply in Drills(gate.cell).run(Drill(0.5), "anna"):
            gate.publish(True, 1, 12.5, "ok")
            replies.append(reply)
        assert replies[-1] == DrillReply("anna")
        samples = [reply for reply in replies if isinstance(reply, SampleReply)]
        assert {one.phase for one in samples} == {"outage", "recovery"}
        outage = [one.accounts[0] for one in samples if one.phase == "outage"]
        assert {one.delivered for one in outage} == {before}
        assert not outage[-1].online
        assert "cut off by anna, for a drill" in outage[-1].reason
        end = samples[-1].accounts[0]
        assert (end.behind, end.online, end.delivered > before) == (0, True, True)
        assert end.live_s is not None
        assert end.drained_s is not None
        assert samples[-1].written > samples[0].written
        assert all(one.accounts[0].ingested == sum_of(one) for one in samples)


def sum_of(sample: SampleReply) -> int:
    account = sample.accounts[0]
    return account.delivered + account.pending + account.dead_letters + account.dropped


async def test_the_cut_ends_by_itself_and_one_drill_at_a_time(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        await delivered(gate)
        drills = Drills(gate.cell)
        replies = drills.run(Drill(0.2), "anna")
        await anext(replies)  # and nobody asks for the next one
        assert gate.cell.forwarders["cloud"].cut
        with pytest.raises(CommandRefused, match="under way already"):
            await anext(drills.run(Drill(0.2), "ben"))
        await wait_until(lambda: not gate.cell.forwarders["cloud"].cut)
        await replies.aclose()
        again = drills.run(
            Drill(60),
            "ben",
        )
        await anext(again)
        assert gate.cell.forwarders["cloud"].cut
        await again.aclose()
        assert not gate.cell.forwarders["cloud"].cut


async def test_a_caller_that_hangs_up_ends_it(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        await delivered(gate)
        reader, writer = await gate.connect()
        writer.write(json.dumps({"ask": "drill", "seconds": 600}).encode() + b"\n")
        await reader.readline()
        assert gate.cell.forwarders["cloud"].cut
        writer.close()
        await wait_until(lambda: not gate.cell.forwarders["cloud"].cut)
        assert (await gate.ask(ask="read", tag="press-1/run"))["answer"] == "readings"


@pytest.mark.parametrize("seconds", [0, -1, 86_401, "x"])
async def test_how_long_it_may_last(tmp_path: Path, seconds: object) -> None:
    async with running(tmp_path) as gate:
        assert (await gate.ask(ask="drill", seconds=seconds))["answer"] == "error"
        assert not gate.cell.forwarders["cloud"].cut


async def test_a_sink_that_is_away_anyway_is_not_drilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSink, "away", True)
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 12.5, "ok")
        await wait_until(lambda: gate.cell.forwarders["cloud"].retries > 0)
        answer = await gate.ask(ask="drill", seconds=1)
        assert answer["message"].startswith("sink cloud does not deliver as it is")
        answer = await gate.ask(ask="drill", seconds=1, sinks=["archive"])
        assert answer["message"] == "there is no sink archive"


async def test_an_errand_ends_when_the_gateway_does(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        await delivered(gate)
        reader, writer = await gate.connect()
        writer.write(json.dumps({"ask": "drill", "seconds": 600}).encode() + b"\n")
        await reader.readline()
    async with asyncio.timeout(5):
        while await reader.readline():
            pass
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
