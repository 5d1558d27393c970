"""The session against brokers that misbehave: raw bytes, as no real broker would send them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from drivers.mqtt import Driver
from gateway.errors import ConfigError, ConnectionLost, JournalFull
from tests.drivers.mqtt.evil import CONNACK, SUBACK, EvilBroker, evil, publish
from tests.drivers.mqtt.links import make_link
from tests.drivers.receiver import FakeReceiver

COUNTER: dict[str, Any] = {"state": {"topic": "plant/{device}/state", "tags": {"n": {"type": "int64"}}}}


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


async def test_after_a_full_journal_a_command_finds_the_connection_lost() -> None:
    receiver = FakeReceiver()
    receiver.full = True
    command = {"type": "int64", "writable": True, "command_topic": "set"}
    async with evil(SUBACK + publish(b"plant/pump-1/state", b'{"n":1}', 1)) as broker:
        link = make_link({"state": {"topic": "plant/{device}/state", "tags": {"n": command}}}, port=broker.port)
        driver = Driver(link, receiver)
        await driver.open()
        with pytest.raises(JournalFull):
            async with asyncio.timeout(5):
                await driver.run()
        with pytest.raises(ConnectionLost):
            await driver.write(link.devices[0].groups[0].columns[0], 1)
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
        (b"\x90\x04\x00\x01\x00\x00", "grants 'plant/pump-1/state' at QoS 0 only"),
    ],
)
async def test_a_subscription_that_is_not_granted(suback: bytes, text: str) -> None:
    async with evil(suback) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), FakeReceiver())
        with pytest.raises(ConfigError, match=text):
            await driver.open()
        await driver.close()


async def test_a_session_is_open_as_soon_as_it_gives_values() -> None:
    """A broker sends what it kept before it confirms a subscription: after a long absence, for minutes."""
    receiver = FakeReceiver()
    async with evil(publish(b"plant/pump-1/state", b'{"n":1}', 7)) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), receiver)
        async with asyncio.timeout(5):
            await driver.open()
        assert len(receiver.scans) == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await driver.run()  # which goes on
        await driver.close()


async def test_a_subscription_that_is_not_granted_after_all() -> None:
    refusal = b"\x90\x04\x00\x01\x00\x87"
    receiver = FakeReceiver()
    async with evil(publish(b"plant/pump-1/state", b'{"n":1}', 7), later=refusal) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port), receiver)
        async with asyncio.timeout(5):
            await driver.open()
        broker.send_later.set()
        with pytest.raises(ConfigError, match="refuses the subscription"):
            await driver.run()
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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        driver = Driver(make_link(COUNTER, port=listener.getsockname()[1]), FakeReceiver())
        await driver.close()
        with pytest.raises(ConnectionLost, match="given up"):
            await driver.open()
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(100) == b""
