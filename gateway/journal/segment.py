"""One file of the journal: sealed chunks, the schemas that they need, and the data key, wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import BLOB, Column, Engine, Integer, MetaData, Row, Select, String, Table, func, insert, select
from sqlalchemy.exc import DatabaseError

from gateway.journal import sqlite
from gateway.journal.chunk import Chunk, Stream, unpack, unpack_events
from gateway.journal.codec import CodecError
from gateway.journal.seal import Seal, SealBroken
from gateway.model import Schema

_metadata = MetaData()
_about = Table("about", _metadata, Column("name", String, primary_key=True), Column("value", BLOB, nullable=False))
_schema = Table("schema", _metadata, Column("number", Integer, primary_key=True), Column("body", BLOB, nullable=False))
_chunks = {
    stream: Table(
        stream.name.lower(),
        _metadata,
        Column("seq", Integer, primary_key=True),
        Column("points", Integer, nullable=False),
        Column("total", Integer, nullable=False),
        Column("body", BLOB, nullable=False),
    )
    for stream in Stream
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What a segment has of one stream: chunks `first` to `stop` (exclusive). `total` counts all points that the stream
    ever had, up to `first` and up to `stop`; so the points of any range are one subtraction."""

    first: int
    stop: int
    total_first: int
    total_stop: int


@dataclass(frozen=True, slots=True)
class Record:
    """A chunk on its way to the disk, not sealed yet."""

    stream: Stream
    seq: int
    points: int
    total: int
    content: bytes


