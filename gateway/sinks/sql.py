"""Two tables in PostgreSQL or SQLite, `telemetry` and `events`, through SQLAlchemy.

A write is one statement in one transaction. What comes twice is ignored, because it is the same.
"""

from __future__ import annotations

import asyncio
import ipaddress
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator
from sqlalchemy import Connection, Engine, Table, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gateway import contracts, fields
from gateway.contracts import Ability, Repeats
from gateway.errors import ConnectionLost, SinkHeld
from gateway.fields import Duration, Secret, parse_duration
from gateway.model import AnyEvent, Rows
from gateway.sinks._columns import Columns, event_columns, plain, telemetry_columns
from gateway.sinks._sqlstate import translate
from gateway.sinks._tables import Database, Tables

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$", max_length=48)]
SslMode: TypeAlias = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]

_SQLITE = "sqlite:///"
_INT64_MAX = 2**63 - 1
_ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
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
    sslmode: SslMode | None = Field(
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
        _require_driver()
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
    def tls_mode(self) -> SslMode:
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
        self._engine = _ENGINES[settings.database](settings)
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sql")

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._run(lambda: self._insert(self._tables.telemetry, telemetry_columns(rows, self._largest)))

    async def report(self, events: Sequence[AnyEvent]) -> None:
        await self._run(lambda: self._insert(self._tables.events, event_columns(events)))

    async def close(self) -> None:
        """At once: a statement that hangs is not waited for. Its connection closes when it is through."""
        self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], None]) -> None:
        """On the sink's thread. Where it hangs, in a name look-up say, the next call waits, no longer."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise ConnectionLost(f"{self._settings.url} gave no answer within {self._timeout_s:g} s") from None

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
            connection.invalidate()  # closed without a word to a server that may be gone
            connection.close()


def _postgresql(settings: Settings) -> Engine:
    psycopg = _require_driver()
    parts = urlsplit(settings.url)
    patience_s = settings.timeout / 1e9 * _PATIENCE
    options = {
        "host": parts.hostname,
        "port": parts.port,
        "user": unquote(parts.username or ""),
        "dbname": unquote(parts.path.strip("/")),
        "sslmode": settings.tls_mode,
        "sslrootcert": _roots(settings),
        "gssencmode": "disable",
        "client_encoding": "utf8",
        "application_name": "edgeward",
        "connect_timeout": max(2, round(patience_s)),
        "tcp_user_timeout": round(patience_s * 1000),
        "keepalives_idle": max(1, round(patience_s / 2)),
        "keepalives_interval": max(1, round(patience_s / 8)),
        "keepalives_count": 4,
        # A prepared statement belongs to one connection, and a pooler such as PgBouncer changes it under us.
        "prepare_threshold": None,
    }

    def connect() -> object:
        return psycopg.connect(password=_reveal(settings.password), **options)

    return _engine("postgresql+psycopg://", connect)


def _sqlite(settings: Settings) -> Engine:
    path = Path(settings.url.removeprefix(_SQLITE)).absolute()
    mode = "rwc" if settings.create else "rw"

    def connect() -> sqlite3.Connection:
        if settings.create:
            _make(path.parent)
        patience_s = settings.timeout / 1e9 * _PATIENCE
        connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", timeout=patience_s, uri=True)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    return _engine("sqlite://", connect)


def _engine(dialect: str, connect: Callable[[], object]) -> Engine:
    return create_engine(dialect, creator=connect, poolclass=NullPool, hide_parameters=True)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConnectionLost(f"{directory} cannot be made: {error}") from error


def _reveal(secret: Secret | None) -> str | None:
    """Raises `SinkHeld`, in whose words the secret never stands."""
    try:
        return None if secret is None else secret.reveal()
    except LookupError as error:
        raise SinkHeld(str(error)) from None


def _roots(settings: Settings) -> str | None:
    """The certificates to trust. The OpenSSL that comes with psycopg does not know where this system keeps its own."""
    if settings.ca_file is not None:
        return str(settings.ca_file)
    if not settings.tls_mode.startswith("verify-"):
        return None
    return next((path for path in _ROOTS if Path(path).exists()), "system")


def _require_driver() -> ModuleType:
    """psycopg. Raises ValueError where it is missing."""
    try:
        return import_module("psycopg")
    except ImportError as error:
        raise ValueError(
            f"PostgreSQL needs the extra postgresql, which is missing: pip install 'edgeward[postgresql]' ({error})"
        ) from error


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


_ENGINES: dict[Database, Callable[[Settings], Engine]] = {"postgresql": _postgresql, "sqlite": _sqlite}
