"""The SQL sink and a real PostgreSQL: who may do what, and what becomes of each way to fail."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.clock import SECOND
from gateway.errors import ConnectionLost, SinkHeld
from gateway.model import AlarmChanged, AlarmState, Rows, ValueType
from tests.drivers.mqtt.certificates import Authority
from tests.gateway.sinks.databases import PostgresPlace, until
from tests.gateway.sinks.samples import START, rows
from tests.parts.postgres import PASSWORD, Postgres, cluster

pytestmark = pytest.mark.real("postgresql")

F64 = ValueType.FLOAT64
ONE = rows({"x": F64}, (1.0,))
HOT = AlarmChanged(START, "hot", "pump-1/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5, "Hot")
KEY = "site, cell, device, tag_group, tag, time_ns"


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


async def test_a_schema_is_made_with_its_tables(post: PostgresPlace) -> None:
    async with post.open(schema="line_a") as sink:
        await sink.write([ONE])
        await sink.report([HOT])
        post.query("drop schema line_a cascade")
        with pytest.raises(ConnectionLost):
            await sink.write([ONE])
        await sink.write([ONE])
    assert post.count("line_a.telemetry") == 1


async def test_cells_that_start_at_once_make_the_tables_once(post: PostgresPlace) -> None:
    sinks = [post.sink(schema="together") for _ in range(6)]
    await asyncio.gather(*[sink.write([rows({"x": F64}, (1.0,), group=f"g{i}")]) for i, sink in enumerate(sinks)])
    for sink in sinks:
        await sink.close()
    assert post.count("together.telemetry") == 6


async def test_a_connection_that_is_cut_is_made_again(post: PostgresPlace) -> None:
    async with post.open() as sink:
        await sink.write([ONE])
        post.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'edgeward'")
        with pytest.raises(ConnectionLost):
            await sink.write([ONE])
        await sink.write([ONE])
    assert post.count() == 1


async def test_a_server_that_may_not_write_now_is_asked_again(post: PostgresPlace) -> None:
    async with post.open() as sink:
        await sink.write([ONE])
    post.query(f"alter database {post.database} set default_transaction_read_only = on")
    async with post.open() as sink:
        with pytest.raises(ConnectionLost, match="25006"):
            await sink.write([ONE])


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


@pytest.mark.slow
async def test_a_server_killed_in_the_middle_of_a_write_has_nothing_of_it() -> None:
    big = rows({"x": F64}, *[(float(i),) for i in range(1000)], group="big")
    with cluster() as directory:
        server = Postgres(directory)
        try:
            await kill_in_the_middle(server, big)
            server = Postgres(directory, server.port)
            assert PostgresPlace(server, "plant").count() == 1
        finally:
            server.stop()


async def kill_in_the_middle(server: Postgres, big: Rows) -> None:
    """When 500 of its rows are in the table already."""
    post = PostgresPlace(server, server.create("plant"))
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


@pytest.mark.slow
async def test_a_server_that_comes_back_gets_the_rest() -> None:
    with cluster() as directory:
        server = Postgres(directory)
        post = PostgresPlace(server, server.create("plant"))
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
            post = PostgresPlace(server, server.create("plant"))
            async with post.open(sslmode="verify-full", ca_file=authority.path) as sink:
                await sink.write([ONE])
                encrypted = "select ssl from pg_stat_ssl join pg_stat_activity using (pid)"
                assert post.query(f"{encrypted} where application_name = 'edgeward'") == [(True,)]
            async with post.open(sslmode="verify-full", ca_file=stranger.path) as sink:
                with pytest.raises(SinkHeld, match="certificate verify failed"):
                    await sink.write([ONE])
        finally:
            server.stop()


async def test_a_server_without_tls_is_not_written_to_where_it_has_to_prove_itself(post: PostgresPlace) -> None:
    async with post.open(sslmode="verify-full") as sink:
        with pytest.raises(SinkHeld, match="does not support SSL"):
            await sink.write([ONE])


async def test_a_server_that_stops_in_the_middle_of_a_write_does_not_keep_us(post: PostgresPlace) -> None:
    """It takes what we send and says nothing, and no timeout of its own wakes it."""
    async with post.open(timeout="1s") as sink:
        await sink.write([ONE])
        ((pid,),) = post.query("select pid from pg_stat_activity where application_name = 'edgeward'")
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ConnectionLost, match="no answer within 1 s"):
                await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
            await sink.write([rows({"x": F64}, (3.0,), times=[START + 2])])
        finally:
            os.kill(pid, signal.SIGCONT)
    assert post.count() == 2


async def test_closing_waits_for_no_server(post: PostgresPlace) -> None:
    sink = post.sink()
    await sink.write([ONE])
    with post.held():
        write = asyncio.ensure_future(sink.write([rows({"x": F64}, (2.0,), times=[START + 1])]))
        await until(lambda: bool(post.query("select 1 from pg_locks where not granted")))
        await sink.close()
        with pytest.raises(ConnectionLost):
            await write
        await until(lambda: not any(thread.name.startswith("sql") for thread in threading.enumerate()))
    assert post.count() == 1
