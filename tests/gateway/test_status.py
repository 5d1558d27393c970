"""The status of a cell: rates, and counts that add up."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from gateway import backlog, status
from gateway.cli import overview
from gateway.status import Rates, Status
from tests.gateway.gate import SECOND, FakeSink, fake_plugins, running, wait_until


def test_no_rate_before_the_second_sample() -> None:
    rates = Rates()
    assert rates.rate("press-1") is None
    rates.sample({"press-1": 5}, 0)
    assert rates.rate("press-1") is None


def test_rate_over_the_window() -> None:
    rates = Rates(window=10 * SECOND)
    for second in range(60):
        rates.sample({"steady": 100 * second, "burst": 1000 if second >= 55 else 0}, second * SECOND)
    assert rates.rate("steady") == 100.0
    assert rates.rate("burst") == 100.0


def test_rate_forgets() -> None:
    rates = Rates(window=10 * SECOND)
    for second in range(30):
        rates.sample({"press-1": min(second, 5)}, second * SECOND)
    assert rates.rate("press-1") == 0.0


@pytest.mark.parametrize("points", [0, 7])
def test_no_rate_of_a_device_that_a_reload_took_away_and_brought_back(points: int) -> None:
    rates = Rates()
    rates.sample({"press-1": points}, 0)
    rates.sample({}, SECOND)
    assert rates.rate("press-1") is None


async def test_pending_and_its_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)
    monkeypatch.setattr(FakeSink, "away", True)
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 2.0, "ok")
        before = gate.cell.clock.now()
        (sink,) = status.collect(gate.cell, await backlog.look(gate.cell), Rates()).sinks
        assert sink.ingested == sink.pending > 0  # also while it waits in memory for the disk
        await wait_until(lambda: gate.cell.forwarders["cloud"].retries > 0)
        taken = status.collect(gate.cell, await backlog.look(gate.cell), Rates())
        (sink,) = taken.sinks
        assert sink.ingested == sink.delivered + sink.pending + sink.dead_letters + sink.dropped
        assert (sink.online, sink.reason, sink.delivered) == (False, "the test's sink is away", 0)
        assert sink.oldest_s is not None
        assert 0 <= sink.oldest_s <= (gate.cell.clock.now() - before) / SECOND + 1
        assert taken.journal_bytes > 0


async def test_a_rule_in_quarantine_is_shown_though_its_alarm_is_normal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_plugins(monkeypatch)

    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("rules.conditions.limit.Condition.judge", fail)
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 99.0, "ok")
        gate.publish(True, 1, 99.0, "ok")
        taken = status.collect(gate.cell, await backlog.look(gate.cell), Rates())
        (alarm,) = taken.alarms
        assert (alarm.state, alarm.fault) == ("normal", "ZeroDivisionError: on purpose")
        assert gate.cell.bus.faults == 1
        assert caplog.text.count("rule too-high failed, and is judged no more") == 1
        out = Console(file=io.StringIO(), width=200, highlight=False)
        overview.show(taken, out)
        assert isinstance(out.file, io.StringIO)
        assert "normal, not judged" in out.file.getvalue()
        assert "its rule failed: ZeroDivisionError: on purpose" in out.file.getvalue()


async def test_a_clock_that_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or nobody would know why nothing is sent."""
    fake_plugins(monkeypatch)
    async with running(tmp_path) as gate:
        monkeypatch.setattr(gate.cell.journal.calendar._trust, "is_trusted", False)
        assert "clock" in status.collect(gate.cell, await backlog.look(gate.cell), Rates()).failure


async def test_nothing_pending_has_no_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 2.0, "ok")
        await wait_until(lambda: gate.cell.journal.statistics("cloud").delivered >= 5)
        (sink,) = status.collect(gate.cell, await backlog.look(gate.cell), Rates()).sinks
        assert (sink.pending, sink.oldest_s) == (0, None)


async def test_sick_disk_does_not_stop_the_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)

    async def fail(*arguments: object) -> None:
        raise OSError("sick")

    async with running(tmp_path) as gate:
        with monkeypatch.context() as patch:
            patch.setattr(gate.cell.journal, "read", fail)
            patch.setattr(FakeSink, "away", True)
            gate.publish(True, 1, 2.0, "ok")
            await wait_until(lambda: gate.cell.forwarders["cloud"].retries > 0)
            (sink,) = status.collect(gate.cell, await backlog.look(gate.cell), Rates()).sinks
            assert sink.pending > 0
            assert sink.oldest_s is None


async def test_survives_the_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 81.0, "ok")
        taken = status.collect(gate.cell, await backlog.look(gate.cell), Rates())
        assert msgspec.json.decode(msgspec.json.encode(taken), type=Status) == taken


async def test_a_link_says_what_is_to_be_done_before_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)
    async with running(tmp_path) as gate:
        supervisor = next(iter(gate.cell.links.values()))
        await wait_until(lambda: supervisor.online)
        supervisor.caution("renew it")
        link = status.collect(gate.cell, await backlog.look(gate.cell), Rates()).links[0]
        assert (link.online, link.reason) == (True, "renew it")
