"""The session against brokers that misbehave: raw bytes, as no real broker would send them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from drivers.mqtt import Driver
from gateway.errors import ConfigError, ConnectionLost
from tests.drivers.mqtt.links import make_link
from tests.drivers.receiver import FakeReceiver

COUNTER: dict[str, Any] = {"state": {"topic": "plant/{device}/state", "tags": {"n": {"type": "int64"}}}}
CONNACK = b"\x20\x03\x00\x00\x00"
SUBACK = b"\x90\x04\x00\x01\x00\x01"


def publish(topic: bytes, payload: bytes, mid: int) -> bytes:
    """A PUBLISH of MQTT 5 at QoS 1, without properties."""
    body = len(topic).to_bytes(2, "big") + topic + mid.to_bytes(2, "big") + b"\x00" + payload
    return b"\x32" + bytes([len(body)]) + body


class EvilBroker:
    """Answers CONNECT with `connack` and SUBSCRIBE with `then`, then hangs up if it is told to."""

    def __init__(self, connack: bytes, then: bytes, *, hang_up: bool) -> None:
        self._connack = connack
        self._then = then
        self._hang_up = hang_up
        self.port = 0
        self.heard = bytearray()
        self._serving: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[EvilBroker]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            for answer in (self._connack, self._then):
                self.heard += await reader.read(1000)
                writer.write(answer)
            while not self._hang_up and (more := await reader.read(1000)):
                self.heard += more
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def evil(
    then: bytes = SUBACK, *, connack: bytes = CONNACK, hang_up: bool = False
) -> contextlib.AbstractAsyncContextManager[EvilBroker]:
    return EvilBroker(connack, then, hang_up=hang_up).run()


async def wait_heard(broker: EvilBroker, end: bytes) -> None:
    async with asyncio.timeout(5):
        while not broker.heard.endswith(end):
            await asyncio.sleep(0)


async def test_a_topic_that_is_not_utf8_is_refused_and_acknowledged() -> None:
    then = SUBACK + publish(b"plant/\xff", b"{}", 7) + publish(b"plant/pump-1/state", b'{"n":1}', 8)
    receiver = FakeReceiver()
    async with evil(then) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), receiver)
        await driver.open()
        await receiver.wait_scans(1)
        await driver.close()
        # The acknowledgements of 7 and 8, in order, then DISCONNECT.
        await wait_heard(broker, b"\x40\x02\x00\x07\x40\x02\x00\x08\xe0\x00")
    assert receiver.refused == [("floor", "a topic is not UTF-8")]


async def test_a_topic_that_nobody_asked_for_is_refused_and_acknowledged() -> None:
    receiver = FakeReceiver()
    async with evil(SUBACK + publish(b"somewhere/else", b"{}", 7)) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), receiver)
        await driver.open()
        await wait_heard(broker, b"\x40\x02\x00\x07")
        await driver.close()
    assert receiver.refused == [("floor", "no tag group takes the topic somewhere/else")]


async def test_messages_of_a_resumed_session_come_before_the_subscription() -> None:
    receiver = FakeReceiver()
    early = CONNACK + publish(b"plant/pump-1/state", b'{"n":1}', 1)
    async with evil(connack=early) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), receiver)
        await driver.open()
        await receiver.wait_scans(1)
        await driver.close()


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (SUBACK + b"\xe0\x02\x8e\x00", "another client has taken over our client_id"),
        (SUBACK + b"\xe0\x02\x8b\x00", "ended the session: Server shutting down"),
        (SUBACK + b"\x00\x00", "was lost"),  # packet type 0
        (SUBACK + b"\x32\xff\xff\xff\xff\x7f", "was lost"),  # a length of five bytes
        (SUBACK + b"\x32\x02\x00\x09", "(receiving failed|was lost)"),  # a topic longer than its packet
        (SUBACK + b"\x36\x05\x00\x01a\x00\x01", "(receiving failed|was lost)"),  # QoS 3
    ],
)
async def test_a_broker_that_ends_it_or_talks_nonsense(then: bytes, reason: str) -> None:
    async with evil(then) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), FakeReceiver())
        await driver.open()
        with pytest.raises(ConnectionLost, match=reason):
            async with asyncio.timeout(5):
                await driver.run()
        await driver.close()


async def test_a_broken_rule_of_ours_ends_the_session_instead_of_vanishing() -> None:
    class Broken(FakeReceiver):
        def publish(self, scan: object, durable: object = None) -> None:
            raise ZeroDivisionError("a bug")

    async with evil(SUBACK + publish(b"plant/pump-1/state", b'{"n":1}', 1)) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), Broken())
        await driver.open()
        with pytest.raises(ConnectionLost, match="a bug") as caught:
            async with asyncio.timeout(5):
                await driver.run()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        await driver.close()


@pytest.mark.parametrize(
    ("connack", "error", "text"),
    [
        (b"\x20\x03\x00\x85\x00", ConfigError, "Client identifier not valid; set another client_id"),
        (b"\x20\x03\x00\x01\x00", ConfigError, r"Unsupported protocol version; set version: 3\.1\.1"),
        (b"\x20\x03\x00\x88\x00", ConnectionLost, "refuses us: Server unavailable"),
        (b"\x20\x01\x00", ConnectionLost, "was lost"),  # too short
    ],
)
async def test_a_session_that_is_refused(connack: bytes, error: type[Exception], text: str) -> None:
    async with evil(connack=connack) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), FakeReceiver())
        with pytest.raises(error, match=text):
            await driver.open()
        await driver.close()


@pytest.mark.parametrize(
    ("suback", "text"),
    [
        (b"\x90\x04\x00\x01\x00\x87", "refuses the subscription to 'plant/pump-1/state': Not authorized"),
        (b"\x90\x04\x00\x01\x00\x00", "grants QoS 0 for 'plant/pump-1/state'"),
    ],
)
async def test_a_subscription_that_is_not_granted(suback: bytes, text: str) -> None:
    async with evil(suback) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), FakeReceiver())
        with pytest.raises(ConfigError, match=text):
            await driver.open()
        await driver.close()


async def test_a_connection_that_ends_in_the_middle_of_opening() -> None:
    async with evil(b"", hang_up=True) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), FakeReceiver())
        with pytest.raises(ConnectionLost, match="was lost"):
            await driver.open()
        await driver.close()


async def test_a_broker_that_accepts_and_says_nothing_can_be_given_up() -> None:
    async with evil(connack=b"") as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), FakeReceiver())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await driver.open()
        await driver.close()
        await driver.close()


async def test_whoever_gave_up_does_not_log_in_later() -> None:
    async with evil() as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), FakeReceiver())
        await driver.close()
        with pytest.raises(ConnectionLost, match="given up"):
            await driver.open()
        assert not broker.heard
