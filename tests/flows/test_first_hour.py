"""The first hour with a machine of one's own: ask it, check, try, run, and see its values in a file. Every far end is
somebody else's."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts.gateway import _PYTHON as PYTHON
from tests.parts.gateway import Gateway
from tests.parts.libcoap import CoapServer
from tests.parts.mosquitto import Mosquitto
from tests.parts.nodeopcua import NodeOpcUa
from tests.parts.process import Part

STATE = '{"ts": %d, "bearing": {"temperature": 71.5}, "running": true}'


def edgeward(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*PYTHON, "-m", "gateway", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


def first_hour(folder: Path, url: str, stack: ExitStack) -> dict[str, object]:
    """From a URL to the values in the archive, by tag id."""
    made = edgeward(folder, "init", url, "-o", "edgeward.yaml")
    assert made.returncode == 0, made.stderr
    checked = edgeward(folder, "check", "edgeward.yaml")
    assert checked.returncode == 0, checked.stdout
    tried = edgeward(folder, "check", "--live", "edgeward.yaml")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "1 of 1 links opened" in tried.stdout
    text = (folder / "edgeward.yaml").read_text()
    gateway = Gateway(folder)
    gateway.configuration.write_text(f"{text}\nhttp: {{port: 0}}\n")  # other tests use the usual one
    gateway.start()
    stack.callback(gateway.kill)
    gateway.wait(lambda: all(device["state"] == "online" for device in gateway.status()["devices"]))
    gateway.wait_delivered("archive")
    gateway.stop()
    return archived(folder / "archive")


def archived(folder: Path) -> dict[str, object]:
    values: dict[str, object] = {}
    for file in folder.glob("telemetry-*.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            values |= {f"{row['device']}/{name}": value for name, value in row["values"].items()}
    return values


@pytest.fixture
def again(stack: ExitStack) -> Callable[[Callable[[], object]], None]:
    """Call it with what a machine does again and again until the test ends."""
    over = threading.Event()

    def begin(act: Callable[[], object]) -> None:
        def repeat() -> None:
            while not over.wait(0.2):
                act()

        thread = threading.Thread(target=repeat)
        thread.start()
        stack.callback(thread.join)
        stack.callback(over.set)

    return begin


@pytest.mark.real("libmodbus")
def test_modbus(tmp_path: Path, stack: ExitStack, modbus: Callable[..., Part]) -> None:
    part = modbus("--hole", "3", registers=6)
    values = first_hour(tmp_path, f"modbus://127.0.0.1:{part.port}", stack)
    assert values["device-1/r1"] == 1
    assert values["device-1/i5"] == 5
    assert values["device-1/c1"] is True
    assert "device-1/r3" not in values


@pytest.mark.real("mosquitto")
def test_mqtt(
    tmp_path: Path, stack: ExitStack, broker: Mosquitto, again: Callable[[Callable[[], object]], None]
) -> None:
    def publish() -> None:
        for pump in ("pump-1", "pump-2"):
            broker.publish(f"plant/{pump}/state", STATE % time.time())

    again(publish)
    values = first_hour(tmp_path, f"mqtt://127.0.0.1:{broker.port}?seconds=1&topic=plant/#", stack)
    assert values["pump-1/bearing.temperature"] == 71.5
    assert values["pump-2/running"] is True
    assert "template: pump" in (tmp_path / "edgeward.yaml").read_text()


@pytest.mark.real("node-opcua")
def test_opcua(tmp_path: Path, stack: ExitStack) -> None:
    server = NodeOpcUa()
    stack.callback(server.stop)
    values = first_hour(tmp_path, server.url, stack)
    assert values["Plant/level"] == 1.25
    assert values["Plant/u64"] == 2**64 - 1
    assert values["Plant/text"] == "Grüße"


@pytest.mark.real("libcoap")
def test_coap(tmp_path: Path, stack: ExitStack) -> None:
    server = CoapServer(tmp_path)
    stack.callback(server.stop)
    server.put("/pump/state", STATE % time.time())
    values = first_hour(tmp_path, f"coap://127.0.0.1:{server.port}/pump", stack)
    assert values["device-1/bearing.temperature"] == 71.5
    assert values["device-1/running"] is True
