from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from simulators.demo import folder
from simulators.demo.failure import DemoFailed


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The cloud's usual port, which somebody has; the director's is the next one."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        monkeypatch.setattr(folder, "PORTS", {"cloud": port, "director": port + 1})
        yield port


def test_the_configuration_is_copied_with_every_port_in_its_place(tmp_path: Path) -> None:
    with folder.prepare(tmp_path / "demo") as prepared:
        text = yaml.safe_load(prepared.configuration.read_text("utf-8"))
        ports = prepared.ports
        assert text["links"]["floor"]["port"] == ports["broker"]
        assert text["links"]["field"]["port"] == ports["modbus"]
        assert text["links"]["hall"]["url"] == f"opc.tcp://127.0.0.1:{ports['opcua']}/plant"
        assert text["links"]["outside"]["listen"]["port"] == ports["coap"]
        assert text["sinks"]["cloud"]["url"] == f"http://127.0.0.1:{ports['cloud']}"
        assert text["http"]["port"] == ports["metrics"]
        assert all((prepared.path / name).is_file() for name in text["include"])
        assert len(set(ports.values())) == len(ports)


def test_a_port_that_somebody_has_is_replaced_and_no_other_takes_its_place(
    usual: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "edgeward.yaml").write_text(f"cloud: {usual}\ndirector: {usual + 1}\n")
    monkeypatch.setattr(folder, "CONFIGURATION", tmp_path)
    with folder.prepare(tmp_path / "demo") as prepared:
        text = yaml.safe_load(prepared.configuration.read_text("utf-8"))
        assert text == prepared.ports
        assert prepared.ports["cloud"] > usual
        assert prepared.ports["director"] > prepared.ports["cloud"]


def test_a_port_is_free_when_nobody_has_it_for_datagrams_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = int(other.getsockname()[1])
        monkeypatch.setattr(folder, "PORTS", {"coap": port})
        with folder.prepare(tmp_path / "demo") as prepared:
            assert prepared.ports["coap"] > port


def test_what_an_earlier_demo_left_is_gone_and_two_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "demo" / "data").mkdir(parents=True)
    with folder.prepare(tmp_path / "demo") as prepared:
        assert not (prepared.path / "data").exists()
        with pytest.raises(DemoFailed, match="another demo"), folder.prepare(tmp_path / "demo"):
            pass
    with folder.prepare(tmp_path / "demo"):
        pass
