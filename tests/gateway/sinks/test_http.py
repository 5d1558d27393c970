from __future__ import annotations

import gzip
import hashlib
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from pydantic import ValidationError

from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.model import DataLost, ValueType
from gateway.sinks.http import Settings, Sink
from tests.drivers.mqtt.certificates import Authority
from tests.gateway.sinks.cloud import Cloud, Exchange, Script, cloud
from tests.gateway.sinks.samples import START, UNCERTAIN, rows
from tests.parts.nginx import MAX_BODY, PASSWORD, USER, Nginx, nginx
from tests.parts.process import free_port

F64 = ValueType.FLOAT64
ROWS = rows({"x": F64}, (1.5,), (2.5,))
TOKEN = "s3cret-t0ken"
GOOD = {"sink": "http", "url": "https://historian.example.com/ingest"}


@pytest.fixture
def server() -> Iterator[Cloud]:
    with cloud() as running:
        yield running


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Nginx]:
    with nginx(tmp_path) as part:
        yield part


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)


@asynccontextmanager
async def opened(url: str, **more: object) -> AsyncIterator[Sink]:
    sink = Sink(Settings.model_validate({"sink": "http", "url": url, **more}), "plant-1", "line-a")
    try:
        yield sink
    finally:
        await sink.close()


def records(body: bytes) -> list[dict[str, Any]]:
    (found,) = orjson.loads(body).values()
    return list(found)


async def test_a_request_of_rows(server: Cloud) -> None:
    async with opened(server.url + "/in?site=1") as sink:
        await sink.write([rows({"x": F64, "y": F64}, (1.5, 2.5), status=[[0, UNCERTAIN]])])
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/in?site=1")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == server.url.removeprefix("http://")
    assert request.headers["idempotency-key"] == hashlib.sha256(request.body).hexdigest()
    assert "authorization" not in request.headers
    (row,) = records(request.body)
    assert len(row.pop("id")) == 32
    assert row == {
        "time": START,
        "gateway_time": START + 1,
        "site": "plant-1",
        "cell": "line-a",
        "device": "press-1",
        "group": "fast",
        "values": {"x": 1.5, "y": 2.5},
        "quality": {"y": UNCERTAIN},
    }


async def test_a_request_of_events(server: Cloud) -> None:
    lost = DataLost(START, 5, "quota")
    async with opened(server.url, method="PUT") as sink:
        await sink.report([lost])
    (request,) = server.requests
    assert (request.method, request.path) == ("PUT", "/")
    (event,) = orjson.loads(request.body)["events"]
    assert len(event.pop("id")) == 32
    assert event["type"] == "DataLost"
    assert event == {"site": "plant-1", "cell": "line-a", **msgspec.to_builtins(lost)}


async def test_a_line_each(server: Cloud) -> None:
    async with opened(server.url, format="ndjson") as sink:
        await sink.write([ROWS])
    (request,) = server.requests
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.body.endswith(b"\n")
    assert [orjson.loads(line)["values"]["x"] for line in request.body.splitlines()] == [1.5, 2.5]


async def test_what_is_sent_again_is_the_same_to_the_last_byte(server: Cloud) -> None:
    for _ in range(2):  # two processes, as it were
        async with opened(server.url, gzip=True) as sink:
            await sink.write([ROWS])
            await sink.report([DataLost(START, 5, "quota")])
    first, event, again, event_again = [
        (request.headers["idempotency-key"], request.body) for request in server.requests
    ]
    assert first == again
    assert event == event_again
    assert first[0] != event[0]


async def test_a_row_keeps_its_id_in_another_company(server: Cloud) -> None:
    async with opened(server.url) as sink:
        await sink.write([ROWS])
        await sink.write([rows({"x": F64}, (1.5,)), rows({"x": F64}, (1.5,), device="press-2")])
    (one, two), (again, other) = [[row["id"] for row in records(request.body)] for request in server.requests]
    assert one == again
    assert len({one, two, other}) == 3


async def test_requests_may_be_compressed(server: Cloud) -> None:
    async with opened(server.url, gzip=True) as sink:
        await sink.write([ROWS])
    (request,) = server.requests
    assert request.headers["content-encoding"] == "gzip"
    body = gzip.decompress(request.body)
    assert request.headers["idempotency-key"] == hashlib.sha256(body).hexdigest()
    assert len(records(body)) == 2


