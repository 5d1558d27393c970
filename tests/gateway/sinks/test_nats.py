from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import nats
import nkeys
import orjson
import pytest
from nats.aio.msg import Msg
from pydantic import ValidationError

from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.model import AlarmChanged, AlarmState, DataLost, ValueType
from gateway.sinks._jetstream import judge, refusal
from gateway.sinks._subject import covers, patterns, subject_of
from gateway.sinks.nats import Settings, Sink
from tests.drivers.mqtt.certificates import Authority
from tests.gateway.sinks.samples import START, UNCERTAIN, rows
from tests.parts.nats import Nats, nats_server
from tests.parts.process import free_port

F64 = ValueType.FLOAT64
ROWS = rows({"x": F64}, (1.5,), (2.5,))
MANY = rows({"x": F64}, *[(float(i),) for i in range(20_000)])
SECRET = "s3cret-w0rd"
SUBJECT = "edgeward.plant-1.line-a.press-1.fast"
GOOD = {"sink": "nats", "url": "nats://h:4222"}

real = pytest.mark.real("nats-server")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    with nats_server(tmp_path_factory.mktemp("nats")) as part:
        yield part


@pytest.fixture
def server(shared: Nats) -> Nats:
    """A server that anybody may use, with an empty stream."""
    shared.make()
    return shared


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", SECRET)


@asynccontextmanager
async def opened(url: str, **more: object) -> AsyncIterator[Sink]:
    sink = Sink(Settings.model_validate({"sink": "nats", "url": url, **more}), "plant-1", "line-a")
    try:
        yield sink
    finally:
        await sink.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nothing of a session outlives it


@real
async def test_a_message_a_row(server: Nats) -> None:
    async with opened(server.url) as sink:
        await sink.write([rows({"x": F64, "y": F64}, (1.5, 2.5), status=[[0, UNCERTAIN]])])
        await sink.write([rows({"x": F64, "y": F64}, (1.5, 2.5), times=[[START, START + 1]], group="a b.c")])
    whole, *parts = server.kept()
    assert whole.subject == SUBJECT
    assert len(whole.id) == 32
    assert orjson.loads(whole.body) == {
        "time": START,
        "gateway_time": START + 1,
        "site": "plant-1",
        "cell": "line-a",
        "device": "press-1",
        "group": "fast",
        "values": {"x": 1.5, "y": 2.5},
        "quality": {"y": UNCERTAIN},
    }
    assert {part.subject for part in parts} == {"edgeward.plant-1.line-a.press-1.a_b_c"}
    assert [orjson.loads(part.body)["time"] for part in parts] == [START, START + 1]
    assert len({whole.id, *(part.id for part in parts)}) == 3


