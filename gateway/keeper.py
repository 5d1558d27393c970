"""Answers what is asked about a journal, whoever has it open: a running cell, or the command line where none runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from typing import Protocol, TypeVar

import msgspec

from gateway.backlog import began
from gateway.errors import CommandRefused
from gateway.export import Writer
from gateway.inquiry import (
    AskLetters,
    DeliveryEntry,
    DropLetters,
    DropReply,
    Export,
    ExportedReply,
    ExportReply,
    FaultEntry,
    FaultsReply,
    JournalReply,
    LetterEntry,
    LettersReply,
    LossEntry,
    Progress,
    ReplayLetters,
    ReplayReply,
    RotateReply,
    StreamEntry,
    Verify,
    VerifyReply,
)
from gateway.journal import inspection
from gateway.journal.catalog import DeadLetter, Loss
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.delivery import Delivery
from gateway.journal.inspection import Fault, Volume
from gateway.journal.journal import Journal
from gateway.journal.store import FAILURES, Store
from gateway.phrase import Reply
from gateway.site import JournalSettings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_PATIENCE_S = 2.0
_LOSSES = 20
_LETTERS = 200
_PART = 100
_TEXT = 1 << 16
"""Characters of one reply, about: some milliseconds of work."""
_PAUSE_S = 0.002
"""In between, everybody else comes to his turn without waiting for the interpreter's lock."""


class Replayer(Protocol):
    """A sink's forwarder."""

    async def replay(self, letters: Sequence[DeadLetter]) -> list[str]:
        """Sends letters again; of each why it is still refused, or nothing where it went through."""


