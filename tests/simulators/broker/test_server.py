"""The broker's process, seen by clients that we did not write (paho, mosquitto_pub, mosquitto_sub), and by bytes."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Self

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.parts.process import find
from tests.simulators.process import Simulator

SECONDS = 5
V5, V311 = MQTTv5, MQTTv311


@pytest.fixture(scope="module")
def broker() -> Iterator[Simulator]:
    with Simulator("broker", "--port", 0, "--max-packet", 2000) as broker:
        yield broker


class Peer:
    """A paho client whose events are waited for."""

    def __init__(self, port: int, name: str, protocol: MQTTProtocolVersion = V5, **properties: int) -> None:
        self.messages: queue.Queue[MQTTMessage] = queue.Queue()
        self.events: queue.Queue[tuple[str, object]] = queue.Queue()
        keep = properties.get("SessionExpiryInterval", 0) > 0
        clean = None if protocol == V5 else not keep
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            name,
            protocol=protocol,
            manual_ack=True,
            reconnect_on_failure=False,
            clean_session=clean,
        )
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.on_connect = lambda _c, _d, flags, reason, _p: self.events.put(("connect", flags.session_present))
        self.client.on_disconnect = lambda _c, _d, _f, reason, _p: self.events.put(("disconnect", reason.value))
        self.client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.events.put(("subscribe", reasons[0].value))
        self.client.on_publish = lambda _c, _d, _m, reason, _p: self.events.put(("publish", reason.value))
        if protocol == V5:
            wish = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            for key, value in properties.items():
                setattr(wish, key, value)
            self.client.connect("127.0.0.1", port, clean_start=not keep, properties=wish)
        else:
            self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.present = self.event("connect")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def event(self, name: str) -> object:
        while True:
            found, value = self.events.get(timeout=SECONDS)
            if found == name:
                return value

    def subscribe(self, pattern: str, qos: int = 1) -> object:
        self.client.subscribe(pattern, qos)
        return self.event("subscribe")

    def publish(self, topic: str, payload: str, qos: int = 1) -> object:
        self.client.publish(topic, payload, qos)
        return self.event("publish")

    def take(self, count: int, acknowledge: bool = True) -> list[MQTTMessage]:
        messages = [self.messages.get(timeout=SECONDS) for _ in range(count)]
        for message in messages if acknowledge else ():
            self.client.ack(message.mid, message.qos)
        return messages

    def vanish(self) -> None:
        """Be gone without a word."""
        wire = self.client.socket()
        assert wire is not None
        self.client.loop_stop()
        wire.close()


def bodies(messages: list[MQTTMessage]) -> list[str]:
    return [message.payload.decode() for message in messages]


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize(("sender", "receiver"), [(V5, V5), (V311, V311), (V5, V311), (V311, V5)])
def test_messages_arrive_in_order(
    broker: Simulator, sender: MQTTProtocolVersion, receiver: MQTTProtocolVersion, qos: int
) -> None:
    with Peer(broker.port, "receiver", receiver) as there, Peer(broker.port, "sender", sender) as here:
        assert there.subscribe("order/+/x") == 1
        for i in range(20):
            here.client.publish("order/a/x", str(i), qos)
        got = there.take(20)
    assert bodies(got) == [str(i) for i in range(20)]
    assert {(message.qos, message.dup, message.retain) for message in got} == {(qos, False, False)}


def test_the_acknowledgement_tells_whether_anybody_is_subscribed(broker: Simulator) -> None:
    with Peer(broker.port, "lonely") as peer:
        assert peer.publish("lonely/t", "1") == 16
        peer.subscribe("lonely/#")
        assert peer.publish("lonely/t", "2") == 0
        peer.client.unsubscribe("lonely/#")
        assert peer.publish("lonely/t", "3") == 16


def test_properties_travel_with_the_message(broker: Simulator) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("line", "a"), ("line", "b")]
    properties.ContentType = "application/json"
    with Peer(broker.port, "props") as peer:
        peer.subscribe("props")
        peer.client.publish("props", "x", 1, properties=properties)
        (message,) = peer.take(1)
    assert message.properties is not None
    assert message.properties.json() == properties.json()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("protocol", [V5, V311])
def test_a_session_outlives_its_connection(broker: Simulator, protocol: MQTTProtocolVersion) -> None:
    name = f"keeper-{protocol}"
    with Peer(broker.port, name, protocol, SessionExpiryInterval=60) as away:
        assert not away.present
        away.subscribe(f"{name}/t")
    with Peer(broker.port, "sender") as sender:
        for i in range(5):
            assert sender.publish(f"{name}/t", str(i)) == 0
    with Peer(broker.port, name, protocol, SessionExpiryInterval=60) as back:
        assert back.present
        assert bodies(back.take(5)) == list("01234")
    with Peer(broker.port, name, protocol) as fresh:
        assert not fresh.present


def test_what_was_not_acknowledged_comes_again(broker: Simulator) -> None:
    first = Peer(broker.port, "forgetful", SessionExpiryInterval=60)
    first.subscribe("forgetful")
    with Peer(broker.port, "sender") as sender:
        for i in range(3):
            sender.publish("forgetful", str(i))
    got = first.take(3, acknowledge=False)
    first.client.ack(got[0].mid, 1)
    first.vanish()
    with Peer(broker.port, "forgetful", SessionExpiryInterval=60) as again:
        repeated = again.take(2)
    assert [(m.payload.decode(), m.mid, m.dup) for m in repeated] == [
        (m.payload.decode(), m.mid, True) for m in got[1:]
    ]


def test_a_client_takes_over_its_own_session(broker: Simulator) -> None:
    old = Peer(broker.port, "twin")
    with Peer(broker.port, "twin"):
        assert old.event("disconnect") == 0x8E
    old.client.disconnect()
    old.client.loop_stop()


def test_no_local(broker: Simulator) -> None:
    with Peer(broker.port, "self") as peer, Peer(broker.port, "other") as other:
        peer.client.subscribe("self", options=SubscribeOptions(qos=1, noLocal=True))
        peer.event("subscribe")
        assert peer.publish("self", "mine") == 16
        other.publish("self", "yours")
        assert bodies(peer.take(1)) == ["yours"]


class Wire:
    """A client made of bytes, for what a library would not do."""

    def __init__(self, port: int, connect: str = "1012 0004 4d515454 05 02 0000 03 21 0002 0002 7730") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.send(connect)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, data: str) -> None:
        self.socket.sendall(bytes.fromhex(data.replace(" ", "")))

    def packet(self) -> bytes:
        """The next packet, shorter than 128 bytes; nothing at the end."""
        head = self._exactly(2)
        return head + self._exactly(head[1]) if head else b""

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (part := self.socket.recv(size - len(data))):
            data += part
        return data


def test_the_receive_maximum_is_kept_on_the_wire(broker: Simulator) -> None:
    with Wire(broker.port) as wire, Peer(broker.port, "sender") as sender:
        assert wire.packet().hex() == "200b0000" + "08" + "2401250029002a00"
        wire.send("82 07 0001 00 0001 77 01")
        assert wire.packet().hex() == "9004" + "0001" + "00" + "01"
        for i in range(4):
            sender.publish("w", str(i))
        wire.send("c0 00")
        kinds = [wire.packet() for _ in range(3)]
        assert [kind[0] for kind in kinds] == [0x32, 0x32, 0xD0]
        wire.send("40 02" + kinds[0][5:7].hex())
        third = wire.packet()
        assert (third[0], third[-1:]) == (0x32, b"2")


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("34 06 000161 0001 00", "e0029b00"),  # QoS 2
        ("30 d10f", "e0029500"),  # a packet of 2,003 bytes
        ("30 05 0003 612f23 00", "e0029000"),  # publish to a/#
        ("f0 00", "e0028100"),
        ("10 0f 0004 4d515454 05 02 0000 00 0002 7730", "e0028200"),  # CONNECT again
    ],
)
def test_a_client_that_breaks_the_rules_is_told_and_let_go(broker: Simulator, data: str, answer: str) -> None:
    with Wire(broker.port) as wire:
        wire.packet()
        wire.send(data)
        assert wire.packet().hex() == answer
        assert wire.packet() == b""


@pytest.mark.parametrize(
    ("connect", "answer"),
    [
        ("10 0e 0006 4d5149736470 03 02 000a 0000", "20020001"),  # MQTT 3.1
        ("30 04 0001 61 00", ""),  # anything but CONNECT
        ("10 0c 0004 4d515454 04 00 000a 0000", "20020002"),  # 3.1.1: a session to keep, but no name
    ],
)
def test_who_is_not_let_in(broker: Simulator, connect: str, answer: str) -> None:
    with Wire(broker.port, connect) as wire:
        assert wire.packet().hex() == answer
        assert wire.packet() == b""


def test_a_nameless_client_is_given_a_name(broker: Simulator) -> None:
    with Wire(broker.port, "100d 0004 4d515454 05 02 0000 00 0000") as wire:
        assert wire.packet()[-19:-16] == b"\x12\x00\x10"


@pytest.mark.slow
def test_a_silent_client_is_let_go_and_its_will_is_done(broker: Simulator) -> None:
    with Peer(broker.port, "heir") as heir:
        heir.subscribe("will")
        # keep alive 1 s; a will at QoS 1 on `will`: gone
        with Wire(broker.port, "10 1c 0004 4d515454 05 0e 0001 00 0002 7731 00 0004 77696c6c 0004 676f6e65") as wire:
            began = time.monotonic()
            wire.packet()
            assert wire.packet().hex() == "e0028d00"
            assert 1.4 < time.monotonic() - began < 2.5
        assert bodies(heir.take(1)) == ["gone"]


def test_it_tells_at_the_end_what_went_through() -> None:
    with Simulator("broker", "--port", 0) as broker, Peer(broker.port, "a") as peer:
        peer.publish("nobody", "1")
        peer.subscribe("t")
        peer.publish("t", "2")
        peer.take(1)
    assert json.loads(broker.output) == {"received": 2, "delivered": 1, "redelivered": 0, "dropped": 0, "unmatched": 1}


def test_only_loopback_is_served() -> None:
    with pytest.raises(AssertionError, match="invalid loopback"):
        Simulator("broker", "--host", "0.0.0.0")


@pytest.mark.real("mosquitto")
@pytest.mark.parametrize("version", ["mqttv5", "mqttv311"])
def test_mosquitto_clients(broker: Simulator, version: str) -> None:
    common = ["-h", "127.0.0.1", "-p", str(broker.port), "-V", version, "-q", "1", "-t", "mosquitto/t"]
    keep = ["-i", f"sub-{version}", "-c", *(["-x", "60"] if version == "mqttv5" else [])]
    sub = [find("mosquitto_sub", "mosquitto-clients"), *common, *keep]
    pub = [find("mosquitto_pub", "mosquitto-clients"), *common]
    subprocess.run([*sub, "-E"], check=True, timeout=10)  # subscribe, and leave
    text = "".join(f"{i}\n" for i in range(100))
    subprocess.run([*pub, "-l"], input=text, text=True, check=True, timeout=10)
    got = subprocess.run([*sub, "-C", "100", "-W", "5"], capture_output=True, text=True, check=True, timeout=10)
    assert got.stdout == text
