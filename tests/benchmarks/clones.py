"""Makes a backlog large without having to gather it for hours: clones of its real segments, under numbers of their own.

A chunk's place is sealed with it, so that each clone is opened and sealed anew. This is the only part of the benchmarks
that knows the journal from the inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from gateway.journal import keys
from gateway.journal.chunk import Stream
from gateway.journal.codec import CodecError
from gateway.journal.segment import Mark, Name, Record, Segment
from gateway.journal.store import Store

STREAM = Stream.NORMAL
SEGMENT_BYTES = 64 << 20
_COMMIT = 256
"""Chunks that are written in one transaction."""


def fill(data: Path, size: int) -> None:
    """Clone what the journal of a stopped gateway in `data` holds, over and over, until it takes up `size` bytes."""
    directory, ring = data / "journal", keys.load(data / "journal.key")
    store = Store(directory, ring, SEGMENT_BYTES)
    number, entry = next((number, entry) for number, entry in store.closed.items() if entry.stream is STREAM)
    head, following = store.heads[STREAM], max(store.closed) + 1
    store.close()
    real = Segment.read(Name(STREAM, number), directory / str(Name(STREAM, number)), ring)
    records = _renumbered(_records(real, entry.mark), head.seq, head.total)
    for number in count(following):
        if _size(directory) >= size:
            break
        name = Name(STREAM, number)
        _clone(real, Segment.create(name, directory / str(name), ring, real.boot), records)
    real.abandon()
    Store(directory, ring, SEGMENT_BYTES).close()  # which finds the new files, and puts them into the catalogue


def _records(segment: Segment, mark: Mark) -> list[Record]:
    """Its chunks, as they were given to be sealed."""
    records = []
    for seq in range(mark.first, mark.stop):
        row = segment._row(seq)
        assert row is not None
        records.append(Record(row.seq, row.points, row.total, segment._origin(row), segment._content(row)))
    return records


def _clone(real: Segment, clone: Segment, records: Iterator[Record]) -> None:
    """A full one."""
    for number in count(1):
        try:
            schema = real._schema_of(number)
        except CodecError:
            break
        assert clone.number_of(schema) == number, "chunks name their schemas by these numbers"
    while clone.size() < SEGMENT_BYTES:
        clone.append(list(islice(records, _COMMIT)))
    clone.abandon()


def _renumbered(records: Sequence[Record], seq: int, total: int) -> Iterator[Record]:
    """The same ones in a circle, as if they had come after all others."""
    while True:
        for record in records:
            total += record.points
            yield replace(record, seq=seq, total=total)
            seq += 1


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob(f"{STREAM.name.lower()}-*"))
