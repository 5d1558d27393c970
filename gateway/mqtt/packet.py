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


def publish_size(topic: bytes, about: Properties, payload: bytes) -> int:
    """How many bytes a PUBLISH of QoS 1 has: what the Maximum Packet Size of a broker counts (3.2.2.3.6)."""
    packed: bytes = about.pack()  # type: ignore[no-untyped-call]
    rest = 2 + len(topic) + 2 + len(packed) + len(payload)
    return 1 + _length_of(rest) + rest


def given(about: Properties | None, name: str, default: Any) -> Any:
    """A property of a packet that came, or what its absence means."""
    return getattr(about, name, default)


def _length_of(number: int) -> int:
    """Bytes of a Variable Byte Integer (1.5.5)."""
    return next((size for limit, size in _VARIABLE if number < limit), 4)
