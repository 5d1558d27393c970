"""The compose file: what it says, and the whole of it at work.

No registry is in reach where these tests were written. Under the same compose file run Debian's Mosquitto in the place
of its image, and VictoriaMetrics in the place of InfluxDB 2; Grafana is not started, and what only InfluxDB 2 can show,
its first start and its tokens, is not shown. standins.yaml has the differences.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from tests.parts.podman import ROOT, Compose, Podman

COMPOSE = ROOT / "docker" / "compose.yaml"
STANDINS = Path(__file__).with_name("standins.yaml")
PARTS = "localhost/edgeward-test-standins:latest"

SERVICES = ["credentials", "mosquitto", "influxdb", "gateway"]

Body = dict[str, object]


# What the file says

SAID: dict[str, Body] = yaml.safe_load(COMPOSE.read_text())["services"]


@pytest.mark.parametrize("service", SAID)
def test_service_is_confined(service: str) -> None:
    body = SAID[service]
    assert body["read_only"] is True
    assert body["cap_drop"] == ["ALL"]
    assert body["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in body
    assert service == "gateway" or "healthcheck" in body  # the gateway's is the image's
    assert "privileged" not in body


@pytest.mark.parametrize("service", SAID)
def test_image_is_pinned(service: str) -> None:
    _, _, tag = str(SAID[service]["image"]).rpartition(":")
    assert tag.count(".") == 2


def test_our_image_has_our_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {str(body["image"]) for body in SAID.values() if "build" in body}
    assert ours == {f"{project['name']}:{project['version']}"}


@pytest.mark.parametrize("service", SAID)
def test_nothing_is_published_beyond_this_host(service: str) -> None:
    ports = SAID[service].get("ports", [])
    assert isinstance(ports, list)
    assert all(port.startswith(("127.0.0.1:", "${FIELD_ADDRESS:-127.0.0.1}:")) for port in ports)


@pytest.mark.parametrize("service", SAID)
def test_no_secret_stands_in_the_file(service: str) -> None:
    environment = SAID[service].get("environment", {})
    assert isinstance(environment, dict)
    for name, value in environment.items():
        if any(word in name for word in ("PASSWORD", "TOKEN", "SECRET", "KEY")):
            assert name.endswith("_FILE")
            assert value.startswith("/secrets/")


def test_field_and_cloud_meet_in_the_gateway_alone() -> None:
    networks = {name: set(body.get("networks", [])) for name, body in SAID.items()}  # type: ignore[call-overload]
    assert [name for name, joined in networks.items() if {"field", "cloud"} <= joined] == ["gateway"]
    for one, other in combinations(set(networks) - {"gateway"}, 2):
        assert not ("field" in networks[one] and networks[one] & networks[other] & {"cloud", "office"})


# The whole of it at work

podman_needed = [pytest.mark.real("podman"), pytest.mark.slow]


class Cell:
    """The containers of the compose file."""

    def __init__(self, podman: Podman, compose: Compose) -> None:
        self._podman = podman
        self.compose = compose

    def inside(self, service: str, *command: str, check: bool = True) -> str:
        return self._podman.inside(self.compose.container(service), *command, check=check).stdout

    def refused(self, service: str, *command: str) -> bool:
        return self._podman.inside(self.compose.container(service), *command, check=False).returncode != 0

    def wait_healthy(self, *services: str) -> None:
        for container in map(self.compose.container, services):
            self._podman.wait_healthy(container)

    def admit(self, machine: str) -> str:
        """The password of a machine that the broker knows from now on."""
        password = self.compose("run", "--rm", "-T", "credentials", "machine", machine).strip()
        self._podman("kill", "--signal=HUP", self.compose.container("mosquitto"))
        return password

    def publish(self, machine: str, password: str, topic: str, payload: object) -> bool:
        """Whether the broker let the machine in; whom it does not allow a topic, it does not tell."""
        broker = self.compose.container("mosquitto")
        options = ["-h", "127.0.0.1", "-V", "5", "-q", "1", "-u", machine, "-P", password, "-t", topic]
        command = ["mosquitto_pub", *options, "-m", json.dumps(payload)]
        return self._podman.inside(broker, *command, check=False).returncode == 0

    def temperatures(self) -> list[float]:
        """What has arrived, by time, each once: unlike InfluxDB, VictoriaMetrics keeps what comes twice."""
        url = "http://127.0.0.1:8086"
        script = f"""from urllib.request import urlopen
