"""The small file that says which segments there are, what each sink still has to get of them, and what was lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import DatabaseError

from gateway.errors import ConfigError, GatewayError
from gateway.journal import sqlite, tables
from gateway.journal.books import DeadLetter, FieldType, Head, Loss, Standing
from gateway.journal.chunk import Stream
from gateway.journal.dating import Offset
from gateway.journal.keys import KeyRing, SealBroken
from gateway.journal.ranges import Range
from gateway.journal.seal import Seal
from gateway.journal.segment import Mark
from gateway.model import ValueType

_SUM, _REBUILT, _KEY, _AGE = "sum", "rebuilt", "key", "age"
"""What the catalogue says about itself: its checksum; that nobody knows how the sinks stand; a data key, wrapped, as
the mark of the current key; for how long the gateway has run."""

_MOST_LOSSES = 10_000
"""Rows of the ledger that are kept; the oldest go, once they are told."""
_ORDERS = 10_000
"""So many of the last orders are remembered however long they have expired: a clock may be set back."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the journal has come: for how long the gateway has run in all, and where the streams stand."""

    age: int
    heads: Mapping[Stream, Head]


@dataclass(frozen=True, slots=True)
class Entry:
    """A closed segment. `age` is how long the gateway had run, in all, when it was closed."""

    stream: Stream
    mark: Mark
    age: int = 0


class _Body(msgspec.Struct, array_like=True):
    """A refusal may quote the value that it refuses, so the reason is sealed with it."""

    reason: str
    content: bytes


class CatalogBroken(GatewayError):
    """What the catalogue says is not what was written. Set it aside: the segments tell what there is."""


