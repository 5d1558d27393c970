"""One cell: the only file, with the command line, that knows everybody. It puts the parts together and runs them.

What follows from the configuration is made as a proposal, with nothing in force yet, and adopted in one go; the first
one like any later one.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from gateway import files, plugins
from gateway.bus import Bus, Outcome
from gateway.clock import SECOND, Clock, SystemClock
from gateway.commands import Commands
from gateway.contracts import Driver, Receiver, Sink
from gateway.crew import Crew
from gateway.fields import SinkSettings
from gateway.forwarder import Forwarder
from gateway.generation import Generation
from gateway.graft import graft_links, graft_rules
from gateway.image import Image
from gateway.journal import keys
from gateway.journal.journal import Journal
from gateway.journal.store import FAILURES
from gateway.link import LinkSupervisor
from gateway.model import (
    AlarmChanged,
    AlarmState,
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
from gateway.orders import Listener
from gateway.settings import Configuration, SinkEntry
from rules.alarm import AlarmStatus, Deed
from rules.engine import Engine, Moment
from rules.standing import Standings

_log = logging.getLogger(__name__)

_PERSON_SECONDS = 10
_TICK_SECONDS = 0.1
_LAG_SECONDS = 0.5
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """What follows from a configuration. What is as it was is the very object that is at work."""

    configuration: Configuration
    image: Image
    engine: Engine
    links: Mapping[str, LinkSupervisor]
    sinks: Mapping[str, Sink]


class Cell:
    """Everything that one process runs. `start` opens what must be there, `run` goes on until it is cancelled, and
    `stop` brings what is left to the disk. Raises ConfigError.

    `generation` is the configuration that is in force, and `refused` why it is not what is on the disk, if so.
    """

    def __init__(self, configuration: Configuration, clock: Clock | None = None) -> None:
        self.configuration = configuration
        self.generation = Generation()
        self.refused = ""
        self.clock = clock or SystemClock()
        settings = configuration.journal
        files.make(configuration.data)
        ring = keys.of(configuration.data, settings)
        self.journal = Journal(configuration.data / "journal", ring, self.clock, settings)
        self.image = Image(())
        self.engine = Engine((), (), prefix="")
        self._standings = Standings()
        self.bus = Bus(self.clock, self.image, self.engine, self.journal)
        self.links: Mapping[str, LinkSupervisor] = {}
        self.commands = Commands(self.links, self.image, self.bus, self.clock)
        self.forwarders: Mapping[str, Forwarder] = {}
        self.listeners: Mapping[str, Listener] = {}
        self.started = self.clock.now()
        self.lag = 0.0
        self._log = Throttle(_log)
        self._sinks: Mapping[str, Sink] = {}
        self._crew: Crew | None = None
        self._ordered: set[asyncio.Task[CommandDone]] = set()
        self._journaling: asyncio.Task[None] | None = None
        self._serve(self.propose(configuration))

    # From one generation to the next

    def propose(self, configuration: Configuration) -> Proposal:
        """Everything that can fail, and nothing that shows; in any thread. Raises ConfigError."""
        links = graft_links(self.configuration.links, configuration.links)
        rules = graft_rules(self.configuration.rules, configuration.rules)
        groups = [group for link in links for device in link.devices for group in device.groups]
        return Proposal(
            configuration=replace(configuration, links=links, rules=rules),
            image=Image(groups),
            engine=Engine(rules, groups, prefix=uuid.uuid4().hex[:12]),
            links={link.id: self._supervisor(link) for link in links},
            sinks={entry.name: self._sink(entry) for entry in configuration.sinks},
        )

    def adopt(self, proposal: Proposal, generation: Generation) -> None:
        """Nothing is awaited and nothing can fail, so there is one generation at any moment. `reconcile` comes next."""
        before = self.engine.alarms()
        self._serve(proposal)
        self._deliver()
        self.generation, self.refused = generation, ""
        _tell_alarms(before, self.engine.alarms())

    async def reconcile(self) -> None:
        """Let those run, and only those, that are in force."""
        if self._crew is not None:
            await self._crew.change([*self.forwarders.values(), *self.listeners.values(), *self.links.values()])

    async def discard(self, proposal: Proposal) -> None:
        """It does not come into force."""
        for name, sink in proposal.sinks.items():
            if self._sinks.get(name) is not sink:
                await sink.close()

    def _supervisor(self, link: Link) -> LinkSupervisor:
        known = self.links.get(link.id)
        if known is not None and known.link is link:
            return known
        module = plugins.load("driver", link.driver)
        return LinkSupervisor(link, _maker(module), self.bus, self.clock)

    def _sink(self, entry: SinkEntry) -> Sink:
        if entry.name in self._sinks and entry in self.configuration.sinks:
            return self._sinks[entry.name]
        sink: Sink = entry.module.Sink(entry.settings, self.configuration.site, self.configuration.cell)
        return sink

    def _serve(self, proposal: Proposal) -> None:
        proposal.image.adopt(self.image)
        proposal.engine.adopt(self.engine)
        monotonic = self.clock.monotonic()
        proposal.engine.recall(lambda tag: proposal.image.read(tag, monotonic))
        self.configuration = proposal.configuration
        self.image, self.engine = proposal.image, proposal.engine
        self.links, self._sinks = proposal.links, proposal.sinks
        self.commands.serve(self.links, self.image)
        self.bus.serve(self.image, self.engine)

    def _deliver(self) -> None:
        """A sink that changed goes on with what is pending under its name; one that is new begins here."""
        for name in self._sinks:
            if name not in self.forwarders:
                self.journal.join(name)
        for name in self.forwarders:
            if name not in self._sinks:
                self.journal.leave(name)
        self.forwarders = {name: self._forwarder(name, sink) for name, sink in self._sinks.items()}
        self.listeners = {name: self._listener(name, sink) for name, sink in self._sinks.items()}

    def _forwarder(self, name: str, sink: Sink) -> Forwarder:
        known = self.forwarders.get(name)
        if known is not None and known.sink is sink:
            return known
        settings = next(entry.settings for entry in self.configuration.sinks if entry.name == name)
        newest_first = isinstance(settings, SinkSettings) and settings.backlog == "newest_first"
        return Forwarder(name, sink, self.journal, self.clock, newest_first=newest_first)

    def _listener(self, name: str, sink: Sink) -> Listener:
        known = self.listeners.get(name)
        return known if known is not None and known.sink is sink else Listener(name, sink, self.commands, self.journal)

    # The life of the process

    async def start(self) -> None:
        """Raises ConfigError or `FAILURES` when the journal cannot be opened."""
        await self.journal.open(self._sinks, self._standings)
        self._standings.keep(status.alarm for status in self.engine.alarms())
        self.engine.restore(self._standings.all(), self._moment())
        self._deliver()
        self.bus.told.append(self._tell)
        self._journaling = asyncio.create_task(self.journal.run(), name="journal")

    async def run(self) -> None:
        """For ever, or until the journal fails for good."""
        assert self._journaling is not None
        async with asyncio.TaskGroup() as tasks:
            self.bus.obey = lambda command: self._obey(tasks, command)
            self._crew = Crew(tasks)
            await self.reconcile()
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
            await asyncio.gather(*(_close(name, sink) for name, sink in self._sinks.items()))

    async def _close_journal(self) -> None:
        if self._journaling is not None:
            self.journal.stop()
            await self._journaling
            await self.journal.close()

    # What the control door calls

    async def write(self, tag: str, value: Value, user: str) -> CommandDone:
        expires = self.clock.monotonic() + _PERSON_SECONDS * SECOND
        return await self.commands.execute(Command(uuid.uuid4().hex, tag, value, f"user:{user}", expires))

    def do(self, alarm: str, deed: Deed) -> AlarmChanged:
        """What a person does to an alarm. Raises CommandRefused."""
        event = self.engine.do(alarm, deed, self._moment())
        self.bus.emit(event)
        return event

    def _moment(self) -> Moment:
        return Moment(self.clock.now(), self.clock.monotonic())

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

    def _judge_time(self) -> Sequence[Outcome]:
        now, monotonic = self.clock.now(), self.clock.monotonic()
        return self.engine.tick(now, monotonic, lambda tag: self.image.read(tag, monotonic).usable)

    async def _measure_lag(self) -> None:
        """How late the event loop wakes up: what a neighbour's slow code costs everyone."""
        while True:
            before = self.clock.monotonic()
            await asyncio.sleep(_LAG_SECONDS)
            self.lag = max(0.0, (self.clock.monotonic() - before) / SECOND - _LAG_SECONDS)


