from __future__ import annotations

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.mqtt import packet
from gateway.mqtt.packet import about_publish, given, publish_size


@pytest.mark.parametrize("length", [0, 1, 70, 80, 90, 16_300, 16_383, 16_384, 2_097_100, 2_097_200])
def test_the_size_is_what_paho_puts_on_the_wire(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    sent: list[bytes] = []
    monkeypatch.setattr(client, "_packet_queue", lambda command, packet, *more: sent.append(bytes(packet)) or 0)
    monkeypatch.setattr(client, "_sock", object())
    about = about_publish(UserProperty=("id", "0" * 32), ContentType="application/json")
    client.publish("plant/größe", b"x" * length, qos=1, properties=about)
    assert publish_size("plant/größe", packet.length(about), b"x" * length) == len(sent[0])


def test_what_a_packet_does_not_say() -> None:
    assert given(None, "ReceiveMaximum", 7) == 7
    assert given(about_publish(), "MessageExpiryInterval", 7) == 7
    assert given(about_publish(MessageExpiryInterval=5), "MessageExpiryInterval", 7) == 5
