"""A running cell whose configuration is a real file, with drivers and sinks that do as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal

import pytest

from gateway import contracts, fields, plugins, settings
from gateway.contracts import Receiver
from gateway.errors import ConfigError
from gateway.link import LinkSupervisor
from gateway.model import AnyEvent, Link, Rows, Tag, TagGroup, Value
from gateway.reload import Change
from gateway.source import Source
from tests.gateway.build import scan
from tests.gateway.gate import Gate, running


class LinkSettings(fields.LinkSettings):
    port: int = 1


class Driver(contracts.Driver):
    """Every session that there ever was is in `sessions`."""

    sessions: ClassVar[list[Driver]] = []

    def __init__(self, link: Link, receiver: Receiver) -> None:
        super().__init__(link, receiver)
        self.sessions.append(self)
        self.closed = False
        self.written: list[tuple[str, Value]] = []

    async def open(self) -> None:
        if self.port == 0:
            raise ConfigError("port 0 is nobody's")

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def write(self, tag: Tag, value: Value) -> None:
        self.written.append((tag.id, value))

    async def close(self) -> None:
        self.closed = True

    @property
    def port(self) -> int:
        assert isinstance(self.link.settings, LinkSettings)
        return self.link.settings.port


class SinkSettings(fields.Settings):
    sink: Literal["fake"]
    url: str = "one"


class Sink(contracts.Sink):
    """Every sink that there ever was is in `made`."""

    ability = contracts.Ability(precision=1, repeats=contracts.Repeats.KEPT, typed=False)
    made: ClassVar[list[Sink]] = []

    def __init__(self, settings: SinkSettings, site: str, cell: str) -> None:
        if settings.url == "broken":
            raise ValueError("the library knows no such place")
        self.made.append(self)
        self.url = settings.url
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.values: list[float] = []

    async def write(self, rows: Sequence[Rows]) -> None:
        await self.gate.wait()
        assert not self.closed
        self.values += [float(value) for part in rows for plane in part.values for value in plane.ravel()]

    async def report(self, events: Sequence[AnyEvent]) -> None:
        return None

    async def close(self) -> None:
        self.closed = True


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins called `fake`, beside those that there are."""
    fake = ModuleType("fake")
    fake.__dict__.update(
        LinkSettings=LinkSettings,
        DeviceSettings=fields.DeviceSettings,
        GroupSettings=fields.GroupSettings,
        TagSettings=fields.TagSettings,
        Driver=Driver,
        check=lambda link: (),
        Settings=SinkSettings,
        Sink=Sink,
    )
    load = plugins.load
    names = plugins.names
    monkeypatch.setattr(plugins, "load", lambda kind, name: fake if name == "fake" else load(kind, name))
    monkeypatch.setattr(plugins, "names", lambda kind: names(kind) + ["fake"] * (kind != "condition"))
    monkeypatch.setattr(Driver, "sessions", [])
    monkeypatch.setattr(Sink, "made", [])


Section = dict[str, Any]


def link(**more: object) -> Section:
    return {"driver": "fake", **more}


def device(of: str, deadband: float = 0.0, **groups: float) -> Section:
    """On link `of`, with groups of one number `x`, stale after so many seconds."""
    tag = {"type": "float64", "writable": True, "deadband": deadband}
    return {
        "link": of,
        "groups": {
            name: {"stale_after": f"{seconds}s", "tags": {f"{name}.x": tag}} for name, seconds in groups.items()
        },
    }


def rule(tag: str, high: float = 80, **more: object) -> Section:
    return {"limit": {"tag": tag, "high": high}, **more}


class Workshop:
    """`sections` are those of the file that runs; `write` puts others into the file."""

    def __init__(self, gate: Gate, path: Path) -> None:
        self.gate = gate
        self.cell = gate.cell
        self.path = path

    def write(self, **sections: object) -> None:
        write(self.path, sections)

    async def reload(self, **sections: object) -> Change:
        self.write(**sections)
        return await self.gate.reloader.reload()

    def group(self, name: str) -> TagGroup:
        return next(group for group in self.cell.image.groups() if group.id == name)

    def supervisor(self, of: str) -> LinkSupervisor:
        return next(link for link in self.cell.links.values() if of in link.health)

    def publish(self, name: str, value: float) -> None:
        """One value of the only tag of a group, through its link."""
        group = self.group(name)
        self.supervisor(group.device).publish(scan(group, [value], self.cell.clock.now()))

    def value(self, tag: str) -> Value | None:
        return self.cell.image.read(tag, self.cell.clock.monotonic()).value

    def alarm(self, name: str) -> str:
        return next(status.state.value for status in self.cell.engine.alarms() if status.alarm == name)

    async def committed(self) -> None:
        """Everything published so far is on disk."""
        durable = asyncio.Event()
        self.cell.journal.follow(durable.set)
        await durable.wait()


def write(path: Path, sections: Mapping[str, object]) -> None:
    whole = {"site": "plant-1", "cell": "line-a", "journal": {"commit_interval": "2ms"}, "http": {"port": 0}}
    path.write_text(json.dumps(whole | dict(sections), indent=1))


@asynccontextmanager
async def workshop(folder: Path, **sections: object) -> AsyncIterator[Workshop]:
    """With `install`."""
    path = folder / "edgeward.yaml"
    write(path, sections)
    source = Source(path)
    async with running(folder, settings.load(path, source)) as gate:
        await gate.reloader.accept(source.contents)
        yield Workshop(gate, path)
