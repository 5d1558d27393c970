"""Every InfluxQL panel asks a real InfluxDB, as Grafana would, and gets an answer: after three days that the gateway's
own sink wrote, and after a few seconds of the demo's machines behind a gateway that runs."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import settings
from gateway.clock import SECOND
from gateway.sinks.influxdb import Settings, Sink
from simulators.demo.course import hot_at
from tests.docker.dashboards import ROOT, Ask, Choice, Json, Window, choices, load, repeats, span
from tests.docker.history import LOST, ROWS, History
from tests.parts.gateway import gateway
from tests.parts.influxd import Influxd, influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port
from tests.simulators.process import Simulator

pytestmark = [pytest.mark.real("influxd"), pytest.mark.slow]

DEMO = ROOT / "config" / "demo"
BOARDS = load("influxql")
PANELS = {f"{name}/{panel['title']}": (name, panel) for name, board in BOARDS.items() for panel in board["panels"]}
LIFE_S = 30.0

every_panel = pytest.mark.parametrize(("name", "panel"), PANELS.values(), ids=PANELS)


@dataclass(frozen=True)
class Filled:
    """A database that holds something up to `now`, in milliseconds; what can be chosen is asked once a dashboard."""

    ask: Ask
    now: int
    choices: dict[str, list[Choice]]

    def window(self, name: str) -> Window:
        return Window(self.now - 1000 * span(BOARDS[name]), self.now)

    def answers(self, name: str, panel: Json) -> Iterator[tuple[Choice, list[Json]]]:
        """What comes back for whatever people may choose."""
        window = self.window(name)
        if name not in self.choices:
            self.choices[name] = choices(BOARDS[name], window, self.ask)
        (target,) = panel["targets"]
        for choice in self.choices[name]:
            for each in repeats(panel, choice):
                yield each, self.ask(window.influxql(target["query"], each))

    def only(self, place: str) -> list[Json]:
        """The answer of a panel for which there is but one choice."""
        ((_, rows),) = self.answers(*PANELS[place])
        return rows


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with influxd(tmp_path_factory.mktemp("influxd")) as part:
        yield part


# After three days


@pytest.fixture(scope="module")
def history() -> History:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMO_TOKEN", "token")
        configuration = settings.load(DEMO / "edgeward.yaml")
    return History(configuration, time.time_ns() // SECOND * SECOND)


@pytest.fixture(scope="module")
def past(influx: Influxd, history: History) -> Filled:
    database = influx.create("history")
    asyncio.run(write(history, Settings(sink="influxdb", url=influx.url, version="v1", database=database)))
    return Filled(partial(influx.query, database=database), history.now // 1_000_000, {})


async def write(history: History, to: Settings) -> None:
    sink = Sink(to, history.configuration.site, history.configuration.cell)
    await history.write(sink)
    await sink.close()


@every_panel
def test_panel_shows_the_past(past: Filled, name: str, panel: Json) -> None:
    empty = [choice for choice, rows in past.answers(name, panel) if not rows]
    assert empty == []


def test_devices_are_counted(past: Filled, history: History) -> None:
    online = past.only("plant/Devices online")
    assert [row["number"] for row in online] == [len(history.devices) - 1]
    for title in ("Devices not online", "Stale devices"):
        assert [row["number"] for row in past.only(f"plant/{title}")] == [1]
    states = {row["device"]: (row["state"], row["reason"]) for row in past.only("plant/Devices")}
    assert states.pop(history.stale.id) == ("stale", "no fresh values")
    assert set(states.values()) == {("online", None)}


def test_alarms_are_counted(past: Filled, history: History) -> None:
    stands, gone, over = (rule.name for rule in history.configuration.rules[:3])
    assert [row["number"] for row in past.only("alarms/Standing")] == [2]
    assert [row["number"] for row in past.only("alarms/Active and unacknowledged")] == [1]
    assert [row["number"] for row in past.only("alarms/Gone, but unacknowledged")] == [1]
    standing = {row["alarm"]: row["state"] for row in past.only("alarms/Standing now, the longest first")}
    assert standing == {stands: "unacknowledged", gone: "returned"}
    assert [row["alarm"] for row in past.only("alarms/First out")] == [stands]
    assert {row["alarm"]: row["raised"] for row in past.only("alarms/Raised most often")} == {
        stands: 1,
        gone: 1,
        over: 1,
    }
    assert sum(row["count"] for row in past.only("alarms/Raised, by priority")) == 3
    assert [row["alarm"] for row in past.only("alarms/Transitions")] == [over] * 3 + [gone] * 2 + [stands]


def test_values_are_counted(past: Filled, history: History) -> None:
    """In the time shown; the bad ones, one of each group, have left their codes only."""
    start = past.window("plant").start * 1_000_000
    shown = int((history.times >= start).sum())
    expected = {device.id: sum(shown * len(group.columns) - 1 for group in device.groups) for device in history.devices}
    counted = dict.fromkeys(expected, 0)
    for row in past.only("plant/Values by device"):
        counted[row["device"]] += sum(value for name, value in row.items() if name.startswith("count") and value)
    assert counted == expected


def test_losses_are_summed(past: Filled) -> None:
    assert sum(row["sum"] for row in past.only("health/Values lost, by cell")) == LOST
    assert [row["points"] for row in past.only("health/Losses")] == [LOST]


def test_running_hours_are_those_in_which_it_ran(past: Filled, history: History) -> None:
    """Machines ran in every second hour. The last value of `running` may be bad, and a day may end while it runs."""
    hours: dict[str, float] = {}
    for row in past.only("maintenance/Running hours of each day"):
        hours[row["device"]] = hours.get(row["device"], 0.0) + row["hours"]
    assert hours
    assert all(total == pytest.approx(ROWS / 12 / 2, abs=0.1) for total in hours.values())


def test_no_spike_is_hidden(past: Filled) -> None:
    """The numbers swing by 55 in every hour, and every day shows it."""
    days = past.only("maintenance/Temperatures: lowest and highest of each day")
    whole = [row for row in days if row["device"] == "pump-1"][1:-1]
    swings = [row["max_bearing.temperature"] - row["min_bearing.temperature"] for row in whole]
    assert swings == pytest.approx([55] * len(whole))
    assert whole


@every_panel
def test_series_have_the_names_that_panels_rename(past: Filled, name: str, panel: Json) -> None:
    for transformation in panel.get("transformations", []):
        if transformation["id"] == "renameByRegex":
            rows = [row for _, rows in past.answers(name, panel) for row in rows]
            series = {f"{row['device']} {column}" for row in rows for column in row if column not in ("time", "device")}
            assert series
            assert [one for one in series if not re.fullmatch(transformation["options"]["regex"], one)] == []


# After the demo


SELDOM = {
    "plant/Stale devices": "a device that is gone is offline before it is stale",
    "device/What was not good": "where all is good, there is nothing to list",
    "health/Values lost, by cell": "nothing is lost",
    "health/Losses": "nothing is lost",
}


@pytest.fixture(scope="module")
def demo(influx: Influxd, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """The machines run until one is too hot, and the gateway has stopped it; then they are switched off."""
    folder = tmp_path_factory.mktemp("demo")
    database, port = influx.create("demo"), free_port()
    broker = Mosquitto(folder)
    sections = plan({"modbus": port, "mqtt": broker.port}, influx, database)
    try:
        with gateway(folder, sections) as running:
            running.wait(lambda: running.link("floor")["online"])
            with machines(broker, port, folder):
                running.wait(lambda: running.alarm("bearing-hot") != "normal")
                running.wait(lambda: running.alarm("flow-low") != "normal")
            running.wait(lambda: running.device("pump-station")["state"] == "offline")
            running.wait_delivered("cloud")
    finally:
        broker.stop()
    return Filled(partial(influx.query, database=database), time.time_ns() // 1_000_000, {})


def machines(broker: Mosquitto, port: int, folder: Path) -> Simulator:
    """The demo's, with a bearing that is about to run hot."""
    epoch = time.time_ns() - round((hot_at(LIFE_S) - 3) * SECOND)
    options = ["--broker", f"127.0.0.1:{broker.port}", "--modbus-port", port, "--seed", 1, "--fail-at", LIFE_S]
    return Simulator("line", *options, "--epoch", epoch, "--log-dir", folder)


