"""Far sides that cannot overwrite: what is sent again after a lost answer or a crash is dropped, or can be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import numbered_pump
from tests.flows.proxy import Mode, Proxy
from tests.flows.publisher import Publisher, time_of
from tests.flows.test_outage import wait_published
from tests.parts.mosquitto import Mosquitto
from tests.parts.nats import Nats, nats_server
from tests.parts.nginx import Nginx, nginx

pytestmark = [pytest.mark.slow, pytest.mark.real("mosquitto")]

SOME = 150


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "far"
    made.mkdir()
    return made


@pytest.mark.real("nats-server")
def test_a_stream_has_every_value_once(
    start: Start, broker: Mosquitto, publish: Callable[[], Publisher], stack: ExitStack, folder: Path
) -> None:
    """Over a server that is killed, and a gateway that is killed."""
    server: Nats = stack.enter_context(nats_server(folder))
    server.make()
    gateway = start(sinks={"cloud": {"sink": "nats", "url": server.url, "timeout": "2s"}}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: server.look()["state"]["messages"] > 50)
    server.kill()
    wait_published(gateway, publisher, SOME)
    assert not gateway.sink("cloud")["online"]
    gateway.kill()
    server = stack.enter_context(nats_server(folder, port=server.port))
    gateway.start()
    wait_published(gateway, publisher, SOME)
    sent = publisher.finish()
    gateway.wait(lambda: _last(server) >= sent[-1])
    gateway.wait_delivered("cloud")
    rows = [json.loads(each.body) for each in server.kept() if each.subject == "edgeward.plant-1.line-a.pump-1.state"]
    assert sorted((row["time"], row["values"]["n"]) for row in rows) == [(time_of(n), n) for n in sent]


def _last(server: Nats) -> int:
    bodies = [json.loads(each.body) for each in server.kept()]
    return max(body["values"]["n"] for body in bodies if "values" in body)


@pytest.mark.real("nginx")
def test_copies_of_a_row_bear_one_id(
    start: Start,
    broker: Mosquitto,
    publish: Callable[[], Publisher],
    stack: ExitStack,
    folder: Path,
    through: Callable[[int], Proxy],
) -> None:
    """Over a network that loses answers, and a gateway that is killed."""
    server: Nginx = stack.enter_context(nginx(folder))
    network = through(server.port)
    url = f"http://127.0.0.1:{network.port}/ingest"
    gateway = start(sinks={"cloud": {"sink": "http", "url": url, "timeout": "500ms"}}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: len(server.bodies()) > 5)
    network.turn(Mode.RESET)
    wait_published(gateway, publisher, SOME)
    gateway.kill()
    network.turn(Mode.PASS)
    gateway.start()
    wait_published(gateway, publisher, SOME)
    sent = publisher.finish()
    gateway.wait(lambda: any(row["values"]["n"] == sent[-1] for row in _rows(server)))
    gateway.wait_delivered("cloud")
    rows = _rows(server)
    values = {row["id"]: (row["time"], row["values"]["n"]) for row in rows}
    assert sorted(values.values()) == [(time_of(n), n) for n in sent]
    assert {(row["id"], row["time"]) for row in rows} == {(id, time) for id, (time, _) in values.items()}


def _rows(server: Nginx) -> list[dict[str, Any]]:
    return [row for body in server.bodies() for row in json.loads(body).get("rows", [])]
