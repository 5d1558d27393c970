"""The contract of a sink, on every sink that can be found: a module in gateway/sinks without a stand here fails."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway import contracts, plugins
from gateway.clock import SECOND
from gateway.contracts import Repeats, Sink
from gateway.errors import ConnectionLost
from gateway.model import (
    AlarmChanged,
    AlarmState,
    CommandDone,
    DataLost,
    DeviceChanged,
    DeviceState,
    Outcome,
    StatusCode,
    ValueType,
)
from tests.gateway.sinks.samples import START, rows
from tests.parts.influxd import Influxd, influxd
from tests.parts.mosquitto import Mosquitto, Witness
from tests.parts.nats import Nats, nats_server
from tests.parts.nginx import Nginx, nginx
from tests.parts.postgres import Postgres, postgres
from tests.parts.process import free_port
from tests.parts.victoria import Victoria, victoria

F64 = ValueType.FLOAT64
EVENTS = (
    AlarmChanged(START, "hot", "pump-1/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5, "hot"),
    DeviceChanged(START, "press-1", "press-bus", DeviceState.OFFLINE, "no answer"),
    CommandDone(START, "c-7", "press-1/run", False, "rule:hot", Outcome.DONE),
    DataLost(START, 1200, "quota"),
)


class Stand(ABC):
    """A far side to write to, how to say so in settings, and how to look what it has."""

    sink: str

    @abstractmethod
    def settings(self) -> dict[str, object]: ...

    @abstractmethod
    def unreachable(self) -> dict[str, object]:
        """Settings of a far side that is not there."""

    @abstractmethod
    def values(self, group: str, tag: str) -> list[tuple[int, float]]:
        """Source time and value of everything there is of one tag."""

    @abstractmethod
    def alarms(self) -> int:
        """How many points or lines tell of the alarm in `EVENTS`."""


class Files(Stand):
    sink = "files"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def settings(self) -> dict[str, object]:
        return {"directory": self.directory / "archive"}

    def unreachable(self) -> dict[str, object]:
        (self.directory / "file").touch()
        return {"directory": self.directory / "file"}

    def lines(self, pattern: str) -> list[dict[str, Any]]:
        paths = sorted((self.directory / "archive").glob(pattern))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def values(self, group: str, tag: str) -> list[tuple[int, float]]:
        lines = [line for line in self.lines("telemetry-*.jsonl") if line["group"] == group]
        return [(line["time"], line["values"][tag]) for line in lines if tag in line["values"]]

    def alarms(self) -> int:
        return sum(line.get("alarm") == "hot" for line in self.lines("events-*.jsonl"))


class Influx(Stand):
    sink = "influxdb"

    def __init__(self, server: Influxd) -> None:
        self.server = server
        self.database = server.create("plant")

    def settings(self) -> dict[str, object]:
        return {"url": self.server.url, "version": "v1", "database": self.database}

    def unreachable(self) -> dict[str, object]:
        return self.settings() | {"url": f"http://127.0.0.1:{free_port()}"}

    def values(self, group: str, tag: str) -> list[tuple[int, float]]:
        found = self.server.query(f'select "{tag}" from "{group}"', self.database)
        return [(row["time"], row[tag]) for row in found]

    def alarms(self) -> int:
        return len(self.server.query("select * from alarms where alarm = 'hot'", self.database))


class VictoriaMetrics(Stand):
    sink = "influxdb"

    def __init__(self, server: Victoria) -> None:
        self.server = server

    def settings(self) -> dict[str, object]:
        place = {"url": self.server.url, "org": "plant", "bucket": "line-a"}
        return {"version": "v2", "server": "victoriametrics", **place}

    def unreachable(self) -> dict[str, object]:
        return self.settings() | {"url": f"http://127.0.0.1:{free_port()}"}

    def values(self, group: str, tag: str) -> list[tuple[int, float]]:
        name = f"{group}_{tag}"
        samples = self.server.export(f'{{__name__="{name}"}}').get(name, [])
        return [(milliseconds * 1_000_000, value) for milliseconds, value in samples]

    def alarms(self) -> int:
        return len(self.server.export('{__name__="alarms_active",alarm="hot"}').get("alarms_active", []))


class Http(Stand):
    sink = "http"

    def __init__(self, server: Nginx) -> None:
        self.server = server

    def settings(self) -> dict[str, object]:
        return {"url": f"{self.server.url}/ingest"}

    def unreachable(self) -> dict[str, object]:
        return {"url": f"http://127.0.0.1:{free_port()}"}

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for body in self.server.bodies() for record in json.loads(body).get(kind, [])]

    def values(self, group: str, tag: str) -> list[tuple[int, float]]:
        found = [row for row in self.records("rows") if row["group"] == group]
        return [(row["time"], row["values"][tag]) for row in found if tag in row["values"]]

    def alarms(self) -> int:
        return sum(event.get("alarm") == "hot" for event in self.records("events"))


class JetStream(Stand):
    sink = "nats"

    def __init__(self, server: Nats) -> None:
        self.server = server
        server.make()

    def settings(self) -> dict[str, object]:
        return {"url": self.server.url}

    def unreachable(self) -> dict[str, object]:
        return {"url": f"nats://127.0.0.1:{free_port()}"}

    def values(self, group: str, tag: str) -> list[tuple[int, float]]:
        rows = [json.loads(each.body) for each in self.server.kept() if each.subject.endswith(f".{group}")]
        return [(row["time"], row["values"][tag]) for row in rows if tag in row["values"]]

    def alarms(self) -> int:
        return sum(each.subject.endswith(".events.AlarmChanged") for each in self.server.kept())


class Sqlite(Stand):
    sink = "sql"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def settings(self) -> dict[str, object]:
        return {"url": f"sqlite:///{self.directory}/plant.db"}

    def unreachable(self) -> dict[str, object]:
        (self.directory / "file").touch()
        return {"url": f"sqlite:///{self.directory}/file/plant.db"}

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.directory / "plant.db")) as connection:
            return connection.execute(text).fetchall()

    def values(self, group: str, tag: str) -> list[tuple[int, float]]:
        place = f"tag_group = '{group}' and tag = '{tag}'"
        return self.query(f"select time_ns, value from telemetry where {place} order by time_ns")

    def alarms(self) -> int:
        return len(self.query("select * from events where type = 'AlarmChanged' and subject = 'hot'"))


class PostgreSql(Sqlite):
    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.database = server.create("plant")

    def settings(self) -> dict[str, object]:
        return {"url": self.server.url(self.database), "password": {"file": self.server.secret}}

    def unreachable(self) -> dict[str, object]:
        return {"url": f"postgresql://plant@127.0.0.1:{free_port()}/plant"}

    def query(self, text: str) -> list[tuple[Any, ...]]:
        return self.server.query(text, self.database)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgres]:
    with postgres() as part:
        yield part


class Broker(Stand):
    sink = "mqtt"

    def __init__(self, witness: Witness) -> None:
        self.witness = witness

    def settings(self) -> dict[str, object]:
        return {"host": "127.0.0.1", "port": self.witness.port}

    def unreachable(self) -> dict[str, object]:
        return self.settings() | {"port": free_port()}

    def values(self, group: str, tag: str) -> list[tuple[int, float]]:
        lines = [heard.json for heard in self.witness.all() if heard.topic.split("/")[-1] == group]
        return [(line["time"], line["values"][tag]) for line in lines if tag in line["values"]]

    def alarms(self) -> int:
        return sum(heard.json.get("alarm") == "hot" for heard in self.witness.all())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Witness]:
    part = Mosquitto(tmp_path)
    witness = Witness(part.port, "edgeward/plant-1/line-a/#")
    yield witness
    witness.stop()
    part.stop()


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with influxd(tmp_path_factory.mktemp("influxd")) as part:
        yield part


@pytest.fixture
def victoria_metrics(tmp_path: Path) -> Iterator[Victoria]:
    with victoria(tmp_path) as part:
        yield part


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Nginx]:
    with nginx(tmp_path) as part:
        yield part


@pytest.fixture(scope="module")
def jetstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    with nats_server(tmp_path_factory.mktemp("nats")) as part:
        yield part


_HERE: dict[str, Callable[[Path], Stand]] = {"files": Files, "sqlite": Sqlite}
_SERVERS: dict[str, Callable[..., Stand]] = {
    "influx": Influx,
    "victoria_metrics": VictoriaMetrics,
    "postgresql": PostgreSql,
    "web": Http,
    "jetstream": JetStream,
    "broker": Broker,
}


@pytest.fixture(
    params=[
        pytest.param("files"),
        pytest.param("influx", marks=pytest.mark.real("influxd")),
        pytest.param("victoria_metrics", marks=pytest.mark.real("victoria-metrics")),
        pytest.param("sqlite"),
        pytest.param("postgresql", marks=pytest.mark.real("postgresql")),
        pytest.param("web", marks=pytest.mark.real("nginx")),
        pytest.param("jetstream", marks=pytest.mark.real("nats-server")),
        pytest.param("broker", marks=pytest.mark.real("mosquitto")),
    ]
)
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    if request.param in _HERE:
        return _HERE[request.param](tmp_path)
    return _SERVERS[request.param](request.getfixturevalue(request.param))


def make(stand: Stand, settings: dict[str, object]) -> Sink:
    module = plugins.load("sink", stand.sink)
    sink = module.Sink(module.Settings.model_validate({"sink": stand.sink, **settings}), "plant-1", "line-a")
    assert isinstance(sink, contracts.Sink)
    return sink


@pytest.fixture
async def sink(stand: Stand) -> AsyncIterator[Sink]:
    made = make(stand, stand.settings())
    yield made
    await made.close()


def test_every_sink_has_a_stand() -> None:
    assert set(plugins.usable("sink")) == {kind.sink for kind in Stand.__subclasses__()}


async def test_a_write_returns_when_every_row_is_there(stand: Stand, sink: Sink) -> None:
    fast = rows({"speed": ValueType.INT16, "load": F64}, (7, 0.5), (8, 1.5))
    await sink.write([fast, rows({"level": F64}, (2.5,), device="tank-1", group="slow")])
    assert stand.values("fast", "speed") == [(START, 7), (START + SECOND, 8)]
    assert stand.values("fast", "load") == [(START, 0.5), (START + SECOND, 1.5)]
    assert stand.values("slow", "level") == [(START, 2.5)]


async def test_each_value_keeps_its_source_time(stand: Stand, sink: Sink) -> None:
    await sink.write([rows({"a": F64, "b": F64}, (1.0, 2.0), times=[[START, START + SECOND]], group="times")])
    assert stand.values("times", "a") == [(START, 1.0)]
    assert stand.values("times", "b") == [(START + SECOND, 2.0)]


def is_there_once(sink: Sink) -> bool:
    """Whether what is written a second time shows only once, as the sink itself says."""
    return sink.ability.repeats in (Repeats.OVERWRITTEN, Repeats.IGNORED)


async def test_a_write_that_comes_twice_loses_nothing(stand: Stand, sink: Sink) -> None:
    batch = rows({"x": F64}, (1.0,), (2.0,), group="twice")
    await sink.write([batch])
    await sink.write([batch])
    values = stand.values("twice", "x")
    assert set(values) == {(START, 1.0), (START + SECOND, 2.0)}
    assert len(values) == 2 or not is_there_once(sink)


async def test_no_value_is_too_odd(stand: Stand, sink: Sink) -> None:
    columns = {"i": ValueType.INT64, "u": ValueType.UINT64, "f": F64, "s": ValueType.STRING, "ok": ValueType.STRING}
    odd = (-(2**63), 2**64 - 1, float("nan"), 'two\nlines, "quoted" \\', "")
    status = [[0, int(StatusCode.UNCERTAIN), 0, 0, int(StatusCode.BAD_NOT_CONNECTED)]]
    await sink.write([rows(columns, odd, status=status, group="odd"), rows({"x": F64}, (1.0,), group="even")])
    assert stand.values("even", "x") == [(START, 1.0)]


async def test_nothing_to_write_is_no_trouble(sink: Sink) -> None:
    await sink.write([])
    await sink.write([rows({"x": F64}, (1.0,), present=[[False]])])
    await sink.report([])


async def test_events_arrive(stand: Stand, sink: Sink) -> None:
    await sink.report(EVENTS)
    assert stand.alarms() == 1
    await sink.report(EVENTS)
    assert stand.alarms() == 1 or not is_there_once(sink)


async def test_a_far_side_that_is_away_is_a_lost_connection(stand: Stand) -> None:
    sink = make(stand, stand.unreachable())
    with pytest.raises(ConnectionLost):
        await sink.write([rows({"x": F64}, (1.0,))])
    with pytest.raises(ConnectionLost):
        await sink.report(EVENTS)
    await sink.close()


async def test_closing_a_sink_that_was_never_used(stand: Stand) -> None:
    await make(stand, stand.settings()).close()