class Segment:
    """Owned by one thread. `create` makes a file to append to; `recover` closes what a crash left open; `read` opens a
    closed one."""

    def __init__(self, number: int, path: Path, engine: Engine, seal: Seal | None) -> None:
        self.number = number
        self.path = path
        self._engine = engine
        self._seal = seal
        self._schemas: dict[int, Schema] = {}
        self._numbers: dict[bytes, int] = {}

    @classmethod
    def create(cls, number: int, path: Path, key: bytes) -> Segment:
        engine = sqlite.own(path)
        seal = Seal.fresh()
        with engine.begin() as connection:
            _metadata.create_all(connection)
            connection.execute(insert(_about), [{"name": "key", "value": seal.wrap(key)}])
        return cls(number, path, engine, seal)

    @classmethod
    def read(cls, number: int, path: Path, key: bytes) -> Segment:
        """One whose data key does not open has chunks that are broken, and counts that are not."""
        engine = sqlite.peruse(path)
        try:
            with engine.connect() as connection:
                wrapped = connection.scalar(select(_about.c.value).where(_about.c.name == "key"))
            seal = Seal.unwrap(key, wrapped or b"")
        except (SealBroken, DatabaseError):
            seal = None
        return cls(number, path, engine, seal)

    @staticmethod
    def recover(path: Path) -> dict[Stream, Mark]:
        """Brings in what the write-ahead log of a crashed process still holds, and says what is there."""
        engine = sqlite.own(path)
        try:
            with engine.begin() as connection:
                _metadata.create_all(connection)
            sqlite.checkpoint(engine, "TRUNCATE")
            return _marks(engine)
        finally:
            engine.dispose()

    def append(self, records: Sequence[Record]) -> None:
        """Sealed, written in one transaction, and on disk when this returns."""
        assert self._seal is not None
        rows: dict[Stream, list[dict[str, object]]] = {}
        for record in records:
            body = self._seal.close(record.content, self._place(record.stream, record.seq))
            row = {"seq": record.seq, "points": record.points, "total": record.total, "body": body}
            rows.setdefault(record.stream, []).append(row)
        with self._engine.begin() as connection:
            for stream, values in rows.items():
                connection.execute(insert(_chunks[stream]), values)

    def size(self) -> int:
        """Bytes on disk, without the write-ahead log, which is bounded."""
        return self.path.stat().st_size

    def number_of(self, schema: Schema) -> int:
        """The number that chunks of this segment call a schema by; it is stored before it is used."""
        number = self._numbers.get(schema.digest)
        if number is None:
            assert self._seal is not None
            number = len(self._numbers) + 1
            body = self._seal.close(schema.encode(), self._schema_place(number))
            with self._engine.begin() as connection:
                connection.execute(insert(_schema), [{"number": number, "body": body}])
            self._numbers[schema.digest] = number
            self._schemas[number] = schema
        return number

    def fetch(self, stream: Stream, start: int, stop: int, most_points: int) -> list[Chunk]:
        """Chunks from `start` on, in order, at least one where there is one. Raises `sqlalchemy.exc.DatabaseError`."""
        chunks: list[Chunk] = []
        points = 0
        with self._engine.connect() as connection:
            for row in connection.execute(_range(stream, start, stop)):
                chunks.append(self._open(stream, row.seq, row.points, row.body))
                points += row.points
                if points >= most_points:
                    break
        return chunks

    def salvage(self, stream: Stream, start: int, mark: Mark) -> list[Chunk]:
        """Chunks from `start` on out of a file with damaged pages, one by one, up to the first that is sound again.
        The points of those that cannot be read are known all the same: the running totals around them tell."""
        lost: list[int] = []
        for seq in range(start, mark.stop):
            row = self._row(stream, seq)
            if row is not None:
                points = row.total - row.points - self._total_before(stream, start, mark)
                return [*_damaged(stream, lost, points), self._open(stream, seq, row.points, row.body)]
            lost.append(seq)
        return _damaged(stream, lost, mark.total_stop - self._total_before(stream, start, mark))

    def total(self, stream: Stream, seq: int) -> int:
        """The stream's points in all chunks before `seq`, which is in this segment."""
        row = self._row(stream, seq)
        if row is None:
            raise CodecError(f"chunk {seq} cannot be read")
        return int(row.total - row.points)

    def _total_before(self, stream: Stream, seq: int, mark: Mark) -> int:
        row = None if seq == mark.first else self._row(stream, seq - 1)
        return mark.total_first if row is None else int(row.total)

    def _row(self, stream: Stream, seq: int) -> Row[int, int, int, bytes] | None:
        table = _chunks[stream]
        columns: Select[int, int, int, bytes] = select(table.c.seq, table.c.points, table.c.total, table.c.body)
        try:
            with self._engine.connect() as connection:
                return connection.execute(columns.where(table.c.seq == seq)).one_or_none()
        except DatabaseError:
            return None

    def marks(self) -> dict[Stream, Mark]:
        return _marks(self._engine)

    def close(self) -> None:
        """A closed segment is one file, which anybody may read."""
        sqlite.checkpoint(self._engine, "TRUNCATE")
        self._engine.dispose()

    def abandon(self) -> None:
        """Let go without touching the disk, which has failed."""
        self._engine.dispose()

    def _open(self, stream: Stream, seq: int, points: int, body: bytes) -> Chunk:
        if self._seal is None:
            return Chunk(stream, seq, points, broken="the key does not open the segment's data key")
        try:
            content = self._seal.open(body, self._place(stream, seq))
            if stream is Stream.EVENTS:
                return Chunk(stream, seq, points, events=unpack_events(content))
            return Chunk(stream, seq, points, rows=unpack(content, self._schema))
        except (SealBroken, CodecError) as error:
            return Chunk(stream, seq, points, broken=str(error))

    def _schema(self, number: int) -> Schema:
        if number not in self._schemas:
            with self._engine.connect() as connection:
                body = connection.scalar(select(_schema.c.body).where(_schema.c.number == number))
            if body is None or self._seal is None:
                raise CodecError(f"schema {number} is missing")
            self._schemas[number] = Schema.decode(self._seal.open(body, self._schema_place(number)))
        return self._schemas[number]

    def _schema_place(self, number: int) -> bytes:
        return b"%d/schema/%d" % (self.number, number)

    def _place(self, stream: Stream, seq: int) -> bytes:
        return b"%d/%d/%d" % (self.number, stream, seq)


def _damaged(stream: Stream, lost: Sequence[int], points: int) -> list[Chunk]:
    """The first bears the points of all."""
    why = "its page of the file is damaged"
    return [Chunk(stream, seq, points if seq == lost[0] else 0, broken=why) for seq in lost]


def _range(stream: Stream, start: int, stop: int) -> Select[tuple[int, int, bytes]]:
    table = _chunks[stream]
    return (
        select(table.c.seq, table.c.points, table.c.body)
        .where(table.c.seq >= start, table.c.seq < stop)
        .order_by(table.c.seq)
        .execution_options(stream_results=True, max_row_buffer=8)
    )


def _marks(engine: Engine) -> dict[Stream, Mark]:
    marks = {}
    with engine.connect() as connection:
        for stream, table in _chunks.items():
            first, last = connection.execute(select(func.min(table.c.seq), func.max(table.c.seq))).one()
            if first is None:
                continue
            edge = select(table.c.points, table.c.total)
            begin = connection.execute(edge.where(table.c.seq == first)).one()
            end = connection.execute(edge.where(table.c.seq == last)).one()
            marks[stream] = Mark(first, last + 1, begin.total - begin.points, end.total)
    return marks