def plan(ports: dict[str, int], influx: Influxd, database: str) -> dict[str, Any]:
    """The demo's configuration, as far as it is about the machines that are there, with an InfluxDB 1 for the cloud."""
    whole: dict[str, Any] = {}
    for file in DEMO.glob("*.yaml"):
        for key, value in yaml.safe_load(file.read_text()).items():
            whole[key] = whole.get(key, {}) | value if isinstance(value, dict) else value
    del whole["include"]
    links = {name: link for name, link in whole["links"].items() if link["driver"] in ports}
    links = {name: link | {"port": ports[link["driver"]]} for name, link in links.items()}
    templates = {name: body["link"] for name, body in whole["templates"].items()}
    devices = {name: body for name, body in whole["devices"].items() if _link(body, templates) in links}
    rules = {name: body for name, body in whole["rules"].items() if _speaks_of(body) <= set(devices)}
    cloud = {"sink": "influxdb", "version": "v1", "url": influx.url, "database": database}
    ends = {"sinks": {"cloud": cloud}, "http": {"port": 0}}
    return whole | {"links": links, "devices": devices, "rules": rules} | ends


def _link(device: Json, templates: dict[str, str]) -> str:
    return str(device.get("link") or templates[device["template"]])


def _speaks_of(rule: Json) -> set[str]:
    """The devices of its tags."""
    return set(re.findall(r"'tag': '([^/']+)/", str(rule)))


@pytest.mark.real("mosquitto")
@every_panel
def test_panel_shows_the_demo(demo: Filled, name: str, panel: Json) -> None:
    assert set(SELDOM) <= set(PANELS)
    place = f"{name}/{panel['title']}"
    empty = [choice for choice, rows in demo.answers(name, panel) if not rows]
    assert empty == [] or place in SELDOM
