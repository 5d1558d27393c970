"""Bad input from machines: each kind gets a clear message once, and once when it is over; it is counted, and costs no
other value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import Section, broker_link, influx_v1, modbus_link
from tests.parts.gateway import Gateway, gateway
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import Part

TIMES = 3

HOLE = 42
NAN = 0x7FC0
"""A register that holds its own address, as all do, and so begins a float32 that is NaN."""
NODE_ID_UNKNOWN = 0x8034_0000

PAYLOADS: dict[str, tuple[bytes, str]] = {
    "malformed": (b'{"n": 1, ', "not JSON"),
    "number": (b"7", "no value of the group"),
    "empty": (b"", "empty"),
    "utf8": (b'{"n": 1, "text": "\xff\xfe"}', "not JSON"),
    "nan": (b'{"n": NaN}', "not JSON"),
    "infinity": (b'{"n": -Infinity}', "not JSON"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "large": (b'{"n": "' + b"x" * 10_000_000 + b'"}', "max_payload"),
}
"""What cannot be used at all, and a word of what is said about it."""

VALUES: dict[str, bytes] = {
    "text": b'{"n": "seven", "half": 0.5}',
    "fraction": b'{"n": 1.5, "half": 0.5}',
    "beyond": b'{"n": 1e999, "half": 0.5}',
    "null": b'{"n": null, "half": 0.5}',
    "list": b'{"n": [1], "half": 0.5}',
}
"""What has one value that cannot be used, beside one that can."""

GROUP: Section = {
    "topic": "plant/{device}/state",
    "tags": {"n": {"type": "int64"}, "half": {"type": "float64"}, "text": {"type": "string"}},
}


class Floor:
    """A device for each kind of message, all behind one broker."""

    def __init__(self, gateway: Gateway, broker: Mosquitto) -> None:
        self.gateway = gateway
        self._broker = broker

    def send(self, device: str, payload: bytes) -> None:
        """A good message, bad ones, and a good one; returns when all of them are delivered."""
        for body in (b'{"n": 0, "half": 0.25}', *(payload for _ in range(TIMES)), b'{"n": 1, "half": 0.25}'):
            self._broker.publish(f"plant/{device}/state", body)
        self.gateway.wait(lambda: bool(self.gateway.read(f"{device}/n")["value"] == 1))
        self.gateway.wait_delivered("archive")

    def archived(self, device: str, tag: str) -> list[Any]:
        paths = sorted((self.gateway.folder / "archive").glob("telemetry-*.jsonl"))
        lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
        values = [line["values"].get(tag) for line in lines if line["device"] == device]
        return [value for value in values if value is not None]


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    folder = tmp_path_factory.mktemp("misuse")
    broker = Mosquitto(folder)
    sections: Section = {
        "links": {"floor": broker_link(broker.port)},
        "devices": {name: {"link": "floor", "groups": {"state": GROUP}} for name in [*PAYLOADS, *VALUES]},
        "sinks": {"archive": {"sink": "files", "directory": "archive"}},
    }
    try:
        with gateway(folder, sections) as running:
            running.wait(lambda: bool(running.link("floor")["online"]))
            yield Floor(running, broker)
    finally:
        broker.stop()


@pytest.mark.real("mosquitto")
@pytest.mark.parametrize("name", PAYLOADS)
def test_a_message_that_cannot_be_used(floor: Floor, name: str) -> None:
    payload, words = PAYLOADS[name]
    before = floor.gateway.link("floor")["refused"]
    floor.send(name, payload)
    assert floor.gateway.link("floor")["refused"] - before == TIMES
    assert floor.gateway.device(name)["scans"] == 2
    assert floor.archived(name, "n") == [0, 1]
    begun, over = floor.gateway.told(f"{name}/state")
    assert words in begun
    assert len(begun) < 300, "people shall read it"
    assert f"over, after {TIMES} times" in over


@pytest.mark.real("mosquitto")
@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_cannot_be_used(floor: Floor, name: str) -> None:
    before = floor.gateway.device(name)["bad_scans"]
    floor.send(name, VALUES[name])
    assert floor.gateway.device(name)["scans"] == 2 + TIMES
    assert floor.archived(name, "n") == [0, 1]
    assert floor.archived(name, "half") == [0.25, *(TIMES * [0.5]), 0.25]
    begun, over = floor.gateway.told(f"{name}/state")
    assert re.search(r"\bn\b", begun), "it says which tag"
    assert f"over, after {TIMES} times" in over
    assert floor.gateway.device(name)["bad_scans"] - before == TIMES


@pytest.mark.real("libmodbus")
@pytest.mark.real("influxd")
def test_an_exception_in_the_middle_of_a_read(
    start: Start, modbus: Callable[..., Part], influx: Influxd, database: str
) -> None:
    """A5: the one register that the device refuses is bad and told about; its 99 neighbours never miss a scan."""
    server = modbus("--hole", str(HOLE))
    tags = {f"r{i}": {"address": f"holding:{i}", "type": "uint16"} for i in range(100)}
    running = start(
        links={"bus": modbus_link(server.port)},
        devices={"press": {"link": "bus", "groups": {"fast": {"interval": "50ms", "tags": tags}}}},
        sinks={"cloud": influx_v1(influx.port, database)},
    )
    running.wait(lambda: len(influx.query("select * from fast", database)) >= 10)
    assert running.device("press")["state"] == "online"
    for row in influx.query("select * from fast", database):
        assert {i for i in range(100) if row.get(f"r{i}") != i} == {HOLE}
        assert row[f"r{HOLE}.q"] == NODE_ID_UNKNOWN
    assert running.read(f"press/r{HOLE}")["quality"] == "bad"
    (told,) = running.told("press/fast", f"r{HOLE}")
    assert "WARNING" in told


@pytest.mark.real("libmodbus")
def test_a_register_that_is_no_number(start: Start, modbus: Callable[..., Part]) -> None:
    server = modbus(registers=65536)
    tags: Section = {
        "lost": {"address": f"holding:{NAN}", "type": "float32"},
        "level": {"address": "holding:7", "type": "uint16"},
    }
    alone = {"lost": {"address": f"holding:{NAN + 2}", "type": "float32"}}
    running = start(
        links={"bus": modbus_link(server.port)},
        devices={
            "tank": {"link": "bus", "groups": {"fast": {"interval": "50ms", "tags": tags}}},
            "probe": {"link": "bus", "groups": {"slow": {"interval": "50ms", "tags": alone}}},
        },
        sinks={"archive": {"sink": "files", "directory": "archive"}},
    )
    running.wait(lambda: bool(running.device("probe")["scans"] >= 10))
    assert running.read("tank/lost")["quality"] == "bad"
    assert (running.read("tank/level")["value"], running.read("tank/level")["quality"]) == (7, "good")
    (told,) = running.told("tank/fast", "lost")
    assert "WARNING" in told
    assert running.device("tank")["state"] == "online"
    assert running.device("probe")["state"] != "online", "nothing that it says can be used"
