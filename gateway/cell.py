"""One cell: the only file, with the command line, that knows everybody. It puts the parts together and runs them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from types import ModuleType

from gateway import plugins
from gateway.bus import Bus
from gateway.clock import SECOND, Clock, SystemClock
from gateway.commands import Commands
from gateway.contracts import Driver, Receiver, Sink
from gateway.forwarder import Forwarder
from gateway.image import Image
from gateway.journal.journal import Journal
from gateway.journal.seal import load_key
from gateway.journal.store import FAILURES
from gateway.link import LinkSupervisor
from gateway.model import (
    AlarmChanged,
    AnyEvent,
    Command,
    CommandDone,
    DataLost,
    DeviceChanged,
    DeviceState,
    Link,
    Value,
)
from gateway.notice import Throttle
from gateway.settings import Configuration
from rules.engine import Engine

_log = logging.getLogger(__name__)

_PERSON_SECONDS = 10
_TICK_SECONDS = 0.1
_LAG_SECONDS = 0.5


class Cell:
    """Everything that one process runs. `start` opens what must be there, `run` goes on until it is cancelled, and
    `stop` brings what is left to the disk."""

    def __init__(self, configuration: Configuration, clock: Clock | None = None) -> None:
        self.configuration = configuration
        self.clock = clock or SystemClock()
        groups = [group for link in configuration.links for device in link.devices for group in device.groups]
        settings = configuration.journal
        configuration.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = settings.key.reveal() if settings.key else None
        key = load_key(configuration.data / "journal.key", secret)
        self.journal = Journal(configuration.data / "journal", key, self.clock, settings)
        self.image = Image(groups)
        self.engine = Engine(configuration.rules, groups, prefix=uuid.uuid4().hex[:12])
        self.bus = Bus(self.clock, self.image, self.engine, self.journal)
        self.links = {link.id: self._supervisor(link) for link in configuration.links}
        self.commands = Commands(self.links, self.image, self.bus, self.clock)
        self.forwarders: dict[str, Forwarder] = {}
        self.started = self.clock.now()
        self.lag = 0.0
        self._log = Throttle(_log)
        self._sinks: list[Sink] = []
        self._ordered: set[asyncio.Task[CommandDone]] = set()
        self._journaling: asyncio.Task[None] | None = None

    def _supervisor(self, link: Link) -> LinkSupervisor:
        module = plugins.load("driver", link.driver)
        return LinkSupervisor(link, _maker(module), self.bus, self.clock)

    async def start(self) -> None:
        """Raises ConfigError or `FAILURES` when the journal cannot be opened."""
        entries = self.configuration.sinks
        await self.journal.open([entry.name for entry in entries])
        for entry in entries:
            sink: Sink = entry.module.Sink(entry.settings, self.configuration.site, self.configuration.cell)
            self._sinks.append(sink)
            self.forwarders[entry.name] = Forwarder(entry.name, sink, self.journal, self.clock)
        self.bus.told.append(self._tell)
        self._journaling = asyncio.create_task(self.journal.run(), name="journal")

    async def run(self) -> None:
        """For ever, or until the journal fails for good."""
        assert self._journaling is not None
        async with asyncio.TaskGroup() as tasks:
            self.bus.obey = lambda command: self._obey(tasks, command)
            for forwarder in self.forwarders.values():
                tasks.create_task(forwarder.run(), name=f"sink {forwarder.name}")
            for supervisor in self.links.values():
                tasks.create_task(supervisor.run(), name=f"link {supervisor.link.id}")
            tasks.create_task(self._tick(), name="tick")
            tasks.create_task(self._measure_lag(), name="lag")
            await asyncio.shield(self._journaling)

    async def stop(self) -> None:
        """Commit what waits, note what was delivered, close the files."""
        try:
            await self._close_journal()
        except FAILURES as error:
            _log.error("what was not yet on disk is lost: %s", error)
        finally:
            for sink in self._sinks:
                await sink.close()

    async def _close_journal(self) -> None:
        if self._journaling is not None:
            self.journal.stop()
            await self._journaling
            await self.journal.close()

    # What the control door calls

    async def write(self, tag: str, value: Value, user: str) -> CommandDone:
        expires = self.clock.monotonic() + _PERSON_SECONDS * SECOND
        return await self.commands.execute(Command(uuid.uuid4().hex, tag, value, f"user:{user}", expires))

    def acknowledge(self, alarm: str, user: str) -> AlarmChanged:
        """Raises CommandRefused."""
        event = self.engine.acknowledge(alarm, user, self.clock.now())
        self.bus.emit(event)
        return event

    # Running along

    def _obey(self, tasks: asyncio.TaskGroup, command: Command) -> None:
        task = tasks.create_task(self.commands.execute(command), name=f"command {command.id}")
        self._ordered.add(task)
        task.add_done_callback(self._ordered.discard)

    def _tell(self, event: AnyEvent) -> None:
        key, text, level = _words(event)
        self._log.tell(key, text, self.clock.monotonic(), level)

    async def _tick(self) -> None:
        """Delays that run out while no scan comes."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            due = self.engine.next_due()
            if due is not None and due <= self.clock.monotonic():
                self.bus.act(self._judge_time)

    def _judge_time(self) -> Sequence[AnyEvent | Command]:
        now = self.clock.now()
        return self.engine.tick(now, self.clock.monotonic(), lambda tag: self.image.read(tag, now).usable)

    async def _measure_lag(self) -> None:
        """How late the event loop wakes up: what a neighbour's slow code costs everyone."""
        while True:
            before = self.clock.monotonic()
            await asyncio.sleep(_LAG_SECONDS)
            self.lag = max(0.0, (self.clock.monotonic() - before) / SECOND - _LAG_SECONDS)


def _maker(module: ModuleType) -> Callable[[Link, Receiver], Driver]:
    driver: Callable[[Link, Receiver], Driver] = module.Driver
    return driver


def _words(event: AnyEvent) -> tuple[str, str, int]:
    """What people should read in the log: what it is about and how it went, both of which make it a thing of its own;
    the text; and how loud it is."""
    match event:
        case AlarmChanged():
            text = f"alarm {event.alarm} is {event.state}: {event.message or event.tag} ({event.tag} = {event.value})"
            return f"alarm {event.alarm} {event.state}", text, logging.WARNING
        case DeviceChanged():
            text = f"device {event.device} is {event.state}" + (f": {event.reason}" if event.reason else "")
            level = logging.INFO if event.state is DeviceState.ONLINE else logging.WARNING
            return f"device {event.device} {event.state}", text, level
        case CommandDone():
            text = f"write {event.tag} = {event.value} by {event.origin}: {event.outcome} {event.reason}".rstrip()
            return f"write {event.tag} {event.outcome}", text, logging.WARNING
        case DataLost():
            return "lost", f"{event.points} points are lost: {event.reason}", logging.ERROR
