"""The SQL sink: its settings, and what holds in SQLite and in a real PostgreSQL alike: exactness, repeats, failures."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.contracts import Repeats
from gateway.errors import ChunkRejected, ConnectionLost, ServerFailed, SinkHeld
from gateway.model import AlarmChanged, AlarmState, DataLost, Value, ValueType
from gateway.sinks.sql import Settings, Sink
from tests.gateway.sinks.databases import Place, PostgresPlace, SqlitePlace, until
from tests.gateway.sinks.samples import START, rows

F64 = ValueType.FLOAT64
ONE = rows({"x": F64}, (1.0,))
HOT = AlarmChanged(START, "hot", "pump-1/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5, "Hot")
KEY = "site, cell, device, tag_group, tag, time_ns"


@pytest.fixture
def lite(tmp_path: Path) -> SqlitePlace:
    return SqlitePlace(tmp_path / "history" / "plant.db")


@pytest.fixture(params=["lite", pytest.param("post", marks=pytest.mark.real("postgresql"))])
def place(request: pytest.FixtureRequest) -> Place:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Place)
    return made


@pytest.fixture
async def sink(place: Place) -> AsyncIterator[Sink]:
    async with place.open() as made:
        yield made


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
        "sqlite:///",
        "sqlite:///folder/",
        "sqlite:///:memory:",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    assert "write " in refusal(url=url)


@pytest.mark.parametrize("url", ["postgresql://u@h/d?sslmode=disable", "postgresql://u@h/d#x", "sqlite:////f?mode=ro"])
def test_a_url_ends_before_its_options(url: str) -> None:
    assert "the URL ends before ? and #" in refusal(url=url)


def test_a_port_that_is_none_is_refused() -> None:
    assert "Port out of range" in refusal(url="postgresql://u@h:99999/d")


def test_a_password_does_not_stand_in_the_url() -> None:
    assert "a secret does not stand in the configuration" in refusal(url="postgresql://u:hunter2@h/d")


@pytest.mark.parametrize("name", ["a.b", "Tags", "1st", 'x"; drop table y', "x" * 49, ""])
@pytest.mark.parametrize("setting", ["schema", "telemetry_table", "events_table"])
def test_a_name_is_a_plain_one(setting: str, name: str) -> None:
    assert refusal(url="postgresql://u@h/d", **{setting: name})


def test_two_tables_have_two_names() -> None:
    assert "name two tables" in refusal(url="sqlite:////f", telemetry_table="a", events_table="a")


def test_a_file_has_no_password_and_no_schema() -> None:
    told = refusal(url="sqlite:////f", password={"env": "PW"}, schema="x")
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
def test_a_server_elsewhere_has_to_prove_itself(host: str, mode: str) -> None:
    made = Settings.model_validate({"sink": "sql", "url": f"postgresql://u@{host}/d"})
    assert made.tls_mode == mode
    assert Settings.model_validate({"sink": "sql", "url": made.url, "sslmode": "require"}).tls_mode == "require"


def test_certificates_are_for_who_checks_them() -> None:
    url = "postgresql://u@localhost/d"
    assert "checks no certificate" in refusal(url=url, ca_file="ca.pem")
    Settings.model_validate({"sink": "sql", "url": url, "ca_file": "ca.pem", "sslmode": "verify-ca"})


def test_without_its_driver_postgresql_names_the_extra_and_sqlite_works(
    lite: SqlitePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'edgeward[postgresql]'" in refusal(url="postgresql://u@h/d")
    assert lite.sink().ability.repeats is Repeats.IGNORED


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
    assert all(line[5] for line in found)
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
        await other.write([ONE])
    place.query("drop table telemetry")
    async with place.open(create=False) as sink:
        with pytest.raises(SinkHeld, match="telemetry"):
            await sink.write([ONE])
    assert place.tables() == {"events"}


async def test_tables_may_be_called_otherwise(place: Place) -> None:
    async with place.open(telemetry_table="values", events_table="order") as sink:
        await sink.write([ONE])
        await sink.report([HOT])
    assert (place.count('"values"'), place.count('"order"')) == (1, 1)


def table(value: str = "value double precision", last: str = f"primary key ({KEY})") -> str:
    """A table that somebody made himself, with no more than is needed."""
    key = "site text, cell text, device text, tag_group text, tag text, time_ns bigint, gateway_time_ns bigint"
    values = f"{value}, value_int numeric(20), value_bool boolean, value_text text, quality bigint"
    return f"create table telemetry ({key}, {values}, {last})"


async def test_a_table_may_be_made_by_hand(place: Place) -> None:
    async with place.open() as sink:
        await sink.write([ONE])
    place.query("drop table telemetry")
    place.query(table())
    async with place.open(create=False) as sink:
        await sink.write([ONE])
        await sink.write([ONE])
    assert place.count() == 1


@pytest.mark.parametrize("other", [table(value="worth double precision"), table(last="unique (site, cell)")])
async def test_a_table_that_does_not_fit_holds_the_sink(place: Place, other: str) -> None:
    async with place.open() as sink:
        await sink.write([ONE])
        place.query("drop table telemetry")
        place.query(other)
        with pytest.raises(SinkHeld):
            await sink.write([ONE])


async def test_what_a_constraint_refuses_is_refused_whole(place: Place) -> None:
    async with place.open() as sink:
        await sink.write([ONE])
        place.limit()
        with pytest.raises(ChunkRejected) as caught:
            await sink.write([rows({"x": F64}, (1.0,), (4711.0,))])
        assert "4711" not in str(caught.value)
        assert place.count() == 0
        await sink.write([ONE])
        assert place.count() == 1


@pytest.mark.slow
async def test_the_database_itself_gives_up_in_time(place: Place) -> None:
    """Where somebody holds a lock; and the rows get through once it is gone."""
    async with place.open(timeout="2s") as sink:
        await sink.write([ONE])
        with place.held():
            before = time.monotonic()
            with pytest.raises((ConnectionLost, ServerFailed), match=r"57014: |database is locked"):
                await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
            assert time.monotonic() - before < 5
        await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
    assert place.count() == 2


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


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(path)], capture_output=True)
    if made.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {made.stderr!r}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


async def test_a_full_disk_is_a_lost_connection_and_nothing_is_half_written(disk: Path) -> None:
    lite = SqlitePlace(disk / "plant.db")
    ballast = disk / "ballast"
    async with lite.open() as sink:
        await sink.write([ONE])
        ballast.write_bytes(bytes(200_000))
        with pytest.raises(ConnectionLost, match=r"full|I/O"):
            await sink.write([rows({"x": ValueType.STRING}, *[("y" * 1000,) for _ in range(300)], group="more")])
        assert lite.count() == 1
        ballast.unlink()
        await sink.write([rows({"x": F64}, (2.0,), times=[START + 1])])
        assert lite.count() == 2
    await until(lambda: not (disk / "plant.db-wal").exists())  # closed, so that the disk can go


async def test_a_server_that_takes_the_call_and_says_nothing_is_a_lost_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://u@127.0.0.1:{mute.getsockname()[1]}/d"
        sink = Sink(Settings.model_validate({"sink": "sql", "url": url, "timeout": "300ms"}), "plant-1", "line-a")
        with pytest.raises(ConnectionLost, match=r"no answer within 0\.3 s"):
            await sink.write([ONE])
        await sink.close()
