"""The SQL sink in SQLite and in a real PostgreSQL: exactness, repeats, and what becomes of every kind of failure."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.clock import SECOND
from gateway.contracts import Repeats
from gateway.errors import ChunkRejected, ConnectionLost, ServerFailed, SinkHeld
from gateway.model import AlarmChanged, AlarmState, DataLost, Rows, Value, ValueType
from gateway.sinks.sql import Settings, Sink
from tests.drivers.mqtt.certificates import Authority
from tests.gateway.sinks.samples import START, rows
from tests.parts.postgres import PASSWORD, Postgres, cluster

F64 = ValueType.FLOAT64
ONE = rows({"x": F64}, (1.0,))
HOT = AlarmChanged(START, "hot", "pump-1/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5, "Hot")
KEY = "site, cell, device, tag_group, tag, time_ns"

Row = tuple[Any, ...]


class Place(ABC):
    """A database, the settings of a sink that writes to it, and a way to look and to meddle."""

    settings: dict[str, object]

    @abstractmethod
    def query(self, text: str) -> list[Row]: ...

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


class PostgresPlace(Place):
    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.database = server.create("plant")
        self.settings = {"url": server.url(self.database), "password": {"file": server.secret}}

    def query(self, text: str) -> list[Row]:
        return self.server.query(text, self.database)


@pytest.fixture
def lite(tmp_path: Path) -> SqlitePlace:
    return SqlitePlace(tmp_path / "history" / "plant.db")


@pytest.fixture
def post(postgresql: Postgres) -> PostgresPlace:
    return PostgresPlace(postgresql)


@pytest.fixture(params=["lite", pytest.param("post", marks=pytest.mark.real("postgresql"))])
def place(request: pytest.FixtureRequest) -> Place:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Place)
    return made


@pytest.fixture
async def sink(place: Place) -> AsyncIterator[Sink]:
    async with place.open() as made:
        yield made


real = pytest.mark.real("postgresql")


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Another process tells nobody when it is there."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class TestSettings:
    @staticmethod
    def refusal(**settings: object) -> str:
        with pytest.raises(ValidationError) as caught:
            Settings.model_validate({"sink": "sql", **settings})
        return "; ".join(error["msg"] for error in caught.value.errors())

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "mysql://u@h/d",
            "postgresql://h/d",
            "postgresql://u@h",
            "postgresql://u@h/",
            "sqlite://",
            "sqlite:plant.db",
        ]
        + ["sqlite:///", "sqlite:///folder/", "sqlite:///:memory:"],
    )
    def test_a_url_that_is_none_is_refused(self, url: str) -> None:
        assert "write " in self.refusal(url=url)

    @pytest.mark.parametrize(
        "url", ["postgresql://u@h/d?sslmode=disable", "postgresql://u@h/d#x", "sqlite:////f?mode=ro"]
    )
    def test_a_url_ends_before_its_options(self, url: str) -> None:
        assert "the URL ends before ? and #" in self.refusal(url=url)

    def test_a_port_that_is_none_is_refused(self) -> None:
        assert "Port out of range" in self.refusal(url="postgresql://u@h:99999/d")

    def test_a_password_does_not_stand_in_the_url(self) -> None:
        assert "a secret does not stand in the configuration" in self.refusal(url="postgresql://u:hunter2@h/d")

    @pytest.mark.parametrize("name", ["a.b", "Tags", "1st", 'x"; drop table y', "x" * 49, ""])
    @pytest.mark.parametrize("setting", ["schema", "telemetry_table", "events_table"])
    def test_a_name_is_a_plain_one(self, setting: str, name: str) -> None:
        assert self.refusal(url="postgresql://u@h/d", **{setting: name})

    def test_two_tables_have_two_names(self) -> None:
        assert "name two tables" in self.refusal(url="sqlite:////f", telemetry_table="a", events_table="a")

    def test_a_file_has_no_password_and_no_schema(self) -> None:
        told = self.refusal(url="sqlite:////f", password={"env": "PW"}, schema="x")
        assert "SQLite has no password and no schema" in told

    @pytest.mark.parametrize(
        ("host", "mode"),
        [
            ("db.plant.example", "verify-full"),
            ("10.0.0.7", "verify-full"),
            ("localhost", "prefer"),
            ("127.0.0.1", "prefer"),
            ("[::1]", "prefer"),
            ("", "prefer"),
        ],
    )
    def test_a_server_elsewhere_has_to_prove_itself(self, host: str, mode: str) -> None:
        made = Settings.model_validate({"sink": "sql", "url": f"postgresql://u@{host}/d"})
        assert made.tls_mode == mode
        assert Settings.model_validate({"sink": "sql", "url": made.url, "sslmode": "require"}).tls_mode == "require"

    def test_certificates_are_for_who_checks_them(self) -> None:
        url = "postgresql://u@localhost/d"
        assert "checks no certificate" in self.refusal(url=url, ca_file="ca.pem")
        Settings.model_validate({"sink": "sql", "url": url, "ca_file": "ca.pem", "sslmode": "verify-ca"})

    def test_without_its_driver_postgresql_names_the_extra_and_sqlite_works(
        self, lite: SqlitePlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        assert "pip install 'edgeward[postgresql]'" in self.refusal(url="postgresql://u@h/d")
        assert lite.sink().ability.repeats is Repeats.IGNORED


# --- what arrives, and how often


async def test_people_find_a_time_a_place_and_a_value(place: Place, sink: Sink) -> None:
    await sink.write([rows({"t": F64}, (21.5,), times=[START + 123_456_789])])
    when = (
        "to_char(time at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')" if isinstance(place, PostgresPlace) else "time"
    )
    ((told, *line),) = place.query(f"select {when}, {KEY}, value, quality from telemetry")
    assert told == ("2023-11-14 22:13:20.123456" if isinstance(place, PostgresPlace) else "2023-11-14 22:13:20.123")
    assert line == ["plant-1", "line-a", "press-1", "fast", "t", START + 123_456_789, 21.5, 0]


_INTEGERS = {kind: np.iinfo(kind.dtype) for kind in ValueType if kind.dtype.kind in "iu"}
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_CELLS: dict[ValueType, st.SearchStrategy[Value]] = {
    ValueType.BOOL: st.booleans(),
    ValueType.FLOAT32: st.floats(width=32, allow_nan=False, allow_infinity=False),
    ValueType.FLOAT64: st.floats(allow_nan=False, allow_infinity=False),
    ValueType.STRING: _TEXT,
    **{kind: st.integers(int(info.min), int(info.max)) for kind, info in _INTEGERS.items()},
}
_columns_of_values = st.sampled_from(list(ValueType)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(_CELLS[kind], min_size=1, max_size=20))
)
_groups = count()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=_columns_of_values, start=st.integers(-(2**63), 2**63 - 1 - 20))
async def test_every_value_comes_back_as_it_was(
    place: Place, sink: Sink, drawn: tuple[ValueType, list[Value]], start: int
) -> None:
    kind, values = drawn
    group = f"group-{next(_groups)}"
    moments = [start + i for i in range(len(values))]
    await sink.write([rows({"x": kind}, *[(value,) for value in values], times=moments, group=group)])
    found = place.query(
        "select time_ns, value, value_int, value_bool, value_text, time is not null from telemetry "
        f"where tag_group = '{group}' order by time_ns"
    )
    assert [line[0] for line in found] == moments
    assert [restore(kind, *line[1:5]) for line in found] == values
    assert [float(value) for value in values if kind is not ValueType.STRING] == [
        line[1] for line in found if line[1] is not None
    ]


def restore(kind: ValueType, number: float, integer: int | None, boolean: bool | None, text: str | None) -> Value:
    if kind is ValueType.STRING:
        assert text is not None
        return text
    if kind is ValueType.BOOL:
        return bool(boolean)
    if kind.is_float:
        return float(kind.dtype.type(number))
    return int(text) if integer is None and text is not None else int(integer or 0)


async def test_what_comes_twice_is_ignored_and_what_is_new_is_kept(place: Place, sink: Sink) -> None:
    await sink.write([rows({"x": F64}, (1.0,), (2.0,))])
    await sink.write([rows({"x": F64}, (9.0,), (9.0,), (3.0,))])
    assert place.query("select value from telemetry order by time_ns") == [(1.0,), (2.0,), (3.0,)]


async def test_a_row_may_stand_twice_in_one_write(place: Place, sink: Sink) -> None:
    await sink.write([ONE, ONE])
    await sink.report([HOT, HOT])
    assert (place.count(), place.count("events")) == (1, 1)


async def test_events_of_one_moment_are_told_apart(place: Place, sink: Sink) -> None:
    cold = AlarmChanged(START, "cold", "pump-1/t", AlarmState.NORMAL, AlarmState.UNACKNOWLEDGED, "high")
    await sink.report([HOT, cold, DataLost(START, 5, "quota"), DataLost(START, 5, "rotation")])
    assert place.count("events") == 4
    path = "detail->>'priority'"
    assert place.query(
        f"select subject, state, tag, {path} from events where type = 'AlarmChanged' order by subject"
    ) == [
        ("cold", "normal", "pump-1/t", "high"),
        ("hot", "unacknowledged", "pump-1/t", "high"),
    ]


async def test_names_that_no_database_takes_do_not_stop_it(place: Place, sink: Sink) -> None:
    await sink.write([rows({"a\0": ValueType.STRING, "b": ValueType.STRING}, ("c\0", "\ud800"), device="d'; --")])
    found = place.query("select device, tag, value_text from telemetry order by tag")
    assert found == [("d'; --", "a␀", "c␀"), ("d'; --", "b", "?")]


async def test_tables_that_are_dropped_are_made_again(place: Place, sink: Sink) -> None:
    await sink.write([ONE])
    place.query("drop table telemetry")
    with pytest.raises(ConnectionLost, match="it is made again"):
        await sink.write([ONE])
    await sink.write([ONE])
    assert place.count() == 1


async def test_tables_that_somebody_else_makes_are_not_made(place: Place) -> None:
    async with place.open() as other:
        await other.write([])
        await other.write([ONE])  # the file or the database is there now
    place.query("drop table telemetry")
    async with place.open(create=False) as sink:
        with pytest.raises(SinkHeld, match="telemetry"):
            await sink.write([ONE])
    with pytest.raises((sqlite3.Error, Exception), match="telemetry"):
        place.count()


async def test_tables_may_be_called_otherwise(place: Place) -> None:
    async with place.open(telemetry_table="values", events_table="order") as sink:
        await sink.write([ONE])
        await sink.report([HOT])
    assert (place.count('"values"'), place.count('"order"')) == (1, 1)


@pytest.mark.parametrize("missing", ["value", "the key"])
async def test_a_table_that_is_not_ours_holds_the_sink(place: Place, missing: str) -> None:
    async with place.open() as sink:
        await sink.write([ONE])
        place.query("drop table telemetry")
        columns = "gateway_time_ns bigint, value_int bigint, value_bool boolean, value_text text, quality bigint"
        key = f"{KEY.replace(',', ' text,').replace('time_ns', 'time_ns bigint')}"
        other = f"primary key ({KEY})" if missing == "value" else "value float"
        place.query(f"create table telemetry ({key}, {columns}, {other})")
        with pytest.raises(SinkHeld):
            await sink.write([ONE])


async def test_what_a_constraint_refuses_is_refused_whole(place: Place) -> None:
    async with place.open() as sink:
        await sink.write([])
        await sink.write([ONE])
        recreate_with_check(place)
        with pytest.raises(ChunkRejected) as caught:
            await sink.write([rows({"x": F64}, (1.0,), (4711.0,))])
        assert "4711" not in str(caught.value)
        assert place.count() == 0
        await sink.write([ONE])
        assert place.count() == 1


def recreate_with_check(place: Place) -> None:
    if isinstance(place, PostgresPlace):
        place.query("delete from telemetry")
        place.query("alter table telemetry add check (value < 100)")
        return
    ((made,),) = place.query("select sql from sqlite_master where name = 'telemetry'")
    place.query("drop table telemetry")
    place.query(made.replace("value DOUBLE", "value DOUBLE CHECK (value < 100)"))


async def test_the_database_may_take_as_long_as_it_is_given(place: Place) -> None:
    """A lock that somebody holds bounds the wait for it, and the rows get through once it is gone."""
    async with place.open(timeout="1s") as sink:
        await sink.write([ONE])
        with held(place):
            before = time.monotonic()
            with pytest.raises((ConnectionLost, ServerFailed)):
                await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
            assert time.monotonic() - before < 5
        await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
    assert place.count() == 2


@contextmanager
def held(place: Place) -> Iterator[None]:
    """Nobody else can write to the table."""
    if isinstance(place, PostgresPlace):
        with place.server.connect(place.database) as connection:
            with connection.transaction():
                connection.execute("lock table telemetry")
                yield
        return
    assert isinstance(place, SqlitePlace)
    with closing(sqlite3.connect(place.path)) as connection:
        connection.execute("begin immediate")
        yield


# --- SQLite


async def test_a_file_may_be_read_while_it_is_written(lite: SqlitePlace) -> None:
    async with lite.open() as sink:
        await sink.write([ONE])
        with closing(sqlite3.connect(lite.path)) as reader:
            reader.execute("begin")
            assert reader.execute("select count(*) from telemetry").fetchone() == (1,)
            await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
        assert lite.count() == 2
        assert lite.query("pragma journal_mode") == [("wal",)]


async def test_a_file_that_is_no_database_holds_the_sink(lite: SqlitePlace) -> None:
    lite.path.parent.mkdir()
    lite.path.write_text("not a database\n" * 100)
    async with lite.open() as sink:
        with pytest.raises(SinkHeld, match="not a database"):
            await sink.write([ONE])


async def test_a_file_that_somebody_else_makes_is_waited_for(lite: SqlitePlace) -> None:
    async with lite.open(create=False) as sink:
        with pytest.raises(ConnectionLost):
            await sink.write([ONE])
    assert not lite.path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
async def test_a_full_disk_is_a_lost_connection_and_nothing_is_half_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr!r}")
    try:
        lite = SqlitePlace(disk / "plant.db")
        async with lite.open() as sink:
            await sink.write([ONE])
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(200_000))
            more = rows({"x": ValueType.STRING}, *[("y" * 1000,) for _ in range(300)], group="more")
            with pytest.raises(ConnectionLost, match=r"full|I/O"):
                await sink.write([more])
            assert lite.count() == 1
            ballast.unlink()
            await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
            assert lite.count() == 2
        await until(lambda: not (disk / "plant.db-wal").exists())  # closed, so that the disk is free
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --- PostgreSQL


@real
async def test_a_password_that_is_wrong_holds_the_sink_and_is_read_anew(post: PostgresPlace, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    async with post.open(password={"file": secret}) as sink:
        with pytest.raises(SinkHeld, match="password authentication failed") as caught:
            await sink.write([ONE])
        assert "hunter2" not in str(caught.value)
        secret.unlink()
        with pytest.raises(SinkHeld, match="does not exist"):
            await sink.write([ONE])
        secret.write_text(PASSWORD)
        await sink.write([ONE])
    assert post.count() == 1


@real
@pytest.mark.parametrize(("user", "database"), [("plant", "nowhere"), ("nobody", "plant")])
async def test_a_database_or_a_user_that_is_not_there_holds_the_sink(
    post: PostgresPlace, user: str, database: str
) -> None:
    async with post.open(url=post.server.url(database, user)) as sink:
        with pytest.raises(SinkHeld, match=user if user == "nobody" else database):
            await sink.write([ONE])


@pytest.fixture
def writer(post: PostgresPlace) -> Iterator[dict[str, object]]:
    """Settings of a user who may log in, and no more."""
    post.query("drop role if exists writer")
    post.query(f"create role writer login password '{PASSWORD}'")
    yield {"url": post.server.url(post.database, "writer")}
    post.query("drop owned by writer")
    post.query("drop role writer")


@real
async def test_who_may_only_insert_needs_the_tables_and_to_see_their_keys(
    post: PostgresPlace, writer: dict[str, object]
) -> None:
    async with post.open(**writer) as sink:
        with pytest.raises(SinkHeld, match="permission denied for schema public"):
            await sink.write([ONE])
        async with post.open() as owner:
            await owner.write([ONE])
        with pytest.raises(SinkHeld, match="permission denied for table telemetry"):
            await sink.write([ONE])
        post.query(f"grant insert, select ({KEY}) on telemetry to writer")
        await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
    assert post.count() == 2


@real
async def test_a_schema_is_made_with_its_tables(post: PostgresPlace) -> None:
    async with post.open(schema="line_a") as sink:
        await sink.write([ONE])
        await sink.report([HOT])
        post.query("drop schema line_a cascade")
        with pytest.raises(ConnectionLost):
            await sink.write([ONE])
        await sink.write([ONE])
    assert post.count("line_a.telemetry") == 1


@real
async def test_cells_that_start_at_once_make_the_tables_once(post: PostgresPlace) -> None:
    sinks = [post.sink(schema="together") for _ in range(6)]
    await asyncio.gather(*[sink.write([rows({"x": F64}, (1.0,), group=f"g{i}")]) for i, sink in enumerate(sinks)])
    for sink in sinks:
        await sink.close()
    assert post.count("together.telemetry") == 6


@real
async def test_a_connection_that_is_cut_is_made_again(post: PostgresPlace) -> None:
    async with post.open() as sink:
        await sink.write([ONE])
        post.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'edgeward'")
        with pytest.raises(ConnectionLost):
            await sink.write([ONE])
        await sink.write([ONE])
    assert post.count() == 1


@real
async def test_a_server_that_may_not_write_now_is_asked_again(post: PostgresPlace) -> None:
    async with post.open() as sink:
        await sink.write([ONE])
    post.query(f"alter database {post.database} set default_transaction_read_only = on")
    async with post.open() as sink:
        with pytest.raises(ConnectionLost, match="25006"):
            await sink.write([ONE])


@real
async def test_a_commit_is_on_the_disk_whatever_the_database_says(post: PostgresPlace) -> None:
    post.query(f"alter database {post.database} set synchronous_commit = off")
    async with post.open() as sink:
        await sink.write([ONE])
        post.query("create table seen as select current_setting('synchronous_commit') as mode")
        post.query(
            "create function look() returns trigger language plpgsql as"
            " $$begin insert into seen select current_setting('synchronous_commit'); return new; end$$"
        )
        post.query("create trigger look before insert on telemetry for each row execute function look()")
        await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
    assert post.query("select mode from seen") == [("off",), ("on",)]


@real
async def test_a_partition_that_is_missing_holds_the_sink(post: PostgresPlace) -> None:
    async with post.open() as sink:
        await sink.write([ONE])
        post.query("alter table telemetry rename to old")
        post.query("create table telemetry (like old including all) partition by range (time_ns)")
        post.query(f"create table first partition of telemetry for values from ({START}) to ({START + SECOND})")
        await sink.write([ONE])
        with pytest.raises(SinkHeld, match="no partition"):
            await sink.write([rows({"x": F64}, (2.0,), times=[START + SECOND])])
    assert post.count() == 1


@real
@pytest.mark.slow
async def test_a_server_killed_in_the_middle_of_a_write_has_nothing_of_it() -> None:
    big = rows({"x": F64}, *[(float(i),) for i in range(1000)], group="big")
    with cluster() as directory:
        server = Postgres(directory)
        try:
            await kill_in_the_middle(server, big)
            server = Postgres(directory, server.port)
            post = PostgresPlace.__new__(PostgresPlace)
            post.server, post.database = server, "plant"
            assert post.count() == 1
        finally:
            server.stop()


async def kill_in_the_middle(server: Postgres, big: Rows) -> None:
    """When 500 of its rows are in the table already."""
    post = PostgresPlace(server)
    async with post.open() as sink:
        await sink.write([ONE])
        post.query(
            "create function pause() returns trigger language plpgsql as"
            " $$begin if new.value = 500 then perform pg_advisory_xact_lock(7); end if; return new; end$$"
        )
        post.query("create trigger pause before insert on telemetry for each row execute function pause()")
        keeper = server.connect(post.database)
        keeper.execute("select pg_advisory_lock(7)")
        write = asyncio.ensure_future(sink.write([big]))
        await until(lambda: bool(post.query("select 1 from pg_locks where locktype = 'advisory' and not granted")))
        server.kill()
        with pytest.raises(ConnectionLost):
            await write
        keeper.close()


@real
@pytest.mark.slow
async def test_a_server_that_comes_back_gets_the_rest() -> None:
    with cluster() as directory:
        server = Postgres(directory)
        post = PostgresPlace(server)
        try:
            async with post.open() as sink:
                await sink.write([ONE])
                server.stop()
                with pytest.raises(ConnectionLost):
                    await sink.write([ONE])
                server = post.server = Postgres(directory, server.port)
                await sink.write([ONE, rows({"x": F64}, (2.0,), times=[START + 1])])
            assert post.count() == 2
        finally:
            server.stop()


@real
@pytest.mark.slow
async def test_a_server_proves_itself_by_its_certificate(tmp_path: Path) -> None:
    authority, stranger = (Authority(made) for name in ("ours", "theirs") if not (made := tmp_path / name).mkdir())
    with cluster("ssl = on\n") as directory:
        for source, target in zip(authority.issue("server"), ("server.crt", "server.key"), strict=True):
            path = directory / "data" / target
            path.write_bytes(source.read_bytes())
            path.chmod(0o600)
            os.chown(path, directory.stat().st_uid, -1)
        server = Postgres(directory)
        try:
            post = PostgresPlace(server)
            async with post.open(sslmode="verify-full", ca_file=authority.path) as sink:
                await sink.write([ONE])
                encrypted = "select ssl from pg_stat_ssl join pg_stat_activity using (pid)"
                assert post.query(f"{encrypted} where application_name = 'edgeward'") == [(True,)]
            async with post.open(sslmode="verify-full", ca_file=stranger.path) as sink:
                with pytest.raises(SinkHeld, match="certificate verify failed"):
                    await sink.write([ONE])
        finally:
            server.stop()


@real
async def test_a_server_without_tls_is_not_written_to_where_it_has_to_prove_itself(post: PostgresPlace) -> None:
    async with post.open(sslmode="verify-full") as sink:
        with pytest.raises(SinkHeld, match="does not support SSL"):
            await sink.write([ONE])


async def test_a_server_that_takes_the_call_and_says_nothing_is_a_lost_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://u@127.0.0.1:{mute.getsockname()[1]}/d"
        sink = Sink(Settings.model_validate({"sink": "sql", "url": url, "timeout": "300ms"}), "plant-1", "line-a")
        with pytest.raises(ConnectionLost, match="no answer within 0.3 s"):
            await sink.write([ONE])
        await sink.close()
