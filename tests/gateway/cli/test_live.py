"""`edgeward check --live`, on devices that answer, lie and stay silent."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cli import live, main
from tests.parts import libmodbus
from tests.parts.gateway import Gateway
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port


def modbus(port: int, **tags: str) -> dict[str, object]:
    return {
        "site": "a",
        "cell": "b",
        "links": {"bus": {"driver": "modbus", "host": "127.0.0.1", "port": port, "timeout": "300ms"}},
        "devices": {
            "press": {
                "link": "bus",
                "groups": {
                    "fast": {
                        "interval": "1s",
                        "tags": {
                            name: {"address": address, "type": "uint16", "unit": "bar", "range": [0, 500]}
                            for name, address in tags.items()
                        },
                    }
                },
            }
        },
    }


def write(folder: Path, sections: dict[str, object]) -> str:
    path = folder / "edgeward.yaml"
    path.write_text(json.dumps(sections))
    return str(path)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[int]:
    """The port of a device whose registers hold their addresses, up to 999, without 7."""
    part = libmodbus.start(tmp_path, "--hole", "7")
    yield part.port
    part.stop()


@pytest.mark.real("libmodbus")
def test_all_is_well(machine: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--live", write(tmp_path, modbus(machine, level="holding:5", oil="input:20"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["bus", "modbus", "online"]
    assert lines[4].split()[:6] == ["bus", "press", "level", "5", "bar", "good"]
    assert lines[5].split()[:6] == ["bus", "press", "oil", "20", "bar", "good"]
    assert lines[-1] == "1 of 1 links opened, 2 of 2 tags answered well"


@pytest.mark.real("libmodbus")
def test_one_tag_is_not(machine: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, modbus(machine, level="holding:5", gone="holding:7", wild="holding:900"))
    assert main(["check", "--live", "--json", path]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["well"], found["running"]) == (False, False)
    assert (found["links_open"], found["tags_well"], found["tags_tried"]) == (1, 1, 3)
    tags = {each["tag"]: each for each in found["tags"]}
    assert (tags["level"]["value"], tags["level"]["well"], tags["level"]["quality"]) == (5, True, "good")
    assert (tags["gone"]["value"], tags["gone"]["quality"]) == (None, "bad")
    assert tags["gone"]["reason"] == "bad: node id unknown"
    assert tags["wild"]["reason"] == "outside its range, 0 to 500: look at type, order and scale"
    assert tags["level"]["ms"] > 0


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--live", write(tmp_path, modbus(free_port(), level="holding:5"))]) == 1
    out = capsys.readouterr().out
    assert "Connection refused" in out
    assert "the link did not open" in out
    assert "0 of 1 links opened, 0 of 1 tags answered well" in out


def test_a_configuration_with_mistakes_is_not_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edgeward.yaml"
    path.write_text("site: a\n")
    assert main(["check", "--live", str(path)]) == 1
    assert 'missing key "cell"' in capsys.readouterr().out


def test_a_gateway_is_known_by_its_door(tmp_path: Path) -> None:
    assert not live.runs(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(tmp_path / "control.sock"))
        assert not live.runs(tmp_path)
        door.listen()
        assert live.runs(tmp_path)
    assert not live.runs(tmp_path / ("x" * 120))


@pytest.mark.real("mosquitto")
def test_beside_a_running_gateway_nothing_is_taken_from_it(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    link = {"driver": "mqtt", "host": "127.0.0.1", "port": broker.port}
    state = {"topic": "plant/pump/state", "tags": {"level": {"type": "float64"}}}
    gateway = Gateway(tmp_path, links={"floor": link}, devices={"pump": {"link": "floor", "groups": {"state": state}}})
    try:
        gateway.start()
        gateway.wait(lambda: bool(gateway.link("floor")["online"]))
        command = [
            sys.executable,
            "-m",
            "gateway",
            "check",
            "--live",
            "--json",
            "--wait",
            "20",
            str(gateway.configuration),
        ]
        trying = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        gateway.wait(sending(broker, trying))
        out, err = trying.communicate(timeout=20)
        assert trying.returncode == 0, err
        assert "the gateway of this configuration is running" in err
        assert json.loads(out)["running"] is True
        assert gateway.link("floor")["sessions"] == 1
        gateway.stop()
    finally:
        gateway.kill()
        broker.stop()


def sending(broker: Mosquitto, until: subprocess.Popen[str]) -> Callable[[], bool]:
    """Publishes each time it is asked whether that process has ended."""

    def step() -> bool:
        broker.publish("plant/pump/state", '{"level": 1.5}')
        return until.poll() is not None

    return step
