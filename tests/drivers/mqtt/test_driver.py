"""The whole driver against Mosquitto, with Mosquitto's own clients on the other side."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from drivers.mqtt import Driver
from gateway.clock import SystemClock
from gateway.errors import CommandRefused, ConfigError, ConnectionLost, DeviceSilent, JournalFull
from gateway.model import Link, StatusCode, Tag
from tests.drivers.mqtt.links import make_link, session
from tests.drivers.receiver import FakeReceiver
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port

pytestmark = pytest.mark.real("mosquitto")

COUNTER: dict[str, Any] = {"state": {"topic": "plant/{device}/state", "tags": {"n": {"type": "int64"}}}}


WRITABLE: dict[str, Any] = {
    "state": {
        "topic": "plant/{device}/state",
        "tags": {
            "speed": {"type": "float64", "writable": True, "command_topic": "plant/{device}/{tag}/set"},
            "fixed": {"type": "float64"},
        },
    },
    "plain": {
        "topic": "plain/{device}/{tag}",
        "format": "text",
        "tags": {"mode": {"type": "string", "writable": True, "command_topic": "plain/{device}/{tag}/set"}},
    },
}


def receive(*, safe: bool = True) -> FakeReceiver:
    return FakeReceiver(SystemClock(), safe=safe)


def numbers(receiver: FakeReceiver) -> list[int]:
    return [int(scan.values[0][0]) for scan in receiver.scans]


def tag_of(link: Link, name: str) -> Tag:
    return next(tag for group in link.devices[0].groups for tag in group.columns if tag.name == name)


async def send(broker: Mosquitto, topic: str, payload: str | bytes, *options: str, **more: Any) -> None:
    await asyncio.to_thread(broker.publish, topic, payload, *options, **more)


class TestValues:
    async def test_several_values_of_a_message_become_one_scan(self, mosquitto: Mosquitto) -> None:
        groups = {
            "state": {
                "topic": "plant/{device}/state",
                "time": {"path": "ts", "format": "unix_ms"},
                "tags": {
                    "run": {"type": "bool"},
                    "bearing.temperature": {"type": "float64"},
                    "count": {"type": "uint64"},
                    "mode": {"type": "string"},
                },
            }
        }
        receiver = receive()
        body = '{"ts":1700000000123,"run":true,"bearing":{"temperature":61.25},"count":18446744073709551615,"mode":"å"}'
        async with session(make_link(groups, port=mosquitto.port), receiver):
            await send(mosquitto, "plant/pump-1/state", body)
            await receiver.wait_scans(1)
        (scan,) = receiver.scans
        assert [plane.tolist() for plane in scan.values] == [[True], [18446744073709551615], [61.25], ["å"]]
        assert scan.source_time == 1_700_000_000_123_000_000
        assert scan.status is None
        assert scan.columns is None

    async def test_wildcards_and_topics_that_name_the_tag(self, mosquitto: Mosquitto) -> None:
        groups = {
            "wild": {"topic": "site/+/{device}/#", "tags": {"a": {"type": "int32"}}},
            "plain": {
                "topic": "plain/{device}/{tag}",
                "format": "text",
                "tags": {"level": {"type": "float64"}, "open": {"type": "bool"}},
            },
        }
        receiver = receive()
        async with session(make_link(groups, port=mosquitto.port), receiver):
            await send(mosquitto, "site/north/pump-1/x/y", '{"a":1}')
            await send(mosquitto, "site/south/pump-1", '{"a":2}')
            await send(mosquitto, "plain/pump-1/open", "true")
            await send(mosquitto, "plain/pump-1/level", "1.5")
            await send(mosquitto, "plain/pump-1/unheard", "1.5")
            await send(mosquitto, "site/south/pump-1", '{"a":3}')
            await receiver.wait_scans(5)
        assert [scan.group.name for scan in receiver.scans] == ["wild", "wild", "plain", "plain", "wild"]
        opened, level = receiver.scans[2:4]
        assert opened.columns is not None
        assert opened.columns.tolist() == [True, False]
        assert opened.values[0].tolist() == [True]
        assert level.values[1].tolist() == [1.5]
        assert receiver.refused == []

    async def test_a_retained_value_of_unknown_age_is_uncertain(self, mosquitto: Mosquitto) -> None:
        await send(mosquitto, "plant/pump-1/state", '{"n":1}', "-r")
        receiver = receive()
        async with session(make_link(COUNTER, port=mosquitto.port), receiver):
            await receiver.wait_scans(1)
            await send(mosquitto, "plant/pump-1/state", '{"n":2}', "-r")
            await receiver.wait_scans(2)
        old, new = receiver.scans
        assert old.status is not None
        assert old.status.tolist() == [StatusCode.UNCERTAIN]
        assert new.status is None

    async def test_bad_messages_cost_no_good_one(self, mosquitto: Mosquitto) -> None:
        receiver = receive()
        async with session(make_link(COUNTER, port=mosquitto.port), receiver):
            for body in ('{"n":1}', "{no json", '{"n":NaN}', b"\xff\xfe", "", '{"m":1}', '{"n":2}'):
                await send(mosquitto, "plant/pump-1/state", body)
            await receiver.wait_scans(2)
        assert numbers(receiver) == [1, 2]
        assert len(receiver.refused) == 5
        assert {source for source, _ in receiver.refused} == {"pump-1/state"}

    async def test_ten_megabytes_are_refused_and_harm_no_neighbour(self, mosquitto: Mosquitto) -> None:
        receiver = receive()
        link = make_link(COUNTER, port=mosquitto.port)
        async with session(link, receiver):
            await send(mosquitto, "plant/pump-1/state", '{"n":1}')
            await send(mosquitto, "plant/pump-1/state", b'"' + b"x" * 10_000_000 + b'"')
            await send(mosquitto, "plant/pump-1/state", '{"n":2}')
            await receiver.wait_scans(2)
        assert receiver.refused == [
            ("pump-1/state", "plant/pump-1/state: the payload has 10000002 bytes, max_payload is 1048576")
        ]

    async def test_a_packet_beyond_the_limit_never_reaches_us(self, mosquitto: Mosquitto) -> None:
        receiver = receive()
        async with session(make_link(COUNTER, port=mosquitto.port, max_packet=100_000), receiver):
            await send(mosquitto, "plant/pump-1/state", b'"' + b"x" * 200_000 + b'"')
            await send(mosquitto, "plant/pump-1/state", '{"n":2}')
            await receiver.wait_scans(1)
        assert receiver.refused == []

    async def test_3_1_1_works_too(self, mosquitto: Mosquitto) -> None:
        receiver = receive()
        link = make_link(COUNTER, port=mosquitto.port, version="3.1.1")
        async with session(link, receiver):
            await send(mosquitto, "plant/pump-1/state", '{"n":1}')
            await receiver.wait_scans(1)


class TestAcknowledgement:
    async def test_what_is_not_durable_comes_again_and_what_is_does_not(self, mosquitto: Mosquitto) -> None:
        link = make_link(COUNTER, port=mosquitto.port)
        first = receive(safe=False)
        async with session(link, first):
            await send(mosquitto, "plant/pump-1/state", '{"n":1}\n{"n":2}\n{"n":3}\n', lines=True)
            await first.wait_scans(3)
            first.release(1)
        second = receive()
        async with session(link, second):
            await second.wait_scans(2)
        third = receive()
        async with session(link, third):
            await send(mosquitto, "plant/pump-1/state", '{"n":4}')
            await third.wait_scans(1)
        assert numbers(first) == [1, 2, 3]
        assert numbers(second) == [2, 3]
        assert numbers(third) == [4]
        first.release()  # too late, and harmless

    async def test_a_broken_connection_loses_nothing(self, mosquitto: Mosquitto) -> None:
        link = make_link(COUNTER, port=mosquitto.port)
        first = receive(safe=False)
        driver = Driver(link, first)
        await driver.open()
        await send(mosquitto, "plant/pump-1/state", '{"n":1}\n{"n":2}\n', lines=True)
        await first.wait_scans(2)
        driver._connection._pump.stop()  # type: ignore[union-attr]  # no goodbye
        await send(mosquitto, "plant/pump-1/state", '{"n":3}')
        second = receive()
        async with session(link, second):
            await second.wait_scans(3)
        await driver.close()
        assert numbers(second) == [1, 2, 3]

    async def test_a_scan_that_is_durable_early_waits_for_the_ones_before(self, mosquitto: Mosquitto) -> None:
        link = make_link(COUNTER, port=mosquitto.port)
        first = receive(safe=False)
        async with session(link, first):
            await send(mosquitto, "plant/pump-1/state", '{"n":1}\n{"n":2}\nbroken\n{"n":3}\n', lines=True)
            await first.wait_scans(3)
            for durable in reversed(first.waiting[1:]):
                durable()
        second = receive()
        async with session(link, second):
            await second.wait_scans(3)
        assert numbers(second) == [1, 2, 3]

    async def test_4000_messages_wait_for_a_slow_disk_and_all_arrive(self, mosquitto: Mosquitto) -> None:
        link = make_link(COUNTER, port=mosquitto.port)
        receiver = receive(safe=False)
        lines = "".join(f'{{"n":{n}}}\n' for n in range(4000))
        async with session(link, receiver) as driver:
            await send(mosquitto, "plant/pump-1/state", lines, lines=True)
            await receiver.wait_scans(4000)
            assert numbers(receiver) == list(range(4000))
            receiver.release()
            assert len(driver._inbox) == 0

    async def test_a_full_journal_ends_the_session_and_the_message_comes_again(self, mosquitto: Mosquitto) -> None:
        link = make_link(COUNTER, port=mosquitto.port)
        receiver = receive()
        receiver.full = True
        driver = Driver(link, receiver)
        await driver.open()
        await send(mosquitto, "plant/pump-1/state", '{"n":1}')
        with pytest.raises(JournalFull):
            async with asyncio.timeout(5):
                await driver.run()
        await driver.close()
        receiver.full = False
        async with session(link, receiver):
            await receiver.wait_scans(1)

    async def test_what_came_while_we_were_away_comes_after_a_restart_of_the_broker(self, tmp_path: Path) -> None:
        broker = Mosquitto(tmp_path, persistence=True)
        link = make_link(COUNTER, port=broker.port)
        receiver = receive()
        async with session(link, receiver):
            pass
        await send(broker, "plant/pump-1/state", '{"n":1}')
        broker.stop()
        broker = Mosquitto(tmp_path, port=broker.port, persistence=True)
        async with session(link, receiver):
            await receiver.wait_scans(1)
        broker.stop()


class TestConnection:
    async def test_a_dead_broker_is_a_lost_connection(self, tmp_path: Path) -> None:
        broker = Mosquitto(tmp_path)
        driver = Driver(make_link(COUNTER, port=broker.port), receive())
        await driver.open()
        broker.kill()
        with pytest.raises(ConnectionLost, match="was lost"):
            async with asyncio.timeout(5):
                await driver.run()
        await driver.close()

    async def test_nobody_listens(self) -> None:
        driver = Driver(make_link(COUNTER, port=free_port()), receive())
        with pytest.raises(ConnectionLost, match=r"no connection to 127\.0\.0\.1"):
            await driver.open()
        await driver.close()

    async def test_a_client_id_that_is_used_twice(self, mosquitto: Mosquitto) -> None:
        link = make_link(COUNTER, port=mosquitto.port)
        driver = Driver(link, receive())
        await driver.open()
        async with session(link, receive()):
            with pytest.raises(ConnectionLost, match="was lost"):
                async with asyncio.timeout(5):
                    await driver.run()
        await driver.close()

    @pytest.mark.slow
    async def test_a_connection_that_only_seems_alive_is_found_by_silence(self, mosquitto: Mosquitto) -> None:
        loop = asyncio.get_running_loop()
        driver = Driver(make_link(COUNTER, port=mosquitto.port, keepalive="1s"), receive())
        await driver.open()
        mosquitto.process.send_signal(signal.SIGSTOP)
        silent_since = loop.time()
        try:
            with pytest.raises(ConnectionLost, match="no byte from the broker"):
                async with asyncio.timeout(5):
                    await driver.run()
        finally:
            mosquitto.process.send_signal(signal.SIGCONT)
        assert loop.time() - silent_since < 2
        await driver.close()

    @pytest.mark.parametrize("version", [5, "3.1.1"])
    async def test_credentials(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: object) -> None:
        broker = Mosquitto(tmp_path, users={"edgeward": "right"})
        login: dict[str, Any] = {
            "port": broker.port,
            "username": "edgeward",
            "password": {"env": "MQTT_PASSWORD"},
            "version": version,
        }
        link = make_link(COUNTER, **login)
        monkeypatch.setenv("MQTT_PASSWORD", "wrong")
        driver = Driver(link, receive())
        with pytest.raises(ConfigError, match=r"refuses us: (Not authorized|Bad user name or password)") as caught:
            await driver.open()
        await driver.close()
        assert "wrong" not in str(caught.value)
        monkeypatch.setenv("MQTT_PASSWORD", "right")
        async with session(link, receive()):
            pass
        monkeypatch.delenv("MQTT_PASSWORD")
        with pytest.raises(ConfigError, match="MQTT_PASSWORD is not set"):
            await Driver(link, receive()).open()
        broker.stop()


class TestCommands:
    @pytest.mark.parametrize("version", [5, "3.1.1"])
    async def test_a_command_arrives_and_is_not_retained(self, mosquitto: Mosquitto, version: object) -> None:
        link = make_link(WRITABLE, port=mosquitto.port, version=version)
        subscriber = await asyncio.to_thread(mosquitto.subscribe, "+/pump-1/+/set", count=2)
        async with session(link, receive()) as driver:
            await driver.write(tag_of(link, "speed"), 1480.5)
            await driver.write(tag_of(link, "mode"), "auto")
        assert await asyncio.to_thread(subscriber.messages) == [
            "0 plant/pump-1/speed/set 1480.5",
            "0 plain/pump-1/mode/set auto",
        ]

    async def test_nobody_subscribes(self, mosquitto: Mosquitto) -> None:
        link = make_link(WRITABLE, port=mosquitto.port)
        async with session(link, receive()) as driver:
            with pytest.raises(DeviceSilent, match="nobody subscribes to plant/pump-1/speed/set"):
                await driver.write(tag_of(link, "speed"), 1.0)

    async def test_the_broker_refuses(self, tmp_path: Path) -> None:
        broker = Mosquitto(tmp_path, acl="topic read plant/#\n")
        link = make_link(WRITABLE, port=broker.port)
        async with session(link, receive()) as driver:
            with pytest.raises(CommandRefused, match="refuses plant/pump-1/speed/set: Not authorized"):
                await driver.write(tag_of(link, "speed"), 1.0)
        broker.stop()

    async def test_what_cannot_be_written(self, mosquitto: Mosquitto) -> None:
        link = make_link(WRITABLE, port=mosquitto.port)
        async with session(link, receive()) as driver:
            with pytest.raises(CommandRefused, match="no command_topic"):
                await driver.write(tag_of(link, "fixed"), 1.0)
            with pytest.raises(CommandRefused, match="cannot be written"):
                await driver.write(tag_of(link, "speed"), float("nan"))

    async def test_our_own_commands_do_not_come_back_as_values(self, mosquitto: Mosquitto) -> None:
        groups = {
            "all": {
                "topic": "plant/#",
                "tags": {"speed": {"type": "float64", "path": "", "writable": True, "command_topic": "plant/set"}},
            }
        }
        link = make_link(groups, port=mosquitto.port)
        receiver = receive()
        subscriber = await asyncio.to_thread(mosquitto.subscribe, "plant/set")
        async with session(link, receiver) as driver:
            await driver.write(tag_of(link, "speed"), 1.0)
            await send(mosquitto, "plant/speed", "2")
            await receiver.wait_scans(1)
        subscriber.stop()
        assert [scan.values[0].tolist() for scan in receiver.scans] == [[2.0]]
