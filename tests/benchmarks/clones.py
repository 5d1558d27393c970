"""Makes a backlog large without having to gather it for hours: clones of its real segments, under numbers of their own.

A chunk's place is sealed with it, so that each clone is opened and sealed anew. This is the only part of the benchmarks
and fault suites that knows the journal from the inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from sqlalchemy import select

from gateway.journal.chunk import Stream
from gateway.journal.codec import CodecError
from gateway.journal.seal import load_key
from gateway.journal.segment import Record, Segment, _chunks
from gateway.journal.store import Store

STREAM = Stream.NORMAL
SEGMENT_BYTES = 64 << 20
_COMMIT = 256
"""Chunks that are written in one transaction."""


def fill(data: Path, size: int) -> None:
    """Clone what the journal of a stopped gateway in `data` holds, over and over, until it takes up `size` bytes."""
    directory, key = data / "journal", load_key(data / "journal.key")
    store = Store(directory, key, SEGMENT_BYTES)
    numbers = [number for number, marks in sorted(store.closed.items()) if STREAM in marks]
    head = store.heads[STREAM]
    store.close()
    real = Segment.read(numbers[-1], _path(directory, numbers[-1]), key)
    records = _renumbered(_records(real), head.seq, head.total)
    for number in count(numbers[-1] + 1):
        if _size(directory) >= size:
            break
        _clone(real, Segment.create(number, _path(directory, number), key), records)
    real.abandon()
    Store(directory, key, SEGMENT_BYTES).close()  # which finds the new files, and puts them into the catalogue


def _clone(real: Segment, clone: Segment, records: Iterator[Record]) -> None:
    """A full one."""
    for number in count(1):
        try:
            schema = real._schema(number)
        except CodecError:
            break
        assert clone.number_of(schema) == number, "chunks name their schemas by these numbers"
    while clone.size() < SEGMENT_BYTES:
        clone.append([next(records) for _ in range(_COMMIT)])
    clone.close()


def _renumbered(records: Sequence[Record], seq: int, total: int) -> Iterator[Record]:
    """The same ones in a circle, as if they came after all that came before."""
    while True:
        for record in records:
            total += record.points
            yield replace(record, seq=seq, total=total)
            seq += 1


def _records(segment: Segment) -> list[Record]:
    table = _chunks[STREAM]
    with segment._engine.connect() as connection:
        rows = list(connection.execute(select(table).order_by(table.c.seq)))
    assert segment._seal is not None
    return [
        Record(STREAM, row.seq, row.points, row.total, segment._seal.open(row.body, segment._place(STREAM, row.seq)))
        for row in rows
    ]


def _path(directory: Path, number: int) -> Path:
    return directory / f"segment-{number:08}.db"


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("segment-*"))
