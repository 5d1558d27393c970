"""The small file that says which segments there are, and what each sink still has to get of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import BLOB, Column, Connection, Integer, MetaData, String, Table, delete, insert, select

from gateway.errors import ConfigError
from gateway.journal import sqlite
from gateway.journal.chunk import Stream
from gateway.journal.ranges import Range
from gateway.journal.seal import Seal, SealBroken
from gateway.journal.segment import Mark

_metadata = MetaData()
_mark = Table(
    "mark",
    _metadata,
    Column("segment", Integer, primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("first", Integer, nullable=False),
    Column("stop", Integer, nullable=False),
    Column("total_first", Integer, nullable=False),
    Column("total_stop", Integer, nullable=False),
)
_about = Table("about", _metadata, Column("name", String, primary_key=True), Column("value", BLOB, nullable=False))
_head = Table(
    "head",
    _metadata,
    Column("stream", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("total", Integer, nullable=False),
)
_delivery = Table(
    "delivery",
    _metadata,
    Column("sink", String, primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("base", Integer, nullable=False),
    Column("delivered", Integer, nullable=False),
    Column("dead_letters", Integer, nullable=False),
    Column("dropped", Integer, nullable=False),
)
_pending = Table(
    "pending",
    _metadata,
    Column("sink", String, primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("start", Integer, primary_key=True),
    Column("stop", Integer, nullable=False),
)
_dead_letter = Table(
    "dead_letter",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("sink", String, nullable=False),
    Column("time", Integer, nullable=False),
    Column("points", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("key", BLOB, nullable=False),
    Column("body", BLOB, nullable=False),
)
_order = Table(
    "taken_order",
    _metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("expires", Integer, nullable=False),
)

_ORDERS = 10_000
"""So many of the last orders are remembered however long they have expired: a clock may be set back."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a stream stands: the next chunk's number, and all points before it."""

    seq: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one sink is with one stream, as the catalogue remembers it. Counts are points; `base` is what the stream
    had already had when the sink came."""

    sink: str
    stream: Stream
    pending: tuple[Range, ...]
    base: int
    delivered: int = 0
    dead_letters: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Content that a sink refused for good, and why: set aside, sealed like everything else."""

    sink: str
    time: int
    points: int
    reason: str
    content: bytes = field(repr=False)


