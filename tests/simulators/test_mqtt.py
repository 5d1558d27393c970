from __future__ import annotations

import json
import queue
from itertools import islice, pairwise
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from simulators.mqtt import Address, nest, ticks
from tests.parts.mosquitto import Mosquitto
from tests.simulators.process import Simulator, lines


def subscriber(port: int) -> tuple[Client, queue.Queue[MQTTMessage]]:
    """A client that has subscribed to every machine, and what comes to it."""
    came: queue.Queue[MQTTMessage] = queue.Queue()
    ready: queue.Queue[bool] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2, "listener")
    client.on_message = lambda _client, _data, message: came.put(message)
    client.on_subscribe = lambda *_: ready.put(True)
    client.connect("127.0.0.1", port)
    client.subscribe("plant/+/state", 1)
    client.loop_start()
    ready.get(timeout=5)
    return client, came


def flat(tree: dict[str, object], prefix: str = "") -> dict[str, object]:
    leaves: dict[str, object] = {}
    for name, node in tree.items():
        leaves.update(flat(node, f"{prefix}{name}.") if isinstance(node, dict) else {prefix + name: node})
    return leaves


def test_names_become_a_tree() -> None:
    assert nest({"a.b": 1, "a.c.d": 2, "e": True}) == {"a": {"b": 1, "c": {"d": 2}}, "e": True}
    with pytest.raises(ValueError, match=r"a of a\.b"):
        nest({"a": 1, "a.b": 2})


def test_ticks_lie_on_a_grid() -> None:
    assert list(islice(ticks(10, 1.23), 3)) == [1.3, 1.4, 1.5]


def test_an_address() -> None:
    assert (Address.parse("local"), Address.parse("local:99")) == (Address("local", 1883), Address("local", 99))


@pytest.mark.slow
@pytest.mark.parametrize("fault", [[], ["--fault", "lie:0.3,amount=-60", "--fault", "drop:0.2"]])
def test_the_log_holds_what_arrived(tmp_path: Path, fault: list[str]) -> None:
    with Simulator("broker", "--port", 0) as broker:
        check(broker.port, tmp_path / "log", fault)


@pytest.mark.slow
@pytest.mark.real("mosquitto")
def test_the_log_holds_what_arrived_through_mosquitto(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    try:
        check(broker.port, tmp_path / "log", [])
    finally:
        broker.stop()


def check(port: int, log: Path, fault: list[str]) -> None:
    client, came = subscriber(port)
    with Simulator("mqtt", "--broker", f"127.0.0.1:{port}", "--rate", 200, "--log", log, *fault):
        messages = [came.get(timeout=5) for _ in range(150)]
    logged = lines(log)
    messages += [came.get(timeout=5) for _ in range(len(logged) - 150)]
    client.disconnect()
    client.loop_stop()
    assert came.empty()
    assert {line["reason"] for line in logged} == {0}
    sent = {(line["topic"], line["sequence"]): (line["ts"], line["values"]) for line in logged}
    got = {}
    for message in messages:
        body = json.loads(message.payload)
        ts, sequence, quality = body.pop("ts"), body.pop("sequence"), body.pop("quality")
        assert quality == "good" or fault
        got[message.topic, sequence] = (ts, flat(body))
    assert got == sent
    for machine in () if fault else ("pump-1", "pump-2", "pump-3"):
        stamps = [int(str(ts)) for (topic, _), (ts, _) in sent.items() if topic == f"plant/{machine}/state"]
        assert all(a < b for a, b in pairwise(stamps))


@pytest.mark.slow
def test_a_message_that_nobody_wanted_is_logged_as_such(tmp_path: Path) -> None:
    with Simulator("broker", "--port", 0) as broker:
        options = ["--broker", f"127.0.0.1:{broker.port}", "--machines", "1", "--rate", "100", "--control"]
        with Simulator("mqtt", *options, "--log", tmp_path / "log") as machine:
            machine.ask({"faults": ["drop:1"]})
            while not (tmp_path / "log").stat().st_size:
                machine.ask({"faults": []})
    assert {line["reason"] for line in lines(tmp_path / "log")} == {16}


@pytest.mark.slow
def test_what_the_broker_never_acknowledged_is_logged_as_unknown(tmp_path: Path) -> None:
    broker = Simulator("broker", "--port", 0)
    options = ["--broker", f"127.0.0.1:{broker.port}", "--machines", 1, "--rate", 100, "--log", tmp_path / "log"]
    with Simulator("mqtt", *options, "--control") as machine:
        with broker:
            pass  # it ends here
        acknowledged = len(lines(tmp_path / "log"))
        for _ in range(20):
            machine.ask({"faults": []})
        machine.ask({"faults": ["drop:1"]})
    unknown = lines(tmp_path / "log")[acknowledged:]
    assert unknown
    assert {line["reason"] for line in unknown} <= {None, 16}
    assert unknown[-1]["reason"] is None
