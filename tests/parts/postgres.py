"""PostgreSQL of Debian: a cluster of its own on a free port, run as the user postgres, since it refuses to be root."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.parts.process import Part, find, free_port

OWNER = "plant"
PASSWORD = "a secret/with%odd:signs@"

# The machine itself does not fail here: what a killed server has written, the kernel still has.
_CONFIG = """\
fsync = off
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
"""


class Postgres(Part):
    """A server on the cluster in `directory`, where the superuser is `OWNER` with `PASSWORD`. May be made again on the
    same directory and port when it has ended."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory
        port = port or free_port()
        command = _command("postgres", "-D", str(directory / "data"), "-p", str(port))
        super().__init__(command, port, directory / "server.log")
        self.wait(self.answers, 30)

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return self.query("select 1") == [(1,)]
        return False

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # SIGTERM would wait until the last client has gone
        super().stop()

    @property
    def secret(self) -> Path:
        """The file that holds the password."""
        return self.directory / "password"

    def url(self, database: str = "postgres", user: str = OWNER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user=OWNER, password=PASSWORD, connect_timeout=5,
            autocommit=True,
        )  # fmt: skip

    def query(self, text: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            cursor = connection.execute(text.encode())
            return [] if cursor.description is None else cursor.fetchall()

    def create(self, database: str) -> str:
        """An empty database of that name, and the name again."""
        self.query(f'drop database if exists "{database}" with (force)')
        self.query(f'create database "{database}"')
        return database


@contextlib.contextmanager
def cluster(config: str = "") -> Iterator[Path]:
    """A directory with a fresh cluster, which `config` is added to the configuration of; gone afterwards. Not among the
    test's own, which the user postgres cannot enter."""
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        _own(directory)
        password = directory / "password"
        password.write_text(PASSWORD)
        _own(password)
        options = ["--username", OWNER, "--pwfile", str(password), "--auth=scram-sha-256", "--encoding=UTF8"]
        command = _command("initdb", "-D", str(directory / "data"), *options, "--locale=C", "--no-sync")
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        with (directory / "data" / "postgresql.conf").open("a") as file:
            file.write(_CONFIG + config)
        yield directory
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def postgres(config: str = "") -> Iterator[Postgres]:
    with cluster(config) as directory:
        part = Postgres(directory)
        try:
            yield part
        finally:
            part.stop()


def _own(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")


def _command(program: str, *options: str) -> list[str]:
    """Debian keeps the server's programs out of the PATH, in a folder for each version."""
    newest = max(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), default=None)
    path = find(program, "postgresql") if newest is None else str(newest)
    drop = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return [*drop, path, *options]
