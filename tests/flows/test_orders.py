"""A cloud that orders over MQTT: a coil and a register behind a real Modbus server, written at most once each."""

from __future__ import annotations

import json
import random
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import broker_link, modbus_link
from tests.flows.proxy import Proxy
from tests.flows.publisher import Publisher
from tests.parts import libmodbus
from tests.parts.gateway import Gateway
from tests.parts.mosquitto import Mosquitto, Witness
from tests.parts.process import Part, accepts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real("mosquitto"),
    pytest.mark.real("libmodbus"),
    pytest.mark.real("mbpoll"),
]

COIL = 3
"""On, at first: it is odd."""
SPEED = 8
KILLS = 6
SEED = 20_261_129
ORDERS = "edgeward/plant-1/line-a/orders"
ANSWERS = "edgeward/plant-1/line-a/answers"

PRESS: dict[str, Any] = {
    "interval": "100ms",
    "tags": {
        "run": {"address": f"coil:{COIL}", "type": "bool", "writable": True},
        "speed": {"address": f"holding:{SPEED}", "type": "uint16", "writable": True, "range": [0, 5000]},
        "secret": {"address": "holding:9", "type": "uint16", "writable": True},
    },
}


def cloud(port: int, **commands: object) -> dict[str, Any]:
    orders = {"topic": ORDERS, "tags": ["press-1/run", "press-1/sp*"], "reply_topic": ANSWERS, **commands}
    return {"sink": "mqtt", "host": "127.0.0.1", "port": port, "timeout": "2s", "commands": orders}


class Plant:
    """A press behind Modbus, a gateway, and a cloud that is a broker."""

    def __init__(self, gateway: Gateway, broker: Mosquitto, server: Part, network: Proxy, witness: Witness) -> None:
        self.gateway = gateway
        self.broker = broker
        self.network = network
        self.witness = witness
        self._server = server

    def start(self) -> None:
        self.gateway.start()
        self.wait_listening()

    def wait_listening(self) -> None:
        self.gateway.wait(lambda: self.gateway.sink("cloud")["commands"] == "")

    def order(self, id_: str, tag: str, value: object, retain: bool = False, **more: object) -> None:
        body = {"id": id_, "tag": tag, "value": value, "time": time.time_ns(), **more}
        self.witness.publish(ORDERS, json.dumps(body), retain)

    def answers(self) -> list[dict[str, Any]]:
        return [heard.json for heard in self.witness.all() if heard.topic == ANSWERS]

    def outcomes(self) -> list[tuple[str | None, str]]:
        return [(answer["id"], answer["outcome"]) for answer in self.answers()]

    def wait_answers(self, number: int) -> None:
        self.gateway.wait(lambda: len(self.answers()) >= number)

    def events(self) -> list[tuple[str, str, str]]:
        """Command, origin and outcome of the commands that the gateway tells the cloud of."""
        heard = [each.json for each in self.witness.all() if each.topic.endswith("/events/CommandDone")]
        return [(event["command"], event["origin"], event["outcome"]) for event in heard]

    def coil(self) -> bool:
        """As another client sees it."""
        return libmodbus.poll(self._server.port, "0", COIL) == ["1"]

    def register(self, address: int) -> int:
        (value,) = libmodbus.poll(self._server.port, "4", address)
        return int(value.split()[0])

    def written(self) -> Counter[int]:
        """How often which value was written to the speed, as it went over the wire (Modbus, function 6)."""
        whole = b"".join(bytes(part) for part in self.network.sent)
        head = struct.pack(">BBH", 1, 6, SPEED)
        found: Counter[int] = Counter()
        at = whole.find(head)
        while at >= 0:
            found[int.from_bytes(whole[at + 4 : at + 6], "big")] += 1
            at = whole.find(head, at + 1)
        return found


