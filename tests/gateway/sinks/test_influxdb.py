from __future__ import annotations

import gzip
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from pydantic import ValidationError

from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.model import DataLost, ValueType
from gateway.sinks._line import Dialect
from gateway.sinks.influxdb import Settings, Sink
from tests.gateway.sinks.cloud import Cloud, Script, cloud
from tests.gateway.sinks.samples import START, rows
from tests.parts.process import free_port

ROWS = rows({"x": ValueType.FLOAT64}, (1.5,))
LINE = b"fast,cell=line-a,device=press-1,site=plant-1 x=1.5 %d\n" % START
TOKEN = "s3cret-t0ken"
V1 = {"sink": "influxdb", "url": "http://h:8086", "version": "v1", "database": "plant"}
V2 = {"sink": "influxdb", "url": "http://h:8086", "version": "v2", "org": "plant", "bucket": "line-a"}

Make: TypeAlias = Callable[..., Settings]


@pytest.fixture
def server() -> Iterator[Cloud]:
    with cloud() as running:
        yield running


@pytest.fixture(params=["v1", "v2"])
def settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Settings of either version, with a secret."""
    monkeypatch.setenv("TOKEN", TOKEN)
    parts: dict[str, object] = {"v1": {"database": "plant", "username": "edgeward", "password": {"env": "TOKEN"}}}
    parts["v2"] = {"org": "plant", "bucket": "line a", "token": {"env": "TOKEN"}}

    def make(url: str, **more: object) -> Settings:
        version = request.param
        return Settings.model_validate({"sink": "influxdb", "url": url, "version": version, **parts[version], **more})  # type: ignore[dict-item]

    return make


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Sink]:
    sink = Sink(settings, "plant-1", "line-a")
    try:
        yield sink
    finally:
        await sink.close()


async def test_writes_are_posted(server: Cloud, settings: Make) -> None:
    made = settings(server.url + "/influx/")
    async with opened(made) as sink:
        await sink.write([ROWS])
    (request,) = server.requests
    if made.version == "v1":
        assert request.path == "/influx/write?db=plant&precision=ns"
        assert request.headers["authorization"] == f"Basic {b64encode(b'edgeward:' + TOKEN.encode()).decode()}"
    else:
        assert request.path == "/influx/api/v2/write?org=plant&bucket=line+a&precision=ns"
        assert request.headers["authorization"] == f"Token {TOKEN}"
    assert request.body == LINE
    assert request.headers["content-type"].startswith("text/plain")


async def test_a_retention_policy_is_named(server: Cloud) -> None:
    made = Settings(sink="influxdb", url=server.url, version="v1", database="plant", retention_policy="a year")
    async with opened(made) as sink:
        await sink.write([ROWS])
    assert server.requests[0].path == "/write?db=plant&rp=a+year&precision=ns"
    assert "authorization" not in server.requests[0].headers


async def test_requests_may_be_compressed(server: Cloud, settings: Make) -> None:
    async with opened(settings(server.url, gzip=True)) as sink:
        await sink.write([ROWS])
    assert server.requests[0].headers["content-encoding"] == "gzip"
    assert gzip.decompress(server.requests[0].body) == LINE


async def test_events_are_posted(server: Cloud, settings: Make) -> None:
    async with opened(settings(server.url)) as sink:
        await sink.report([DataLost(START, 5, "quota")])
    assert server.requests[0].body == b'losses,cell=line-a,site=plant-1 points=5i,reason="quota" %d\n' % START


async def test_nothing_to_say_is_not_said(server: Cloud, settings: Make) -> None:
    async with opened(settings(server.url)) as sink:
        await sink.write([])
        await sink.write([rows({"x": ValueType.FLOAT64}, (1.5,), present=[[False]])])
        await sink.report([])
    assert server.requests == []


async def test_one_connection_serves_all_requests(server: Cloud, settings: Make) -> None:
    async with opened(settings(server.url)) as sink:
        await sink.write([ROWS])
        server.answers(400, b'{"error": "no"}')
        with pytest.raises(ChunkRejected):
            await sink.write([ROWS])
        server.answers(200)
        await sink.write([ROWS])
    assert len({request.peer for request in server.requests}) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, SinkHeld),  # with a body: not InfluxDB, but something that stands in between
        (307, SinkHeld),
        (400, ChunkRejected),
        (401, SinkHeld),
        (403, SinkHeld),
        (404, SinkHeld),
        (405, SinkHeld),
        (408, ConnectionLost),
        (413, ChunkTooLarge),
        (422, ChunkRejected),
        (429, ConnectionLost),
        (500, ServerFailed),
        (502, ServerFailed),
        (503, ConnectionLost),
    ],
)
async def test_each_answer_says_what_to_do_next(
    server: Cloud, settings: Make, status: int, error: type[GatewayError]
) -> None:
    server.answers(status, b'{"error": "the reason\\nin two lines"}', Location="/elsewhere")
    async with opened(settings(server.url)) as sink:
        with pytest.raises(error, match=f"{status}: the reason in two lines") as raised:
            await sink.write([ROWS])
    assert type(raised.value) is error
    assert TOKEN not in repr(raised.value)
    assert len(server.requests) == 1  # neither repeated nor led elsewhere


@pytest.mark.parametrize("status", [429, 503])
async def test_the_servers_own_wish_is_passed_on(server: Cloud, settings: Make, status: int) -> None:
    server.answers(status, Retry_After="7")
    async with opened(settings(server.url)) as sink:
        with pytest.raises(ConnectionLost) as raised:
            await sink.write([ROWS])
    assert raised.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    "script",
    [
        lambda exchange: exchange.reset(),
        lambda exchange: exchange.hang(),
        lambda exchange: exchange.trickle(b"HTTP/1.1 204 No"),
        lambda exchange: exchange.trickle(b"no answer at all"),
    ],
    ids=["reset", "hang", "trickle", "garbage"],
)
async def test_no_answer_is_a_lost_connection(server: Cloud, settings: Make, script: Script) -> None:
    server.script = script
    async with opened(settings(server.url, timeout="50ms")) as sink:
        with pytest.raises(ConnectionLost) as raised:
            await sink.write([ROWS])
        server.ended.set()
    assert raised.value.retry_after_s is None
    assert TOKEN not in repr(raised.value)


async def test_nobody_there_is_a_lost_connection(settings: Make) -> None:
    async with opened(settings(f"http://127.0.0.1:{free_port()}")) as sink:
        with pytest.raises(ConnectionLost, match="refused"):
            await sink.write([ROWS])


async def test_no_such_host_is_a_lost_connection(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with opened(settings("http://influx.plant")) as sink:
        with pytest.raises(ConnectionLost, match="no such name"):
            await sink.write([ROWS])


async def test_a_server_without_tls_is_a_lost_connection(server: Cloud, settings: Make) -> None:
    async with opened(settings(server.url.replace("http:", "https:"))) as sink:
        with pytest.raises(ConnectionLost, match="SSL"):
            await sink.write([ROWS])


async def test_after_a_request_that_hung_the_next_one_gets_through(server: Cloud, settings: Make) -> None:
    server.script = lambda exchange: exchange.trickle(b"HTTP/1.1 204 No")
    async with opened(settings(server.url, timeout="100ms")) as sink:
        with pytest.raises(ConnectionLost, match="gave no answer within"):
            await sink.write([ROWS])
        with pytest.raises(ConnectionLost, match="gave no answer within"):
            await sink.write([ROWS])  # waits for the thread, and is not sent
        server.answers(204)
        server.ended.set()
        await sink.write([ROWS])
    assert len(server.requests) == 2


async def test_only_the_beginning_of_a_long_answer_is_read(server: Cloud, settings: Make) -> None:
    server.script = lambda exchange: exchange.flood(2**30)
    async with opened(settings(server.url)) as sink:
        with pytest.raises(ChunkRejected) as raised:
            await sink.write([ROWS])
        server.answers(204)
        await sink.write([ROWS])
    assert len(str(raised.value)) <= 510
    assert server.flooded < 2**24  # what the kernel's buffers hold, and no more


async def test_a_renewed_token_is_read_again(server: Cloud, settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(settings(server.url)) as sink:
        await sink.write([ROWS])
        monkeypatch.setenv("TOKEN", "renewed")
        server.answers(401)
        with pytest.raises(SinkHeld):
            await sink.write([ROWS])
        server.answers(204)
        await sink.write([ROWS])
    first, second, third = [request.headers["authorization"] for request in server.requests]
    assert first == second != third


async def test_a_missing_secret_holds_the_sink(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN")
    async with opened(settings("http://127.0.0.1:1")) as sink:
        with pytest.raises(SinkHeld, match="TOKEN is not set"):
            await sink.write([ROWS])


@pytest.mark.parametrize("token", ["two\nlines", "ünicode"])
async def test_a_token_that_no_header_carries_is_not_quoted(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("TOKEN", token)
    async with opened(Settings.model_validate(V2 | {"token": {"env": "TOKEN"}})) as sink:
        with pytest.raises(SinkHeld) as raised:
            await sink.write([ROWS])
    assert token not in str(raised.value)


async def test_a_password_may_hold_anything(server: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "ü:\n")
    user = {"username": "edgeward", "password": {"env": "PASSWORD"}}
    async with opened(Settings.model_validate(V1 | user | {"url": server.url})) as sink:
        await sink.write([ROWS])
    expected = b64encode("edgeward:ü:\n".encode()).decode()
    assert server.requests[0].headers["authorization"] == f"Basic {expected}"


async def test_secrets_are_not_logged(server: Cloud, settings: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server.answers(401)
    async with opened(settings(server.url)) as sink:
        with pytest.raises(SinkHeld):
            await sink.write([ROWS])
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (V2 | {"url": "h:8086"}, "write the URL"),
        (V2 | {"url": "ftp://h"}, "write the URL"),
        (V2 | {"url": "http://h:99999"}, "Port out of range"),
        (V2 | {"url": "http://user:secret@h"}, "a secret does not stand in the configuration"),
        (V2 | {"url": "http://h/write?db=x"}, "the URL ends before"),
        (V2 | {"org": None, "bucket": ""}, "version v2 needs org and bucket"),
        (V2 | {"database": "plant"}, "version v2 has no database"),
        (V1 | {"database": None}, "version v1 needs database"),
        (V1 | {"token": {"env": "TOKEN"}}, "version v1 has no token"),
        (V1 | {"username": "edgeward"}, "username and password together"),
        (V1 | {"timeout": "0s"}, "greater than 0"),
        (V2 | {"token": "s3cret"}, "a secret does not stand in the configuration"),
    ],
)
def test_mistakes_in_the_settings(parts: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Settings.model_validate(parts)


def test_what_the_server_takes() -> None:
    assert Settings.model_validate(V1).dialect == Dialect("integer", strings=True)
    assert Settings.model_validate(V2).dialect == Dialect("unsigned", strings=True)
    assert Settings.model_validate(V2 | {"server": "victoriametrics"}).dialect == Dialect("unsigned", strings=False)
    assert Settings.model_validate(V2 | {"unsigned": "string"}).dialect == Dialect("string", strings=True)