@real
async def test_a_message_an_event(server: Nats) -> None:
    alarm = AlarmChanged(START, "hot", "pump-1/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5)
    lost = DataLost(START, 5, "quota")
    async with opened(server.url) as sink:
        await sink.report([alarm, lost])
    first, second = server.kept()
    assert first.subject == "edgeward.plant-1.line-a.events.AlarmChanged"
    assert second.subject == "edgeward.plant-1.line-a.events.DataLost"
    assert orjson.loads(second.body) == {"site": "plant-1", "cell": "line-a", **msgspec.to_builtins(lost)}


@real
async def test_what_comes_twice_is_kept_once_while_the_window_lasts(server: Nats) -> None:
    server.make(duplicate_window=200_000_000, max_age=0)
    async with opened(server.url) as sink:
        await sink.write([ROWS])
        await sink.write([ROWS])
        assert len(server.kept()) == 2
        async with asyncio.timeout(10):
            while len(server.kept()) == 2:
                await sink.write([ROWS])
    ids = [message.id for message in server.kept()]
    assert len(set(ids)) == 2  # afterwards the ids tell


@real
async def test_subjects_of_our_own(server: Nats) -> None:
    server.make(subjects=["mill.>"])
    names = {"subject": "mill.{device}.rows-{group}", "event_subject": "mill.told"}
    async with opened(server.url, **names) as sink:
        await sink.write([ROWS])
        await sink.report([DataLost(START, 5, "quota")])
    assert [message.subject for message in server.kept()] == ["mill.press-1.rows-fast"] * 2 + ["mill.told"]


@real
async def test_twenty_thousand_rows_are_acknowledged_one_by_one(server: Nats) -> None:
    async with opened(server.url) as sink:
        await sink.write([MANY])
    assert server.look()["state"]["messages"] == 20_000


@real
async def test_where_no_stream_takes_it_everything_is_kept(server: Nats) -> None:
    server.make(subjects=["other.>"])
    async with opened(server.url) as sink:
        with pytest.raises(SinkHeld, match=f"no stream takes {SUBJECT}"):
            await sink.write([ROWS])
        server.make()
        await sink.write([ROWS])
    assert len(server.kept()) == 2


@real
async def test_somebody_who_only_listens_is_no_stream(server: Nats) -> None:
    server.make(subjects=["other.>"])
    listener = await nats.connect(server.url)
    heard = await listener.subscribe("edgeward.>")
    async with opened(server.url, timeout="200ms") as sink:
        write = asyncio.create_task(sink.write([ROWS]))
        await (await heard.next_msg(5)).respond(b"thank you")
        with pytest.raises(SinkHeld, match="somebody else than a stream answers"):
            await write
        with pytest.raises(ConnectionLost, match=f"no stream acknowledged {SUBJECT} within 0.2 s: is there one"):
            await sink.write([ROWS])
        await listener.close()


@real
async def test_only_the_stream_that_was_named_may_take_it(server: Nats) -> None:
    async with opened(server.url, stream="other") as sink:
        with pytest.raises(SinkHeld, match="expected stream does not match"):
            await sink.write([ROWS])
    async with opened(server.url, stream="plant") as sink:
        await sink.write([ROWS])
    assert len(server.kept()) == 2


@real
async def test_a_stream_that_is_made_here(server: Nats) -> None:
    server.ask("$JS.API.STREAM.DELETE.plant")
    wish = {"stream": "plant", "create_stream": True, "max_age": "7d", "max_bytes": 10_000_000}
    async with opened(server.url, **wish, duplicate_window="1h") as sink:
        await sink.write([ROWS])
        await sink.report([DataLost(START, 5, "quota")])
    config = server.look()["config"]
    assert config["subjects"] == ["edgeward.*.*.*.*"]
    assert (config["max_bytes"], config["max_age"]) == (10_000_000, 7 * 86_400 * 10**9)
    assert config["duplicate_window"] == 3600 * 10**9
    async with opened(server.url, stream="plant", create_stream=True) as sink:
        await sink.write([ROWS])  # it is left as it is
    assert server.look()["config"] == config
    assert len(server.kept()) == 3


@real
async def test_a_stream_that_cannot_be_made(server: Nats) -> None:
    async with opened(server.url, stream="another", create_stream=True) as sink:
        with pytest.raises(SinkHeld, match="another cannot be made: subjects overlap"):
            await sink.write([ROWS])


@real
@pytest.mark.parametrize("limit", [{"max_msgs": 1}, {"max_bytes": 100}])
async def test_a_full_stream_holds_the_sink(server: Nats, limit: dict[str, int]) -> None:
    server.make(discard="new", **limit)
    async with opened(server.url) as sink:
        with pytest.raises(SinkHeld, match="exceeded"):
            await sink.write([ROWS])
        server.make()
        await sink.write([ROWS])
    assert len(server.kept()) == 2


@real
async def test_a_message_that_is_too_large_for_the_stream(server: Nats) -> None:
    server.make(max_msg_size=300)
    async with opened(server.url) as sink:
        with pytest.raises(ChunkTooLarge, match="message size exceeds"):
            await sink.write([rows({"s": ValueType.STRING}, ("x" * 300,))])
        await sink.write([ROWS])
    assert len(server.kept()) == 2


@real
@pytest.mark.parametrize("size", [1_048_576 - 600, 1_048_576 - 300, 1_048_576, 3_000_000])
async def test_a_message_that_is_too_large_for_the_server(server: Nats, size: int) -> None:
    """The server hangs up on one: nobody would know why, and send it again for ever."""
    async with opened(server.url) as sink:
        with pytest.raises(ChunkTooLarge, match="the server takes 1048064"):
            await sink.write([ROWS, rows({"s": ValueType.STRING}, ("x" * size,))])
        await sink.write([rows({"s": ValueType.STRING}, ("x" * (1_048_576 - 800),))])
    assert len(server.kept()) == 1


@real
async def test_nothing_to_say_is_not_said(server: Nats) -> None:
    async with opened(server.url) as sink:
        await sink.write([])
        await sink.write([rows({"x": F64}, (1.5,), present=[[False]])])
        await sink.report([])
    assert server.kept() == []


async def test_nobody_there_is_a_lost_connection() -> None:
    async with opened(f"nats://127.0.0.1:{free_port()}") as sink:
        with pytest.raises(ConnectionLost, match="Connect call failed"):
            await sink.write([ROWS])


@real
async def test_a_server_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        server.make()
        async with opened(server.url) as sink:
            write = asyncio.create_task(sink.write([MANY]))
            async with asyncio.timeout(10):
                while server.look()["state"]["messages"] == 0:
                    await asyncio.sleep(0)
            server.kill()
            with pytest.raises(ConnectionLost, match=r"unexpected EOF|reset|closed"):
                await write
            with nats_server(tmp_path, port=server.port) as again:
                assert 0 < again.look()["state"]["messages"] < 20_000
                await sink.write([MANY])
                assert again.look()["state"]["messages"] == 20_000  # none lost, none twice


@real
async def test_a_server_that_was_away_in_between(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        server.make()
        async with opened(server.url) as sink:
            await sink.write([ROWS])
            server.stop()
            with pytest.raises(ConnectionLost):
                await sink.write([ROWS])
            with nats_server(tmp_path, port=server.port) as again:
                await sink.report([DataLost(START, 5, "quota")])
                assert len(again.kept()) == 3


@real
async def test_a_server_that_stands_still(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        server.make()
        async with opened(server.url, timeout="300ms") as sink:
            await sink.write([ROWS])
            os.kill(server.process.pid, signal.SIGSTOP)
            large = rows({"s": ValueType.STRING}, *[("x" * 500_000,)] * 16)
            with pytest.raises(ConnectionLost, match=r"no stream acknowledged .* within 0\.3 s"):
                await sink.write([large])
            with pytest.raises(ConnectionLost, match=r"gave no answer within 0\.3 s"):
                await sink.write([ROWS])
            os.kill(server.process.pid, signal.SIGCONT)
            await sink.write([ROWS])
        assert {orjson.loads(message.body)["group"] for message in server.kept()} == {"fast"}


@real
async def test_a_write_that_is_given_up_leaves_nothing_behind(server: Nats) -> None:
    async with opened(server.url) as sink:
        write = asyncio.create_task(sink.write([MANY]))
        async with asyncio.timeout(10):
            while server.look()["state"]["messages"] == 0:
                await asyncio.sleep(0)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        await sink.write([MANY])
    assert server.look()["state"]["messages"] == 20_000


USERS = f"""
authorization {{
  users: [
    {{ user: edgeward, password: "{SECRET}" }}
    {{ user: reader, password: "{SECRET}", permissions: {{ publish: "none", subscribe: ">" }} }}
    {{ user: narrow, password: "{SECRET}", permissions: {{ publish: "edgeward.>", subscribe: "_MINE.>" }} }}
  ]
}}
"""
EDGEWARD = {"user": "edgeward", "pass": SECRET}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """A server that knows its users."""
    with nats_server(tmp_path_factory.mktemp("locked"), USERS, EDGEWARD) as part:
        yield part


def user(name: str) -> dict[str, object]:
    return {"username": name, "password": {"env": "SECRET"}, "timeout": "5s"}


@real
async def test_a_renewed_password_is_read_again(
    locked: Nats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    locked.make()
    monkeypatch.setenv("SECRET", "an-0ld-one")
    async with opened(locked.url, **user("edgeward")) as sink:
        with pytest.raises(SinkHeld, match="Authorization Violation") as raised:
            await sink.write([ROWS])
        monkeypatch.setenv("SECRET", SECRET)
        await sink.write([ROWS])
    assert len(locked.kept()) == 2
    assert "an-0ld-one" not in caplog.text + repr(raised.value)
    assert SECRET not in caplog.text


@real
async def test_nobody_in_particular_is_not_let_in(locked: Nats) -> None:
    async with opened(locked.url) as sink:
        with pytest.raises(SinkHeld, match="Authorization Violation"):
            await sink.write([ROWS])


@real
async def test_a_user_who_may_not_publish(locked: Nats) -> None:
    locked.make()
    async with opened(locked.url, **user("reader")) as sink:
        with pytest.raises(SinkHeld, match=r'(?i)permissions violation for publish to "edgeward'):
            await sink.write([ROWS])
        with pytest.raises(SinkHeld, match=r"(?i)permissions violation for publish"):
            await sink.report([DataLost(START, 5, "quota")])
    assert locked.kept() == []


@real
async def test_a_user_who_is_answered_elsewhere(locked: Nats) -> None:
    locked.make()
    async with opened(locked.url, **user("narrow") | {"timeout": "300ms"}) as sink:
        with pytest.raises(SinkHeld, match=r"(?i)permissions violation for subscription"):
            await sink.write([ROWS])
    async with opened(locked.url, **user("narrow"), inbox="_MINE") as sink:
        await sink.write([ROWS])
    assert len(locked.kept()) == 2


@real
async def test_a_token(tmp_path: Path) -> None:
    with nats_server(tmp_path, f'authorization {{ token: "{SECRET}" }}', {"auth_token": SECRET}) as server:
        server.make()
        async with opened(server.url, token={"env": "SECRET"}) as sink:
            await sink.write([ROWS])
        assert len(server.kept()) == 2


class Identity:
    """A key of an operator, an account or a user, and what it signs."""

    def __init__(self, kind: int) -> None:
        seed = nkeys.encode_seed(os.urandom(32), kind)
        self.seed = bytes(seed).decode()
        self._pair = nkeys.from_seed(bytearray(seed))
        self.public = self._pair.public_key.decode()

    def sign(self, subject: Identity, kind: str, **more: object) -> str:
        """A JWT as https://docs.nats.io/running-a-nats-service/configuration/securing_nats/jwt has them."""
        claims: dict[str, object] = {"iat": 1_700_000_000, "iss": self.public, "sub": subject.public}
        claims["nats"] = {"type": kind, "version": 2, **more}
        digest = hashlib.new("sha512_256", json.dumps(claims).encode()).digest()
        claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
        parts = [json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode(), json.dumps(claims).encode()]
        text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        return f"{text}.{base64.urlsafe_b64encode(self._pair.sign(text.encode())).decode().rstrip('=')}"


@real
async def test_an_nkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, stranger = (Identity(nkeys.PREFIX_BYTE_USER) for _ in range(2))
    users = f'authorization {{ users: [ {{ nkey: {known.public} }}, {{ user: edgeward, password: "{SECRET}" }} ] }}'
    with nats_server(tmp_path, users, EDGEWARD) as server:
        server.make()
        monkeypatch.setenv("SECRET", stranger.seed)
        async with opened(server.url, nkey={"env": "SECRET"}) as sink:
            with pytest.raises(SinkHeld, match="Authorization Violation"):
                await sink.write([ROWS])
            monkeypatch.setenv("SECRET", known.seed)
            await sink.write([ROWS])
        assert len(server.kept()) == 2


@real
async def test_a_credentials_file(tmp_path: Path) -> None:
    operator = Identity(nkeys.PREFIX_BYTE_OPERATOR)
    system, account = Identity(nkeys.PREFIX_BYTE_ACCOUNT), Identity(nkeys.PREFIX_BYTE_ACCOUNT)
    person = Identity(nkeys.PREFIX_BYTE_USER)
    names = ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams")
    limits = dict.fromkeys((*names, "consumer"), -1) | {"wildcards": True}
    known = {
        system.public: operator.sign(system, "account"),
        account.public: operator.sign(account, "account", limits=limits),
    }
    config = (
        f"operator: {operator.sign(operator, 'operator')}\nsystem_account: {system.public}\n"
        f"resolver: MEMORY\nresolver_preload: {json.dumps(known)}\n"
    )
    unlimited = {"subs": -1, "data": -1, "payload": -1}
    path = tmp_path / "edgeward.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{account.sign(person, 'user', **unlimited)}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{person.seed}\n------END USER NKEY SEED------\n"
    )
    with nats_server(tmp_path, config) as server:
        async with opened(server.url, credentials={"file": path}, stream="plant", create_stream=True) as sink:
            await sink.write([ROWS])
            await sink.write([ROWS])
        async with opened(server.url) as sink:
            with pytest.raises(SinkHeld, match="Authorization Violation"):
                await sink.write([ROWS])


@pytest.mark.parametrize(
    ("way", "text", "complaint"),
    [
        ("nkey", "no-seed-at-all", "the seed of a user's nkey"),
        ("nkey", "SUAB", "the seed of a user's nkey"),
        ("credentials", "nothing of the kind", "the whole .creds file"),
        ("credentials", "-----BEGIN NATS USER JWT-----\n", "the whole .creds file"),
        (
            "credentials",
            "-----BEGIN NATS USER JWT-----\na.b.c\n-----BEGIN USER NKEY SEED-----\nSUno\n",
            "the seed of a user's nkey",
        ),
    ],
)
async def test_keys_that_are_none(monkeypatch: pytest.MonkeyPatch, way: str, text: str, complaint: str) -> None:
    monkeypatch.setenv("SECRET", text)
    async with opened("nats://127.0.0.1:1", **{way: {"env": "SECRET"}}) as sink:
        with pytest.raises(SinkHeld, match=complaint) as raised:
            await sink.write([ROWS])
    assert text not in str(raised.value)


async def test_a_missing_secret_holds_the_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET")
    async with opened("nats://127.0.0.1:1", token={"env": "SECRET"}) as sink:
        with pytest.raises(SinkHeld, match="SECRET is not set"):
            await sink.write([ROWS])


def tls(certificate: tuple[Path, Path], more: str = "") -> str:
    return f'tls {{ cert_file: "{certificate[0]}", key_file: "{certificate[1]}", timeout: 5, {more} }}'


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def stored(url: str, **more: object) -> None:
    async with opened(url.replace("nats:", "tls:"), stream="plant", create_stream=True, **more) as sink:
        await sink.write([ROWS])


@real
async def test_tls(tmp_path: Path, authority: Authority) -> None:
    with nats_server(tmp_path, tls(authority.issue("server"))) as server:
        await stored(server.url, ca_file=authority.path)


@real
@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"address": "127.0.0.9"}, "IP address mismatch"),
        ({"hours": -1}, "certificate has expired"),
        ({}, "unable to get local issuer certificate"),
    ],
    ids=["another host", "expired", "unknown"],
)
async def test_tls_to_a_server_that_we_do_not_know(
    tmp_path: Path, authority: Authority, made: dict[str, Any], words: str
) -> None:
    (tmp_path / "other").mkdir()
    signer = authority if made else Authority(tmp_path / "other")
    certificate = signer.issue("server", **made)
    with nats_server(tmp_path, tls(certificate)) as server, pytest.raises(ConnectionLost, match=words):
        await stored(server.url, ca_file=authority.path)