@pytest.fixture
def plant(
    start: Start,
    broker: Mosquitto,
    modbus: Callable[..., Part],
    through: Callable[[int], Proxy],
    stack: ExitStack,
) -> Plant:
    server = modbus()
    network = through(server.port)
    gateway = start(
        running=False,
        links={"bus": modbus_link(network.port)},
        devices={"press-1": {"link": "bus", "groups": {"fast": PRESS}}},
        sinks={"cloud": cloud(broker.port)},
    )
    witness = Witness(broker.port, "edgeward/#")
    stack.callback(witness.stop)
    made = Plant(gateway, broker, server, network, witness)
    made.start()
    gateway.wait(lambda: bool(gateway.device("press-1")["state"] == "online"))
    return made


def test_an_order_goes_down_and_its_answer_comes_up(plant: Plant) -> None:
    plant.order("o-1", "press-1/run", False, who="shift lead")
    plant.wait_answers(1)
    assert not plant.coil()
    (answer,) = plant.answers()
    expected = {"id": "o-1", "tag": "press-1/run", "value": False, "outcome": "done", "reason": "", "site": "plant-1"}
    assert answer.items() >= expected.items()
    plant.gateway.wait(lambda: plant.events() == [("o-1", "sink:cloud", "done")])
    assert plant.gateway.told("shift lead writes press-1/run")


def test_the_sender_says_where_the_answer_goes(plant: Plant) -> None:
    body = {"id": "o-1", "tag": "press-1/speed", "value": 1500, "time": time.time_ns()}
    where = {"ResponseTopic": "edgeward/my/answers", "CorrelationData": b"\x01\x02"}
    plant.witness.publish(ORDERS, json.dumps(body), **where)
    plant.gateway.wait(lambda: any(each.topic == "edgeward/my/answers" for each in plant.witness.all()))
    (heard,) = [each for each in plant.witness.all() if each.topic == "edgeward/my/answers"]
    assert heard.properties.CorrelationData == b"\x01\x02"
    assert heard.json["outcome"] == "done"
    assert plant.answers() == []
    assert plant.register(SPEED) == 1500


def test_what_is_refused_does_not_reach_the_machine(plant: Plant) -> None:
    plant.order("o-1", "press-1/secret", 7)
    plant.order("o-2", "press-1/speed", 7, time=time.time_ns() - 31 * 10**9)
    plant.order("o-3", "press-1/speed", 7, time=time.time_ns() + 60 * 10**9)
    plant.order("o-4", "press-1/speed", 7, time=time.time_ns() - 3 * 10**9, ttl=2)
    plant.order("o-5", "press-1/speed", 5001)
    plant.order("o-6", "press-1/speed", "7")
    plant.order("o-7", "press-1/speeed", 7)
    plant.order("o-8", "press-1/speed", 7, retain=True)
    plant.order("", "press-1/speed", 7)
    plant.witness.publish(ORDERS, "{no json")
    plant.witness.publish(ORDERS, b"\xff" * 20_000)
    plant.witness.publish(ORDERS, "[" * 15_000)
    plant.witness.publish(ORDERS, b"x" * 100_000)  # the broker itself keeps this from us
    plant.order("o-9", "press-1/speed", 1234)
    plant.wait_answers(13)
    assert plant.gateway.sink("cloud")["orders_refused"] == 12 - 3, "three were refused by the guards of the tag"
    assert sorted(plant.outcomes(), key=str) == [
        ("o-1", "refused"),
        ("o-2", "expired"),
        ("o-3", "refused"),
        ("o-4", "expired"),
        ("o-5", "refused"),
        ("o-6", "refused"),
        ("o-7", "refused"),
        ("o-9", "done"),
        *[(None, "refused")] * 5,
    ]
    assert plant.written() == {1234: 1}
    assert plant.register(9) == 9
    # Once more after a restart: the retained one is still there.
    plant.gateway.kill()
    plant.start()
    plant.wait_answers(14)
    assert plant.outcomes()[13:] == [(None, "refused")]
    assert plant.written() == {1234: 1}
    scans = plant.gateway.device("press-1")["scans"]
    plant.gateway.wait(lambda: plant.gateway.device("press-1")["scans"] > scans)
    plant.gateway.wait_delivered("cloud")


