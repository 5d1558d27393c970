"""A rule over two devices: what comes over MQTT, and what is read over Modbus, switch a coil together."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import broker_link, modbus_link
from tests.parts import libmodbus
from tests.parts.gateway import Gateway
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import Part

pytestmark = [pytest.mark.real("mosquitto"), pytest.mark.real("libmodbus"), pytest.mark.real("mbpoll")]

COIL = 3
"""On, at first: it is odd."""

PUMP: dict[str, Any] = {
    "topic": "plant/{device}/state",
    "stale_after": "2s",
    "tags": {"heat": {"type": "float32", "unit": "°C"}, "mode": {"type": "string"}},
}
PRESS: dict[str, Any] = {
    "interval": "50ms",
    "tags": {
        "run": {"address": f"coil:{COIL}", "type": "bool", "writable": True},
        "limit": {"address": "holding:80", "type": "uint16", "unit": "°C"},  # every register holds its own address
    },
}
HOT: dict[str, Any] = {
    "when": 'pump-1/heat > press-1/limit + 0.5 °C and press-1/run and pump-1/mode != "service"',
    "until": "pump-1/heat <= press-1/limit - 5 °C",
    "write": {"tag": "press-1/run", "value": False},
}


class Plant:
    def __init__(self, gateway: Gateway, broker: Mosquitto, server: Part) -> None:
        self.gateway = gateway
        self._broker = broker
        self._server = server

    def say(self, **values: object) -> None:
        """A message of the pump. Returns when the gateway has judged it."""
        seen = self.gateway.device("pump-1")["scans"]
        self._broker.publish("plant/pump-1/state", json.dumps(values))
        self.gateway.wait(lambda: bool(self.gateway.device("pump-1")["scans"] > seen))

    def look(self) -> None:
        """Returns when the press has been read, and judged, anew."""
        seen = self.gateway.device("press-1")["scans"]
        self.gateway.wait(lambda: bool(self.gateway.device("press-1")["scans"] >= seen + 2))

    def coil(self) -> bool:
        """As another client sees it."""
        return libmodbus.poll(self._server.port, "0", COIL) == ["1"]


@pytest.fixture
def plant(start: Start, broker: Mosquitto, modbus: Callable[..., Part]) -> Plant:
    server = modbus()
    gateway = start(
        links={"floor": broker_link(broker.port), "bus": modbus_link(server.port)},
        devices={
            "pump-1": {"link": "floor", "groups": {"state": PUMP}},
            "press-1": {"link": "bus", "groups": {"fast": PRESS}},
        },
        rules={"hot": HOT},
    )
    gateway.wait(lambda: bool(gateway.link("floor")["online"] and gateway.device("press-1")["state"] == "online"))
    return Plant(gateway, broker, server)


def test_two_devices_switch_a_coil_together(plant: Plant) -> None:
    gateway = plant.gateway
    plant.say(heat=90.0)
    plant.look()
    assert gateway.alarm("hot") == "normal", "nobody knows the mode of the pump"
    plant.say(heat=80.5, mode="auto")
    plant.say(heat=95.0, mode="service")
    plant.look()
    assert gateway.alarm("hot") == "normal"
    assert plant.coil()

    plant.say(heat=81.0, mode="auto")
    gateway.wait(lambda: not plant.coil())
    assert gateway.alarm("hot") == "unacknowledged"
    assert gateway.told("write press-1/run by rule:hot: done")

    gateway.wait(lambda: gateway.read("press-1/run")["value"] is False)
    plant.say(heat=76.0, mode="auto")
    plant.look()
    assert gateway.alarm("hot") == "unacknowledged", "until is not yet true"
    gateway.wait(lambda: bool(gateway.device("pump-1")["state"] == "stale"))
    plant.look()
    assert gateway.alarm("hot") == "unacknowledged", "what is stale clears nothing"
    plant.say(heat=75.0, mode="auto")
    assert gateway.alarm("hot") == "returned"


def test_a_scan_of_the_other_device_raises_too(plant: Plant) -> None:
    gateway = plant.gateway
    assert gateway.ask("write", tag="press-1/run", value=False)["outcome"] == "done"
    gateway.wait(lambda: gateway.read("press-1/run")["value"] is False)
    plant.say(heat=90.0, mode="auto")
    plant.look()
    assert gateway.alarm("hot") == "normal", "the press stands still"
    assert gateway.ask("write", tag="press-1/run", value=True)["outcome"] == "done"
    gateway.wait(lambda: gateway.alarm("hot") == "unacknowledged")
    gateway.wait(lambda: not plant.coil())