class Catalog:
    """Owned by one thread. Its pages bear no checksums, so that it bears one itself over all that decides what is sent:
    a range that has changed on the disk would otherwise lose values, and nobody would know."""

    def __init__(self, path: Path, keys: KeyRing, is_rebuilt: bool = False) -> None:
        """`is_rebuilt` is remembered until it is known again how the sinks stand, whoever opens it in between.

        Raises ConfigError when the journal was begun with another key, or by a newer Edgeward; nothing is changed then.
        Raises CatalogBroken, `sqlalchemy.exc.DatabaseError` when what is there is damaged.
        """
        self._engine = sqlite.own(path)
        self._keys = keys
        self._seal = Seal.fresh()
        self._key_id = 0
        self._opened: dict[int, Seal] = {}
        try:
            with self._change() as connection:
                tables.metadata.create_all(connection)
                _verify(connection)
                _check(connection, keys, self._seal)
                if is_rebuilt:
                    _put(connection, _REBUILT, b"")
                rebuilt = connection.scalar(select(tables.about.c.name).where(tables.about.c.name == _REBUILT))
                self.is_rebuilt = rebuilt is not None
        except (GatewayError, DatabaseError):
            self._engine.dispose()  # or else what is put in its place would lose its log to this one
            raise

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection
            _put(connection, _SUM, _sum(connection))

    # Segments

    def segments(self) -> dict[int, Entry]:
        """The closed segments, by number. One that holds nothing is not listed."""
        with self._engine.connect() as connection:
            return {
                row.number: _entry(row)
                for row in connection.execute(select(tables.segment).order_by(tables.segment.c.number))
            }

    def heads(self) -> dict[Stream, Head]:
        """Where each stream stood when the last segment was closed: numbers are never given out twice."""
        with self._engine.connect() as connection:
            return {Stream(row.stream): Head(row.seq, row.total) for row in connection.execute(select(tables.head))}

    def add_segment(self, number: int, entry: Entry) -> None:
        mark = entry.mark
        row = {"number": number, "stream": entry.stream, "age": entry.age} | asdict(mark)
        with self._change() as connection:
            connection.execute(insert(tables.segment), [row])
            connection.execute(
                delete(tables.head).where((tables.head.c.stream == entry.stream) & (tables.head.c.seq <= mark.stop))
            )
            if connection.scalar(select(tables.head.c.seq).where(tables.head.c.stream == entry.stream)) is None:
                head = {"stream": entry.stream, "seq": mark.stop, "total": mark.total_stop}
                connection.execute(insert(tables.head), [head])

    def remove_segment(self, number: int, standings: Iterable[Standing] = (), losses: Iterable[Loss] = ()) -> None:
        """In one transaction with what the sinks lose by it."""
        with self._change() as connection:
            connection.execute(delete(tables.segment).where(tables.segment.c.number == number))
            _write(connection, list(standings))
            _enter(connection, losses)

    # Deliveries

    def standings(self) -> list[Standing]:
        with self._engine.connect() as connection:
            ranges: dict[tuple[str, int], list[Range]] = {}
            for row in connection.execute(select(tables.pending).order_by(tables.pending.c.start)):
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
                for row in connection.execute(select(tables.delivery))
            ]

    def settle(
        self,
        standings: Sequence[Standing],
        letters: Sequence[DeadLetter] = (),
        losses: Sequence[Loss] = (),
        gone: Sequence[int] = (),
        reach: Reach | None = None,
    ) -> None:
        """On disk when this returns: how the sinks stand, dead letters that are new or have another reason now and (by
        id) those that are gone, losses, and how far the journal has come: should a file decay that a crash left open,
        it is known what it had, and no number is given out again."""
        if letters and not self._key_id:
            self._key_id = self._add_key()
        with self._change() as connection:
            _write(connection, list(standings))
            if standings and self.is_rebuilt:
                connection.execute(delete(tables.about).where(tables.about.c.name == _REBUILT))
                self.is_rebuilt = False
            if letters:
                rows = [self._sealed(letter) for letter in letters]
                connection.execute(insert(tables.dead_letter).prefix_with("OR REPLACE"), rows)
            for id_ in gone:
                connection.execute(delete(tables.dead_letter).where(tables.dead_letter.c.id == id_))
            _enter(connection, losses)
            if reach is not None:
                _put(connection, _AGE, str(reach.age).encode())
                connection.execute(delete(tables.head))
                rows = [{"stream": stream, **asdict(head)} for stream, head in reach.heads.items()]
                connection.execute(insert(tables.head), rows)
        sqlite.checkpoint(self._engine)

    # What is remembered beside

    def age(self) -> int:
        """How long the gateway has run in all, in nanoseconds, as far as it was written down."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(tables.about.c.value).where(tables.about.c.name == _AGE)) or b"0")

    def offsets(self) -> list[Offset]:
        with self._engine.connect() as connection:
            return _offsets(connection)

    def add_offset(self, offset: Offset) -> None:
        """For good; to add it twice changes nothing."""
        with self._change() as connection:
            connection.execute(insert(tables.offset).prefix_with("OR IGNORE"), [asdict(offset)])

    def field_types(self, sink: str) -> list[FieldType]:
        with self._engine.connect() as connection:
            rows = connection.execute(select(tables.field).where(tables.field.c.sink == sink))
            return [FieldType(row.device, row.tag_group, row.tag, ValueType(row.type)) for row in rows]

    def note_types(self, sink: str, new: Sequence[FieldType]) -> None:
        """On disk when this returns. A field that has a type keeps it."""
        rows = [
            {"sink": sink, "tag_group": field.group, "tag": field.tag, "device": field.device, "type": field.type.value}
            for field in new
        ]
        with self._engine.begin() as connection:
            connection.execute(insert(tables.field).prefix_with("OR IGNORE"), rows)

    def remember(self, order: str, expires: int, now: int) -> bool:
        """On disk when this returns. False where the order was remembered before. What has expired is forgotten, but
        for the last ones."""
        with self._engine.begin() as connection:
            if connection.scalar(select(tables.order.c.number).where(tables.order.c.id == order)) is not None:
                return False
            added = connection.execute(insert(tables.order).values(id=order, expires=expires)).inserted_primary_key
            assert added is not None
            old = (tables.order.c.number <= added[0] - _ORDERS) & (tables.order.c.expires < now)
            connection.execute(delete(tables.order).where(old))
        return True

    # What is made of the events

    def checkpoint(self) -> tuple[int, bytes] | None:
        """What was made of all events before chunk `seq`, with that. Raises SealBroken."""
        with self._engine.connect() as connection:
            row = connection.execute(select(tables.checkpoint)).first()
            if row is None:
                return None
            return row.seq, self._unsealed(connection, row.key).open(row.body, _checkpoint_place(row.seq))

    def note_checkpoint(self, seq: int, content: bytes) -> None:
        """On disk when this returns, in the place of the one before."""
        self._key_id = self._key_id or self._add_key()
        body = self._seal.close(content, _checkpoint_place(seq))
        with self._engine.begin() as connection:
            connection.execute(delete(tables.checkpoint))
            connection.execute(insert(tables.checkpoint), [{"id": 1, "seq": seq, "key": self._key_id, "body": body}])

    # The drop ledger, and the dead letters

    def losses(self, untold: bool = False) -> list[tuple[int, Loss]]:
        """The drop ledger with its ids, oldest first; `untold`: only what was not told yet."""
        wanted = select(tables.loss).order_by(tables.loss.c.id)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted.where(tables.loss.c.told == 0) if untold else wanted)
            return [(row.id, _loss_of(row)) for row in rows]

    def latest_losses(self, most: int) -> list[Loss]:
        """The end of the drop ledger, the newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(tables.loss).order_by(tables.loss.c.id.desc()).limit(most))
            return [_loss_of(row) for row in rows]

    def mark_told(self, ids: Sequence[int]) -> None:
        with self._change() as connection:
            connection.execute(update(tables.loss).where(tables.loss.c.id.in_(ids)).values(told=1))

    def dead_letters(self, after: int = 0, most: int = -1) -> list[DeadLetter]:
        """By their ids, from the first above `after` on; not more than `most`, if that is not negative."""
        wanted = (
            select(tables.dead_letter)
            .where(tables.dead_letter.c.id > after)
            .order_by(tables.dead_letter.c.id)
            .limit(most)
        )
        with self._engine.connect() as connection:
            return [self._letter(connection, row) for row in connection.execute(wanted)]

    def letter_counts(self) -> dict[str, int]:
        """How many letters each sink has."""
        wanted = select(tables.dead_letter.c.sink, func.count()).group_by(tables.dead_letter.c.sink)
        with self._engine.connect() as connection:
            return {sink: number for sink, number in connection.execute(wanted)}

    def _letter(self, connection: Connection, row: Row[tuple[object, ...]]) -> DeadLetter:
        stream = Stream(row.stream)
        try:
            opened = self._unsealed(connection, row.key).open(row.body, _place(row.sink, stream, row.time))
            body = msgspec.msgpack.decode(opened, type=_Body)
        except (SealBroken, msgspec.MsgspecError) as error:
            body = _Body(f"the letter cannot be read: {error}", b"")
        return DeadLetter(row.sink, row.time, row.points, body.reason, body.content, stream, row.id)

    def _add_key(self) -> int:
        """This start's data key for dead letters."""
        with self._change() as connection:
            connection.execute(insert(tables.key), [{"wrapped": self._seal.wrap(self._keys)}])
            return int(connection.scalar(select(func.max(tables.key.c.id))) or 0)

    def _sealed(self, letter: DeadLetter) -> dict[str, object]:
        body = msgspec.msgpack.encode(_Body(letter.reason, letter.content))
        return {
            "id": letter.id or None,
            "sink": letter.sink,
            "stream": letter.stream,
            "time": letter.time,
            "points": letter.points,
            "key": self._key_id,
            "body": self._seal.close(body, _place(letter.sink, letter.stream, letter.time)),
        }

    def _unsealed(self, connection: Connection, key: int) -> Seal:
        """Raises SealBroken."""
        if key not in self._opened:
            wrapped = connection.scalar(select(tables.key.c.wrapped).where(tables.key.c.id == key))
            self._opened[key] = Seal.unwrap(self._keys, wrapped or b"")
        return self._opened[key]

    # Keys

    def rewrap(self, keys: KeyRing) -> None:
        """All data keys that stand here, wrapped with the current key of `keys`, in one transaction."""
        with self._change() as connection:
            for row in connection.execute(select(tables.key)).all():
                wrapped = keys.wrap(keys.unwrap(row.wrapped))
                connection.execute(update(tables.key).where(tables.key.c.id == row.id).values(wrapped=wrapped))
            _put(connection, _KEY, self._seal.wrap(keys))
        self._keys = keys

    def is_settled(self, keys: KeyRing) -> bool:
        """Everything is wrapped with the current key of `keys`."""
        with self._engine.connect() as connection:
            mark = connection.scalar(select(tables.about.c.value).where(tables.about.c.name == _KEY))
        return keys.is_current(mark or b"")

    def close(self) -> None:
        sqlite.checkpoint(self._engine, "TRUNCATE")
        self._engine.dispose()