def test_the_same_id_again_is_not_executed_again(plant: Plant) -> None:
    plant.order("o-1", "press-1/run", False)
    plant.wait_answers(1)
    assert plant.gateway.ask("write", tag="press-1/run", value=True)["outcome"] == "done"
    plant.order("o-1", "press-1/run", False)
    plant.wait_answers(2)
    assert plant.outcomes() == [("o-1", "done"), ("o-1", "done")]
    assert plant.coil(), "a person has switched it on meanwhile"
    plant.gateway.kill()
    plant.start()
    plant.order("o-1", "press-1/run", False)
    plant.wait_answers(3)
    assert plant.outcomes()[2] == ("o-1", "refused")
    assert "taken before" in plant.answers()[2]["reason"]
    assert plant.coil()
    plant.gateway.wait(lambda: len({event for event in plant.events() if event[1] == "sink:cloud"}) == 1)


def test_killed_at_random_moments_it_executes_nothing_twice(plant: Plant) -> None:
    """Every order is sent twice, the gateway is killed meanwhile, and then they are all sent again."""
    chance = random.Random(SEED)
    sent = 0
    for _ in range(KILLS):
        orders = []
        for _ in range(20):
            sent += 1
            orders.append({"id": f"o-{sent}", "tag": "press-1/speed", "value": sent, "time": time.time_ns()})
        for order in orders:
            for _ in range(2):
                plant.witness.publish(ORDERS, json.dumps(order))
        plant.gateway.survives(chance.uniform(0.0, 0.3))
        plant.gateway.kill()
        plant.start()
        for order in orders:
            plant.witness.publish(ORDERS, json.dumps(order))
    plant.order("last", "press-1/speed", 5000)
    plant.gateway.wait(lambda: plant.register(SPEED) == 5000, 30)
    written = plant.written()
    assert max(written.values()) == 1, "never twice"
    assert set(written) <= {*range(1, sent + 1), 5000}
    assert len(written) > sent // 2, "it was at work"


def test_a_broker_that_is_killed_loses_nothing(
    start: Start, broker: Mosquitto, publish: Callable[[], Publisher], stack: ExitStack, tmp_path_factory: Any
) -> None:
    """The machines' broker is another one than the cloud's, which dies in the middle and comes back."""
    cloud_broker = Mosquitto(tmp_path_factory.mktemp("cloud"), persistence=True)
    stack.callback(cloud_broker.stop)
    pump = {
        "topic": "plant/{device}/state",
        "stale_after": "36500d",
        "time": {"path": "ts", "format": "unix_ns"},
        "tags": {"n": {"type": "int64"}, "half": {"type": "float64"}},
    }
    gateway = start(
        links={"floor": broker_link(broker.port)},
        devices={"pump-1": {"link": "floor", "groups": {"state": pump}}},
        sinks={"cloud": {"sink": "mqtt", "host": "127.0.0.1", "port": cloud_broker.port, "timeout": "2s"}},
    )
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    first = Witness(cloud_broker.port, "edgeward/+/+/pump-1/state")
    publisher = publish()
    gateway.wait(lambda: len(first.heard) > 100)
    cloud_broker.kill()
    first.stop()
    gateway.wait(lambda: not gateway.sink("cloud")["online"])
    count = publisher.count()
    gateway.wait(lambda: publisher.count() > count + 100)
    again = Part(cloud_broker.process.args, cloud_broker.port, cloud_broker.log)  # type: ignore[arg-type]
    stack.callback(again.stop)
    again.wait(lambda: accepts(again.port))
    # What the broker had acknowledged and then lost with its memory is its own affair, so look from both sides.
    second = Witness(cloud_broker.port, "edgeward/+/+/pump-1/state")
    sent = publisher.finish()
    gateway.wait_delivered("cloud")
    heard = first.heard + second.all()
    second.stop()
    numbers = {each.json["values"]["n"]: each.id for each in heard}
    assert sorted(numbers) == sent
    assert len({(each.json["values"]["n"], each.id) for each in heard}) == len(sent), "a repeat bears the same id"
    account = gateway.sink("cloud")
    assert (account["dropped"], account["dead_letters"]) == (0, 0)
