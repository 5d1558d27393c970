"""One dead device (A4, D7): those beside it never notice, and it is named with its reason."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import Section, influx_v1, modbus_link, numbered_pump
from tests.flows.proxy import Mode, Proxy
from tests.flows.publisher import Publisher
from tests.parts.gateway import Gateway
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import Part, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real("mosquitto"),
    pytest.mark.real("libmodbus"),
    pytest.mark.real("influxd"),
]

INTERVAL_S = 0.05
SCANS = 60
"""That many scans of its neighbours a dead device is watched for, at least."""
DEAD_UNIT = 2
UNIT = 6
"""Where the unit stands in a Modbus TCP frame."""


def press(link: str, unit: int = 1) -> Section:
    tags = {"level": {"address": "holding:7", "type": "uint16"}}
    return {"link": link, "unit": unit, "groups": {"fast": {"interval": f"{INTERVAL_S * 1000:g}ms", "tags": tags}}}


def test_the_dead_cost_the_living_nothing(
    start: Start,
    broker: Mosquitto,
    modbus: Callable[..., Part],
    influx: Influxd,
    database: str,
    publish: Callable[[], Publisher],
    through: Callable[[int], Proxy],
) -> None:
    server = modbus()
    hole, shared = through(server.port), through(server.port)
    hole.turn(Mode.SWALLOW)
    shared.loses = lambda frame: frame[UNIT] == DEAD_UNIT
    plant = numbered_pump(broker.port)
    plant["links"] |= {
        "alive": modbus_link(server.port),
        "refused": modbus_link(free_port()),
        "hole": modbus_link(hole.port, timeout="100ms"),
        "shared": modbus_link(shared.port, timeout="100ms"),
    }
    plant["devices"] |= {link: press(link) for link in ("alive", "refused", "hole", "shared")}
    plant["devices"] |= {"silent": press("shared", unit=DEAD_UNIT)}
    gateway = start(sinks={"cloud": influx_v1(influx.port, database)}, **plant)
    gateway.wait(lambda: gateway.device("shared")["state"] == gateway.device("alive")["state"] == "online")
    publisher = publish()
    gateway.wait(lambda: gateway.device("pump-1")["state"] == "online")

    before, began = counts(gateway), time.monotonic()
    sent = publisher.count()
    dead = "quarantined" if os.environ.get("SOAK") else "offline"
    gateway.wait(lambda: gateway.device("silent")["state"] == gateway.device("hole")["state"] == dead, 60)
    gateway.wait(lambda: bool(gateway.device("alive")["scans"] >= before["alive"] + SCANS))
    after, lasted = counts(gateway), time.monotonic() - began
    assert after["alive"] - before["alive"] >= 0.95 * (lasted / INTERVAL_S) - 2
    assert gateway.device("alive")["late"] <= 1
    # A read of the silent unit holds the line for its timeout; then it is left alone for longer and longer.
    assert after["shared"] - before["shared"] >= 0.7 * (lasted / INTERVAL_S)
    assert after["pump-1"] - before["pump-1"] >= publisher.count() - sent - 250
    assert gateway.status()["lag_s"] < 0.5

    states = {name: gateway.device(name) for name in after}
    assert {name for name, device in states.items() if device["state"] == "online"} == {"alive", "shared", "pump-1"}
    assert states["refused"]["state"] == "offline"
    assert "refused" in states["refused"]["reason"].lower()
    assert "no answer in time" in states["silent"]["reason"]
    assert "no answer in time" in states["hole"]["reason"]
    gateway.check_accounts()


def counts(gateway: Gateway) -> dict[str, Any]:
    return {device["id"]: device["scans"] for device in gateway.status()["devices"]}


def test_a_device_comes_back(
    start: Start,
    broker: Mosquitto,
    modbus: Callable[..., Part],
    influx: Influxd,
    database: str,
    through: Callable[[int], Proxy],
) -> None:
    """Swallowed from, then reachable again: the database says when it was away."""
    network = through(modbus().port)
    gateway = start(
        links={"bus": modbus_link(network.port, timeout="100ms")},
        devices={"press": press("bus")},
        sinks={"cloud": influx_v1(influx.port, database)},
    )
    gateway.wait(lambda: gateway.device("press")["state"] == "online")
    network.loses = lambda frame: True
    gateway.wait(lambda: gateway.device("press")["state"] == "offline")
    gone = gateway.device("press")["scans"]
    network.loses = lambda frame: False
    gateway.wait(lambda: bool(gateway.device("press")["state"] == "online" and gateway.device("press")["scans"] > gone))
    gateway.wait(lambda: len(influx.query("select * from devices", database)) == 3)
    states = [row["state"] for row in influx.query("select * from devices", database)]
    assert states == ["online", "offline", "online"]
