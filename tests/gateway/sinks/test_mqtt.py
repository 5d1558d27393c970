from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from pydantic import ValidationError

from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.halving import halves
from gateway.model import DataLost, Rows, StatusCode, ValueType
from gateway.sinks import mqtt as module
from gateway.sinks._order import decode
from gateway.sinks.mqtt import Settings, Sink
from tests.drivers.mqtt.certificates import Authority
from tests.gateway.sinks.broker import HANG_UP, SILENCE, SUCCESS, ScriptedBroker, broker
from tests.gateway.sinks.samples import NOT_CONNECTED, START, rows
from tests.parts.mosquitto import Mosquitto, Witness
from tests.parts.process import free_port

F64 = ValueType.FLOAT64
ONE = rows({"x": F64}, (1.5,))


def settings(port: int = 1883, **more: object) -> Settings:
    return Settings.model_validate({"sink": "mqtt", "host": "127.0.0.1", "port": port, "timeout": "5s", **more})


@asynccontextmanager
async def opened(port: int, **more: object) -> AsyncIterator[Sink]:
    sink = Sink(settings(port, **more), "plant-1", "line-a")
    try:
        yield sink
    finally:
        await sink.close()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    part = Mosquitto(tmp_path)
    yield part
    part.stop()


@pytest.fixture
def witness(mosquitto: Mosquitto) -> Iterator[Witness]:
    made = Witness(mosquitto.port)
    yield made
    made.stop()


def count(number: int, **more: Any) -> Rows:
    return rows({"n": ValueType.INT64}, *((n,) for n in range(number)), **more)


# Settings


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"topic": "a/{tag}"}, "only {site}, {cell}, {device}, {group} are known"),
        ({"topic": "a/+"}, "must name one topic"),
        ({"topic": ""}, "at least one character"),
        ({"event_topic": "a/{device}"}, "only {site}, {cell}, {type} are known"),
        ({"password": {"env": "P"}}, "a password needs a username"),
        ({"host": "cloud", "username": "u", "password": {"env": "P"}}, "the password would go unencrypted"),
        ({"host": "10.0.0.7", "username": "u", "password": {"env": "P"}}, "the password would go unencrypted"),
        ({"commands": {"topic": "a/#/b", "tags": ["p/x"]}}, "goes on after #"),
        ({"commands": {"topic": "a", "tags": []}}, "at least 1 item"),
        ({"commands": {"topic": "a", "tags": ["p/x"], "reply_topic": "a/#"}}, "must name one topic"),
        ({"commands": {"tags": ["p/x"]}}, "Field required"),
        ({"commands": {"topic": "a", "tags": ["p/x"], "max_age": "2d"}}, "less than or equal"),
    ],
)
def test_what_cannot_be_meant(more: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason.replace("{", r"\{")):
        settings(**more)


@pytest.mark.parametrize(
    "more",
    [
        {"host": "localhost"},
        {"host": "127.0.0.7"},
        {"host": "::1"},
        {"host": "cloud", "tls": {}},
        {"host": "cloud", "plain_password": True},
    ],
)
def test_where_a_password_may_go(more: dict[str, object]) -> None:
    settings(username="u", password={"env": "P"}, **more)


def test_two_sinks_of_a_cell_are_two_clients() -> None:
    one, again, other = (Sink(settings(topic=text), "plant-1", "line-a") for text in ("a", "a", "b"))
    assert one._client_id == again._client_id != other._client_id


# What is published


