from __future__ import annotations

import sqlite3

import psycopg
import pytest
from psycopg.errors import lookup

from gateway.errors import ChunkRejected, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.sinks._sqlstate import translate
from gateway.sinks._words import MOST


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", ConnectionLost),  # connection failure
        ("0A000", SinkHeld),  # feature not supported
        ("22003", ChunkRejected),  # numeric value out of range
        ("22P05", ChunkRejected),  # untranslatable character
        ("23505", ChunkRejected),  # unique violation
        ("25006", ConnectionLost),  # read only transaction
        ("28P01", SinkHeld),  # invalid password
        ("3D000", SinkHeld),  # no such database
        ("3F000", SinkHeld),  # no such schema
        ("40001", ConnectionLost),  # serialization failure
        ("40P01", ConnectionLost),  # deadlock
        ("42501", SinkHeld),  # insufficient privilege
        ("42703", SinkHeld),  # no such column
        ("42P01", SinkHeld),  # no such table
        ("42P10", SinkHeld),  # no such unique constraint
        ("53100", ConnectionLost),  # disk full
        ("53300", ConnectionLost),  # too many connections
        ("54000", ChunkRejected),  # program limit exceeded
        ("55P03", ConnectionLost),  # lock not available
        ("57014", ServerFailed),  # query cancelled
        ("57P01", ConnectionLost),  # admin shutdown
        ("57P03", ConnectionLost),  # cannot connect now
        ("58030", ConnectionLost),  # I/O error
        ("P0001", ChunkRejected),  # raise exception
        ("XX000", ServerFailed),  # internal error
    ],
)
def test_a_state_of_postgresql(state: str, kind: type[GatewayError]) -> None:
    made = translate(lookup(state)("it says why"), makes_tables=False)
    assert type(made) is kind
    assert str(made) == f"{state}: it says why"


def test_a_partition_that_is_missing_is_for_somebody_to_make() -> None:
    assert type(translate(lookup("23514")("no partition of relation found for row"), makes_tables=True)) is SinkHeld


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ('FATAL:  password authentication failed for user "plant"', SinkHeld),
        ('FATAL:  database "plant" does not exist', SinkHeld),
        ('FATAL:  role "plant" does not exist', SinkHeld),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', SinkHeld),
        ("fe_sendauth: no password supplied", SinkHeld),
        ("SSL error: certificate verify failed", SinkHeld),
        ("server does not support SSL, but SSL was required", SinkHeld),
        ("connection refused", ConnectionLost),
        ("FATAL:  the database system is starting up", ConnectionLost),
        ("FATAL:  sorry, too many clients already", ConnectionLost),
        ("server closed the connection unexpectedly", ConnectionLost),
        ("timeout expired", ConnectionLost),
    ],
)
def test_a_connection_that_never_stood_is_told_by_its_words(words: str, kind: type[GatewayError]) -> None:
    assert type(translate(psycopg.OperationalError(words), makes_tables=True)) is kind


def sqlite_error(code: int, words: str = "it says why") -> sqlite3.Error:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, ConnectionLost),
        (sqlite3.SQLITE_CANTOPEN, ConnectionLost),
        (sqlite3.SQLITE_FULL, ConnectionLost),
        (sqlite3.SQLITE_IOERR_WRITE, ConnectionLost),
        (sqlite3.SQLITE_READONLY, ConnectionLost),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, ChunkRejected),
        (sqlite3.SQLITE_CORRUPT, SinkHeld),
        (sqlite3.SQLITE_ERROR, SinkHeld),
        (sqlite3.SQLITE_NOTADB, SinkHeld),
        (sqlite3.SQLITE_TOOBIG, ChunkRejected),
    ],
)
def test_a_result_of_sqlite(code: int, kind: type[GatewayError]) -> None:
    assert type(translate(sqlite_error(code), makes_tables=True)) is kind


@pytest.mark.parametrize(
    "error", [sqlite_error(sqlite3.SQLITE_ERROR, "no such table: telemetry"), lookup("42P01")("relation is not there")]
)
def test_a_table_that_is_gone_is_made_again_by_who_makes_tables(error: Exception) -> None:
    assert type(translate(error, makes_tables=True)) is ConnectionLost
    assert type(translate(error, makes_tables=False)) is SinkHeld


def test_values_that_the_database_quotes_are_not_repeated() -> None:
    error = lookup("23502")("null value in column\nDETAIL:  Failing row contains (4711)")
    assert "4711" not in str(translate(error, makes_tables=True))


def test_words_fit_a_line_of_a_log() -> None:
    told = str(translate(psycopg.OperationalError("a\x1b\n" * 1000), makes_tables=True))
    assert told.isprintable()
    assert len(told) <= MOST
