"""Connecting to PostgreSQL, and opening a file of SQLite. It fails by the driver's own errors, or ours."""

from __future__ import annotations

import sqlite3
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from gateway.errors import ConnectionLost, SinkHeld
from gateway.fields import Secret

if TYPE_CHECKING:
    import psycopg

TlsMode: TypeAlias = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]

_ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF")


def require_driver() -> None:
    """Raises ValueError where psycopg is missing."""
    try:
        import_module("psycopg")
    except ImportError as error:
        raise ValueError(
            f"PostgreSQL needs the extra postgresql, which is missing: pip install 'edgeward[postgresql]' ({error})"
        ) from error


def dial_postgresql(
    url: str, password: Secret | None, tls: TlsMode, ca_file: Path | None, patience_s: float
) -> psycopg.Connection:
    """`patience_s` bounds connecting, and how long a server that vanishes from the network goes unnoticed."""
    import psycopg

    parts = urlsplit(url)
    return psycopg.connect(
        host=parts.hostname,
        port=parts.port,
        user=unquote(parts.username or ""),
        dbname=unquote(parts.path.strip("/")),
        password=None if password is None else _reveal(password),
        sslmode=tls,
        sslrootcert=_roots(tls, ca_file),
        gssencmode="disable",
        client_encoding="utf8",
        application_name="edgeward",
        connect_timeout=max(2, round(patience_s)),
        tcp_user_timeout=round(patience_s * 1000),
        keepalives_idle=max(1, round(patience_s / 2)),
        keepalives_interval=max(1, round(patience_s / 8)),
        keepalives_count=4,
        # A prepared statement belongs to one connection, and a pooler such as PgBouncer changes it under us.
        prepare_threshold=None,
    )


def dial_sqlite(path: Path, create: bool, patience_s: float) -> sqlite3.Connection:
    """In a mode where others can read meanwhile, and a commit has reached the disk. `patience_s` bounds the wait for
    somebody else who writes."""
    if create:
        _make(path.parent)
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", timeout=patience_s, uri=True)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConnectionLost(f"{directory} cannot be made: {error}") from error


def _reveal(secret: Secret) -> str:
    """Raises `SinkHeld`, in whose words the secret never stands."""
    try:
        return secret.reveal()
    except LookupError as error:
        raise SinkHeld(str(error)) from None


def _roots(tls: TlsMode, ca_file: Path | None) -> str | None:
    """The certificates to trust. The OpenSSL that comes with psycopg does not know where this system keeps its own."""
    if ca_file is not None:
        return str(ca_file)
    if not tls.startswith("verify-"):
        return None
    return next((path for path in _ROOTS if Path(path).exists()), "system")
