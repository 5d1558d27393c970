"""Databases for the tests of the SQL sink: what a sink writes to, and a way to look and to meddle."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from gateway.sinks.sql import Settings, Sink
from tests.parts.postgres import Postgres

Row = tuple[Any, ...]


class Place(ABC):
    """A database, and the settings of a sink that writes to it."""

    settings: dict[str, object]

    @abstractmethod
    def query(self, text: str) -> list[Row]: ...

    @abstractmethod
    def tables(self) -> set[str]: ...

    @abstractmethod
    def limit(self) -> None:
        """From now on the table, empty again, takes only values below 100."""

    @abstractmethod
    def held(self) -> AbstractContextManager[None]:
        """Meanwhile nobody else can write to the table."""

    def sink(self, **settings: object) -> Sink:
        return Sink(Settings.model_validate({"sink": "sql", **self.settings, **settings}), "plant-1", "line-a")

    @asynccontextmanager
    async def open(self, **settings: object) -> AsyncIterator[Sink]:
        sink = self.sink(**settings)
        yield sink
        await sink.close()

    def count(self, table: str = "telemetry") -> int:
        return int(self.query(f"select count(*) from {table}")[0][0])


class SqlitePlace(Place):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = {"url": f"sqlite:///{path}"}

    def query(self, text: str) -> list[Row]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(text).fetchall()

    def tables(self) -> set[str]:
        return {name for (name,) in self.query("select name from sqlite_master where type = 'table'")}

    def limit(self) -> None:
        ((made,),) = self.query("select sql from sqlite_master where name = 'telemetry'")
        self.query("drop table telemetry")
        self.query(made.replace("value DOUBLE", "value DOUBLE CHECK (value < 100)"))

    @contextmanager
    def held(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("begin immediate")
            yield


class PostgresPlace(Place):
    def __init__(self, server: Postgres, database: str) -> None:
        self.server = server
        self.database = database
        self.settings = {"url": server.url(self.database), "password": {"file": server.secret}}

    def query(self, text: str) -> list[Row]:
        return self.server.query(text, self.database)

    def tables(self) -> set[str]:
        return {name for (name,) in self.query("select tablename from pg_tables where schemaname = 'public'")}

    def limit(self) -> None:
        self.query("delete from telemetry")
        self.query("alter table telemetry add check (value < 100)")

    @contextmanager
    def held(self) -> Iterator[None]:
        with self.server.connect(self.database) as connection, connection.transaction():
            connection.execute("lock table telemetry")
            yield


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Another process tells nobody when it is there."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