async def test_headers_of_our_own(server: Cloud) -> None:
    headers = {"X-Plant": "one", "X-Api-Key": {"env": "TOKEN"}, "user-agent": "plant/1"}
    async with opened(server.url, headers=headers, token={"env": "TOKEN"}) as sink:
        await sink.write([ROWS])
    (request,) = server.requests
    assert request.headers["x-plant"] == "one"
    assert request.headers["x-api-key"] == TOKEN
    assert request.headers["user-agent"] == "plant/1"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


async def test_basic_authentication(server: Cloud) -> None:
    async with opened(server.url, username="edgeward", password={"env": "TOKEN"}) as sink:
        await sink.write([ROWS])
    assert server.requests[0].headers["authorization"] == f"Basic {b64encode(f'edgeward:{TOKEN}'.encode()).decode()}"


async def test_nothing_to_say_is_not_said(server: Cloud) -> None:
    async with opened(server.url) as sink:
        await sink.write([])
        await sink.write([rows({"x": F64}, (1.5,), present=[[False]])])
        await sink.report([])
    assert server.requests == []


async def test_one_connection_serves_all_requests(server: Cloud) -> None:
    async with opened(server.url) as sink:
        await sink.write([ROWS])
        server.answers(422, b'{"message": "no"}')
        with pytest.raises(ChunkRejected, match="422: no"):
            await sink.write([ROWS])
        server.answers(200, b"thank you")
        await sink.write([ROWS])
    assert len({request.peer for request in server.requests}) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_a_yes(server: Cloud, status: int) -> None:
    server.answers(status, b'{"status": "fine"}' if status != 204 else b"")
    async with opened(server.url) as sink:
        await sink.write([ROWS])
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (300, SinkHeld),
        (301, SinkHeld),
        (302, SinkHeld),
        (303, SinkHeld),
        (304, SinkHeld),
        (307, SinkHeld),
        (308, SinkHeld),
        (400, ChunkRejected),
        (401, SinkHeld),
        (403, SinkHeld),
        (404, SinkHeld),
        (408, ConnectionLost),
        (409, SinkHeld),
        (413, ChunkTooLarge),
        (422, ChunkRejected),
        (425, ConnectionLost),
        (429, ConnectionLost),
        (500, ServerFailed),
        (502, ServerFailed),
        (503, ConnectionLost),
        (504, ServerFailed),
    ],
)
async def test_each_answer_says_what_to_do_next(server: Cloud, status: int, error: type[GatewayError]) -> None:
    server.answers(status, b'{"message": "the reason"}', Location="http://169.254.169.254/latest\x1b[2J")
    async with opened(server.url, token={"env": "TOKEN"}) as sink:
        with pytest.raises(error, match=f"{status}: ") as raised:
            await sink.write([ROWS])
    assert type(raised.value) is error
    assert TOKEN not in repr(raised.value)
    assert str(raised.value).isprintable()
    assert len(server.requests) == 1  # neither repeated nor led elsewhere
    if error is SinkHeld and status < 400:
        assert f"{status}: it redirects to http://169.254.169.254/latest" in str(raised.value)


@pytest.mark.parametrize("status", [408, 425, 429, 503])
async def test_the_servers_own_wish_is_passed_on(server: Cloud, status: int) -> None:
    date = {"Date": "Fri, 31 Dec 1999 23:59:29 GMT", "Retry_After": "Fri, 31 Dec 1999 23:59:59 GMT"}
    async with opened(server.url) as sink:
        for headers, seconds in ({"Retry_After": "7"}, 7.0), (date, 30.0), ({}, None):
            server.script = lambda exchange, headers=headers: bare(exchange, status, headers)  # type: ignore[misc]
            with pytest.raises(ConnectionLost) as raised:
                await sink.write([ROWS])
            assert raised.value.retry_after_s == seconds


def bare(exchange: Exchange, status: int, headers: dict[str, str]) -> None:
    """An answer with no date but ours."""
    exchange.send_response_only(status)
    for name, value in (headers | {"Content-Length": "0"}).items():
        exchange.send_header(name.replace("_", "-"), value)
    exchange.end_headers()


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
async def test_no_answer_is_a_lost_connection(server: Cloud, script: Script) -> None:
    server.script = script
    async with opened(server.url, timeout="50ms", token={"env": "TOKEN"}) as sink:
        with pytest.raises(ConnectionLost) as raised:
            await sink.write([ROWS])
        server.ended.set()
    assert raised.value.retry_after_s is None
    assert TOKEN not in repr(raised.value)


