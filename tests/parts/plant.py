"""A plant of many devices of which some turn sick while it works: its far ends, and the sections of a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.parts import libmodbus
from tests.parts.farm import Farm, Sickness
from tests.parts.mosquitto import Mosquitto

Section = dict[str, Any]

ALONE = (
    *("refused", "refused", "hole", "silent", "silent", "slow", "slow"),
    *("tardy", "hangup", "stranger", "impostor", "short", "failing", "garbage"),
)
"""How those are sick that have a link of their own."""
SHARING = ("silent", "slow", "unreachable")
"""One behind each shared gateway."""
PUBLISHING = ("mute", "frozen", "garbled")

_SERVERS = 4
_REGISTERS = 10


@dataclass(frozen=True, slots=True)
class Size:
    """How many devices have a link of their own, sit behind each of the shared gateways, and publish; the sick ones
    among them. Every fifth of those alone, and whoever is to be tardy, is scanned five times as often."""

    alone: int = 150
    sharing: int = 10
    publishing: int = 20
    interval_s: float = 1.0
    timeout_s: float = 1.0


@dataclass(slots=True)
class Plant:
    """`sick` is who turns sick, and how; `intervals` is how often a value is due, in seconds; `neighbours` share a
    link with a sick one."""

    size: Size
    links: dict[str, Section] = field(default_factory=dict)
    devices: dict[str, Section] = field(default_factory=dict)
    sick: dict[str, Sickness] = field(default_factory=dict)
    intervals: dict[str, float] = field(default_factory=dict)
    neighbours: set[str] = field(default_factory=set)

    @property
    def healthy(self) -> set[str]:
        return self.devices.keys() - self.sick.keys()

    def add_polled(self, name: str, link: str, unit: int, often: bool) -> None:
        interval = self.size.interval_s / 5 if often else self.size.interval_s
        tags = {f"t{i}": {"address": f"holding:{i}", "type": "uint16"} for i in range(_REGISTERS)}
        group = {"interval": f"{interval * 1000:g}ms", "tags": tags}
        self.devices[name] = {"link": link, "unit": unit, "groups": {"fast": group}}
        self.intervals[name] = interval

    def add_link(self, name: str, port: int) -> None:
        timeout = f"{self.size.timeout_s * 1000:g}ms"
        self.links[name] = {"driver": "modbus", "host": "127.0.0.1", "port": port, "timeout": timeout}


@contextmanager
def plant(folder: Path, size: Size) -> Iterator[tuple[Plant, Farm]]:
    """The far ends, at work; the farm is to be told when to turn."""
    made = Plant(size)
    with ExitStack() as stack:
        broker = Mosquitto(folder)
        stack.callback(broker.stop)
        servers = [libmodbus.start(folder) for _ in range(_SERVERS)]
        for server in servers:
            stack.callback(server.stop)
        topics = _add_publishing(made, broker.port)
        stations: list[dict[int, Sickness]] = [{1: sickness} for sickness in ALONE]
        stations += [{unit: _behind(unit, sickness) for unit in range(1, size.sharing + 1)} for sickness in SHARING]
        farm = Farm(stations, size.timeout_s, broker.port, topics)
        stack.callback(farm.stop)
        _add_alone(made, farm.ports[: len(ALONE)], [server.port for server in servers])
        _add_sharing(made, farm.ports[len(ALONE) :])
        yield made, farm


def _add_alone(made: Plant, sick: list[int], servers: list[int]) -> None:
    ports = [*sick, *(port for port, _ in zip(cycle(servers), range(made.size.alone - len(sick)), strict=False))]
    for number, port in enumerate(ports):
        name = f"alone-{number:03}"
        sickness = ALONE[number] if number < len(sick) else ""
        if sickness:
            made.sick[name] = sickness
        made.add_link(name, port)
        made.add_polled(name, name, 1, often=number % 5 == 0 or sickness == "tardy")


def _add_sharing(made: Plant, ports: list[int]) -> None:
    for number, port in enumerate(ports):
        link = f"shared-{number}"
        made.add_link(link, port)
        for unit in range(1, made.size.sharing + 1):
            name = f"{link}-unit-{unit}"
            made.add_polled(name, link, unit, often=False)
            if sickness := _behind(unit, SHARING[number]):
                made.sick[name] = sickness
            else:
                made.neighbours.add(name)


def _behind(unit: int, sickness: Sickness) -> Sickness:
    """The second unit of a shared gateway is the sick one."""
    return sickness if unit == 2 else ""


def _add_publishing(made: Plant, broker: int) -> dict[str, Sickness]:
    made.links["floor"] = {"driver": "mqtt", "host": "127.0.0.1", "port": broker}
    topics: dict[str, Sickness] = {}
    for number in range(made.size.publishing):
        name = f"pump-{number:02}"
        state = {
            "topic": "plant/{device}/state",
            "stale_after": f"{3 * made.size.interval_s:g}s",
            "time": {"path": "ts", "format": "unix_ns"},
            "tags": {"level": {"type": "int64"}},
        }
        made.devices[name] = {"link": "floor", "groups": {"state": state}}
        sickness = PUBLISHING[number] if number < len(PUBLISHING) else ""
        if sickness:
            made.sick[name] = sickness
        topics[f"plant/{name}/state"] = sickness
        made.intervals[name] = 1.0
    return topics
