"""One file of the journal: sealed chunks of one stream, the schemas that they need, and the data key, wrapped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zstandard
from sqlalchemy import (
    BLOB,
    Column,
    Engine,
    Index,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import DatabaseError

from gateway import files
from gateway.journal import sqlite
from gateway.journal.chunk import Chunk, Stream, unpack, unpack_events
from gateway.journal.codec import CodecError
from gateway.journal.dating import RIGHT, Dating, Offsets, Origin
from gateway.journal.keys import KeyRing, Opener, SealBroken
from gateway.journal.seal import CHANGED, Seal
from gateway.model import Schema

_NAME = re.compile(rf"({'|'.join(stream.name.lower() for stream in Stream)})-(\d{{8}})\.db")

DAMAGED = "its page of the file is damaged"

_MOST_SCHEMAS = 1_000
"""That are looked for in a file that is damaged."""

_FACTS = ("key", "recovery", "boot")

_ROW_BYTES = 40
"""What a row takes up beside its body."""

_metadata = MetaData()
_about = Table("about", _metadata, Column("name", String, primary_key=True), Column("value", BLOB, nullable=False))
_schema = Table("schema", _metadata, Column("number", Integer, primary_key=True), Column("body", BLOB, nullable=False))
_chunk = Table(
    "chunk",
    _metadata,
    Column("seq", Integer, primary_key=True),
    Column("points", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("time", Integer, nullable=False),
    Column("monotonic", Integer, nullable=False),
    Column("trusted", Integer, nullable=False),
    Column("body", BLOB, nullable=False),
)
Index("doubtful", _chunk.c.seq, sqlite_where=_chunk.c.trusted == 0)


@dataclass(frozen=True, slots=True)
class Name:
    """What a segment file is called: its stream and its number, as in `normal-00000012.db`."""

    stream: Stream
    number: int

    def __str__(self) -> str:
        return f"{self.stream.name.lower()}-{self.number:08}.db"

    @staticmethod
    def of(path: Path) -> Name | None:
        """None for a file that is no segment."""
        match = _NAME.fullmatch(path.name)
        return None if match is None else Name(Stream[match[1].upper()], int(match[2]))


@dataclass(frozen=True, slots=True)
class Mark:
    """What a segment has of its stream: chunks `first` to `stop` (exclusive). `total` counts all points that the stream
    ever had, up to `first` and up to `stop`; so the points of any range are one subtraction. It was filled from `since`
    to `until`, by the wall clock of `boot`, which was right throughout unless it is `doubtful`. `monotonic` is that of
    the last chunk. `sizes` are the points of each chunk, packed: what a file loses by damage is known to the point."""

    first: int
    stop: int
    total_first: int
    total_stop: int
    since: int = 0
    until: int = 0
    monotonic: int = 0
    boot: str = ""
    doubtful: bool = False
    sizes: bytes = field(default=b"", repr=False)

    def total(self, seq: int) -> int:
        """The stream's points in all chunks before `seq`, which is from `first` to `stop`."""
        return self.total_first + sum(self._sizes()[: seq - self.first])

    def size(self, seq: int) -> int:
        """The points of chunk `seq`."""
        return self._sizes()[seq - self.first]

    def _sizes(self) -> list[int]:
        return msgspec.msgpack.decode(zstandard.decompress(self.sizes), type=list[int])


@dataclass(frozen=True, slots=True)
class Record:
    """A chunk on its way to the disk, not sealed yet."""

    seq: int
    points: int
    total: int
    origin: Origin
    content: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """A chunk as it lies there: sealed at `time` by the wall clock of its boot, and why it cannot be read, if so. What
    is said of a broken one is not to be trusted, but for its number."""

    seq: int
    points: int
    total: int
    time: int
    broken: str


