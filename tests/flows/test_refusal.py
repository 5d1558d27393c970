"""Servers that refuse, fail or say nothing: each is told of once, and once when it is over; everything is kept for it,
and nobody else waits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeAlias
from urllib.request import urlopen

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import Section, broker_link, influx_v1
from tests.gateway.sinks.cloud import Cloud, Exchange, cloud
from tests.gateway.sinks.lineprotocol import parse
from tests.parts.gateway import Gateway
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto

Sickness: TypeAlias = Callable[[Exchange], None]


def refuse(status: int, body: bytes = b"", **headers: str) -> Sickness:
    return lambda exchange: exchange.answer(status, body, **headers)


SICK: dict[str, tuple[Sickness, str]] = {
    "s401": (refuse(401, b'{"error": "token revoked"}'), "401: token revoked"),
    "s429": (refuse(429, b"slow down", Retry_After="1"), "429: slow down"),
    "s500": (refuse(500, b"oops"), "500: oops"),
    "hangs": (Exchange.hang, ""),
    "resets": (Exchange.reset, ""),
}
"""How a server that takes nothing answers, and what people are told of its words."""

HELD = "s401"
"""Who refuses us, not the content, is asked again only after half a minute, or after a new start."""


class Server:
    """What it has taken, and whether it is well."""

    def __init__(self, cloud: Cloud, sick: Sickness) -> None:
        self.url = cloud.url
        self.is_well = True
        self.refusals = 0
        self._taken: list[bytes] = []
        self._cloud = cloud
        self._sick = sick
        cloud.script = self._answer

    def numbers(self) -> list[int]:
        lines = [line for body in self._taken for line in parse(body.decode()) if line.measurement == "state"]
        return sorted({int(line.fields["n"][1].rstrip("i")) for line in lines})

    def _answer(self, exchange: Exchange) -> None:
        if self.is_well:
            self._taken.append(self._cloud.requests[-1].body)
            exchange.answer(204)
        else:
            self.refusals += 1
            self._sick(exchange)


class Plant:
    """A numbered message to all servers, of which one is always well."""

    def __init__(self, gateway: Gateway, broker: Mosquitto, servers: dict[str, Server]) -> None:
        self.gateway = gateway
        self.servers = servers
        self._broker = broker

    def say(self, *numbers: int) -> None:
        """Returns when the one that is well has them."""
        self._broker.publish("plant", "".join(f'{{"n": {n}}}\n' for n in numbers), lines=True)
        self.gateway.wait(lambda: set(numbers) <= set(self.servers["well"].numbers()))

    def turn(self, *, well: bool) -> None:
        for name in SICK:
            self.servers[name].is_well = well


@pytest.fixture
def plant(start: Start, broker: Mosquitto, stack: ExitStack) -> Plant:
    servers = {name: Server(stack.enter_context(cloud()), sick) for name, (sick, _) in SICK.items()}
    servers["well"] = Server(stack.enter_context(cloud()), Exchange.reset)
    return Plant(begin(start, broker, servers), broker, servers)


def begin(start: Start, broker: Mosquitto, servers: dict[str, Server]) -> Gateway:
    place = {"sink": "influxdb", "version": "v1", "database": "plant", "timeout": "300ms"}
    group = {"topic": "plant", "tags": {"n": {"type": "int64"}}}
    gateway = start(
        links={"floor": broker_link(broker.port)},
        devices={"pump-1": {"link": "floor", "groups": {"state": group}}},
        sinks={name: place | {"url": server.url} for name, server in servers.items()},
    )
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    return gateway


@pytest.mark.slow
@pytest.mark.real("mosquitto")
def test_servers_that_take_nothing_for_a_while(plant: Plant) -> None:
    """D2, D8, D9: all at once."""
    gateway, servers = plant.gateway, plant.servers
    plant.say(0, 1)
    gateway.wait_delivered(*servers)
    plant.turn(well=False)
    plant.say(2, 3)
    plant.say(4)
    gateway.wait(lambda: all(servers[name].refusals >= (1 if name == HELD else 2) for name in SICK))
    gateway.wait(lambda: not any(gateway.sink(name)["online"] for name in SICK))
    gateway.check_accounts()
    for name, (_, words) in SICK.items():
        account = gateway.sink(name)
        assert (account["dead_letters"], account["dropped"]) == (0, 0), name
        assert account["pending"] >= 3, name
        assert account["retries"] >= 1, name
        (told,) = gateway.told(f"sink {name} delivery")
        assert words in told or "the server's own words" in told, name
        assert words in account["reason"], name
    assert gateway.sink("well")["online"]

    plant.turn(well=True)
    plant.say(5)
    if not os.environ.get("SOAK"):
        gateway.wait_delivered(*(name for name in SICK if name != HELD))
        gateway.restart()
    gateway.wait_delivered(*servers, seconds=60)
    for name, server in servers.items():
        assert server.numbers() == [0, 1, 2, 3, 4, 5], name
        assert gateway.sink(name)["dead_letters"] == 0, name
    for name in SICK if os.environ.get("SOAK") else set(SICK) - {HELD}:
        assert len(gateway.told(f"sink {name} delivery", "over, after")) == 1, name


@pytest.mark.slow
@pytest.mark.real("mosquitto")
def test_a_server_that_has_lost_its_mind(start: Start, broker: Mosquitto, stack: ExitStack) -> None:
    """It took everything, now it calls everything wrong: that convicts no value, and all is kept until it is well."""
    servers = {"s400": Server(stack.enter_context(cloud()), refuse(400, b'{"error": "out of my mind"}'))}
    servers["well"] = Server(stack.enter_context(cloud()), Exchange.reset)
    plant = Plant(begin(start, broker, servers), broker, servers)
    gateway, server = plant.gateway, servers["s400"]
    plant.say(0, 1)
    gateway.wait_delivered(*servers)
    server.is_well = False
    plant.say(2)
    plant.say(3, 4)
    gateway.wait(lambda: server.refusals > 0)
    gateway.wait(lambda: not gateway.sink("s400")["online"], 3)
    assert gateway.sink("s400")["dead_letters"] == 0
    assert not gateway.told("refused for good")
    (told,) = gateway.told("sink s400 delivery")
    assert "out of my mind" not in told, "what a server says of values may be values"
    assert "400: out of my mind" in gateway.sink("s400")["reason"]
    server.is_well = True
    if not os.environ.get("SOAK"):
        gateway.restart()
    gateway.wait_delivered(*servers, seconds=60)
    assert server.numbers() == [0, 1, 2, 3, 4]


@pytest.mark.real("mosquitto")
@pytest.mark.real("influxd")
def test_a_value_that_the_database_refuses_costs_no_other(
    start: Start, broker: Mosquitto, influx: Influxd, database: str
) -> None:
    """D1: somebody wrote a field of another type before us; InfluxDB refuses ours for good, and whole lines with it."""
    line = b"state,site=plant-1,cell=line-a,device=pump-1 twisted=1i"
    urlopen(f"{influx.url}/write?db={database}", line, timeout=5).close()
    tags: Section = {"n": {"type": "int64"}, "twisted": {"type": "float64"}, "half": {"type": "float64"}}
    gateway = start(
        links={"floor": broker_link(broker.port)},
        devices={"pump-1": {"link": "floor", "groups": {"state": {"topic": "plant", "tags": tags}}}},
        sinks={"cloud": influx_v1(influx.port, database)},
    )
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    count = 50
    bodies = [json.dumps({"n": n, "twisted": n + 0.5, "half": n / 2}) + "\n" for n in range(count)]
    broker.publish("plant", "".join(bodies), lines=True)
    gateway.wait(lambda: bool(gateway.device("pump-1")["scans"] == count))
    gateway.wait_delivered("cloud")
    rows = influx.query("select n, half from state where half >= 0", database)
    assert sorted((row["n"], row["half"]) for row in rows) == [(n, n / 2) for n in range(count)]
    assert gateway.sink("cloud")["dead_letters"] == count
    assert len(gateway.told("sink cloud", "refused for good", "dead-letters")) == 1
