"""An outage on purpose, with a real cloud: every promise is watched, and whoever asked for it may die."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import has, influx_v1, numbered_pump, numbers
from tests.flows.publisher import Publisher, time_of
from tests.flows.test_journal import edgeward
from tests.parts.gateway import Gateway
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.real("mosquitto"), pytest.mark.real("influxd")]

Publish = Callable[[], Publisher]


@pytest.fixture
def plant(
    start: Start, broker: Mosquitto, influx: Influxd, database: str, publish: Publish
) -> tuple[Gateway, Publisher]:
    """A gateway that delivers what comes in."""
    gateway = start(sinks={"cloud": influx_v1(influx.port, database)}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: has(influx, 100))
    return gateway, publisher


def drill(gateway: Gateway, folder: Path, *more: str) -> list[str]:
    options = ["--minutes", "0.1", "--yes", "-o", str(folder), "--config", str(gateway.configuration)]
    return ["drill", "outage", *options, *more]


def test_every_promise_is_kept(plant: tuple[Gateway, Publisher], influx: Influxd, tmp_path: Path) -> None:
    gateway, publisher = plant
    folder = tmp_path / "report"
    done = edgeward(*drill(gateway, folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[:4] for line in done.stdout.splitlines()[:-1]] == ["PASS"] * 9
    report = json.loads((folder / "report.json").read_text())
    assert report["passed"]
    (sink,) = report["sinks"]
    assert sink["peak"] > 2 * 500 * 4  # points of the six seconds, at 500 messages a second
    assert sink["drained_s"] > 0
    assert sink["delivered"] >= sink["peak"] * 0.9
    text = (folder / "report.md").read_text()
    assert text.startswith("# Outage drill: PASS\n")
    assert "█" in text
    assert gateway.told("cuts off cloud for 6 s: a drill")
    sent = publisher.finish()
    gateway.wait(lambda: has(influx, sent[-1]))
    gateway.wait_delivered("cloud")
    assert numbers(influx) == [(time_of(n), n, n / 2) for n in sent]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_whoever_asked_may_die(plant: tuple[Gateway, Publisher], tmp_path: Path, end: signal.Signals) -> None:
    gateway, _ = plant
    command = [sys.executable, "-m", "gateway", *drill(gateway, tmp_path / "report"), "--minutes", "60"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    gateway.wait(lambda: "for a drill" in gateway.sink("cloud")["reason"])
    second = edgeward(*drill(gateway, tmp_path / "second"))
    assert second.returncode == 1
    assert "a drill is under way already" in second.stderr
    process.send_signal(end)
    code = process.wait(20)
    gateway.wait(lambda: bool(gateway.sink("cloud")["online"]))
    if end is signal.SIGINT:
        assert code == 1
        assert "FAIL" in (tmp_path / "report/report.md").read_text()


def test_one_who_does_not_listen_does_not_keep_it_cut(plant: tuple[Gateway, Publisher]) -> None:
    """The gateway's own timer ends it, whatever becomes of what it says."""
    gateway, _ = plant
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.connect(str(gateway.folder / "data/control.sock"))
        caller.sendall(json.dumps({"ask": "drill", "seconds": 3}).encode() + b"\n")
        began = time.monotonic()
        gateway.wait(lambda: "for a drill" in gateway.sink("cloud")["reason"])
        gateway.wait(lambda: bool(gateway.sink("cloud")["online"]))
        assert time.monotonic() - began > 2
    gateway.check_accounts()


def test_what_cannot_be_drilled(plant: tuple[Gateway, Publisher], tmp_path: Path) -> None:
    gateway, _ = plant
    other = edgeward(*drill(gateway, tmp_path / "report"), "--sink", "archive")
    assert other.returncode == 1
    assert "there is no sink archive" in other.stderr
    for minutes in ("0", "1441", "nan", "x"):
        assert edgeward(*drill(gateway, tmp_path / "report"), "--minutes", minutes).returncode == 2
    words = drill(gateway, tmp_path / "report")
    words.remove("--yes")
    unsure = edgeward(*words, stdin=subprocess.DEVNULL)
    assert unsure.returncode == 1
    assert "--yes says so" in unsure.stderr
    gateway.stop()
    nobody = edgeward(*drill(gateway, tmp_path / "report"))
    assert nobody.returncode == 1
    assert "no gateway answers" in nobody.stderr
    assert not (tmp_path / "report").exists()