async def test_what_is_no_http_is_not_told_in_a_log(server: Cloud) -> None:
    server.script = lambda exchange: exchange.trickle(b"777.25 is no good\r\n\r\n")
    async with opened(server.url) as sink:
        with pytest.raises(ConnectionLost, match="777") as raised:
            await sink.write([ROWS])
    assert raised.value.brief == "the answer is no HTTP"


async def test_only_the_beginning_of_a_long_answer_is_read(server: Cloud) -> None:
    server.script = lambda exchange: exchange.flood(2**30)
    async with opened(server.url) as sink:
        with pytest.raises(ChunkRejected) as raised:
            await sink.write([ROWS])
    assert len(str(raised.value)) <= 510
    assert server.flooded < 2**24  # what the kernel's buffers hold, and no more


async def test_a_compressed_answer_is_not_expanded(server: Cloud) -> None:
    bomb = gzip.compress(bytes(2**24))
    server.answers(400, bomb, Content_Encoding="gzip")
    async with opened(server.url) as sink:
        with pytest.raises(ChunkRejected) as raised:
            await sink.write([ROWS])
    assert "\0" not in str(raised.value)
    assert "\x1f" not in str(raised.value)
    assert "�" in str(raised.value)  # the beginning of what came, and nothing made of it


async def test_a_renewed_token_is_read_again(server: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(server.url, token={"env": "TOKEN"}) as sink:
        await sink.write([ROWS])
        monkeypatch.setenv("TOKEN", "renewed")
        server.answers(401)
        with pytest.raises(SinkHeld):
            await sink.write([ROWS])
        server.answers(204)
        await sink.write([ROWS])
    first, second, third = [request.headers["authorization"] for request in server.requests]
    assert first == second == f"Bearer {TOKEN}"
    assert third == "Bearer renewed"


async def test_a_missing_secret_holds_the_sink(server: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN")
    async with opened(server.url, headers={"X-Key": {"env": "TOKEN"}}) as sink:
        with pytest.raises(SinkHeld, match="TOKEN is not set"):
            await sink.write([ROWS])
    assert server.requests == []


async def test_secrets_are_neither_logged_nor_quoted(
    server: Cloud, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    server.answers(401)
    async with opened(server.url, token={"env": "TOKEN"}, headers={"X-Key": {"env": "TOKEN"}}) as sink:
        with pytest.raises(SinkHeld):
            await sink.write([ROWS])
        monkeypatch.setenv("TOKEN", f"{TOKEN}\nSet-Cookie: x")
        with pytest.raises(SinkHeld, match="TOKEN holds characters") as raised:
            await sink.write([ROWS])
    assert TOKEN not in caplog.text + str(raised.value)


class Names:
    """A name server whose answers change. Addresses are looked up by the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.addresses: list[str] = []
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, port: int, *more: Any, **options: Any) -> list[Any]:
        try:
            ip_address(host)
        except ValueError:
            self.asked += 1
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]
        return self._real(host, port, *more, **options)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


async def test_the_connection_goes_to_the_address_that_was_judged(server: Cloud, names: Names) -> None:
    names.addresses = ["169.254.169.254", "127.0.0.1"]
    url = server.url.replace("127.0.0.1", "historian.plant")
    async with opened(url, allow=["127.0.0.0/8"]) as sink:
        await sink.write([ROWS])
        await sink.write([ROWS])
        assert names.asked == 1
        server.script = lambda exchange: exchange.reset()
        with pytest.raises(ConnectionLost):
            await sink.write([ROWS])
        server.answers(204)
        names.addresses = ["169.254.169.254"]  # the name is bound anew, to where nothing of ours may go
        with pytest.raises(SinkHeld, match=r"nothing is sent to historian.plant: 169.254.169.254"):
            await sink.write([ROWS])
    assert len(server.requests) == 3
    assert {request.headers["host"] for request in server.requests} == {url.removeprefix("http://")}


async def test_a_name_that_leads_inside_gets_nothing(server: Cloud, names: Names) -> None:
    names.addresses = ["127.0.0.1"]
    async with opened(server.url.replace("127.0.0.1", "historian.example.com")) as sink:
        with pytest.raises(SinkHeld, match=r"127\.0\.0\.1 is this computer itself"):
            await sink.write([ROWS])
    assert server.requests == []


async def test_the_next_address_is_tried_where_nobody_is_at_the_first(server: Cloud, names: Names) -> None:
    names.addresses = ["127.0.0.2", "127.0.0.1"]  # the server listens on the second only
    async with opened(server.url.replace("127.0.0.1", "historian.plant"), allow=["127.0.0.0/8"]) as sink:
        await sink.write([ROWS])
    assert len(server.requests) == 1


async def test_a_proxy_from_the_environment_is_not_used(server: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with opened(server.url) as sink:
        await sink.write([ROWS])
    assert len(server.requests) == 1


# What follows is against nginx.


@pytest.mark.real("nginx")
async def test_nginx_gets_every_body_whole(web: Nginx) -> None:
    many = rows({"x": F64}, *[(float(i),) for i in range(20_000)])
    async with opened(web.url + "/ingest") as sink, opened(web.url + "/ingest", gzip=True, method="PUT") as packed:
        await sink.write([many])
        await packed.write([many])
        await packed.report([DataLost(START, 5, "quota")])
    bodies = web.bodies()
    assert bodies[0] == bodies[1]
    assert [row["values"]["x"] for row in records(bodies[0])] == list(range(20_000))
    posted, put, event = web.requests(3)
    assert (posted["method"], put["method"]) == ("POST", "PUT")
    assert posted["key"] == put["key"] == hashlib.sha256(bodies[0]).hexdigest()
    assert put["connection"] == event["connection"]


@pytest.mark.real("nginx")
@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/moved", SinkHeld, "307: it redirects to http://127.0.0.1"),
        ("/private", SinkHeld, "401: .*Authorization Required"),
        ("/forbidden", SinkHeld, "403: 403 Forbidden"),
        ("/gone", SinkHeld, "404: 404 Not Found"),
        ("/broken", ServerFailed, "502: 502 Bad Gateway"),
        ("/busy", ConnectionLost, "503: "),
    ],
)
async def test_nginx_refuses(web: Nginx, path: str, error: type[GatewayError], words: str) -> None:
    async with opened(web.url + path) as sink:
        with pytest.raises(error, match=words) as raised:
            await sink.write([ROWS])
    assert type(raised.value) is error
    assert [request["path"] for request in web.requests(1)] == [path]


@pytest.mark.real("nginx")
async def test_nginx_wants_less_at_once(web: Nginx) -> None:
    large = rows({"x": F64}, *[(float(i),) for i in range(100_000)])
    async with opened(web.url + "/small") as sink:
        with pytest.raises(ChunkTooLarge, match="413: 413 Request Entity Too Large"):
            await sink.write([large])
        await sink.write([ROWS])
    (body,) = web.bodies()
    assert len(body) < MAX_BODY


@pytest.mark.real("nginx")
async def test_nginx_wants_us_to_wait(web: Nginx) -> None:
    async with opened(web.url + "/limited") as sink:
        await sink.write([ROWS])
        with pytest.raises(ConnectionLost, match="429") as raised:
            await sink.write([ROWS])
    assert raised.value.retry_after_s == 7.0


@pytest.mark.real("nginx")
async def test_nginx_knows_us_by_our_password(web: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(web.url + "/private", username=USER, password={"env": "TOKEN"}) as sink:
        with pytest.raises(SinkHeld, match="401"):
            await sink.write([ROWS])
        monkeypatch.setenv("TOKEN", PASSWORD)
        await sink.write([ROWS])
    assert len(web.bodies()) == 1


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.real("nginx")
async def test_tls_to_a_server_that_we_know(tmp_path: Path, authority: Authority) -> None:
    with nginx(tmp_path, authority.issue("server")) as web:
        async with opened(web.url, ca_file=authority.path) as sink:
            await sink.write([ROWS])
        assert len(web.bodies()) == 1


@pytest.mark.real("nginx")
@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"address": "127.0.0.9"}, "IP address mismatch"),
        ({"hours": -1}, "certificate has expired"),
        ({"authority": "unknown"}, "unable to get local issuer certificate"),
        ({"authority": "of the same name"}, "certificate verify failed"),
    ],
    ids=lambda value: str(value),
)
async def test_tls_to_a_server_that_we_do_not_know(
    tmp_path: Path, authority: Authority, made: dict[str, Any], words: str
) -> None:
    if "authority" in made:
        other = tmp_path / ("other" if made["authority"] == "unknown" else f"deeper/{tmp_path.name}")
        other.mkdir(parents=True)
        certificate = Authority(other).issue("server")
    else:
        certificate = authority.issue("server", **made)
    with nginx(tmp_path, certificate) as web:
        async with opened(web.url, ca_file=authority.path, token={"env": "TOKEN"}) as sink:
            with pytest.raises(ConnectionLost, match=words):
                await sink.write([ROWS])
        assert web.bodies() == []


@pytest.mark.real("nginx")
async def test_the_name_in_the_url_is_what_the_certificate_must_hold(
    tmp_path: Path, authority: Authority, names: Names
) -> None:
    names.addresses = ["127.0.0.1"]
    with nginx(tmp_path, authority.issue("server")) as web:  # its certificate is for the address only
        url = web.url.replace("127.0.0.1", "historian.plant")
        async with opened(url, ca_file=authority.path, allow=["127.0.0.1"]) as sink:
            with pytest.raises(ConnectionLost, match=r"Hostname mismatch.*historian\.plant"):
                await sink.write([ROWS])
        assert web.bodies() == []


@pytest.mark.real("nginx")
async def test_a_server_that_wants_our_certificate(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("gateway")
    with nginx(tmp_path, (*authority.issue("server"), authority.path)) as web:
        async with opened(web.url, ca_file=authority.path) as sink:
            with pytest.raises(ChunkRejected, match="No required SSL certificate was sent"):
                await sink.write([ROWS])
        async with opened(web.url, ca_file=authority.path, certificate=certificate, key=key) as sink:
            await sink.write([ROWS])
        assert len(web.bodies()) == 1


async def test_a_server_without_tls_is_a_lost_connection(server: Cloud) -> None:
    async with opened(server.url.replace("http:", "https:"), token={"env": "TOKEN"}) as sink:
        with pytest.raises(ConnectionLost, match="SSL"):
            await sink.write([ROWS])
    assert server.requests == []


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"url": "h/ingest"}, "write the URL"),
        ({"url": "ftp://h"}, "write the URL"),
        ({"url": "http://ü.example.com"}, "write the URL"),
        ({"url": "http://h/\n"}, "write the URL"),
        ({"url": "http://a b/"}, "neither a host"),
        ({"url": "http://h:99999"}, "Port out of range"),
        ({"url": "https://user:secret@h"}, "a secret does not stand in the configuration"),
        ({"url": "https://h/?api_key=s3cret"}, "a secret does not stand in the configuration, nor in a URL"),
        ({"url": "https://h/#x"}, "the URL ends before #"),
        ({"url": "http://169.254.169.254/latest"}, "169.254.169.254, is link-local"),
        ({"url": "http://[::]/"}, "is no address of a single host"),
        ({"allow": ["other.example.com"]}, "historian.example.com, is not on the list"),
        ({"allow": ["http://other"]}, "neither a host, an address nor a network"),
        ({"method": "GET"}, "'POST' or 'PUT'"),
        ({"headers": {"X Y": "z"}}, "cannot be the name of a header"),
        ({"headers": {"X": "a\nb"}}, "holds characters"),
        ({"headers": {"Host": "other"}}, "is set by the gateway itself"),
        ({"headers": {"idempotency-key": "1"}}, "is set by the gateway itself"),
        ({"headers": {"X-Api-Key": "s3cret"}}, "a secret does not stand in the configuration: write X-Api-Key"),
        ({"headers": {"Authorization": "Bearer s3cret"}}, "a secret does not stand in the configuration"),
        ({"token": "s3cret"}, "a secret does not stand in the configuration"),
        ({"username": "edgeward"}, "username and password together"),
        ({"token": {"env": "A"}, "headers": {"authorization": {"env": "A"}}}, "only one of token"),
        ({"token": {"env": "A"}, "username": "u", "password": {"env": "A"}}, "only one of token"),
        ({"certificate": "a.pem"}, "a certificate needs its key"),
        ({"url": "http://h", "ca_file": "ca.pem"}, "certificates are for https"),
        ({"timeout": "0s"}, "greater than 0"),
    ],
)
def test_mistakes_in_the_settings(parts: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Settings.model_validate(GOOD | parts)
