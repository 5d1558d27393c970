"""The driver over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.mqtt import Driver
from gateway.errors import ConfigError, ConnectionLost
from tests.drivers.mqtt.certificates import Authority
from tests.drivers.mqtt.evil import SUBACK, evil, publish
from tests.drivers.mqtt.links import make_link, session
from tests.drivers.receiver import FakeReceiver
from tests.parts.mosquitto import Mosquitto

COUNTER: dict[str, Any] = {"state": {"topic": "plant/{device}/state", "tags": {"n": {"type": "int64"}}}}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def broker(tmp_path: Path, authority: Authority) -> Iterator[Mosquitto]:
    """Takes nobody without a certificate of the authority."""
    certificate, key = authority.issue("broker")
    broker = Mosquitto(tmp_path, tls=(authority.path, certificate, key), extra="require_certificate true")
    yield broker
    broker.stop()


@pytest.mark.real("mosquitto")
async def test_values_over_tls_with_certificates_on_both_ends(broker: Mosquitto, authority: Authority) -> None:
    certificate, key = authority.issue("edgeward")
    tls = {"ca": str(authority.path), "certificate": str(certificate), "key": str(key)}
    receiver = FakeReceiver()
    options = ["--cafile", tls["ca"], "--cert", tls["certificate"], "--key", tls["key"]]
    lines = "".join(f'{{"n":{n}}}\n' for n in range(2000))
    async with session(make_link(COUNTER, port=broker.port, tls=tls), receiver):
        await asyncio.to_thread(broker.publish, "plant/pump-1/state", lines, *options, lines=True)
        await receiver.wait_scans(2000)
    assert [int(scan.values[0][0]) for scan in receiver.scans] == list(range(2000))


async def test_packets_of_one_tls_record_are_all_taken(authority: Authority) -> None:
    """The socket is empty once the record is read, so nothing but the driver itself knows that there is more."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("broker"))
    messages = b"".join(publish(b"plant/pump-1/state", b'{"n":%d}' % n, n) for n in range(1, 101))
    receiver = FakeReceiver()
    async with evil(SUBACK + messages, tls=context) as broker:
        driver = Driver(make_link(COUNTER, port=broker.port, tls={"ca": str(authority.path)}), receiver)
        await driver.open()
        await receiver.wait_scans(100)
        await driver.close()


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.real("mosquitto")
async def test_a_broker_of_another_authority_is_not_trusted(broker: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    driver = Driver(make_link(COUNTER, port=broker.port, tls={"ca": str(other.path)}), FakeReceiver())
    with pytest.raises(ConfigError, match="is not trusted"):
        await driver.open()
    await driver.close()


@pytest.mark.real("mosquitto")
async def test_a_broker_that_wants_a_certificate(broker: Mosquitto, authority: Authority) -> None:
    driver = Driver(make_link(COUNTER, port=broker.port, tls={"ca": str(authority.path)}), FakeReceiver())
    with pytest.raises(ConnectionLost):
        await driver.open()
    await driver.close()


@pytest.mark.real("mosquitto")
async def test_plain_text_on_a_tls_port(broker: Mosquitto) -> None:
    driver = Driver(make_link(COUNTER, port=broker.port), FakeReceiver())
    with pytest.raises(ConnectionLost):
        await driver.open()
    await driver.close()


async def test_a_file_that_is_missing(tmp_path: Path) -> None:
    driver = Driver(make_link(COUNTER, tls={"ca": str(tmp_path / "no.crt")}), FakeReceiver())
    with pytest.raises(ConfigError, match="cannot log in"):
        await driver.open()
    await driver.close()