def _verify(connection: Connection) -> None:
    """Raises CatalogBroken."""
    found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
    if found != "ok":
        raise CatalogBroken(f"it is damaged: {found}")
    written = connection.scalar(select(tables.about.c.value).where(tables.about.c.name == _SUM))
    if written not in (None, _sum(connection)):
        raise CatalogBroken("it has changed since it was written")


def _sum(connection: Connection) -> bytes:
    """SHA-256 over all rows of the tables that matter, in the order of their keys."""
    total = hashlib.sha256()
    for table in (
        tables.segment,
        tables.head,
        tables.delivery,
        tables.pending,
        tables.key,
        tables.offset,
        tables.about,
    ):
        wanted = select(table).order_by(*table.primary_key)
        for row in connection.execute(
            wanted if table is not tables.about else wanted.where(tables.about.c.name != _SUM)
        ):
            total.update(msgspec.msgpack.encode(tuple(row)))
    return total.digest()


def offsets_of(path: Path) -> list[Offset]:
    """What a catalogue that no key opens any more says of the clocks; nothing where it cannot be read."""
    engine = sqlite.own(path)
    try:
        with engine.connect() as connection:
            return _offsets(connection)
    except DatabaseError:
        return []
    finally:
        engine.dispose()


def _offsets(connection: Connection) -> list[Offset]:
    rows = connection.execute(select(tables.offset).order_by(tables.offset.c.boot, tables.offset.c.since))
    return [Offset(row.boot, row.since, row.nanoseconds, bool(row.estimated)) for row in rows]