class Catalog:
    """Owned by one thread."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Raises ConfigError when the journal was begun with another key; nothing is changed then."""
        self._engine = sqlite.own(path)
        self._key = key
        self._seal = Seal.fresh()
        try:
            with self._engine.begin() as connection:
                _metadata.create_all(connection)
                _check(connection, key, self._seal)
        except ConfigError:
            self._engine.dispose()
            raise

    def segments(self) -> dict[int, dict[Stream, Mark]]:
        """The closed segments, by number. One that holds nothing is not listed."""
        found: dict[int, dict[Stream, Mark]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(select(_mark)):
                mark = Mark(row.first, row.stop, row.total_first, row.total_stop)
                found.setdefault(row.segment, {})[Stream(row.stream)] = mark
        return found

    def heads(self) -> dict[Stream, Head]:
        """Where each stream stood when the last segment was closed: numbers are never given out twice."""
        with self._engine.connect() as connection:
            return {Stream(row.stream): Head(row.seq, row.total) for row in connection.execute(select(_head))}

    def add_segment(self, number: int, marks: dict[Stream, Mark]) -> None:
        with self._engine.begin() as connection:
            for stream, mark in marks.items():
                span = {"first": mark.first, "stop": mark.stop}
                totals = {"total_first": mark.total_first, "total_stop": mark.total_stop}
                connection.execute(insert(_mark), [{"segment": number, "stream": stream, **span, **totals}])
                connection.execute(delete(_head).where((_head.c.stream == stream) & (_head.c.seq <= mark.stop)))
                ahead = connection.scalar(select(_head.c.seq).where(_head.c.stream == stream))
                if ahead is None:
                    head = {"stream": stream, "seq": mark.stop, "total": mark.total_stop}
                    connection.execute(insert(_head), [head])

    def remove_segment(self, number: int, standings: Iterable[Standing] = ()) -> None:
        """In one transaction with what the sinks lose by it."""
        with self._engine.begin() as connection:
            connection.execute(delete(_mark).where(_mark.c.segment == number))
            for standing in standings:
                _write(connection, standing)

    def standings(self) -> list[Standing]:
        with self._engine.connect() as connection:
            ranges: dict[tuple[str, int], list[Range]] = {}
            for row in connection.execute(select(_pending).order_by(_pending.c.start)):
                ranges.setdefault((row.sink, row.stream), []).append((row.start, row.stop))
            return [
                Standing(
                    row.sink,
                    Stream(row.stream),
                    tuple(ranges.get((row.sink, row.stream), ())),
                    row.base,
                    row.delivered,
                    row.dead_letters,
                    row.dropped,
                )
                for row in connection.execute(select(_delivery))
            ]

    def settle(self, standings: Sequence[Standing], letters: Sequence[DeadLetter] = ()) -> None:
        """On disk when this returns."""
        with self._engine.begin() as connection:
            for standing in standings:
                _write(connection, standing)
            for letter in letters:
                connection.execute(insert(_dead_letter), [self._sealed(letter)])
        sqlite.checkpoint(self._engine)

    def dead_letters(self) -> list[DeadLetter]:
        letters = []
        with self._engine.connect() as connection:
            for row in connection.execute(select(_dead_letter).order_by(_dead_letter.c.id)):
                seal = Seal.unwrap(self._key, row.key)
                content = seal.open(row.body, _place(row.sink, row.time))
                letters.append(DeadLetter(row.sink, row.time, row.points, row.reason, content))
        return letters

    def remember(self, order: str, expires: int, now: int) -> bool:
        """On disk when this returns. False where the order was remembered before. What has expired is forgotten, but
        for the last ones."""
        with self._engine.begin() as connection:
            if connection.scalar(select(_order.c.number).where(_order.c.id == order)) is not None:
                return False
            added = connection.execute(insert(_order).values(id=order, expires=expires)).inserted_primary_key
            assert added is not None
            old = (_order.c.number <= added[0] - _ORDERS) & (_order.c.expires < now)
            connection.execute(delete(_order).where(old))
        return True

    def close(self) -> None:
        sqlite.checkpoint(self._engine, "TRUNCATE")
        self._engine.dispose()

    def _sealed(self, letter: DeadLetter) -> dict[str, object]:
        return {
            "sink": letter.sink,
            "time": letter.time,
            "points": letter.points,
            "reason": letter.reason,
            "key": self._seal.wrap(self._key),
            "body": self._seal.close(letter.content, _place(letter.sink, letter.time)),
        }


def _check(connection: Connection, key: bytes, seal: Seal) -> None:
    """The first key leaves its mark, which only the same key opens."""
    mark = connection.scalar(select(_about.c.value).where(_about.c.name == "key"))
    if mark is None:
        connection.execute(insert(_about), [{"name": "key", "value": seal.wrap(key)}])
        return
    try:
        Seal.unwrap(key, mark)
    except SealBroken:
        raise ConfigError(
            "the key is not the one that this journal was begun with: give the right one, or move the "
            "journal's directory away to begin a new one"
        ) from None


def _place(sink: str, time: int) -> bytes:
    return f"dead letter/{sink}/{time}".encode()


def _write(connection: Connection, standing: Standing) -> None:
    mine = (_pending.c.sink == standing.sink) & (_pending.c.stream == standing.stream)
    connection.execute(delete(_pending).where(mine))
    key = {"sink": standing.sink, "stream": standing.stream}
    if standing.pending:
        rows = [{**key, "start": start, "stop": stop} for start, stop in standing.pending]
        connection.execute(insert(_pending), rows)
    connection.execute(
        delete(_delivery).where((_delivery.c.sink == standing.sink) & (_delivery.c.stream == standing.stream))
    )
    counts = {
        "base": standing.base,
        "delivered": standing.delivered,
        "dead_letters": standing.dead_letters,
        "dropped": standing.dropped,
    }
    connection.execute(insert(_delivery), [{**key, **counts}])