class Segment:
    """Owned by one thread. `create` makes a file to append to; `recover` closes what a crash left open; `read` opens a
    closed one."""

    def __init__(self, name: Name, path: Path, engine: Engine, seal: Seal | None, boot: str) -> None:
        self.name = name
        self.path = path
        self.boot = boot
        self.obstacle = ""
        """Why nothing in it can be opened, if so."""
        self._engine = engine
        self._seal = seal
        self._schemas: dict[int, Schema] = {}
        self._numbers: dict[bytes, int] = {}
        self._size = 0

    @classmethod
    def create(cls, name: Name, path: Path, keys: KeyRing, boot: str) -> Segment:
        engine = sqlite.own(path)
        seal = Seal.fresh()
        facts = {"key": seal.wrap(keys), "recovery": seal.wrap_for_recovery(keys), "boot": boot.encode()}
        try:
            with engine.begin() as connection:
                _metadata.create_all(connection)
                rows = [{"name": fact, "value": value} for fact, value in facts.items() if value is not None]
                connection.execute(insert(_about), rows)
        except DatabaseError:
            engine.dispose()  # the error would hold it, and it the file
            sqlite.discard(path)
            raise
        return cls(name, path, engine, seal, boot)

    @classmethod
    def read(cls, name: Name, path: Path, keys: Opener) -> Segment:
        """One whose data key does not open has chunks that are broken, and counts that are not."""
        engine = sqlite.peruse(path)
        facts: dict[str, bytes] = {}
        seal, obstacle = None, ""
        try:
            facts = _facts(engine)
            seal = Seal(keys.data_key(facts))
        except SealBroken as error:
            obstacle = str(error)
        except DatabaseError as error:
            if sqlite.is_sick(error):
                engine.dispose()
                raise
            obstacle = f"the file cannot be read: {error.orig}"
        segment = cls(name, path, engine, seal, facts.get("boot", b"").decode(errors="replace"))
        segment.obstacle = obstacle
        return segment

    @staticmethod
    def recover(path: Path) -> Mark | None:
        """Brings in what the write-ahead log of a crashed process still holds, and says what is there; None where that
        is nothing."""
        engine = sqlite.own(path)
        try:
            with engine.begin() as connection:
                _metadata.create_all(connection)
            sqlite.checkpoint(engine, "TRUNCATE")
            return _mark(engine)
        finally:
            engine.dispose()

    @classmethod
    def rebuild(cls, name: Name, path: Path, keys: KeyRing, numbers: range) -> Mark | None:
        """In place of a file that is damaged, one that holds what can be read of it. Chunks are looked for under
        `numbers`; those that are missing afterwards are lost."""
        tables: dict[Table, list[dict[str, object]]] = {_about: [], _schema: [], _chunk: []}
        with _damage_suppressed():  # where nothing can be read at all
            tables = cls._gather(name, path, keys, numbers)
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        engine = sqlite.own(draft)
        try:
            with engine.begin() as connection:
                _metadata.create_all(connection)
                for table, rows in tables.items():
                    if rows:
                        connection.execute(insert(table), rows)
            sqlite.checkpoint(engine, "TRUNCATE")
            mark = _mark(engine)
        finally:
            engine.dispose()
        path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
        draft.rename(path)
        files.sync(path.parent)
        return mark

    @classmethod
    def _gather(cls, name: Name, path: Path, keys: KeyRing, numbers: range) -> dict[Table, list[dict[str, object]]]:
        """Row by row, so that a page that is broken takes only its own with it; and of the chunks, only those that
        still open."""
        engine = sqlite.own(path)
        try:
            facts = _each(engine, [select(_about).where(_about.c.name == fact) for fact in _FACTS])
            about = {str(row["name"]): row["value"] for row in facts}
            seal, boot = None, about.get("boot", b"")
            with suppress(SealBroken):
                wrapped = about.get("key")
                seal = Seal.unwrap(keys, wrapped if isinstance(wrapped, bytes) else b"")
            schemas = _each(engine, [select(_schema).where(_schema.c.number == n) for n in range(1, _MOST_SCHEMAS)])
            rows = _each(engine, [select(_chunk).where(_chunk.c.seq == seq) for seq in numbers])
            read = cls(name, path, engine, seal, boot.decode(errors="replace") if isinstance(boot, bytes) else "")
            return {_about: facts, _schema: schemas, _chunk: [row for row in rows if read._opens(row)]}
        finally:
            engine.dispose()

    def _opens(self, row: Mapping[str, object]) -> bool:
        *facts, body = (row[column.name] for column in _chunk.columns)
        try:
            return (
                self._seal is not None and isinstance(body, bytes) and bool(self._seal.open(body, self._place(*facts)))
            )
        except SealBroken:
            return False

    @staticmethod
    def rewrap(path: Path, keys: KeyRing) -> None:
        """The data key of a closed segment, wrapped with the current key. One that no key on the ring opens stays."""
        engine = sqlite.own(path)
        try:
            wrapped = _facts(engine).get("key", b"")
            if keys.is_current(wrapped):
                return
            seal = Seal.unwrap(keys, wrapped)
            facts = {"key": seal.wrap(keys), "recovery": seal.wrap_for_recovery(keys)}
            with engine.begin() as connection:
                for fact, value in facts.items():
                    connection.execute(delete(_about).where(_about.c.name == fact))
                    if value is not None:
                        connection.execute(insert(_about), [{"name": fact, "value": value}])
            sqlite.checkpoint(engine, "TRUNCATE")
        except SealBroken:
            return
        finally:
            engine.dispose()

    def append(self, records: Sequence[Record]) -> None:
        """Sealed, written in one transaction, and on disk when this returns."""
        rows = [self._row_of(record) for record in records]
        with self._engine.begin() as connection:
            connection.execute(insert(_chunk), rows)
        self._size += sum(_ROW_BYTES + len(body) for row in rows if isinstance(body := row["body"], bytes))

    def _row_of(self, record: Record) -> dict[str, int | bytes]:
        assert self._seal is not None
        origin = record.origin
        row = {"seq": record.seq, "points": record.points, "total": record.total}
        row |= {"time": origin.time, "monotonic": origin.monotonic, "trusted": int(origin.trusted)}
        return {**row, "body": self._seal.close(record.content, self._place(*row.values()))}

    def size(self) -> int:
        """Bytes that the file takes up, or will once the write-ahead log has been brought in."""
        return max(self._size, self.path.stat().st_size)

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

    def fetch(self, start: int, stop: int, most_points: int, offsets: Offsets) -> list[Chunk]:
        """Chunks from `start` on, in order, at least one where there is one; but none whose time is not known yet.
        Raises CodecError, `sqlalchemy.exc.DatabaseError`."""
        chunks: list[Chunk] = []
        points = 0
        with self._engine.connect() as connection:
            for row in connection.execute(_range(start, stop)):
                if not _is_whole(row):
                    raise CodecError("a row is damaged")
                when = offsets.dating(self._origin(row))
                if when is None:
                    break
                chunks.append(self._open(row, when))
                points += row.points
                if points >= most_points:
                    break
        return chunks

    def salvage(self, start: int, stop: int, mark: Mark, offsets: Offsets) -> list[Chunk]:
        """Chunks from `start` on out of a file with damaged pages, one by one, up to the first that is sound again."""
        lost: list[Chunk] = []
        for seq in range(start, stop):
            row = self._row(seq)
            if row is not None:
                when = offsets.dating(self._origin(row))
                return lost if when is None else [*lost, self._open(row, when)]
            lost.append(Chunk(self.name.stream, seq, mark.size(seq), broken=DAMAGED))
        return lost

    def look(self, start: int, stop: int, most_points: int) -> list[Look]:
        """Chunks from `start` on, in order, each opened and decoded; at least one where there is one. Raises
        `sqlalchemy.exc.DatabaseError`."""
        looks: list[Look] = []
        points = 0
        with self._engine.connect() as connection:
            for row in connection.execute(_range(start, stop)):
                looks.append(self._look(row))
                points += looks[-1].points
                if points >= most_points:
                    break
        return looks

    def _look(self, row: Row[tuple[object, ...]]) -> Look:
        """A flipped bit may make text of a number."""
        facts = (row.seq, row.points, row.total, row.time)
        if not all(isinstance(fact, int) for fact in facts):
            return Look(row.seq, 0, 0, 0, CHANGED)
        chunk = self._open(row, RIGHT)
        held = len(chunk.events) + sum(rows.points for rows in chunk.rows)
        miscount = "" if held == row.points else f"it holds {held} points instead of {row.points}"
        return Look(*facts, chunk.broken or miscount)

    def _schema_of(self, number: int) -> Schema:
        """Raises CodecError, SealBroken."""
        if number not in self._schemas:
            body = None
            with _damage_suppressed(), self._engine.connect() as connection:
                body = connection.scalar(select(_schema.c.body).where(_schema.c.number == number))
            if body is None or self._seal is None:
                raise CodecError(f"schema {number} is missing, or damaged")
            self._schemas[number] = Schema.decode(self._seal.open(body, self._schema_place(number)))
        return self._schemas[number]

    def _row(self, seq: int) -> Row[tuple[object, ...]] | None:
        """Chunk `seq`; None where it cannot be read."""
        row = None
        with _damage_suppressed(), self._engine.connect() as connection:
            row = connection.execute(_range(seq, seq + 1)).first()
        return row if row is not None and _is_whole(row) else None

    def mark(self) -> Mark | None:
        return _mark(self._engine)

    def abandon(self) -> None:
        """Let go of the file, and leave to `recover` what its write-ahead log still holds: the disk may have failed."""
        self._engine.dispose()

    def _open(self, row: Row[tuple[object, ...]], when: Dating) -> Chunk:
        place = (self.name.stream, row.seq, row.points)
        try:
            content = self._content(row)
            if self.name.stream is Stream.EVENTS:
                return Chunk(*place, events=tuple(map(when.event, unpack_events(content))))
            return Chunk(*place, rows=tuple(map(when.rows, unpack(content, self._schema_of))))
        except (SealBroken, CodecError) as error:
            return Chunk(*place, broken=str(error))

    def _content(self, row: Row[tuple[object, ...]]) -> bytes:
        if self._seal is None:
            raise SealBroken("the key does not open the segment's data key")
        place = self._place(row.seq, row.points, row.total, row.time, row.monotonic, row.trusted)
        return self._seal.open(row.body, place)

    def _origin(self, row: Row[tuple[object, ...]]) -> Origin:
        return Origin(self.boot, row.time, row.monotonic, bool(row.trusted))

    def _schema_place(self, number: int) -> bytes:
        return b"%d/schema/%d" % (self.name.number, number)

    def _place(self, *facts: object) -> bytes:
        """All that stands beside a chunk in the clear is authenticated with it."""
        return "/".join(map(str, (self.name.number, self.name.stream.value, self.boot, *facts))).encode()


