"""What the control door answers: a request and who asks in, a reply out. Knows neither sockets nor lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import TypeAlias

from gateway import backlog, inquiry, status, user
from gateway.cell import Cell
from gateway.door import (
    Acknowledge,
    AcknowledgeReply,
    AlarmReply,
    AlarmsReply,
    AnyReply,
    AskAlarms,
    AskStatus,
    AskTags,
    Failure,
    Read,
    ReadingsReply,
    Reload,
    ReloadReply,
    Reset,
    Service,
    Shelve,
    StatusReply,
    TagEntry,
    TagReading,
    TagsReply,
    Unshelve,
    Write,
    WriteReply,
)
from gateway.drill import Drills
from gateway.errors import CommandRefused
from gateway.fields import parse_duration
from gateway.inquiry import AskJournal, AskLetters, Drill, DropLetters, Export, ReplayLetters, RotateKey, Verify
from gateway.journal.store import FAILURES
from gateway.keeper import Keeper
from gateway.model import Reading, quality
from gateway.phrase import Reply
from gateway.problems import InvalidConfiguration, shown, suggestion
from gateway.reload import Reloader
from gateway.status import Rates
from rules.alarm import Deed, Input

AnyDeed: TypeAlias = Acknowledge | Reset | Shelve | Unshelve | Service
Question: TypeAlias = AskStatus | AskTags | AskAlarms | Read | Write | AnyDeed | Reload | inquiry.AnyQuestion

_SLICE = 256
"""Readings that are looked up at once: well under a millisecond of the event loop."""

_INTEGERS = range(-(1 << 63), 1 << 64)


class Desk:
    """Answers for one cell. `rates` has to be sampled by somebody."""

    def __init__(self, cell: Cell, reloader: Reloader, rates: Rates) -> None:
        self._cell = cell
        self._reloader = reloader
        self._rates = rates
        self._keeper = Keeper(cell.journal)
        self._drills = Drills(cell)

    async def answer(self, request: Question, uid: int) -> AnyReply:
        match request:
            case AskStatus():
                return StatusReply(status.collect(self._cell, await backlog.look(self._cell), self._rates))
            case AskTags():
                return TagsReply(tuple(map(self._entry, self._cell.image.tags())))
            case AskAlarms():
                return AlarmsReply(tuple(map(status.alarm, self._cell.engine.alarms())))
            case Read():
                return await self._read(request.tag)
            case Write():
                return await self._write(request, uid)
            case Acknowledge() | Reset() | Shelve() | Unshelve() | Service():
                return await self._attend(request, uid)
            case Reload():
                return await self._reload()
        return await self._keep(request, uid)

    async def _keep(self, request: inquiry.AnyQuestion, uid: int) -> AnyReply:
        try:
            match request:
                case AskJournal():
                    return await self._keeper.status(self._cell.configuration.journal, self._cell.forwarders)
                case AskLetters():
                    return await self._keeper.letters(request)
                case DropLetters():
                    return await self._keeper.drop(request, await asyncio.to_thread(user.name, uid))
        except (CommandRefused, *FAILURES) as error:
            return Failure(str(error))

    async def run(self, errand: inquiry.AnyErrand, uid: int) -> AsyncGenerator[Reply]:
        """What comes of an errand, until it is done. Close it when nobody listens any more."""
        try:
            async with contextlib.aclosing(self._errand(errand, await asyncio.to_thread(user.name, uid))) as replies:
                async for reply in replies:
                    yield reply
        except (CommandRefused, *FAILURES) as error:
            yield Failure(str(error))

    def _errand(self, errand: inquiry.AnyErrand, who: str) -> AsyncGenerator[Reply]:
        cell = self._cell
        match errand:
            case Verify():
                return self._keeper.verify(errand)
            case Export():
                names = {"site": cell.configuration.site, "cell": cell.configuration.cell}
                return self._keeper.export(errand, names, who)
            case ReplayLetters():
                return self._keeper.replay(errand, cell.forwarders, who)
            case RotateKey():
                return self._keeper.rotate(who)
            case Drill():
                return self._drills.run(errand, who)

    async def unknown(self, tags: Iterable[str]) -> Failure | None:
        """The failure of a request that names a tag which does not exist."""
        known = set(self._cell.image.tags())
        tag = next((tag for tag in tags if tag not in known), None)
        return None if tag is None else await _unknown("tag", tag, sorted(known))

    def changes(self, tags: Sequence[str]) -> Changes:
        """Of some tags, or of all where none is named."""
        return Changes(self._cell, tuple(tags))

    def _entry(self, name: str) -> TagEntry:
        tag = self._cell.image.tag(name)
        return TagEntry(tag.id, tag.type.value, tag.unit, tag.writable, tag.description)

    async def _read(self, tag: str) -> AnyReply:
        if failure := await self.unknown([tag]):
            return failure
        return ReadingsReply((entry(self._cell, tag, self._cell.image.read(tag, self._cell.clock.monotonic())),))

    async def _write(self, request: Write, uid: int) -> AnyReply:
        if failure := await self.unknown([request.tag]):
            return failure
        if isinstance(request.value, int) and request.value not in _INTEGERS:
            return Failure("the value has more than 64 bits")
        done = await self._cell.write(request.tag, request.value, await asyncio.to_thread(user.name, uid))
        return WriteReply(done.tag, done.value, done.outcome.value, done.reason, done.command)

    async def _attend(self, request: AnyDeed, uid: int) -> AnyReply:
        known = [each.alarm for each in self._cell.engine.alarms()]
        if request.alarm not in known:
            return await _unknown("alarm", request.alarm, known)
        who = await asyncio.to_thread(user.name, uid)
        try:
            event = self._cell.do(request.alarm, _deed(request, who, self._cell.clock.now()))
        except (CommandRefused, ValueError) as error:
            return Failure(str(error))
        if isinstance(request, Acknowledge):
            return AcknowledgeReply(event.alarm, event.state.value, event.previous.value, who)
        stands = next(each for each in self._cell.engine.alarms() if each.alarm == request.alarm)
        return AlarmReply(status.alarm(stands), event.move, who)

    async def _reload(self) -> AnyReply:
        try:
            change = await self._reloader.reload()
        except InvalidConfiguration as error:
            generation = self._cell.generation
            return ReloadReply(generation.number, generation.sha256, error.problems)
        generation = change.generation
        return ReloadReply(
            generation.number, generation.sha256, links=change.links, sinks=change.sinks, rules=change.rules
        )


class Changes:
    """What has changed of some tags, or of all where none is named, since it was last looked at; at first that is
    everything. A tag that a reload took away says no more."""

    def __init__(self, cell: Cell, tags: tuple[str, ...]) -> None:
        self._cell = cell
        self._tags = tags
        self._seen: dict[str, Reading] = {}

    def look(self) -> Iterator[tuple[TagReading, ...]]:
        """Some hundred tags at a step, so that others get their turn in between. A step may bring nothing."""
        tags = self._tags or tuple(self._cell.image.tags())
        for start in range(0, len(tags), _SLICE):
            now = self._cell.clock.monotonic()
            yield tuple(self._changed(tags[start : start + _SLICE], now))

    def _changed(self, tags: Sequence[str], now: int) -> Iterator[TagReading]:
        for tag in tags:
            with contextlib.suppress(KeyError):
                reading = self._cell.image.read(tag, now)
                if self._seen.get(tag) != reading:
                    self._seen[tag] = reading
                    yield entry(self._cell, tag, reading)


def entry(cell: Cell, tag: str, reading: Reading) -> TagReading:
    return TagReading(
        tag=tag,
        value=reading.value,
        unit=cell.image.tag(tag).unit,
        quality=quality(reading.status).name.lower(),
        status=reading.status,
        stale=reading.stale,
        source_time=reading.source_time,
        gateway_time=reading.gateway_time,
    )


async def _unknown(kind: str, name: str, known: Sequence[str]) -> Failure:
    """In a thread: among thousands of names, the search for a similar one takes its time."""
    hint = await asyncio.to_thread(suggestion, name, known, f"{kind}s")
    return Failure(f"there is no {kind} {shown(name)}", hint)


def _deed(request: AnyDeed, who: str, now: int) -> Deed:
    """Raises ValueError for a duration that is none."""
    match request:
        case Acknowledge():
            return Deed(Input.ACKNOWLEDGE, who, request.comment)
        case Reset():
            return Deed(Input.RESET, who, request.comment)
        case Shelve():
            return Deed(Input.SHELVE, who, request.comment, now + parse_duration(request.duration))
        case Unshelve():
            return Deed(Input.UNSHELVE, who, request.comment)
        case Service():
            return Deed(Input.REMOVE if request.out else Input.PLACE, who, request.comment)
