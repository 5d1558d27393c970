"""Killed with -9 around an alarm: it is raised once and isolates, and what people did to it is still done."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import keys
from gateway.journal.chunk import Stream
from gateway.journal.store import Store
from gateway.model import AlarmChanged, AnyEvent, CommandDone
from tests.flows.conftest import Start
from tests.flows.machines import broker_link, modbus_link
from tests.flows.test_isolation import COIL, HOT, PRESS, PUMP
from tests.parts.gateway import Gateway
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import Part

pytestmark = [pytest.mark.slow, pytest.mark.real("mosquitto"), pytest.mark.real("libmodbus")]

KILLS = 100 if os.environ.get("SOAK") else 6
SEED = 20_261_129
LONGEST_S = 0.06
"""From the message until it is killed; the write and its record take some milliseconds of it."""


class Plant:
    def __init__(self, gateway: Gateway, broker: Mosquitto, server: Part, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self._broker = broker
        self._server = server

    def heat(self, value: float) -> None:
        self._broker.publish("plant/pump-1/state", json.dumps({"heat": value}))

    def alarm(self) -> dict[str, Any]:
        (entry,) = self.gateway.ask("alarms")["alarms"]
        assert isinstance(entry, dict)
        return entry

    def settle(self, active: bool) -> None:
        """Until the alarm stands so, and nothing of it is under way."""
        self.gateway.wait(lambda: self.alarm()["active"] is active)
        self.gateway.wait_delivered("archive")

    def writes(self) -> int:
        """How often the coil was switched off, as its own server tells."""
        return self._server.log.read_text().splitlines().count(f"coil {COIL} 0")

    def is_isolated(self) -> bool:
        """Whether it is known how the command ended that was given when the alarm was raised last."""
        raised = [event["command"] for event in self.reported() if event["move"] == "raise"][-1:]
        return any(done["command"] in raised for done in self.reported("CommandDone"))

    def on_disk(self, name: str) -> list[AnyEvent]:
        """The events that a gateway which is dead has left."""
        data, copy = self.folder / "data", self.folder / name
        shutil.copytree(data / "journal", copy)
        store = Store(copy, keys.load(data / "journal.key"), 1 << 30)
        try:
            marks = [entry.mark for _, entry in sorted(store.closed.items()) if entry.stream is Stream.EVENTS]
            return [e for mark in marks for chunk in store.recall(mark.first, mark.stop) for e in chunk.events]
        finally:
            store.close()

    def reported(self, kind: str = "AlarmChanged") -> list[dict[str, Any]]:
        """The events that have arrived, each once, in order."""
        files = [path.read_text() for path in self.folder.glob("archive/**/events-*.jsonl")]
        events = {line: json.loads(line) for text in files for line in text.splitlines()}
        return sorted((e for e in events.values() if e["type"] == kind), key=lambda e: int(e["time"]))


@pytest.fixture
def plant(start: Start, broker: Mosquitto, modbus: Callable[..., Part], tmp_path: Path) -> Plant:
    server = modbus("--tell")
    gateway = start(
        links={"floor": broker_link(broker.port), "bus": modbus_link(server.port)},
        devices={
            "pump-1": {"link": "floor", "groups": {"state": PUMP}},
            "press-1": {"link": "bus", "groups": {"fast": PRESS}},
        },
        sinks={"archive": {"sink": "files", "directory": str(tmp_path / "archive")}},
        rules={"hot": HOT | {"latched": True}},
    )
    gateway.wait(lambda: bool(gateway.link("floor")["online"] and gateway.device("press-1")["state"] == "online"))
    return Plant(gateway, broker, server, tmp_path)


def test_killed_around_an_alarm_it_raises_once_and_isolates(plant: Plant) -> None:
    chance = random.Random(SEED)
    gateway = plant.gateway
    for number in range(KILLS):
        before = plant.writes()
        plant.heat(95.0)
        gateway.survives(chance.uniform(0.0, LONGEST_S))
        gateway.kill()
        left = plant.on_disk(f"killed-{number}")
        gateway.start()
        gateway.wait(lambda: bool(gateway.link("bus")["online"] and gateway.link("floor")["online"]))
        plant.heat(96.0)
        plant.settle(active=True)
        gateway.wait(lambda: gateway.read("pump-1/heat")["value"] == 96.0)
        gateway.wait(plant.is_isolated)
        repeats = plant.writes() - before - 1
        assert 0 <= repeats <= (not ended(left)), "once its end is on disk, it is not written again"
        plant.heat(20.0)
        plant.settle(active=False)
    edges = [event["move"] for event in plant.reported()]
    assert edges == ["raise", "clear"] * KILLS


def ended(left: list[AnyEvent]) -> bool:
    """Whether the last thing that is known of the alarm is that it was raised, and how its command ended."""
    raised = [event for event in left if isinstance(event, AlarmChanged)][-1:]
    commands = {event.command for event in left if isinstance(event, CommandDone)}
    return any(event.move == "raise" and event.command in commands for event in raised)


def test_what_people_did_is_still_done(plant: Plant) -> None:
    gateway = plant.gateway
    plant.heat(95.0)
    gateway.wait(lambda: plant.writes() == 1)
    gateway.ask("ack", alarm="hot", comment="on my way")
    assert gateway.ask("shelve", alarm="hot", duration="1h", comment="bearing on order")["answer"] == "alarm"
    gateway.wait_delivered("archive")
    before = plant.alarm()
    assert (before["state"], before["latched"], before["suppressed"]) == ("acknowledged", True, True)
    for end in (gateway.kill, gateway.stop):
        end()
        gateway.start()
        assert plant.alarm() == before
        plant.heat(96.0)
        gateway.wait(lambda: gateway.read("pump-1/heat")["value"] == 96.0)
    plant.heat(20.0)
    plant.settle(active=False)
    gateway.kill()
    gateway.start()
    after = plant.alarm()
    assert (after["state"], after["latched"], after["suppressed"]) == ("normal", True, True)
    assert gateway.ask("reset", alarm="hot")["alarm"]["latched"] is False
    assert plant.writes() == 1
    gateway.wait_delivered("archive")
    assert [event["move"] for event in plant.reported()] == ["raise", "acknowledge", "shelve", "clear", "reset"]
