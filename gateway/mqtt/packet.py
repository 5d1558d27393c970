"""What packets are made of (MQTT 5.0, chapter 2 and 3.3). Pure."""

from __future__ import annotations

from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_VARIABLE = ((128, 1), (16_384, 2), (2_097_152, 3))


def properties(packet: int, **values: object) -> Properties:
    """The properties of a packet of that type, by their names without spaces: `MessageExpiryInterval=5`."""
    made = Properties(packet)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made


def about_publish(**values: object) -> Properties:
    return properties(PacketTypes.PUBLISH, **values)


def length(about: Properties) -> int:
    """How many bytes the properties of a packet have."""
    packed: bytes = about.pack()  # type: ignore[no-untyped-call]
    return len(packed)


def publish_size(topic: str, about: int, payload: bytes) -> int:
    """How many bytes a PUBLISH of QoS 1 has whose properties have that length: what the Maximum Packet Size of a broker
    counts (3.2.2.3.6)."""
    rest = 2 + len(topic.encode()) + 2 + about + len(payload)
    return 1 + _width(rest) + rest


def given(about: Properties | None, name: str, default: Any) -> Any:
    """A property of a packet that came, or what its absence means."""
    return getattr(about, name, default)


def _width(number: int) -> int:
    """Bytes of a Variable Byte Integer (1.5.5)."""
    return next((size for limit, size in _VARIABLE if number < limit), 4)