@real
async def test_a_server_that_wants_our_certificate(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("gateway")
    config = tls(authority.issue("server"), f'ca_file: "{authority.path}", verify: true')
    with nats_server(tmp_path, config) as server:
        with pytest.raises(ConnectionLost):
            await stored(server.url, ca_file=authority.path)
        await stored(server.url, ca_file=authority.path, certificate=certificate, key=key)


LOGINS: dict[str, dict[str, object]] = {
    "nobody": {},
    "user": {"username": "edgeward", "password": {"env": "SECRET"}},
    "token": {"token": {"env": "SECRET"}},
    "nkey": {"nkey": {"env": "SEED"}},
    "credentials": {"credentials": {"env": "CREDS"}},
}


@pytest.mark.parametrize("name", LOGINS)
async def test_a_server_that_does_not_offer_tls_gets_no_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Somebody on the way may have taken the offer away."""
    seed = Identity(nkeys.PREFIX_BYTE_USER).seed
    monkeypatch.setenv("SEED", seed)
    monkeypatch.setenv("CREDS", f"-BEGIN NATS USER JWT-\na.jwt.b\n-BEGIN USER NKEY SEED-\n{seed}\n")
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"max_payload": 1_048_576, "auth_required": True, "nonce": "abc", "headers": True}
        writer.write(b"INFO %b\r\n" % json.dumps(info).encode())
        while line := await reader.readline():
            heard.extend(line)
            writer.write(b"PONG\r\n" * line.startswith(b"PING"))
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    async with await asyncio.start_server(listen, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        sink = Sink(Settings.model_validate({**GOOD, "url": f"tls://127.0.0.1:{port}"} | LOGINS[name]), "s", "c")
        with pytest.raises(SinkHeld, match="offers no TLS"):
            await sink.write([ROWS])
        await sink.close()
        async with asyncio.timeout(5):
            await ended.wait()
    assert b"PUB" not in heard
    assert name == "nobody" or heard == b""


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'{"stream":"plant","seq":1}', None),
        (b'{"stream":"plant","seq":1,"duplicate":true,"later":"more"}', None),
        (
            b'{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}',
            ConnectionLost,
        ),
        (b'{"error":{"code":500,"err_code":10051,"description":"stream store failed"}}', ServerFailed),
        (
            b'{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}',
            ChunkTooLarge,
        ),
        (b'{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}', SinkHeld),
        (b'{"error":{"code":400,"err_code":10003,"description":"bad request"}}', ChunkRejected),
        (b'{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}', SinkHeld),
        (b'{"error":{"code":500,"err_code":10047,"description":"insufficient storage resources available"}}', SinkHeld),
        (b'{"error":{"code":403}}', SinkHeld),
        (b"hello", SinkHeld),  # anybody may subscribe to the subject, and answer
        (b"", SinkHeld),
        (b"[]", SinkHeld),
        (b'{"stream":1}', SinkHeld),
    ],
)
def test_what_an_answer_means(text: bytes, error: type[GatewayError] | None) -> None:
    verdict = judge(Msg(_client=None, subject="i.1", data=text), SUBJECT)  # type: ignore[arg-type]
    assert verdict is None if error is None else type(verdict) is error


def test_reasons_are_safe_to_log() -> None:
    assert str(refusal(400, 1, "a\x1b[2J\nb" + "x" * 1000)).isprintable()


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("press-1", "press-1"),
        ("oil.pressure", "oil_pressure"),
        ("a b\tc\r\nd", "a_b_c__d"),
        ("*", "_"),
        (">", "_"),
        ("", "_"),
        ("{site}", "{site}"),
        ("ü" * 200, "ü" * 128),
    ],
)
def test_a_name_is_one_token(name: str, token: str) -> None:
    assert subject_of("a.{device}.b", {"device": name, "site": "s"}) == f"a.{token}.b"


def test_what_the_subjects_of_a_stream_are() -> None:
    assert patterns(["a.{site}.{cell}", "a.{site}.events"]) == ["a.*.*"]
    assert patterns(["a.{site}", "b.{site}-{cell}"]) == ["a.*", "b.*"]
    assert covers("a.*", "a.b")
    assert not covers("a.b", "a.*")
    assert not covers("a.*", "a.b.c")
    assert not covers("a.b.*", "a.b")


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"url": "h:4222"}, "write the URL"),
        ({"url": "ws://h"}, "write the URL"),
        ({"url": "nats://h:99999"}, "Port out of range"),
        ({"url": "nats://user:secret@h"}, "a secret does not stand in the configuration"),
        ({"url": "nats://h/path"}, "the URL ends after the port"),
        ({"subject": "a.{tag}"}, "unknown {tag}: there is {site}, {cell}, {device}, {group}"),
        ({"subject": "a.{}"}, "unknown {}"),
        ({"subject": "a.{site.__class__}"}, "words between dots"),
        ({"event_subject": "a.{device}"}, "unknown {device}"),
        ({"subject": "a..b"}, "words between dots"),
        ({"subject": ""}, "words between dots"),
        ({"subject": "a.*"}, "words between dots"),
        ({"subject": "a b"}, "words between dots"),
        ({"subject": "$JS.API.STREAM.DELETE.plant"}, "does not start with"),
        ({"inbox": "a.>"}, "match pattern"),
        ({"stream": "a b"}, "match pattern"),
        ({"create_stream": True}, "needs the name of the stream"),
        ({"max_age": "1d", "stream": "plant"}, "max_age is for a stream that is made here"),
        ({"username": "edgeward"}, "username and password together"),
        ({"token": {"env": "A"}, "nkey": {"env": "A"}}, "only one of username"),
        ({"token": "s3cret"}, "a secret does not stand in the configuration"),
        ({"url": "tls://h", "key": "a.pem"}, "a certificate needs its key"),
        ({"ca_file": "ca.pem"}, "certificates are for TLS"),
    ],
)
def test_mistakes_in_the_settings(parts: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Settings.model_validate(GOOD | parts)
