"""A value that comes over MQTT switches a coil over Modbus; quality comes before everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import broker_link, influx_v1, modbus_link
from tests.parts import libmodbus
from tests.parts.gateway import Gateway
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import Part

pytestmark = [
    pytest.mark.real("mosquitto"),
    pytest.mark.real("libmodbus"),
    pytest.mark.real("mbpoll"),
    pytest.mark.real("influxd"),
]

COIL = 3
"""On, at first: it is odd."""

PUMP: dict[str, Any] = {
    "topic": "plant/{device}/state",
    "stale_after": "1s",
    "tags": {"heat": {"type": "float64"}, "load": {"type": "float32"}},
}
PRESS: dict[str, Any] = {
    "interval": "100ms",
    "tags": {"run": {"address": f"coil:{COIL}", "type": "bool", "writable": True}},
}
HOT: dict[str, Any] = {
    "limit": {"tag": "pump-1/heat", "high": 80, "deadband": 5},
    "priority": "high",
    "message": "Bearing of pump 1 is hot",
    "write": {"tag": "press-1/run", "value": False},
}

BAD = ['{"heat": null}', '{"heat": "95"}', '{"heat": NaN}', '{"heat": 1e999}', "{no json", '{"load": 3.0}']
"""What says nothing about the heat, though some of it looks hot."""


class Plant:
    def __init__(self, gateway: Gateway, broker: Mosquitto, server: Part) -> None:
        self.gateway = gateway
        self._broker = broker
        self._server = server

    def say(self, *payloads: str) -> None:
        """Messages of the pump. Returns when the gateway has judged them."""
        seen = self._heard()
        for payload in payloads:
            self._broker.publish("plant/pump-1/state", payload)
        self.gateway.wait(lambda: self._heard() >= seen + len(payloads))

    def heat(self, *values: float) -> None:
        self.say(*(json.dumps({"heat": value, "load": 0.5}) for value in values))

    def coil(self) -> bool:
        """As another client sees it."""
        return libmodbus.poll(self._server.port, "0", COIL) == ["1"]

    def wait_state(self, state: str) -> None:
        self.gateway.wait(lambda: self.gateway.alarm("hot") == state)

    def _heard(self) -> int:
        return int(self.gateway.device("pump-1")["scans"] + self.gateway.link("floor")["refused"])


@pytest.fixture
def plant(start: Start, broker: Mosquitto, modbus: Callable[..., Part], influx: Influxd, database: str) -> Plant:
    server = modbus()
    gateway = start(
        links={"floor": broker_link(broker.port), "bus": modbus_link(server.port)},
        devices={
            "pump-1": {"link": "floor", "groups": {"state": PUMP}},
            "press-1": {"link": "bus", "groups": {"fast": PRESS}},
        },
        sinks={"cloud": influx_v1(influx.port, database)},
        rules={"hot": HOT},
    )
    gateway.wait(lambda: bool(gateway.link("floor")["online"] and gateway.device("press-1")["state"] == "online"))
    return Plant(gateway, broker, server)


def test_an_alarm_from_its_raising_to_its_end(plant: Plant, influx: Influxd) -> None:
    gateway = plant.gateway
    plant.heat(79.0, 80.0)
    plant.say(*BAD)
    assert gateway.alarm("hot") == "normal"
    assert plant.coil()

    plant.heat(80.5)
    gateway.wait(lambda: not plant.coil())
    assert gateway.alarm("hot") == "unacknowledged"
    gateway.wait(lambda: gateway.read("press-1/run")["value"] is False)

    assert gateway.ask("ack", alarm="hot").items() >= {"answer": "ack", "state": "acknowledged"}.items()
    assert gateway.ask("ack", alarm="hot")["answer"] == "error", "once is enough"
    plant.heat(79.0, 76.0)
    plant.say(*BAD)
    gateway.wait(lambda: bool(gateway.device("pump-1")["state"] == "stale"))
    assert gateway.alarm("hot") == "acknowledged", "neither the deadband nor a bad or stale value clears it"

    plant.heat(75.0)
    assert gateway.alarm("hot") == "normal"
    gateway.wait_delivered("cloud")
    alarms = influx.query("select * from alarms", "plant")
    assert [(alarm["state"], alarm["value"]) for alarm in alarms] == [
        ("unacknowledged", 80.5),
        ("acknowledged", 80.5),
        ("normal", 75.0),
    ]
    assert {alarm["message"] for alarm in alarms} == {HOT["message"]}
    (command,) = influx.query("select * from commands", "plant")
    assert command.items() >= {"tag": "press-1/run", "origin": "rule:hot", "outcome": "done", "value": 0}.items()


def test_it_isolates_again_after_somebody_switched_on(plant: Plant) -> None:
    gateway = plant.gateway
    plant.heat(90.0)
    gateway.wait(lambda: not plant.coil())
    assert gateway.ask("write", tag="press-1/run", value=True)["outcome"] == "done"
    assert plant.coil(), "a person may, while the alarm stands"
    plant.heat(70.0)
    assert gateway.alarm("hot") == "returned", "it is over, and nobody has seen it"
    plant.heat(85.0)
    gateway.wait(lambda: not plant.coil())
    assert gateway.alarm("hot") == "unacknowledged"


def test_a_coil_that_cannot_be_written_is_told(
    start: Start, broker: Mosquitto, modbus: Callable[..., Part], influx: Influxd, database: str
) -> None:
    server = modbus("--hole", str(COIL))
    gateway = start(
        links={"floor": broker_link(broker.port), "bus": modbus_link(server.port)},
        devices={
            "pump-1": {"link": "floor", "groups": {"state": PUMP}},
            "press-1": {"link": "bus", "groups": {"fast": PRESS}},
        },
        sinks={"cloud": influx_v1(influx.port, database)},
        rules={"hot": HOT},
    )
    gateway.wait(lambda: bool(gateway.link("floor")["online"] and gateway.link("bus")["online"]))
    Plant(gateway, broker, server).heat(95.0)
    gateway.wait(lambda: bool(influx.query("select * from commands", database)))
    (command,) = influx.query("select * from commands", database)
    assert command["outcome"] == "refused"
    assert "illegal data address" in command["reason"].lower()
    assert gateway.told("write press-1/run by rule:hot: refused")