async def _close(name: str, sink: Sink) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await sink.close()
    except TimeoutError:
        _log.warning("sink %s did not close within %g s", name, _CLOSE_SECONDS)


def _maker(module: ModuleType) -> Callable[[Link, Receiver], Driver]:
    driver: Callable[[Link, Receiver], Driver] = module.Driver
    return driver


def _tell_alarms(before: Sequence[AlarmStatus], after: Sequence[AlarmStatus]) -> None:
    """That an alarm is not carried over is no event: no value has cleared it. So it is told, and not stored."""
    states = {status.alarm: status.state for status in after}
    for status in before:
        if status.state is not AlarmState.NORMAL and states.get(status.alarm) is not status.state:
            fate = "starts anew" if status.alarm in states else "is gone with its rule"
            _log.warning("alarm %s, which was %s, %s: the configuration changed", status.alarm, status.state, fate)


def _words(event: AnyEvent) -> tuple[str, str, int]:
    """What people should read in the log: what it is about and how it went, both of which make it a thing of its own;
    the text; and how loud it is. No values: a log lies on some disk in the clear."""
    match event:
        case AlarmChanged():
            return _alarm_words(event)
        case DeviceChanged():
            text = f"device {event.device} is {event.state}" + (f": {event.reason}" if event.reason else "")
            level = logging.INFO if event.state is DeviceState.ONLINE else logging.WARNING
            return f"device {event.device} {event.state}", text, level
        case CommandDone():
            text = f"write {event.tag} by {event.origin}: {event.outcome} {event.reason}".rstrip()
            return f"write {event.tag} {event.outcome}", text, logging.WARNING
        case DataLost():
            return "lost", f"{event.points} points are lost: {event.reason}", logging.ERROR


def _alarm_words(event: AlarmChanged) -> tuple[str, str, int]:
    """What a person did beside acknowledging is told by its name. A comment may quote anything, so it is not told."""
    by = f" by {event.actor}" if event.actor else ""
    done = "" if event.state is not event.previous else f", {event.move}{by}"
    text = f"alarm {event.alarm} is {event.state}{done}: {event.message or event.tag} ({event.tag})"
    return f"alarm {event.alarm} {event.state}{done}", text, logging.INFO if event.suppressed else logging.WARNING