class Keeper:
    """Of one journal. Whoever asks is named where it changes something."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._letters = asyncio.Lock()
        self._turning: asyncio.Task[None] | None = None

    # Status

    async def status(self, settings: JournalSettings, running: Collection[str] | None) -> JournalReply:
        """`running` names the sinks that are configured; None where no gateway runs."""
        journal = self._journal
        streams = await journal.own(lambda: _streams(journal.store))
        losses = await journal.own(lambda: journal.store.latest_losses(_LOSSES))
        letters = await journal.own(journal.store.letter_counts)
        size = await journal.own(journal.store.size)
        oldest = await self._oldest()
        waiting_points, waiting_bytes = journal.waiting
        return JournalReply(
            time=journal.now(),
            running=running is not None,
            failure=journal.failing,
            bytes=size,
            max_bytes=settings.max_bytes,
            retention=settings.retention,
            clock_trusted=journal.calendar.is_trusted,
            waiting_points=waiting_points,
            waiting_bytes=waiting_bytes,
            key="file" if journal.keys.path else "secret",
            rotating=bool(journal.keys.previous),
            recovery=journal.keys.recovery is not None,
            streams=streams,
            deliveries=tuple(_delivery(each, running, oldest) for each in journal.deliveries.values()),
            letters=letters,
            losses=tuple(map(_loss, losses)),
        )

    async def _oldest(self) -> dict[tuple[str, Stream], int]:
        """When what leads each delivery came in, as far as the disk says so in time."""
        oldest: dict[tuple[str, Stream], int] = {}
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for place, delivery in self._journal.deliveries.items():
                    if (pending := delivery.next()) is not None:
                        chunks = await self._journal.read(delivery.stream, pending[0], pending[0] + 1, 1)
                        oldest[place] = min((time for chunk in chunks for time in began(chunk)), default=0)
        except (TimeoutError, *FAILURES):
            pass
        return oldest

    # Verify

    async def verify(self, request: Verify) -> AsyncGenerator[Reply]:
        journal = self._journal
        chosen = await journal.own(lambda: inspection.expected(journal.store))
        if request.segment:
            chosen = [volume for volume in chosen if volume.name.number == request.segment]
            if not chosen:
                raise CommandRefused(f"there is no segment {request.segment}")
        total = sum(volume.points for volume in chosen)
        found: list[Fault] = []
        points = chunks = 0
        async for check in inspection.verify(journal, chosen):
            yield Progress(points + check.points, total)
            if not check.is_done:
                continue
            points, chunks = points + check.points, chunks + check.chunks
            if check.faults:
                found += check.faults
                for part in _parts(check.faults):
                    yield FaultsReply(tuple(map(_fault, part)))
        lost = sum(fault.points for fault in found)
        yield VerifyReply(len(chosen), chunks, points - lost, len(found), lost)

    # Export

    async def export(self, request: Export, names: Mapping[str, str], user: str) -> AsyncGenerator[Reply]:
        _log.warning("%s exports from the journal, in the clear", user)
        journal = self._journal
        chosen = await journal.own(lambda: inspection.volumes(journal.store))
        async for reply in export(_Library(journal), chosen, Writer(request, names)):
            yield reply

    # Dead letters

    async def letters(self, request: AskLetters) -> LettersReply:
        await self._journal.note()
        found = await self._journal.letters_after(request.after, _LETTERS)
        after = found[-1].id if found else 0
        return LettersReply(tuple(_letter(one) for one in found if request.sink in ("", one.sink)), after)

    async def drop(self, request: DropLetters, user: str) -> DropReply:
        """Raises CommandRefused."""
        async with self._alone():
            chosen = await self._chosen(request.ids)
            self._journal.redeem(chosen, delivered=False)
            await self._journal.note()
        points = sum(letter.points for letter in chosen)
        _log.warning("%s dropped %d dead letters of %d points", user, len(chosen), points)
        return DropReply(len(chosen), points, user)

    async def replay(self, request: ReplayLetters, running: Mapping[str, Replayer], user: str) -> AsyncGenerator[Reply]:
        """What went through counts as delivered; what was refused again stays, with the fresh reason. Raises
        CommandRefused."""
        async with self._alone():
            chosen = await self._chosen(request.ids)
            for letter in chosen:
                if letter.sink not in running:
                    raise CommandRefused(f"letter {letter.id} cannot go to sink {letter.sink}, which does not run")
            delivered: list[DeadLetter] = []
            refused: dict[int, str] = {}
            for part in _by_sink(chosen):
                yield Progress(len(delivered) + len(refused), len(chosen))
                reasons = await running[part[0].sink].replay(part)
                delivered += self._settle(part, reasons)
                refused |= {letter.id: reason for letter, reason in zip(part, reasons, strict=True) if reason}
                await self._journal.note()
        points = sum(letter.points for letter in delivered)
        _log.warning("%s replayed %d dead letters; %d went through", user, len(chosen), len(delivered))
        yield ReplayReply(len(delivered), points, refused, user)

    def _settle(self, letters: Sequence[DeadLetter], reasons: Sequence[str]) -> list[DeadLetter]:
        """Those that went through."""
        pairs = list(zip(letters, reasons, strict=True))
        through = [letter for letter, reason in pairs if not reason]
        self._journal.redeem(through, delivered=True)
        self._journal.renew([replace(letter, reason=reason) for letter, reason in pairs if reason])
        return through

    async def _chosen(self, ids: Sequence[int]) -> list[DeadLetter]:
        """Raises CommandRefused for one that is not there."""
        await self._journal.note()
        wanted, found = sorted(set(ids)), []
        for id in wanted:
            letters = await self._journal.letters_after(id - 1, 1)
            if not letters or letters[0].id != id:
                raise CommandRefused(f"there is no dead letter {id}")
            found += letters
        return found

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Two at once would account for the same letter twice. Raises CommandRefused."""
        if self._letters.locked():
            raise CommandRefused("somebody else is at the dead letters: try again when that is done")
        async with self._letters:
            yield

    # Keys

    async def rotate(self, user: str) -> AsyncGenerator[Reply]:
        """Goes on to its end also when nobody listens any more. Raises CommandRefused, `FAILURES`."""
        journal = self._journal
        if journal.keys.path is None:
            raise CommandRefused(
                "this journal's key is a secret that the configuration names: to rotate it, name the new one as "
                "journal.key and the one before as journal.previous_key, and restart the gateway; when journal status "
                "says that nothing needs the earlier key any more, take previous_key out again"
            )
        if journal.is_turning:
            raise CommandRefused("the keys are being rotated already")
        counts = [(0, 1)]
        turning = self._turning = asyncio.create_task(journal.rotate(lambda done, total: counts.append((done, total))))
        while not turning.done():
            await asyncio.wait((turning,), timeout=0.2)
            yield Progress(*counts[-1])
        turning.result()
        _log.warning("%s rotated the journal's key", user)
        yield RotateReply(counts[-1][1], user)


# Export, from wherever