@contextmanager
def _damage_suppressed() -> Iterator[None]:
    """But not the errors of a sick disk: what cannot be read now is not lost for it."""
    try:
        yield
    except DatabaseError as error:
        if sqlite.is_sick(error):
            raise


def _each(engine: Engine, queries: Iterable[Select[tuple[object, ...]]]) -> list[dict[str, object]]:
    """The rows that can be read."""
    rows = []
    for query in queries:
        with _damage_suppressed(), engine.connect() as connection:
            row = connection.execute(query).first()
            if row is not None and None not in row:
                rows.append(dict(row._mapping))
    return rows


def _facts(engine: Engine) -> dict[str, bytes]:
    with engine.connect() as connection:
        return {row.name: row.value for row in connection.execute(select(_about))}


def _is_whole(row: Row[tuple[object, ...]]) -> bool:
    """A flipped bit may make text of a number."""
    facts: tuple[object, ...] = tuple(row)
    return all(isinstance(fact, int) for fact in facts[:-1]) and isinstance(facts[-1], bytes)


def _range(start: int, stop: int) -> Select[tuple[object, ...]]:
    alone = _chunk.c.seq == start  # or else the next page would be looked at, which may be damaged
    return (
        select(_chunk)
        .where(alone if stop == start + 1 else (_chunk.c.seq >= start) & (_chunk.c.seq < stop))
        .order_by(_chunk.c.seq)
        .execution_options(stream_results=True, max_row_buffer=8)
    )


