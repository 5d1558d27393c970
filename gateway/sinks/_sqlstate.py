"""What an error of a database makes the forwarder do: by SQLSTATE for PostgreSQL, by result code for SQLite.

https://www.postgresql.org/docs/current/errcodes-appendix.html and https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import re
import sqlite3
from typing import TypeAlias

from gateway.errors import ChunkRejected, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.sinks._words import brief

Kind: TypeAlias = type[ConnectionLost] | type[ServerFailed] | type[SinkHeld] | type[ChunkRejected]

_NO_TABLE = "42P01"
_NO_PARTITION = "23514"
_STATES: dict[str, Kind] = {
    "08": ConnectionLost,  # connection exception
    "0A": SinkHeld,  # feature not supported: a view, a foreign table, a server before 12
    "22": ChunkRejected,  # data exception
    "23": ChunkRejected,  # a constraint that we did not make
    "25006": ConnectionLost,  # read only: a standby, on its way to become the primary or not
    "28": SinkHeld,  # invalid authorization
    "3D": SinkHeld,  # no such database
    "3F": SinkHeld,  # no such schema
    "40": ConnectionLost,  # deadlock, serialization: rolled back, and worth another try
    "42": SinkHeld,  # permission denied, and tables that are other than ours
    "53": ConnectionLost,  # disk full, too many connections
    "54": ChunkRejected,  # a key that is longer than an index takes
    "55P03": ConnectionLost,  # somebody holds a lock
    "57014": ServerFailed,  # it took longer than the statement may: perhaps there is too much in it
    "57": ConnectionLost,  # shutting down, starting up
    "58": ConnectionLost,  # disk errors
    "P0001": ChunkRejected,  # a trigger says no
}
_CODES: dict[int, Kind] = {
    sqlite3.SQLITE_AUTH: SinkHeld,
    sqlite3.SQLITE_CONSTRAINT: ChunkRejected,
    sqlite3.SQLITE_CORRUPT: SinkHeld,
    sqlite3.SQLITE_ERROR: SinkHeld,  # no such table, no such column
    sqlite3.SQLITE_MISMATCH: ChunkRejected,
    sqlite3.SQLITE_NOTADB: SinkHeld,
    sqlite3.SQLITE_TOOBIG: ChunkRejected,
}
"""Anything else, a locked file or a full disk, is a file that is away for now."""

# libpq tells no SQLSTATE of a connection that never stood. A server that speaks another language than English is asked
# again more often than need be, no worse.
_TURNED_AWAY = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|permission denied|not permitted"
    r"|certificate|does not support SSL|SSL (connection|is) required|insecure connection",
    re.IGNORECASE,
)


def translate(error: BaseException, makes_tables: bool) -> GatewayError:
    """The error that tells the forwarder what to do next, in the database's own words. Of several lines only the first,
    for the others may quote the values."""
    if isinstance(error, sqlite3.Error):
        kind, words = _judge_sqlite(error), str(error)
        gone = words.startswith("no such table")
    else:
        state = getattr(error, "sqlstate", None)
        kind, words = _judge_postgresql(error, state)
        gone = state == _NO_TABLE
    if gone and makes_tables:
        return ConnectionLost(f"{brief(words)}: it is made again")
    return kind(brief(words))


def _judge_sqlite(error: sqlite3.Error) -> Kind:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR)
    return _CODES.get(code & 0xFF, ConnectionLost)


def _judge_postgresql(error: BaseException, state: str | None) -> tuple[Kind, str]:
    if state is None:
        words = str(error)
        return SinkHeld if _TURNED_AWAY.search(words) else ConnectionLost, words
    words = f"{state}: {str(error).partition(chr(10))[0]}"
    if state == _NO_PARTITION and not error.diag.constraint_name:  # type: ignore[attr-defined]
        return SinkHeld, words
    return _STATES.get(state) or _STATES.get(state[:2], ServerFailed), words