def _check(connection: Connection, keys: KeyRing, seal: Seal) -> None:
    """The first key leaves its mark, which only the same key opens."""
    mark = connection.scalar(select(tables.about.c.value).where(tables.about.c.name == _KEY))
    if mark is None:
        _put(connection, _KEY, seal.wrap(keys))
        return
    try:
        keys.unwrap(mark)
    except SealBroken:
        raise ConfigError(
            "the key is not the one that this journal was begun with: give the right one, or move the "
            "journal's directory away to begin a new one"
        ) from None


def _put(connection: Connection, name: str, value: bytes) -> None:
    connection.execute(delete(tables.about).where(tables.about.c.name == name))
    connection.execute(insert(tables.about), [{"name": name, "value": value}])


def _place(sink: str, stream: Stream, time: int) -> bytes:
    return f"dead letter/{sink}/{stream}/{time}".encode()


def _checkpoint_place(seq: int) -> bytes:
    return f"checkpoint/{seq}".encode()


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    mark = Mark(
        first=row.first,
        stop=row.stop,
        total_first=row.total_first,
        total_stop=row.total_stop,
        since=row.since,
        until=row.until,
        monotonic=row.monotonic,
        boot=row.boot,
        doubtful=bool(row.doubtful),
        sizes=row.sizes,
    )
    return Entry(Stream(row.stream), mark, row.age)


def _loss_of(row: Row[tuple[object, ...]]) -> Loss:
    return Loss(
        time=row.time,
        sink=row.sink,
        stream=Stream(row.stream),
        first=row.first,
        stop=row.stop,
        points=row.points,
        since=row.since,
        until=row.until,
        reason=row.reason,
    )


def _enter(connection: Connection, losses: Iterable[Loss]) -> None:
    """Into the ledger."""
    rows = [asdict(loss) for loss in losses]
    if not rows:
        return
    connection.execute(insert(tables.loss), rows)
    newest = connection.scalar(select(func.max(tables.loss.c.id))) or 0
    connection.execute(
        delete(tables.loss).where((tables.loss.c.id <= newest - _MOST_LOSSES) & (tables.loss.c.told == 1))
    )


def _write(connection: Connection, standings: Sequence[Standing]) -> None:
    """In place of what was written of the same sinks and streams."""
    if not standings:
        return
    places = [{"of": standing.sink, "in": standing.stream} for standing in standings]
    for table in (tables.pending, tables.delivery):
        mine = (table.c.sink == bindparam("of")) & (table.c.stream == bindparam("in"))
        connection.execute(delete(table).where(mine), places)
    rows = [
        {"sink": standing.sink, "stream": standing.stream, "start": start, "stop": stop}
        for standing in standings
        for start, stop in standing.pending
    ]
    if rows:
        connection.execute(insert(tables.pending), rows)
    connection.execute(insert(tables.delivery), [_counts(standing) for standing in standings])


def _counts(standing: Standing) -> dict[str, object]:
    return {
        "sink": standing.sink,
        "stream": standing.stream,
        "base": standing.base,
        "delivered": standing.delivered,
        "dead_letters": standing.dead_letters,
        "dropped": standing.dropped,
    }
