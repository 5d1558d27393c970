"""Two tables in PostgreSQL or SQLite, `telemetry` and `events`, through SQLAlchemy.

A write is one statement in one transaction. What comes twice is ignored, because it is the same.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator
from sqlalchemy import Connection, Table, create_engine, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gateway import contracts, fields
from gateway.contracts import Ability, Repeats
from gateway.errors import ConnectionLost
from gateway.fields import Duration, Secret, parse_duration
from gateway.model import AnyEvent, Rows
from gateway.sinks._columns import Columns, event_columns, plain, telemetry_columns
from gateway.sinks._dial import TlsMode, dial_postgresql, dial_sqlite, require_driver
from gateway.sinks._sqlstate import translate
from gateway.sinks._tables import Database, Tables

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$", max_length=48)]

_SQLITE = "sqlite:///"
_INT64_MAX = 2**63 - 1
_DIALECTS: dict[Database, str] = {"postgresql": "postgresql+psycopg://", "sqlite": "sqlite://"}
_TERMS = text(
    "SELECT set_config('statement_timeout', :limit, true),"
    " CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END"
)
"""Of one transaction. A commit that is not on the server's disk would be called delivered, and lost with the server.
Not set when connecting, because a pooler such as PgBouncer refuses that, or gives it to others."""
_PATIENCE = 0.8
"""How much of `timeout` one statement may take: the database gives up before we do, and says why."""


class Settings(fields.SinkSettings):
    """Where the tables are, and as whom."""

    sink: Literal["sql"]
    url: str = Field(description="postgresql://user@host:5432/database, or sqlite:////the/file for a file")
    password: Secret | None = Field(default=None, description="PostgreSQL: the user's password")
    sslmode: TlsMode | None = Field(
        default=None,
        description="PostgreSQL: verify-full unless set, or prefer where the server is on this machine; "
        "require encrypts and does not look whom it speaks to",
    )
    ca_file: Path | None = Field(default=None, description="certificates to trust instead of the system's, PEM")
    schema_name: Name | None = Field(
        default=None, alias="schema", description="PostgreSQL: the schema of the tables; the user's first unless set"
    )
    telemetry_table: Name = Field(default="telemetry", description="the table of values")
    events_table: Name = Field(default="events", description="the table of events")
    create: bool = Field(default=True, description="make the tables, and the schema, where they are missing")
    timeout: Duration = Field(default=parse_duration("20s"), gt=0, description="how long one write may take in all")

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if url.startswith("sqlite:"):
            return _file_url(url)
        parts = urlsplit(url)
        if "@" in parts.netloc and parts.password is not None:
            raise ValueError("a secret does not stand in the configuration: give the password by itself, by reference")
        if parts.scheme != "postgresql" or not parts.username or not parts.path.strip("/"):
            raise ValueError("write postgresql://user@host/database, or sqlite:////the/file")
        _ = parts.port  # raises ValueError where it is none
        if parts.query or parts.fragment:
            raise ValueError("the URL ends before ? and #: what libpq takes there is a setting of its own, or left out")
        require_driver()
        return url

    @model_validator(mode="after")
    def _fits_database(self) -> Settings:
        foreign = {
            "password": self.password,
            "sslmode": self.sslmode,
            "ca_file": self.ca_file,
            "schema": self.schema_name,
        }
        if self.database == "sqlite" and (surplus := [name for name, value in foreign.items() if value is not None]):
            raise ValueError(f"SQLite has no {' and no '.join(surplus)}")
        if self.ca_file is not None and not self.tls_mode.startswith("verify-"):
            raise ValueError(f"sslmode {self.tls_mode} checks no certificate: leave ca_file out, or set verify-full")
        if self.telemetry_table == self.events_table:
            raise ValueError("values and events have different columns: name two tables")
        return self

    @property
    def database(self) -> Database:
        return "sqlite" if self.url.startswith(_SQLITE) else "postgresql"

    @property
    def tls_mode(self) -> TlsMode:
        return self.sslmode or ("prefer" if _is_local(urlsplit(self.url).hostname) else "verify-full")


class Sink(contracts.Sink):
    """One connection, made by the first write and again after any error. All database calls are on one thread."""

    ability = Ability(precision=1, repeats=Repeats.IGNORED, typed=False)

    def __init__(self, settings: Settings, site: str, cell: str) -> None:
        self._settings = settings
        self._timeout_s = settings.timeout / 1e9
        names = (settings.telemetry_table, settings.events_table)
        place = {"site": str(plain(site)), "cell": str(plain(cell))}
        self._tables = Tables(settings.database, settings.schema_name, names, place)
        self._largest = _INT64_MAX if settings.database == "sqlite" else None
        dialect = _DIALECTS[settings.database]
        self._engine = create_engine(dialect, creator=self._dial, poolclass=NullPool, hide_parameters=True)
        self._connection: Connection | None = None
        self._wire: socket.socket | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sql")
        self._job: Future[None] | None = None

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._run(lambda: self._insert(self._tables.telemetry, telemetry_columns(rows, self._largest)))

    async def report(self, events: Sequence[AnyEvent]) -> None:
        await self._run(lambda: self._insert(self._tables.events, event_columns(events)))

    async def close(self) -> None:
        """At once: a statement that hangs is not waited for."""
        if self._job is not None and not self._job.done():
            self._cut()
        self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], None]) -> None:
        """On the sink's thread. Where it hangs, in a name look-up say, the next call waits, no longer."""
        self._job = self._thread.submit(work)
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.wrap_future(self._job)
        except TimeoutError:
            self._cut()
            raise ConnectionLost(f"{self._settings.url} gave no answer within {self._timeout_s:g} s") from None

    def _cut(self) -> None:
        """Wake the thread from its wait for a server that has stopped: libpq itself would wait for ever."""
        if self._wire is not None:
            with suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)

    def _insert(self, table: Table, columns: Columns) -> None:
        """Raises what `translate` makes of the database's errors. After any error the next call has a new connection,
        and the secret is read anew."""
        if not columns["time_ns"]:
            return
        done = False
        try:
            connection = self._connection or self._connect()
            with self._transaction(connection):
                self._tables.insert(connection, table, columns)
            done = True
        except DBAPIError as error:
            raise translate(error.orig or error, self._settings.create) from error
        finally:
            if not done:
                self._disconnect()

    def _dial(self) -> DBAPIConnection:
        settings, patience_s = self._settings, self._timeout_s * _PATIENCE
        if settings.database == "sqlite":
            file = Path(settings.url.removeprefix(_SQLITE))
            return cast(DBAPIConnection, dial_sqlite(file, settings.create, patience_s))
        made = dial_postgresql(settings.url, settings.password, settings.tls_mode, settings.ca_file, patience_s)
        self._wire = socket.socket(fileno=os.dup(made.fileno()))
        return cast(DBAPIConnection, made)

    def _connect(self) -> Connection:
        connection = self._connection = self._engine.connect()
        if self._settings.create:
            with self._transaction(connection):
                self._tables.create(connection)
        return connection

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        with connection.begin():
            if self._settings.database == "postgresql":
                connection.execute(_TERMS, {"limit": str(round(self._timeout_s * _PATIENCE * 1000))})
            yield

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # closed, without the rollback that a server which is gone would not answer
            connection.close()
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


def _file_url(url: str) -> str:
    path = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not path.strip("/") or path.endswith("/") or path.startswith(":"):
        raise ValueError("write sqlite:// and the absolute path of a file: sqlite:////var/lib/edgeward/plant.db")
    if "?" in path or "#" in path:
        raise ValueError("the URL ends before ? and #")
    return url


def _is_local(host: str | None) -> bool:
    """A socket of this machine, or its loopback."""
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