@pytest.mark.real("mosquitto")
async def test_a_row_as_it_is_published(mosquitto: Mosquitto, witness: Witness) -> None:
    columns = {"i": ValueType.INT64, "u": ValueType.UINT64, "f": F64, "g": F64, "s": ValueType.STRING}
    status = [[0, int(StatusCode.UNCERTAIN), NOT_CONNECTED, 0, 0]]
    odd = rows(columns, (-(2**63), 2**64 - 1, 2.5, float("nan"), "a\nb"), status=status)
    async with opened(mosquitto.port) as sink:
        await sink.write([odd, rows({"x": F64}, (3.0,), device="tank #1/a+b", group="slow")])
    first, second = witness.all()
    assert first.topic == "edgeward/plant-1/line-a/press-1/fast"
    assert first.payload == (
        b'{"time":1700000000000000000,"gateway_time":1700000000000000001,"site":"plant-1","cell":"line-a",'
        b'"device":"press-1","group":"fast",'
        b'"values":{"i":-9223372036854775808,"u":18446744073709551615,"f":null,"g":null,"s":"a\\nb"},'
        b'"quality":{"u":1073741824,"f":2156527616,"g":2147483648}}'
    )
    assert first.properties.ContentType == "application/json"
    assert (first.retain, len(first.id)) == (False, 32)
    assert second.topic == "edgeward/plant-1/line-a/tank ＃1／a＋b/slow"
    assert b'"values":{"x":3.0}' in second.payload


@pytest.mark.real("mosquitto")
async def test_an_event_as_it_is_published(mosquitto: Mosquitto, witness: Witness) -> None:
    async with opened(mosquitto.port) as sink:
        await sink.report([DataLost(START, 7, "quota")])
    (heard,) = witness.all()
    assert heard.topic == "edgeward/plant-1/line-a/events/DataLost"
    expected = {"site": "plant-1", "cell": "line-a", "type": "DataLost", "time": START, "points": 7, "reason": "quota"}
    assert heard.json.items() >= expected.items()


@pytest.mark.real("mosquitto")
async def test_topics_of_ones_own(mosquitto: Mosquitto, witness: Witness) -> None:
    async with opened(mosquitto.port, topic="{cell}/{device}-{group}", event_topic="{site}/{type}") as sink:
        await sink.write([ONE])
        await sink.report([DataLost(START, 7, "quota")])
    assert [heard.topic for heard in witness.all()] == ["line-a/press-1-fast", "plant-1/DataLost"]


@pytest.mark.real("mosquitto")
async def test_a_repeat_bears_the_same_id_however_it_is_batched(mosquitto: Mosquitto, witness: Witness) -> None:
    whole = count(20)
    async with opened(mosquitto.port) as sink:
        await sink.write([whole])
    async with opened(mosquitto.port) as sink:
        for part in halves(whole):
            await sink.write([part, ONE])
        # The same moment with another value is another message.
        await sink.write([rows({"n": ValueType.INT64}, (99,))])
    ids = [heard.id for heard in witness.all() if "n" in heard.json["values"]]
    assert ids[:20] == ids[20:40]
    assert len(set(ids)) == 21


@pytest.mark.real("mosquitto")
async def test_much_at_once(mosquitto: Mosquitto, witness: Witness) -> None:
    """Mosquitto bears 20 messages unacknowledged."""
    async with opened(mosquitto.port) as sink:
        await sink.write([count(3000), count(3000, group="slow")])
    heard = [each.json for each in witness.all()]
    for group in ("fast", "slow"):
        assert [each["values"]["n"] for each in heard if each["group"] == group] == list(range(3000))


# What the broker says


@pytest.mark.parametrize("window", [1, 7, 1000])
async def test_no_more_fly_than_the_broker_bears(window: int) -> None:
    receive_maximum = b"\x21" + window.to_bytes(2, "big")
    async with broker(about=receive_maximum, window=window) as far, opened(far.port) as sink:
        await sink.write([count(300)])
        assert far.most_flying == min(window, 300)
        assert [orjson.loads(each.payload)["values"]["n"] for each in far.published] == list(range(300))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (128, ServerFailed),
        (131, ServerFailed),
        (135, SinkHeld),
        (144, ChunkRejected),
        (151, ConnectionLost),
        (153, ChunkRejected),
        (1135, SinkHeld),
        (1139, ConnectionLost),
        (1144, ChunkRejected),
        (1149, ChunkTooLarge),
        (1151, ConnectionLost),
        (HANG_UP, ConnectionLost),
    ],
)
async def test_what_a_refusal_means(code: int, error: type[GatewayError]) -> None:
    """The third message is refused, or answered by hanging up."""
    async with broker(lambda number: code if number == 3 else SUCCESS) as far, opened(far.port) as sink:
        with pytest.raises(error) as caught:
            await sink.write([count(5)])
        assert type(caught.value) is error or error is ConnectionLost
        if code % 1000 == 151:
            assert isinstance(caught.value, ConnectionLost)
            assert caught.value.retry_after_s == 10
        await sink.write([ONE])
        assert orjson.loads(far.published[-1].payload)["values"] == {"x": 1.5}


