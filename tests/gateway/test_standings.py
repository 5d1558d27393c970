"""Alarms of a whole cell over an orderly stop and over a crash, which is a copy of the files taken while it ran."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.journal.catalog import Catalog
from gateway.journal.chunk import Stream
from gateway.journal.journal import Journal
from gateway.model import AlarmChanged, AlarmState
from gateway.site import JournalSettings
from rules.alarm import AlarmStatus, Deed, Input
from tests.gateway.gate import FakeDriver, Gate, configuration, fake_plugins, running, wait_until

SECRET = "the valve of press 4711 is open"
WRITE = {"tag": "press-1/run", "value": False}


@pytest.fixture(autouse=True)
def _fake_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)


@asynccontextmanager
async def living(data: Path, **journal: object) -> AsyncIterator[Gate]:
    """A cell whose rule isolates."""
    given = configuration(data)
    (rule,) = given.rules
    write = type(rule.settings).model_validate({"message": "too much", "write": WRITE})
    changed = {"commit_interval": "1ms", **journal}
    settings = JournalSettings.model_validate(changed)
    async with running(data, replace(given, rules=(replace(rule, settings=write),), journal=settings)) as gate:
        yield gate


async def committed(gate: Gate) -> None:
    done = asyncio.Event()
    gate.cell.journal.follow(done.set)
    async with asyncio.timeout(10):
        await done.wait()


async def crash(gate: Gate, to: Path) -> Path:
    """What another start finds, were this one killed now."""
    await committed(gate)
    return Path(await asyncio.to_thread(shutil.copytree, gate.cell.configuration.data, to, ignore=_sockets))


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".sock") or name == "lock"]


def alarm(gate: Gate) -> AlarmStatus:
    return gate.cell.engine.alarms()[0]


def written(gate: Gate) -> int:
    driver = gate.cell.links["press-bus"]._driver
    assert isinstance(driver, FakeDriver)
    return len(driver.written)


async def raised(gate: Gate) -> AlarmStatus:
    """Raised, acknowledged and shelved."""
    gate.publish(True, 1, 81.0, SECRET)
    await wait_until(lambda: written(gate) == 1 and not gate.cell._ordered)
    await committed(gate)
    gate.cell.do("too-high", Deed(Input.ACKNOWLEDGE, "ann", SECRET))
    until = gate.cell.clock.now() + 3600 * 10**9
    gate.cell.do("too-high", Deed(Input.SHELVE, "ann", SECRET, until))
    await committed(gate)
    return alarm(gate)


async def test_over_an_orderly_stop(tmp_path: Path) -> None:
    async with living(tmp_path) as gate:
        before = await raised(gate)
    async with living(tmp_path) as gate:
        assert alarm(gate) == before
        gate.publish(True, 2, 82.0, "ok")
        await committed(gate)
        assert (alarm(gate), written(gate)) == (before, 0)


async def test_over_a_crash(tmp_path: Path) -> None:
    async with living(tmp_path / "first") as gate:
        before = await raised(gate)
        found = await crash(gate, tmp_path / "second")
    async with living(found) as gate:
        assert alarm(gate) == before
        gate.publish(True, 2, 82.0, "ok")
        await committed(gate)
        assert (alarm(gate), written(gate)) == (before, 0), "neither raised nor isolated again"
        gate.publish(True, 3, 12.0, "ok")
        assert alarm(gate).state is AlarmState.NORMAL
        again = await crash(gate, tmp_path / "third")
    async with living(again) as gate:
        assert alarm(gate).state is AlarmState.NORMAL
        assert alarm(gate).suppressed


async def test_over_a_crash_after_the_events_have_gone(tmp_path: Path) -> None:
    """Every sink had them, so their segments were removed."""
    async with living(tmp_path / "first") as gate:
        before = await raised(gate)
        journal = gate.cell.journal
        await journal.own(lambda: journal.store.roll(Stream.EVENTS))
        await gone(journal)
        found = await crash(gate, tmp_path / "second")
    async with living(found) as gate:
        assert alarm(gate) == before


async def gone(journal: Journal) -> None:
    async with asyncio.timeout(10):
        while any(entry.stream is Stream.EVENTS for entry in journal.store.closed.values()):
            await journal.tidy()
            await asyncio.sleep(0)


async def test_events_do_not_go_before_what_was_made_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that does not take the checkpoint."""

    def fail(catalog: Catalog, seq: int, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with living(tmp_path / "first") as gate:
        before = await raised(gate)
        journal = gate.cell.journal
        await journal.own(lambda: journal.store.roll(Stream.EVENTS))
        with monkeypatch.context() as patch:
            patch.setattr(Catalog, "note_checkpoint", fail)
            for _ in range(5):
                await journal.tidy()
            assert "No space left" in journal.failing
            assert any(entry.stream is Stream.EVENTS for entry in journal.store.closed.values())
        found = await crash(gate, tmp_path / "second")
        await gone(journal)
        assert journal.failing == ""
    async with living(found) as gate:
        assert alarm(gate) == before


async def test_a_start_does_not_wait_for_a_trusted_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "is_synchronised", False)
    async with living(tmp_path / "first", wait_for_clock=True) as gate:
        before = await raised(gate)
        journal = gate.cell.journal
        assert not journal.calendar.is_trusted
        assert await journal.read(Stream.EVENTS, 0, 1, 1) == [], "nothing is given out yet"
        found = await crash(gate, tmp_path / "second")
    async with living(found, wait_for_clock=True) as gate:
        assert alarm(gate) == before


