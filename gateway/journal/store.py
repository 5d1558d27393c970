"""The files of the journal as one thing: a catalogue, closed segments, and an open one a stream. Synchronous.

One thread, the owner, does everything but this: a second one, the reader, opens closed segments. It alone calls
`fetch_closed`, `recall`, `reopened`, `rewrap` and `forget`.
"""

from __future__ import annotations

import errno
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from gateway import files
from gateway.journal import sqlite
from gateway.journal.books import DeadLetter, Head, Loss, Standing
from gateway.journal.catalog import Catalog, CatalogBroken, Entry, Reach
from gateway.journal.chunk import Chunk, Stream, pack, pack_events, runs
from gateway.journal.codec import CodecError
from gateway.journal.dating import AS_TOLD, Offset, Offsets, Origin
from gateway.journal.keys import KeyRing
from gateway.journal.ranges import Ranges
from gateway.journal.segment import Mark, Name, Record, Segment
from gateway.model import AnyEvent, Scan

_log = logging.getLogger(__name__)

_READERS = 4
_RESERVE_BYTES = 4 << 20
_ROOM_BYTES = 1 << 20
_MOST_RECALLED = 10_000
_UNKNOWN = 4096
"""So many chunks are looked for beyond those that the catalogue knows of, in a file that is damaged."""

FAILURES = (SQLAlchemyError, OSError, CodecError)
"""What a sick disk makes the store raise."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit takes, all of one stream: events, or scans."""

    stream: Stream
    origin: Origin
    scans: Sequence[Scan] = ()
    events: Sequence[AnyEvent] = ()