async def test_a_refusal_costs_no_session() -> None:
    async with broker(lambda number: 153 if number == 1 else SUCCESS) as far, opened(far.port) as sink:
        with pytest.raises(ChunkRejected):
            await sink.write([ONE])
        await sink.write([ONE])
        assert len(far.connects) == 1


async def test_nobody_subscribes_is_no_failure() -> None:
    async with broker(lambda number: 16) as far, opened(far.port) as sink:
        await sink.write([ONE])


async def test_a_write_is_not_done_while_one_acknowledgement_is_missing() -> None:
    answer = lambda number: SILENCE if number == 2 else SUCCESS  # noqa: E731
    async with broker(answer) as far, opened(far.port, timeout="200ms") as sink:
        with pytest.raises(ConnectionLost, match=r"no answer within 0\.2 s"):
            await sink.write([count(3)])
        await sink.write([count(3)])
        assert len(far.connects) == 2, "what is still to come for the first would be taken for the second's"


async def test_a_broker_that_never_answers_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with opened(server.getsockname()[1], timeout="100ms") as sink:
            with pytest.raises(ConnectionLost, match="no answer within"):
                await sink.write([ONE])


async def test_a_broker_that_takes_qos_0_only() -> None:
    async with broker(about=b"\x24\x00") as far, opened(far.port) as sink:
        with pytest.raises(SinkHeld, match="QoS 0 only"):
            await sink.write([ONE])
    assert far.published == []


async def test_what_is_too_large_is_not_even_sent() -> None:
    async with broker(about=b"\x27" + (400).to_bytes(4, "big")) as far, opened(far.port) as sink:
        wide = rows({"a": ValueType.STRING, "b": ValueType.STRING}, ("x" * 100, "y" * 100))
        with pytest.raises(ChunkTooLarge, match="takes at most 400"):
            await sink.write([ONE, wide])
        assert far.published == []
        await sink.write(halves(wide))
        with pytest.raises(ChunkRejected, match="takes at most 400"):
            await sink.write([rows({"a": ValueType.STRING}, ("x" * 400,))])
        assert len(far.published) == 2


@pytest.mark.real("mosquitto")
async def test_the_largest_packet_that_mosquitto_takes(tmp_path: Path) -> None:
    part = Mosquitto(tmp_path, extra="max_packet_size 1000")
    witness = Witness(part.port)
    try:
        async with opened(part.port) as sink:
            taken = [length async for length in _growing(sink, 400, 1000)]
            await sink.write([ONE])
        heard = witness.all()
        assert len(heard) == len(taken) + 1 > 100
        assert 900 < max(len(each.payload) + len(each.topic) for each in heard) < 1000
    finally:
        witness.stop()
        part.stop()


async def _growing(sink: Sink, first: int, stop: int) -> AsyncIterator[int]:
    """Writes longer and longer texts, until one is refused."""
    for length in range(first, stop):
        try:
            await sink.write([rows({"s": ValueType.STRING}, ("x" * length,))])
        except ChunkRejected:
            return
        yield length


@pytest.mark.real("mosquitto")
async def test_a_limit_that_mosquitto_does_not_tell(tmp_path: Path) -> None:
    """`message_size_limit` is no Maximum Packet Size: Mosquitto answers with a code that a PUBACK cannot have, and for
    paho that is the end of the session. The same row three times over is a failure that makes the content suspect."""
    part = Mosquitto(tmp_path, extra="message_size_limit 300")
    wide = rows({"s": ValueType.STRING, "t": ValueType.STRING}, ("x" * 400, ""), group="wide")
    try:
        async with opened(part.port) as sink:
            for _ in range(2):
                with pytest.raises(ConnectionLost):
                    await sink.write([ONE, wide])
                await sink.write([ONE])
            with pytest.raises(ServerFailed, match="hangs up on what goes to edgeward/plant-1/line-a/press-1/wide"):
                await sink.write([ONE, wide])
            culprit, sound = halves(wide)
            await sink.write([sound])
            with pytest.raises(ServerFailed):
                await sink.write([culprit])
    finally:
        part.stop()


