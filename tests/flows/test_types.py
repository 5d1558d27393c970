"""A tag that changes its type, again and again, while the database is away: what a field's first type holds goes on in
that field, all else beside it, and nothing is refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import Section, broker_link, influx_v1
from tests.flows.proxy import Mode, Proxy
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.real("mosquitto"), pytest.mark.real("influxd")]

CHANGES = [
    ("int32", 7),
    ("float64", 2.5),
    ("int32", 8),
    ("bool", True),
    ("string", "on"),
    ("float64", 3.5),
    ("int64", 9),
]
FIELDS = {"int32": "t", "int64": "t", "float64": "t.float64", "bool": "t.bool", "string": "t.string"}


def sections(broker: Mosquitto, port: int, database: str, kind: str) -> Section:
    tags = {"n": {"type": "int64"}, "t": {"type": kind}}
    return {
        "links": {"floor": broker_link(broker.port)},
        "devices": {"pump-1": {"link": "floor", "groups": {"state": {"topic": "plant", "tags": tags}}}},
        "sinks": {"cloud": influx_v1(port, database, timeout="1s")},
    }


def test_a_tag_that_changes_its_type(
    start: Start, broker: Mosquitto, influx: Influxd, database: str, through: Callable[[int], Proxy]
) -> None:
    """D3. Half of the changes come with a reload, half with a restart; from the second one on the database is away."""
    network = through(influx.port)
    gateway = start(**sections(broker, network.port, database, CHANGES[0][0]))
    for number, (kind, value) in enumerate(CHANGES):
        if number == 2:
            gateway.wait_delivered("cloud")
            network.turn(Mode.RESET)
        gateway.write(**sections(broker, network.port, database, kind))
        if number % 2:
            gateway.restart()
        else:
            assert not gateway.ask("reload")["problems"]
        gateway.wait(lambda: bool(gateway.link("floor")["online"]))
        broker.publish("plant", json.dumps({"n": number, "t": value}))
        gateway.wait(lambda n=number: gateway.read("pump-1/n")["value"] == n)  # type: ignore[misc]
    assert gateway.sink("cloud")["pending"] >= 2 * (len(CHANGES) - 2)
    network.turn(Mode.PASS)
    gateway.wait_delivered("cloud")

    account = gateway.sink("cloud")
    assert (account["dead_letters"], account["dropped"]) == (0, 0)
    # What was not yet acknowledged when a session ended comes once more, and is of the next type.
    rows = influx.query("select * from state", database)
    got = [{field: row[field] for field in ("n", *FIELDS.values())} for row in rows]
    for number, (kind, value) in enumerate(CHANGES):
        assert {"n": number, **dict.fromkeys(FIELDS.values()), FIELDS[kind]: value} in got
    told = gateway.told("tags of pump-1/state changed their type")
    assert len(told) == 3, "once for each new field, over all restarts"
