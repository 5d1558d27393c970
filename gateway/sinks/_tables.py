"""The two tables in PostgreSQL and in SQLite, and the one statement that fills each.

What identifies a row is its primary key, and `ON CONFLICT DO NOTHING` makes writing it again harmless. Nothing that is
sent ever changes afterwards, so an update would only cost PostgreSQL a dead row for each that comes twice; and it would
refuse a statement that holds the same row twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    Numeric,
    SelectBase,
    Table,
    Text,
    bindparam,
    cast,
    func,
    inspect,
    literal,
    select,
)
from sqlalchemy import column as named
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateSchema
from sqlalchemy.types import TypeEngine

from gateway.sinks._columns import Columns

Database: TypeAlias = Literal["postgresql", "sqlite"]

_LOCK = 0x45444745  # "EDGE": of whoever makes tables, so that two cells that start at once do not trip over each other
_INTEGER: dict[Database, TypeEngine[Any]] = {"postgresql": Numeric(20, 0), "sqlite": Integer()}
_JSON: dict[Database, TypeEngine[Any]] = {"postgresql": postgresql.JSONB(), "sqlite": Text()}
_TIMESTAMP: dict[Database, TypeEngine[Any]] = {"postgresql": postgresql.TIMESTAMP(timezone=True), "sqlite": Text()}
_FROM_NS: dict[Database, str] = {
    "postgresql": "to_timestamp((time_ns / 1000)::double precision / 1000000)",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', time_ns / 1000000000.0, 'unixepoch')",
}


class Tables:
    """`telemetry` and `events`, of one cell."""

    def __init__(
        self, database: Database, schema: str | None, names: tuple[str, str], place: Mapping[str, str]
    ) -> None:
        self._database = database
        self._place = place
        self._metadata = MetaData(schema=schema)
        telemetry, events = names
        self.telemetry = Table(telemetry, self._metadata, *_telemetry(database), sqlite_with_rowid=False)
        self.events = Table(events, self._metadata, *_events(database), sqlite_with_rowid=False)
        if database == "postgresql":
            # Rows arrive in the order of time, so that an index of a few pages finds any hour.
            for table in (self.telemetry, self.events):
                Index(f"{table.name}_time", table.c.time, postgresql_using="brin")
        self._statements = {table: self._insertion(table) for table in (self.telemetry, self.events)}

    def create(self, connection: Connection) -> None:
        """Make what is missing; where nothing is, no right to do so is needed."""
        schema = self._metadata.schema
        if self._is_complete(connection):
            return
        if self._database == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        if schema is not None and not inspect(connection).has_schema(schema):
            connection.execute(CreateSchema(schema))
        self._metadata.create_all(connection)

    def insert(self, connection: Connection, table: Table, columns: Columns) -> None:
        """All rows in one statement."""
        if self._database == "postgresql":
            connection.execute(self._statements[table], columns)
            return
        rows = zip(*columns.values(), strict=True)
        connection.execute(self._statements[table], [dict(zip(columns, row, strict=True)) for row in rows])

    def _is_complete(self, connection: Connection) -> bool:
        look = inspect(connection)
        return all(look.has_table(table.name, table.schema) for table in (self.telemetry, self.events))

    def _insertion(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        key = list(table.primary_key.columns)
        if self._database == "sqlite":
            place = {name: literal(value) for name, value in self._place.items()}
            return sqlite.insert(table).values(place).on_conflict_do_nothing(index_elements=key)
        source = _unnested(table, self._place)
        return (
            postgresql.insert(table)
            .from_select(list(source.selected_columns.keys()), source)
            .on_conflict_do_nothing(index_elements=key)
        )


def _unnested(table: Table, place: Mapping[str, str]) -> SelectBase:
    """Rows out of an array for each column: half the time that a list of rows takes, and unlike COPY into a temporary
    table it needs no right but to insert."""
    columns = [column for column in table.columns if column.computed is None and column.name not in place]
    types = [Text() if column.name == "detail" else column.type for column in columns]  # cast from text below
    arrays = [bindparam(column.name, type_=ARRAY(kind)) for column, kind in zip(columns, types, strict=True)]
    lines = func.unnest(*arrays).table_valued(*[named(c.name, kind) for c, kind in zip(columns, types, strict=True)])
    lines = lines.render_derived()
    fixed = [literal(value, Text()).label(name) for name, value in place.items()]
    cells = [cast(cell, postgresql.JSONB).label("detail") if cell.name == "detail" else cell for cell in lines.c]
    return select(*fixed, *cells)


def _telemetry(database: Database) -> list[Column[Any]]:
    return [
        *_key("site", "cell", "device", "tag_group", "tag"),
        *_times(database),
        Column("gateway_time_ns", BigInteger, nullable=False),
        Column("value", Double),
        Column("value_int", _INTEGER[database]),
        Column("value_bool", Boolean),
        Column("value_text", Text),
        Column("quality", BigInteger, nullable=False),
    ]


def _events(database: Database) -> list[Column[Any]]:
    return [
        *_key("site", "cell", "type", "subject"),
        *_times(database),
        Column("tag", Text),
        Column("state", Text, nullable=False),
        Column("message", Text, nullable=False),
        Column("detail", _JSON[database], nullable=False),
    ]


def _key(*names: str) -> list[Column[Any]]:
    return [Column(name, Text, primary_key=True) for name in names]


def _times(database: Database) -> list[Column[Any]]:
    """The last part of the key; and `time`, to the microsecond, which is for people."""
    identity = Column("time_ns", BigInteger, primary_key=True, autoincrement=False)
    computed = Computed(_FROM_NS[database], persisted=database == "postgresql")  # which has no other before 18
    return [identity, Column("time", _TIMESTAMP[database], computed)]