def _mark(engine: Engine) -> Mark | None:
    """Raises CodecError where rows contradict each other, because their page is damaged."""
    boot = _facts(engine).get("boot", b"").decode(errors="replace")
    with engine.connect() as connection:
        counts = select(_chunk.c.seq, _chunk.c.points, _chunk.c.total).order_by(_chunk.c.seq)
        rows = [(row.seq, row.points, row.total) for row in connection.execute(counts)]
        if not rows:
            return None
        sizes = _sizes(rows)
        doubtful = connection.scalar(select(_chunk.c.seq).where(_chunk.c.trusted == 0).limit(1)) is not None
        times = select(_chunk.c.time, _chunk.c.monotonic)
        begin = connection.execute(times.where(_chunk.c.seq == rows[0][0])).one()
        end = connection.execute(times.where(_chunk.c.seq == rows[-1][0])).one()
    if None in begin or None in end:
        raise CodecError("its first or last row is damaged")
    return Mark(
        first=rows[0][0],
        stop=rows[-1][0] + 1,
        total_first=rows[0][2] - rows[0][1],
        total_stop=rows[-1][2],
        since=begin.time,
        until=end.time,
        monotonic=end.monotonic,
        boot=boot,
        doubtful=doubtful,
        sizes=zstandard.compress(msgspec.msgpack.encode(sizes)),
    )


def _sizes(rows: Sequence[tuple[int, int, int]]) -> list[int]:
    """The points of each chunk, given numbers, points and totals. What is missing between two rows is put down to the
    first number that is."""
    if any(None in row for row in rows):
        raise CodecError("a row is damaged")
    number, before = rows[0][0], rows[0][2] - rows[0][1]
    sizes: list[int] = []
    for seq, points, total in rows:
        lost = total - points - before
        if points < 0 or lost < 0 or (lost > 0 and seq == number):
            raise CodecError("a row is damaged")
        if seq > number:
            sizes += [lost, *[0] * (seq - number - 1)]
        sizes.append(points)
        number, before = seq + 1, total
    return sizes