async def test_a_checkpoint_that_was_changed_is_told_and_the_events_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with living(tmp_path) as gate:
        before = await raised(gate)
        gate.cell.journal.recollection = None  # nothing of it is noted
    monkeypatch.setattr(Catalog, "checkpoint", lambda catalog: (0, b"rubbish"))
    async with living(tmp_path) as gate:
        assert alarm(gate) == before
    assert "the checkpoint of the alarms cannot be read" in caplog.text


async def test_now_and_then_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.recollection._MOST_UNNOTED", 2)
    async with living(tmp_path) as gate:
        await raised(gate)
        journal = gate.cell.journal
        await journal.tidy()
        noted = await journal.own(journal.store.catalog.checkpoint)
        assert noted is not None
        assert noted[0] == journal.store.heads[Stream.EVENTS].seq


async def test_nothing_stands_in_the_clear(tmp_path: Path) -> None:
    async with living(tmp_path) as gate:
        await raised(gate)
    files = [path for path in (tmp_path / "journal").iterdir() if path.is_file()]
    assert any(path.name == "catalog.db" for path in files)
    for path in files:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert b"too-high" not in content, path


async def test_what_a_person_does_to_an_alarm_is_recorded(tmp_path: Path) -> None:
    async with living(tmp_path) as gate:
        told: list[AlarmChanged] = []
        gate.cell.bus.told.append(lambda event: told.append(event) if isinstance(event, AlarmChanged) else None)
        await raised(gate)
    assert [(event.move, event.actor, event.comment, event.suppressed) for event in told] == [
        ("raise", "", "", False),
        ("acknowledge", "ann", SECRET, False),
        ("shelve", "ann", SECRET, True),
    ]
    assert told[0].command


async def test_what_is_suppressed_is_told_as_information_and_isolates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with living(tmp_path) as gate:
        until = gate.cell.clock.now() + 3600 * 10**9
        gate.cell.do("too-high", Deed(Input.SHELVE, "ann", SECRET, until))
        gate.publish(True, 1, 81.0, "ok")
        await wait_until(lambda: written(gate) == 1 and not gate.cell._ordered)
        gate.cell.do("too-high", Deed(Input.UNSHELVE, "ann"))
        gate.publish(True, 2, 12.0, "ok")
    told = [(record.levelname, record.getMessage()) for record in caplog.records if "alarm too-high" in record.message]
    assert told == [
        ("INFO", "alarm too-high is normal, shelve by ann: too much (press-1/pressure)"),
        ("INFO", "alarm too-high is unacknowledged: too much (press-1/pressure)"),
        ("WARNING", "alarm too-high is unacknowledged, unshelve by ann: too much (press-1/pressure)"),
        ("WARNING", "alarm too-high is returned: too much (press-1/pressure)"),
    ]
    assert SECRET not in caplog.text