urlopen('{url}/internal/force_flush').close()
print(urlopen('{url}/api/v1/export?match[]=state_bearing.temperature').read().decode())"""
        series = [json.loads(line) for line in self.inside("influxdb", "python3", "-c", script).splitlines() if line]
        samples = {sample for each in series for sample in zip(each["timestamps"], each["values"], strict=True)}
        return [value for _, value in sorted(samples)]

    def wait_temperatures(self, expected: list[float]) -> None:
        self._podman.wait(self.compose.container("gateway"), lambda: self.temperatures() == expected)


def message(temperature: float) -> object:
    return {"ts": time.time_ns() // 1_000_000, "bearing": {"temperature": temperature}, "running": True}


@pytest.fixture(scope="module")
def cell(podman: Podman, image: str) -> Iterator[Cell]:
    if not podman.has(PARTS):
        podman.build(PARTS, Path(__file__).with_name("standins.Dockerfile"), Path(__file__).parent)
    compose = Compose(podman, "edgeward-test", COMPOSE, STANDINS)
    try:
        compose("up", "--detach", "--no-build", *SERVICES)
        running = Cell(podman, compose)
        running.wait_healthy("mosquitto", "influxdb", "gateway")
        yield running
    finally:
        compose("down", "--volumes", "--timeout", "1")


class TestCell:
    pytestmark = podman_needed

    def test_values_arrive_in_the_database(self, cell: Cell) -> None:
        password = cell.admit("pump-1")
        assert cell.publish("pump-1", password, "plant/pump-1/state", message(50.5))
        cell.wait_temperatures([50.5])

    def test_values_are_kept_while_anybody_is_away(self, cell: Cell) -> None:
        before, password = cell.temperatures(), cell.admit("pump-1")
        cell.compose("stop", "influxdb")
        assert cell.publish("pump-1", password, "plant/pump-1/state", message(51.5))
        cell.compose("stop", "--timeout", "0", "gateway")  # by SIGKILL
        assert cell.publish("pump-1", password, "plant/pump-1/state", message(52.5))
        cell.compose("start", "influxdb")
        cell.wait_healthy("influxdb")
        cell.compose("start", "gateway")
        cell.wait_temperatures([*before, 51.5, 52.5])

    def test_broker_lets_in_whom_it_knows(self, cell: Cell) -> None:
        old = cell.admit("press-1")
        password = cell.admit("press-1")
        assert cell.publish("press-1", password, "plant/press-1/state", {})
        assert not cell.publish("press-1", old, "plant/press-1/state", {})
        assert not cell.publish("stranger", password, "plant/press-1/state", {})
        assert cell.refused("mosquitto", "mosquitto_pub", "-t", "plant/x", "-m", "1")

    def test_machine_speaks_for_itself_alone(self, cell: Cell) -> None:
        before = cell.temperatures()
        impostor, machine = cell.admit("impostor"), cell.admit("pump-1")
        cell.publish("impostor", impostor, "plant/pump-1/state", message(999.0))
        cell.publish("pump-1", machine, "plant/pump-1/state", message(53.5))
        cell.wait_temperatures([*before, 53.5])

    def test_secrets_are_for_their_owner_alone(self, cell: Cell) -> None:
        assert len(cell.inside("gateway", "cat", "/secrets/gateway/mqtt-password")) > 40
        assert len(cell.inside("influxdb", "cat", "/secrets/influxdb/admin-token")) > 40
        for service, other in (("gateway", "influxdb"), ("influxdb", "gateway"), ("mosquitto", "grafana")):
            assert cell.refused(service, "ls", f"/secrets/{other}"), service
        assert cell.refused("gateway", "touch", "/secrets/gateway/x")

    def test_passwords_stay_what_they_are(self, cell: Cell) -> None:
        before = cell.inside("influxdb", "cat", "/secrets/influxdb/admin-token")
        cell.compose("run", "--rm", "-T", "credentials")
        assert cell.inside("influxdb", "cat", "/secrets/influxdb/admin-token") == before