class Store:
    def __init__(self, directory: Path, keys: KeyRing, segment_bytes: int) -> None:
        """Start-up looks at the catalogue and at the segments that were open last, not at the backlog.

        Raises `FAILURES` when the disk or a file is unusable, ConfigError when somebody has to change something.
        """
        files.make(directory)
        self._directory = directory
        self._keys = keys
        self._segment_bytes = segment_bytes
        self._reserve = directory / "reserve"
        self.catalog = self._open_catalog(directory / "catalog.db")
        """For the owner: what it remembers that has no part in the segments, it is asked and told itself."""
        self.is_rebuilt = self.catalog.is_rebuilt
        """The catalogue was lost or broken and is a new one: what each sink has is not known any more."""
        self._readers: OrderedDict[int, Segment] = OrderedDict()
        self.age = self.catalog.age()
        """How long the gateway has run in all, nanoseconds; whoever has a clock moves it on."""
        self.offsets = Offsets(self.catalog.offsets())
        self.closed = self.catalog.segments()
        self.missing: dict[int, Entry] = {}
        """Segments that the catalogue knew at the start, and whose files were gone."""
        self._reconcile()
        self.heads = {stream: Head() for stream in Stream} | self.catalog.heads()
        self.open_from = dict(self.heads)
        self._next = max([*(name.number for name in self._names()), *self.closed, 0]) + 1
        self._open: dict[Stream, Segment] = {}
        self._begun: dict[Stream, int] = {}
        self._left: dict[Stream, tuple[Name, Sequence[Record]]] = {}
        self.keep_reserve()

    def _open_catalog(self, path: Path) -> Catalog:
        """A broken one is set aside. What it knew is in the segments, but for how far each sink was."""
        is_lost = not path.exists() and bool(self._names())
        try:
            return Catalog(path, self._keys, is_lost)
        except OperationalError:
            self._reserve.unlink(missing_ok=True)  # the disk may be full
            return Catalog(path, self._keys, is_lost)
        except (CatalogBroken, DatabaseError) as error:
            _log.error("%s is broken (%s) and is set aside", path, error)
            for suffix in ("", "-wal"):
                broken = path.with_name(path.name + suffix)
                if broken.exists():
                    broken.rename(broken.with_name(f"{broken.name}.broken"))
            return Catalog(path, self._keys, bool(self._names()))

    # Room

    def keep_reserve(self) -> None:
        """A file that is given up when the disk is full, so that events still find room, and order can be brought into
        what is there."""
        if self._reserve.exists() or self._free() < _RESERVE_BYTES + _ROOM_BYTES:
            return
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)

    def give_reserve(self) -> None:
        self._reserve.unlink(missing_ok=True)

    def _check_room(self) -> None:
        """Telemetry leaves to the events what the reserve keeps for them. Raises OSError."""
        kept = 0 if self._reserve.exists() else _RESERVE_BYTES
        if self._free() < kept + _ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._directory))

    def _free(self) -> int:
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize

    # Writing

    def commit(self, batch: Batch) -> bool:
        """On disk when this returns. True if a segment was closed by it.

        After a failure (`FAILURES`) the very same batch has to be given again: it may have reached the disk.
        """
        stream = batch.stream
        if stream in self._left and self.mend(stream):
            return True
        if stream is not Stream.EVENTS:
            self._check_room()
        segment = self._open.get(stream) or self._begin(stream, batch.origin.boot)
        records: list[Record] = []
        try:
            records = self._records(batch, segment)
            segment.append(records)
        except FAILURES:
            self._leave(stream, records)
            raise
        self._advance(stream, records)
        if segment.size() < self._segment_bytes:
            return False
        self.roll(stream)
        return True

    def roll(self, stream: Stream) -> None:
        """The stream's open segment is closed; the next commit begins another one."""
        if stream in self._open:
            self._leave(stream, ())
            with suppress(*FAILURES):  # what was committed is safe; the next commit closes the segment
                self.mend(stream)

    def mend(self, stream: Stream) -> bool:
        """Closes the segment that was left, full or after a failure, and reads what it has. True if the batch whose
        commit had failed turns out to be there."""
        if stream not in self._left:
            return False
        name, records = self._left[stream]
        mark = self._recover(name)
        self._close(name, mark)
        del self._left[stream]
        if not records or mark is None or mark.stop <= records[-1].seq:
            return False
        self._advance(stream, records)
        return True

    def rest(self) -> None:
        """Closes what was left full, and could not be closed at once. Whoever waits for a batch that failed mends
        himself."""
        for stream, (_, records) in list(self._left.items()):
            if not records:
                self.mend(stream)

    def opened(self) -> dict[Stream, int]:
        """The streams with an open segment, and how long the gateway had run when that was begun."""
        return {stream: self._begun[stream] for stream in self._open}

    def _begin(self, stream: Stream, boot: str) -> Segment:
        name = Name(stream, self._next)
        self._next += 1  # whatever becomes of it: what a sick disk made of it must not stand in the way of the next
        segment = self._open[stream] = Segment.create(name, self._path(name), self._keys, boot)
        self._begun[stream] = self.age
        self.open_from[stream] = self.heads[stream]
        return segment

    def _leave(self, stream: Stream, records: Sequence[Record]) -> None:
        """Nothing is written to the open segment any more; `records` may be its last."""
        segment = self._open.pop(stream)
        self._left[stream] = (segment.name, records)
        segment.abandon()

    def _records(self, batch: Batch, segment: Segment) -> list[Record]:
        contents: list[tuple[int, bytes]] = []
        if batch.events:
            contents.append((len(batch.events), pack_events(batch.events)))
        for content in runs(batch.scans):
            points = sum(scan.points for run in content for scan in run)
            contents.append((points, pack(content, segment.number_of)))
        head = self.heads[batch.stream]
        records = []
        for points, body in contents:
            total = head.total + points
            records.append(Record(head.seq, points, total, batch.origin, body))
            head = Head(head.seq + 1, total)
        return records

    def _advance(self, stream: Stream, records: Sequence[Record]) -> None:
        self.heads[stream] = Head(records[-1].seq + 1, records[-1].total) if records else self.heads[stream]

    def _close(self, name: Name, mark: Mark | None) -> None:
        if mark is None:
            self._path(name).unlink(missing_ok=True)
            return
        entry = Entry(name.stream, mark, self.age)
        self.catalog.add_segment(name.number, entry)
        self.closed[name.number] = entry

    # Reading

    def fetch_open(self, stream: Stream, start: int, stop: int, most_points: int) -> list[Chunk]:
        """From the open segment; nothing when it has just been closed. One that is damaged is closed, because a closed
        one can be read around its damage."""
        segment = self._open.get(stream)
        if segment is None:
            return []
        try:
            return segment.fetch(start, stop, most_points, self.offsets)
        except DatabaseError as error:
            if sqlite.is_sick(error):
                raise
            self.roll(stream)
            return []

    def fetch_closed(self, stream: Stream, start: int, stop: int, most_points: int) -> list[Chunk]:
        """From the closed segment that has chunk `start`. What is damaged comes back as broken chunks. Raises
        `FAILURES` where the disk does not answer."""
        for number, mark in list(self._marks(stream)):
            if mark.first <= start < mark.stop:
                segment = self._reader(Name(stream, number))
                return _fetch(segment, mark, Asked(start, min(stop, mark.stop), most_points), self.offsets)
        return []

    def recall(self, start: int, stop: int) -> list[Chunk]:
        """For the reader: events as `fetch_closed` gives them, but at the times that they were told with, and without
        waiting for a clock to say when they were."""
        for number, mark in list(self._marks(Stream.EVENTS)):
            if mark.first <= start < mark.stop:
                segment = self._reader(Name(Stream.EVENTS, number))
                return _fetch(segment, mark, Asked(start, min(stop, mark.stop), _MOST_RECALLED), AS_TOLD)
        return []

    def _reader(self, name: Name) -> Segment:
        segment = self._readers.pop(name.number, None) or Segment.read(name, self._path(name), self._keys)
        self._readers[name.number] = segment
        while len(self._readers) > _READERS:
            self._readers.popitem(last=False)[1].abandon()
        return segment

    def reopened(self, number: int) -> Segment | None:
        """For the reader: a closed segment as the disk has it now, and nothing remembered of it. Whoever asks lets go
        of it."""
        entry = self.closed.get(number)
        if entry is None:
            return None
        name = Name(entry.stream, number)
        return Segment.read(name, self._path(name), self._keys)

    def open_segments(self) -> dict[int, Segment]:
        return {segment.name.number: segment for segment in self._open.values()}

    # Accounting

    def points(self, stream: Stream, ranges: Ranges) -> int:
        """The points that `ranges` hold, as far as they are in closed segments."""
        parts = [(mark, part) for _, mark in self._marks(stream) for part in ranges.within(mark.first, mark.stop)]
        return sum(_total(mark, stop) - _total(mark, start) for mark, (start, stop) in parts)

    def first(self, stream: Stream) -> Head | None:
        """Where the oldest chunk that is there lies; None where there is none."""
        marks = [mark for _, mark in self._marks(stream)]
        return Head(marks[0].first, marks[0].total_first) if marks else None

    def covered(self, stream: Stream) -> Ranges:
        """The chunks that are there, in closed segments."""
        return Ranges((mark.first, mark.stop) for _, mark in self._marks(stream))

    def _marks(self, stream: Stream) -> Iterator[tuple[int, Mark]]:
        entries = sorted(self.closed.items())
        return ((number, entry.mark) for number, entry in entries if entry.stream is stream)

    def settle(
        self,
        standings: Sequence[Standing],
        letters: Sequence[DeadLetter] = (),
        losses: Sequence[Loss] = (),
        gone: Sequence[int] = (),
    ) -> None:
        """With how far the journal has come; see `Catalog.settle`."""
        self.catalog.settle(standings, letters, losses, gone, Reach(self.age, self.heads))

    # Time

    def date(self, offset: Offset) -> None:
        """Written down before anything that it dates is given out."""
        self.catalog.add_offset(offset)
        self.offsets.add(offset)

    def estimate(self, began: int) -> None:
        """The clocks of earlier boots that were never right, now that it is known when (nanoseconds UTC) this one
        began: each had ended by the beginning of the next."""
        lasted: dict[str, int] = {}
        for _, entry in sorted(self.closed.items(), reverse=True):
            mark = entry.mark
            if mark.doubtful and not self.offsets.knows(mark.boot):
                lasted[mark.boot] = max(mark.monotonic, lasted.get(mark.boot, 0))
        for boot, last in lasted.items():  # the newest first
            began -= last
            self.date(Offset(boot, 0, began, estimated=True))

    # Keys

    def adopt(self, keys: KeyRing) -> None:
        """The current key of `keys` wraps from now on. What was wrapped before is wrapped anew by `rewrap`, segment by
        segment, and at last by `finish`; the open ones are closed for it."""
        if keys.current != self._keys.current:  # or else they were begun with it
            for stream in list(self._open):
                self.roll(stream)
        self._keys = keys

    def finish(self, keys: KeyRing) -> None:
        """The catalogue comes last: what it says its key is, opens everything. Raises OSError while a segment could not
        be closed: it still needs its key."""
        if self._left:
            raise OSError(
                errno.EBUSY, "a segment is not closed yet", str(self._path(next(iter(self._left.values()))[0]))
            )
        self.catalog.rewrap(keys)
        self._keys = keys.settled()

    def is_settled(self, keys: KeyRing) -> bool:
        """Nothing needs another than the current key of `keys`."""
        return self.catalog.is_settled(keys)

    def rewrap(self, number: int) -> None:
        """For the reader: the data key of a closed segment, wrapped with the current key. It may be gone by now. One
        that is damaged where its key stands has nothing to wrap, and stops nobody."""
        entry = self.closed.get(number)
        if entry is None:
            return
        self.forget(number)
        try:
            Segment.rewrap(self._path(Name(entry.stream, number)), self._keys)
        except DatabaseError as error:
            if sqlite.is_sick(error):
                raise
            _log.error("the key of segment %d cannot be wrapped anew: %s", number, error.orig)

    # Housekeeping

    def size(self) -> int:
        """Bytes on disk, without the write-ahead logs and the reserve, which are bounded."""
        total = (self._directory / "catalog.db").stat().st_size
        for number, entry in self.closed.items():
            with suppress(FileNotFoundError):
                total += self._path(Name(entry.stream, number)).stat().st_size
        return total + sum(segment.size() for segment in self._open.values())

    def size_of(self, name: Name) -> int:
        """Bytes of one segment, without its write-ahead log; 0 where it is gone."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return 0

    def remove(self, number: int, standings: Iterable[Standing] = (), losses: Iterable[Loss] = ()) -> None:
        """The catalogue first and the file after: what a crash leaves in between is found at the next start. On a full
        disk the catalogue cannot be written; then the file goes all the same, and the next start accounts for it."""
        entry = self.closed.pop(number, None)
        try:
            self.catalog.remove_segment(number, standings, losses)
        finally:
            if entry is not None:
                self._path(Name(entry.stream, number)).unlink(missing_ok=True)

    def forget(self, number: int) -> None:
        """For the reader: let go of a segment."""
        segment = self._readers.pop(number, None)
        if segment is not None:
            segment.abandon()

    def close(self) -> None:
        for stream in list(self._open):
            self._leave(stream, ())
        for stream in list(self._left):
            self.mend(stream)
        for segment in self._readers.values():
            segment.abandon()
        self.catalog.close()

    def _names(self) -> list[Name]:
        names = (Name.of(path) for path in self._directory.iterdir())
        return sorted((name for name in names if name is not None), key=lambda name: name.number)

    def _path(self, name: Name) -> Path:
        return self._directory / str(name)

    def _reconcile(self) -> None:
        """The directory wins: it may have a segment that a crash left open, or lack one that somebody removed."""
        names = {name.number: name for name in self._names()}
        for number in sorted(set(self.closed) - set(names)):
            _log.error("segment %d is in the catalogue but its file is gone", number)
            self.catalog.remove_segment(number)
            self.missing[number] = self.closed.pop(number)
        for number, name in names.items():
            if number not in self.closed:
                self._close(name, self._recover_in_need(name))

    def _recover(self, name: Name) -> Mark | None:
        path = self._path(name)
        known = self.catalog.heads().get(name.stream, Head())
        try:
            mark = Segment.recover(path)
            if mark is not None and mark.first <= known.seq <= mark.stop and mark.total(known.seq) != known.total:
                raise CodecError("its totals are not those that the catalogue knows")
            return mark
        except (DatabaseError, CodecError) as error:
            if isinstance(error, DatabaseError) and sqlite.is_sick(error):
                raise
            _log.error("%s is broken (%s): what can be read of it is kept", path, error)
            first = max((mark.stop for _, mark in self._marks(name.stream)), default=0)
            return Segment.rebuild(name, path, self._keys, range(first, max(first, known.seq) + _UNKNOWN))

    def _recover_in_need(self, name: Name) -> Mark | None:
        try:
            return self._recover(name)
        except OperationalError:
            self.give_reserve()
            return self._recover(name)


def _total(mark: Mark, seq: int) -> int:
    edges = {mark.first: mark.total_first, mark.stop: mark.total_stop}
    return edges[seq] if seq in edges else mark.total(seq)


class Asked(NamedTuple):
    """Chunks `start` to `stop`, and about how many points at most."""

    start: int
    stop: int
    most_points: int


def _fetch(segment: Segment, mark: Mark, asked: Asked, offsets: Offsets) -> list[Chunk]:
    """From a closed segment; what is damaged comes back as broken chunks."""
    try:
        chunks = segment.fetch(*asked, offsets)
    except (DatabaseError, CodecError) as error:
        if isinstance(error, DatabaseError) and sqlite.is_sick(error):
            raise
        chunks = []
    if chunks and chunks[0].seq <= asked.start:
        return [replace(c, points=mark.size(c.seq)) if c.broken else c for c in chunks]
    return segment.salvage(asked.start, asked.stop, mark, offsets)