class Library(Protocol):
    """Where chunks are read from."""

    async def fetch(self, volume: Volume, start: int) -> Sequence[Chunk]: ...


class _Library:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def fetch(self, volume: Volume, start: int) -> Sequence[Chunk]:
        return await inspection.fetch(self._journal, volume, start)


async def export(library: Library, chosen: Sequence[Volume], writer: Writer) -> AsyncGenerator[Reply]:
    done, total = 0, sum(volume.points for volume in chosen)
    yield ExportedReply(writer.head, done, total)
    for volume in chosen:
        at = volume.mark.first
        while at < volume.mark.stop:
            chunks = await library.fetch(volume, at)
            if not chunks:
                break
            at = chunks[-1].seq + 1
            lines = writer.lines(chunks)
            while text := await asyncio.to_thread(_some, lines):
                yield ExportedReply(text, done, total)
                await asyncio.sleep(_PAUSE_S)
            done += sum(chunk.points for chunk in chunks)
            yield ExportedReply("", done, total)
    yield ExportReply(writer.points, writer.events, writer.lost)


def _some(lines: Iterator[str]) -> str:
    """As many whole lines as one reply should have; nothing where there are no more."""
    taken: list[str] = []
    size = 0
    while size < _TEXT and (line := next(lines, "")):
        taken.append(line)
        size += len(line)
    return "".join(taken)


# Entries


def _streams(store: Store) -> tuple[StreamEntry, ...]:
    """For the owner."""
    found = inspection.volumes(store)
    growing = {segment.name.stream for segment in store.open_segments().values()}
    return tuple(_stream(store, stream, [v for v in found if v.name.stream is stream], growing) for stream in Stream)


def _stream(store: Store, stream: Stream, volumes: Sequence[Volume], growing: Collection[Stream]) -> StreamEntry:
    closed = [volume.mark for volume in volumes if volume.mark.boot]
    return StreamEntry(
        stream=stream.name.lower(),
        segments=len(volumes),
        open=stream in growing,
        bytes=sum(store.size_of(volume.name) for volume in volumes),
        points=sum(volume.points for volume in volumes),
        since=min((mark.since for mark in closed), default=0),
        until=max((mark.until for mark in closed), default=0),
    )


def _delivery(
    delivery: Delivery, running: Collection[str] | None, oldest: Mapping[tuple[str, Stream], int]
) -> DeliveryEntry:
    return DeliveryEntry(
        sink=delivery.sink,
        stream=delivery.stream.name.lower(),
        configured=delivery.is_open if running is None else delivery.sink in running,
        ranges=len(list(delivery.ranges.within(0, delivery.head.seq))),
        pending=delivery.pending,
        oldest=oldest.get((delivery.sink, delivery.stream), 0),
        delivered=delivery.delivered,
        dead_letters=delivery.dead_letters,
        dropped=delivery.dropped,
    )


def _loss(loss: Loss) -> LossEntry:
    stream = loss.stream.name.lower()
    return LossEntry(loss.time, loss.sink, stream, loss.points, loss.since, loss.until, loss.reason)


def _fault(fault: Fault) -> FaultEntry:
    name = fault.volume.name
    return FaultEntry(
        segment=name.number,
        file=str(name),
        first=fault.first,
        stop=fault.stop,
        points=fault.points,
        since=fault.since,
        until=fault.until,
        reason=fault.reason,
    )


class _Held(msgspec.Struct):
    """What any letter may have."""

    type: str = ""
    device: str = ""
    tag: str = ""


def _letter(letter: DeadLetter) -> LetterEntry:
    try:
        held = msgspec.json.decode(letter.content, type=_Held)
    except msgspec.MsgspecError:
        held = _Held("unreadable")
    return LetterEntry(
        id=letter.id,
        sink=letter.sink,
        stream=letter.stream.name.lower(),
        time=letter.time,
        points=letter.points,
        reason=letter.reason,
        kind=held.type,
        tag=f"{held.device}/{held.tag}" if held.device and held.tag else held.tag,
        content=letter.content.decode(errors="replace"),
    )


def _by_sink(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    for _, those in groupby(sorted(letters, key=lambda letter: letter.sink), key=lambda letter: letter.sink):
        yield from _parts(list(those))


def _parts(items: Sequence[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(items), _PART):
        yield list(items[start : start + _PART])