@pytest.mark.real("mosquitto")
async def test_a_topic_that_we_may_not_publish_to(tmp_path: Path) -> None:
    part = Mosquitto(tmp_path, acl="topic write edgeward/plant-1/line-a/press-1/#\n")
    try:
        async with opened(part.port) as sink:
            await sink.write([ONE])
            with pytest.raises(SinkHeld, match="tank-1/fast: Not authorized"):
                await sink.write([ONE, rows({"x": F64}, (1.0,), device="tank-1")])
            await sink.write([ONE])
    finally:
        part.stop()


@pytest.mark.real("mosquitto")
async def test_a_password_that_is_wrong_and_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Mosquitto(tmp_path, users={"edgeward": "right"})
    login = {"username": "edgeward", "password": {"env": "BROKER_PASSWORD"}}
    try:
        async with opened(part.port, **login) as sink:
            with pytest.raises(SinkHeld, match="BROKER_PASSWORD is not set"):
                await sink.write([ONE])
            monkeypatch.setenv("BROKER_PASSWORD", "wrong")
            with pytest.raises(SinkHeld, match="look at username and password") as caught:
                await sink.write([ONE])
            assert "wrong" not in str(caught.value)
            monkeypatch.setenv("BROKER_PASSWORD", "right")
            await sink.write([ONE])
    finally:
        part.stop()


@pytest.mark.real("mosquitto")
async def test_tls_with_certificates_on_both_ends(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("broker")
    ours, our_key = authority.issue("edgeward")
    part = Mosquitto(tmp_path, tls=(authority.path, certificate, key), extra="require_certificate true")
    tls = {"ca": str(authority.path), "certificate": str(ours), "key": str(our_key)}
    try:
        async with opened(part.port, tls=tls) as sink:
            await sink.write([count(500)])
        async with opened(part.port, timeout="1s") as sink:
            with pytest.raises(ConnectionLost):
                await sink.write([ONE])
    finally:
        part.stop()


@pytest.mark.real("mosquitto")
# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_that_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    certificate, key = authority.issue("broker")
    part = Mosquitto(tmp_path, tls=(authority.path, certificate, key))
    try:
        async with opened(part.port, tls={"ca": str(other.path)}) as sink:
            with pytest.raises(SinkHeld, match="is not trusted"):
                await sink.write([ONE])
    finally:
        part.stop()


@pytest.mark.real("mosquitto")
async def test_a_broker_that_is_restarted_in_the_middle(tmp_path: Path) -> None:
    port = free_port()
    part = Mosquitto(tmp_path, port=port)
    async with opened(port, timeout="1s") as sink:
        await sink.write([ONE])
        writing = asyncio.create_task(sink.write([count(20_000)]))
        while sink._session is None or not sink._session._flying:
            await asyncio.sleep(0)
        part.kill()
        with pytest.raises(ConnectionLost):
            await writing
        with pytest.raises(ConnectionLost):
            await sink.write([ONE])
        part = Mosquitto(tmp_path, port=port)
        witness = Witness(port)
        await sink.write([count(20)])
        assert [json.loads(each.payload)["values"]["n"] for each in witness.all()] == list(range(20))
        witness.stop()
    part.stop()


async def test_a_write_that_is_given_up_leaves_nothing_behind() -> None:
    far: ScriptedBroker
    async with broker(lambda number: SILENCE) as far, opened(far.port) as sink:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await sink.write([ONE])
        assert sink._session is None


def test_the_examples_of_the_documentation_are_right() -> None:
    text = (Path(module.__file__).parent / "README.md").read_text()
    (example,) = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "sink: mqtt" in block]
    made = Settings.model_validate(yaml.safe_load(example)["sinks"]["cloud"])
    assert made.commands is not None
    (order,) = re.findall(r'^\{"id".*\}$', text, re.MULTILINE)
    assert made.commands.allows(decode(order.encode()).tag)
