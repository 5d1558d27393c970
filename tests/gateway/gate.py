"""A whole cell with a device and a sink that do as the test says, and its control door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway import plugins
from gateway.cell import Cell
from gateway.contracts import Ability, Driver, Receiver, Repeats, Sink
from gateway.control import Control
from gateway.errors import CommandRefused, ConnectionLost
from gateway.fields import Settings
from gateway.model import AnyEvent, Device, Link, Rows, Tag, TagGroup, Value, ValueType
from gateway.reload import Reloader
from gateway.settings import Configuration, SinkEntry
from gateway.site import HttpSettings, JournalSettings
from rules.conditions import limit
from rules.settings import Rule, RuleSettings
from tests.gateway.build import scan

SECOND = 1_000_000_000

_TAGS = (
    Tag("press-1/run", ValueType.BOOL, writable=True),
    Tag("press-1/total", ValueType.UINT64, writable=True),
    Tag("press-1/pressure", ValueType.FLOAT64, unit="bar", range=(0, 400), writable=True),
    Tag("press-1/label", ValueType.STRING),
)
GROUP = TagGroup("press-1", "fast", TagGroup.sort(_TAGS), None, 60 * SECOND)
LINK = Link("press-bus", "fake", (Device("press-1", (GROUP,)),))


class FakeDriver(Driver):
    """Open for ever, and remembers what was written."""

    written: list[tuple[str, Value]]
    refusal = ""

    def __init__(self, link: Link, receiver: Receiver) -> None:
        super().__init__(link, receiver)
        self.written = []

    async def open(self) -> None:
        return None

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def write(self, tag: Tag, value: Value) -> None:
        if self.refusal:
            raise CommandRefused(self.refusal)
        self.written.append((tag.id, value))

    async def close(self) -> None:
        return None


class FakeSink(Sink):
    """Takes everything, or is away."""

    ability = Ability(precision=1, repeats=Repeats.KEPT, typed=False)
    away = False

    def __init__(self, settings: Settings, site: str, cell: str) -> None:
        self.rows: list[Rows] = []

    async def write(self, rows: Sequence[Rows]) -> None:
        self._look()
        self.rows.extend(rows)

    async def report(self, events: Sequence[AnyEvent]) -> None:
        self._look()

    def _look(self) -> None:
        if self.away:
            raise ConnectionLost("the test's sink is away")


class Gate:
    """A running cell, and the ways in."""

    def __init__(self, cell: Cell, reloader: Reloader, control: Control) -> None:
        self.cell = cell
        self.reloader = reloader
        self.control = control

    def publish(self, run: bool, total: int, pressure: float, label: str) -> None:
        row = scan(GROUP, [run, total, pressure, label], self.cell.clock.now())
        self.cell.links["press-bus"].publish(row)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.control.path), limit=1 << 20)

    async def ask(self, **request: object) -> dict[str, Any]:
        reader, writer = await self.connect()
        writer.write(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return answer


def configuration(data: Path) -> Configuration:
    high = limit.Settings.model_validate({"tag": "press-1/pressure", "high": 80})
    sink = ModuleType("fake")
    sink.Sink = FakeSink  # type: ignore[attr-defined]
    return Configuration(
        site="plant-1",
        cell="line-a",
        data=data,
        links=(LINK,),
        sinks=(SinkEntry("cloud", sink, Settings()),),
        rules=(Rule("too-high", RuleSettings.model_validate({"message": "too much"}), "limit", high),),
        http=HttpSettings.model_validate({"port": 0}),
        journal=JournalSettings.model_validate({}),
        files=(),
    )


def fake_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = ModuleType("fake")
    driver.Driver = FakeDriver  # type: ignore[attr-defined]
    monkeypatch.setattr(plugins, "load", lambda kind, name: driver)


async def wait_until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(data: Path, given: Configuration | None = None) -> AsyncIterator[Gate]:
    """With `fake_plugins`."""
    cell = Cell(given or configuration(data))
    reloader = Reloader(cell, data / "edgeward.yaml")
    control = Control(cell, reloader, data / "control.sock")
    await cell.start()
    control.open()
    async with asyncio.TaskGroup() as tasks:
        working = [tasks.create_task(each.run()) for each in (cell, control, reloader)]
        await wait_until(lambda: all(link.reason != "not connected yet" for link in cell.links.values()))
        yield Gate(cell, reloader, control)
        for task in working:
            task.cancel()
    await cell.stop()
