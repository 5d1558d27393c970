"""The files of the journal as one thing: a catalogue, closed segments, and the open one. Synchronous.

One thread, the owner, does everything; a second one, the reader, calls `fetch_closed` only.
"""

from __future__ import annotations

import logging
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from gateway import files
from gateway.journal.catalog import Catalog, DeadLetter, Head, Standing
from gateway.journal.chunk import Chunk, Origin, Stream, by_stream, pack, pack_events, runs
from gateway.journal.codec import CodecError
from gateway.journal.ranges import Ranges
from gateway.journal.segment import Mark, Record, Segment
from gateway.model import AnyEvent, Scan

_log = logging.getLogger(__name__)

_NAME = re.compile(r"segment-(\d{8})\.db")
_READERS = 4
_RESERVE_BYTES = 4 << 20

FAILURES = (SQLAlchemyError, OSError, CodecError)
"""What a sick disk makes the store raise."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit takes."""

    scans: Sequence[Scan]
    events: Sequence[AnyEvent]
    origin: Origin


class Store:
    def __init__(self, directory: Path, key: bytes, segment_bytes: int) -> None:
        """Start-up looks at the catalogue and at the segment that was open last, not at the backlog.

        Raises `FAILURES` when the disk or a file is unusable.
        """
        files.make(directory)
        self._directory = directory
        self._key = key
        self._segment_bytes = segment_bytes
        self._reserve = directory / "reserve"
        self.is_rebuilt = False
        """The catalogue was lost or broken and is a new one: what each sink has is not known any more."""
        self._catalog = self._open_catalog(directory / "catalog.db")
        self._readers: OrderedDict[int, Segment] = OrderedDict()
        self.closed = self._catalog.segments()
        self._reconcile()
        self.heads = {stream: Head() for stream in Stream} | self._catalog.heads()
        self.open_from = dict(self.heads)
        self._next = max([*self._numbers(), *self.closed, 0]) + 1
        self._open: Segment | None = None
        self._left: tuple[int, Sequence[Record]] | None = None
        self.keep_reserve()

    def _open_catalog(self, path: Path) -> Catalog:
        """A broken one is set aside. What it knew is in the segments, but for how far each sink was."""
        self.is_rebuilt = not path.exists() and bool(self._numbers())
        try:
            return Catalog(path, self._key)
        except OperationalError:
            self._reserve.unlink(missing_ok=True)  # the disk may be full
            return Catalog(path, self._key)
        except DatabaseError as error:
            _log.error("%s is broken (%s) and is set aside", path, error.orig)
            for suffix in ("", "-wal"):
                broken = path.with_name(path.name + suffix)
                if broken.exists():
                    broken.rename(broken.with_name(f"{broken.name}.broken"))
            self.is_rebuilt = bool(self._numbers())
            return Catalog(path, self._key)

    def keep_reserve(self) -> None:
        """A file that is given up when the disk is full, so that there is room to bring order into what is there."""
        if self._reserve.exists():
            return
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)

    def give_reserve(self) -> None:
        self._reserve.unlink(missing_ok=True)

    # Writing

    def commit(self, batch: Batch) -> bool:
        """On disk when this returns. True if a segment was closed by it.

        After a failure (`FAILURES`) the very same batch has to be given again: it may have reached the disk.
        """
        if self._left is not None and self.mend():
            return True
        segment = self._open or self._begin()
        records: list[Record] = []
        try:
            records = self._records(batch, segment)
            segment.append(records)
        except FAILURES:
            self._leave(records)
            raise
        self._advance(records)
        if segment.size() < self._segment_bytes:
            return False
        self._leave(())
        with suppress(*FAILURES):  # what was committed is safe; the next commit closes the segment
            self.mend()
        return True

    def mend(self) -> bool:
        """Closes the segment that was left, full or after a failure, and reads what it has. True if the batch whose
        commit had failed turns out to be there."""
        if self._left is None:
            return False
        number, records = self._left
        marks = Segment.recover(self._path(number))
        self._close(number, marks)
        self._left = None
        if not records or records[-1].stream not in marks or marks[records[-1].stream].stop <= records[-1].seq:
            return False
        self._advance(records)
        return True

    @property
    def is_left(self) -> bool:
        """A segment waits to be closed: `mend` does it."""
        return self._left is not None

    def _begin(self) -> Segment:
        self._open = Segment.create(self._next, self._path(self._next), self._key)
        self.open_from = dict(self.heads)
        self._next += 1
        return self._open

    def _leave(self, records: Sequence[Record]) -> None:
        """Nothing is written to the open segment any more; `records` may be its last."""
        assert self._open is not None
        self._left = (self._open.number, records)
        self._open.abandon()
        self._open = None

    def _records(self, batch: Batch, segment: Segment) -> list[Record]:
        contents: list[tuple[Stream, int, bytes]] = []
        if batch.events:
            contents.append((Stream.EVENTS, len(batch.events), pack_events(batch.events)))
        for stream, scans in by_stream(batch.scans).items():
            for content in runs(scans):
                points = sum(scan.points for run in content for scan in run)
                contents.append((stream, points, pack(content, segment.number_of, batch.origin)))
        heads = dict(self.heads)
        records = []
        for stream, points, content_bytes in contents:
            head = heads[stream]
            records.append(Record(stream, head.seq, points, head.total + points, content_bytes))
            heads[stream] = Head(head.seq + 1, head.total + points)
        return records

    def _advance(self, records: Sequence[Record]) -> None:
        for record in records:
            self.heads[record.stream] = Head(record.seq + 1, record.total)

    def _close(self, number: int, marks: dict[Stream, Mark]) -> None:
        if marks:
            self._catalog.add_segment(number, marks)
            self.closed[number] = marks
        else:
            self._path(number).unlink(missing_ok=True)

    # Reading

    def fetch_open(self, stream: Stream, start: int, stop: int, most_points: int) -> list[Chunk]:
        """From the open segment; nothing when it has just been closed."""
        return [] if self._open is None else self._open.fetch(stream, start, stop, most_points)

    def fetch_closed(self, stream: Stream, start: int, stop: int, most_points: int) -> list[Chunk]:
        """From the closed segment that has chunk `start`. What cannot be read any more comes back as broken chunks."""
        for number, marks in list(self.closed.items()):
            mark = marks.get(stream)
            if mark is not None and mark.first <= start < mark.stop:
                segment = self._reader(number)
                try:
                    return segment.fetch(stream, start, min(stop, mark.stop), most_points)
                except DatabaseError:
                    return segment.salvage(stream, start, mark)
        return []

    def _reader(self, number: int) -> Segment:
        segment = self._readers.pop(number, None) or Segment.read(number, self._path(number), self._key)
        self._readers[number] = segment
        while len(self._readers) > _READERS:
            self._readers.popitem(last=False)[1].abandon()
        return segment

    # Accounting

    def points(self, stream: Stream, ranges: Ranges) -> int:
        """The points that `ranges` hold, as far as they are in closed segments. Looks into a file only where a range
        begins or ends in the middle of it."""
        total = 0
        for number, mark in self._marks(stream):
            for start, stop in ranges.within(mark.first, mark.stop):
                total += self._total(number, mark, stream, stop) - self._total(number, mark, stream, start)
        return total

    def first(self, stream: Stream) -> Head | None:
        """Where the oldest chunk that is there lies; None where there is none."""
        marks = [mark for _, mark in self._marks(stream)]
        return Head(marks[0].first, marks[0].total_first) if marks else None

    def covered(self, stream: Stream) -> Ranges:
        """The chunks that are there, in closed segments."""
        return Ranges((mark.first, mark.stop) for _, mark in self._marks(stream))

    def _marks(self, stream: Stream) -> Iterator[tuple[int, Mark]]:
        return ((number, marks[stream]) for number, marks in sorted(self.closed.items()) if stream in marks)

    def _total(self, number: int, mark: Mark, stream: Stream, seq: int) -> int:
        if seq == mark.first:
            return mark.total_first
        if seq == mark.stop:
            return mark.total_stop
        segment = Segment.read(number, self._path(number), self._key)
        try:
            return segment.total(stream, seq)
        finally:
            segment.abandon()

    def standings(self) -> list[Standing]:
        return self._catalog.standings()

    def settle(self, standings: Sequence[Standing], letters: Sequence[DeadLetter] = ()) -> None:
        self._catalog.settle(standings, letters)

    def dead_letters(self) -> list[DeadLetter]:
        return self._catalog.dead_letters()

    # Housekeeping

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self._directory.iterdir())

    def remove(self, number: int, standings: Iterable[Standing] = ()) -> None:
        """The catalogue first and the file after: what a crash leaves in between is found at the next start. On a full
        disk the catalogue cannot be written; then the file goes all the same, and the next start accounts for it."""
        self.closed.pop(number, None)
        try:
            self._catalog.remove_segment(number, standings)
        finally:
            self._path(number).unlink(missing_ok=True)

    def forget(self, number: int) -> None:
        """For the reader: let go of a segment that was removed."""
        segment = self._readers.pop(number, None)
        if segment is not None:
            segment.abandon()

    def close(self) -> None:
        if self._open is not None:
            self._leave(())
        self.mend()
        for segment in self._readers.values():
            segment.abandon()
        self._catalog.close()

    def _numbers(self) -> list[int]:
        matches = (_NAME.fullmatch(path.name) for path in self._directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def _path(self, number: int) -> Path:
        return self._directory / f"segment-{number:08}.db"

    def _reconcile(self) -> None:
        """The directory wins: it may have a segment that a crash left open, or lack one that somebody removed."""
        numbers = self._numbers()
        for number in sorted(set(self.closed) - set(numbers)):
            _log.error("segment %d is in the catalogue but its file is gone", number)
            self._catalog.remove_segment(number)
            del self.closed[number]
        for number in numbers:
            if number not in self.closed:
                self._close(number, self._recover(number))

    def _recover(self, number: int) -> dict[Stream, Mark]:
        try:
            return Segment.recover(self._path(number))
        except OperationalError:
            self.give_reserve()
            return Segment.recover(self._path(number))
