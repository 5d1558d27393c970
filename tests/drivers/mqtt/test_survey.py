"""Listening to a real broker, and trying a link beside a gateway that uses it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from drivers.mqtt import probe, survey
from drivers.mqtt.settings import LinkSettings
from drivers.mqtt.survey import MOST_BYTES, MOST_PAYLOADS, MOST_TOPICS, Ear
from gateway import draft
from gateway.errors import ConfigError, ConnectionLost
from gateway.settings import load
from gateway.survey import Survey
from tests.drivers.mqtt.links import make_link, session
from tests.drivers.receiver import FakeReceiver
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port

GROUPS = {"state": {"topic": "plant/{device}/state", "tags": {"level": {"type": "float64"}}}}


def test_an_ear_keeps_a_little_of_everything() -> None:
    ear = Ear()
    for i in range(MOST_TOPICS + 5):
        for _ in range(MOST_PAYLOADS + 1):
            ear.hear(f"t/{i}", b"1")
    for topic, payload in (("$SYS/uptime", b"1"), ("t/1000", b""), ("t/0", b"x" * (MOST_BYTES + 1))):
        ear.hear(topic, payload)
    assert len(ear.heard) == MOST_TOPICS
    assert {len(payloads) for payloads in ear.heard.values()} == {MOST_PAYLOADS}
    assert ear.is_full


async def ask(url: str) -> tuple[Survey, list[str]]:
    told: list[str] = []
    return await survey(url, told.append), told


@pytest.mark.real("mosquitto")
async def test_what_is_published_becomes_a_configuration(mosquitto: Mosquitto, tmp_path: Path) -> None:
    for pump in (1, 2):
        mosquitto.publish(f"plant/pump-{pump}/state", '{"speed": 1480, "run": true}', "--retain")
    found, told = await ask(f"mqtt://127.0.0.1:{mosquitto.port}?topic=plant/%23&seconds=0.3")
    assert told == ["listening to plant/# for 0.3 s"]
    path = tmp_path / "edgeward.yaml"
    path.write_text(draft.write(found))
    (link,) = load(path).links
    assert cast(LinkSettings, link.settings).version == 5
    assert [device.id for device in link.devices] == ["pump-1", "pump-2"]
    assert "template: pump" in path.read_text()


@pytest.mark.real("mosquitto")
async def test_a_password_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Mosquitto(tmp_path, users={"ed": "secret"})
    try:
        broker.publish("a/b", "1", "--retain", "-u", "ed", "-P", "secret")
        monkeypatch.delenv("MQTT_PASSWORD", raising=False)
        with pytest.raises(ConfigError, match="look at username and password"):
            await ask(f"mqtt://ed@127.0.0.1:{broker.port}?seconds=0.3")
        monkeypatch.setenv("MQTT_PASSWORD", "secret")
        text = draft.write((await ask(f"mqtt://ed@127.0.0.1:{broker.port}?seconds=0.3"))[0])
    finally:
        broker.stop()
    assert "username: ed, password: {env: MQTT_PASSWORD}" in text
    assert "secret" not in text


@pytest.mark.real("mosquitto")
async def test_silence_says_what_to_try(mosquitto: Mosquitto) -> None:
    with pytest.raises(ConfigError, match=r"nothing was published to # within 0.1 s; listen longer with \?seconds=60"):
        await ask(f"mqtt://127.0.0.1:{mosquitto.port}?seconds=0.1")


@pytest.mark.real("mosquitto")
async def test_only_what_means_nothing_is_published(mosquitto: Mosquitto) -> None:
    mosquitto.publish("photo", b"\xff\xd8\xff", "--retain")
    with pytest.raises(ConfigError, match="neither JSON nor plain values"):
        await ask(f"mqtt://127.0.0.1:{mosquitto.port}?seconds=0.2")


async def test_nobody_there() -> None:
    with pytest.raises(ConnectionLost, match="Connection refused"):
        await ask(f"mqtt://127.0.0.1:{free_port()}?seconds=0.1")


@pytest.mark.real("mosquitto")
@pytest.mark.parametrize("version", [5, "3.1.1"])
async def test_a_probe_leaves_the_session_of_the_gateway_alone(mosquitto: Mosquitto, version: object) -> None:
    link = make_link(GROUPS, port=mosquitto.port, version=version)
    looking = FakeReceiver(safe=False)
    async with session(link, FakeReceiver()):
        pass
    mosquitto.publish("plant/pump-1/state", '{"level": 1}')  # kept for the gateway, which is away
    async with session(probe(link), looking):
        mosquitto.publish("plant/pump-1/state", '{"level": 2}')
        await looking.wait_scans(1)
    back = FakeReceiver()
    async with session(link, back):
        await back.wait_scans(2)
    assert [scan.values[0][0] for scan in looking.scans] == [2.0]
    assert [scan.values[0][0] for scan in back.scans] == [1.0, 2.0]


@pytest.mark.real("mosquitto")
async def test_a_probe_does_not_end_a_session_that_is_open(mosquitto: Mosquitto) -> None:
    link = make_link(GROUPS, port=mosquitto.port)
    gateway = FakeReceiver()
    async with session(link, gateway):
        async with session(probe(link), FakeReceiver()):
            await asyncio.sleep(0)
        mosquitto.publish("plant/pump-1/state", '{"level": 3}')
        await gateway.wait_scans(1)
