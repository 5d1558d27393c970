"""MQTT control packets, 3.1.1 and 5.0, as far as a broker without QoS 2 needs them.

Section numbers throughout this folder are those of the OASIS standard MQTT 5.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

NEVER = 0xFFFF_FFFF  # of a session expiry interval: the session does not expire


class Kind(IntEnum):
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Reason(IntEnum):
    SUCCESS = 0x00
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    CLIENT_ID_INVALID = 0x85
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    FILTER_INVALID = 0x8F
    TOPIC_INVALID = 0x90
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    QOS_NOT_SUPPORTED = 0x9B
    SHARED_NOT_SUPPORTED = 0x9E


class Refused(Exception):
    """The connection cannot go on: tell the client the reason where its version can hear it, and close."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: int = 0
    properties: bytes = b""  # encoded, without their length


@dataclass(frozen=True, slots=True)
class Connect:
    client_id: str
    level: int  # 4 is MQTT 3.1.1, 5 is MQTT 5.0
    clean_start: bool
    keep_alive: int
    expiry: int
    receive_maximum: int
    maximum_packet: int
    will: Publish | None


@dataclass(frozen=True, slots=True)
class Subscribe:
    packet_id: int
    filters: tuple[tuple[str, int], ...]  # with the subscription options (3.8.3.1)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Puback:
    packet_id: int


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Disconnect:
    reason: int = 0
    expiry: int | None = None


Packet: TypeAlias = Publish | Connect | Subscribe | Unsubscribe | Puback | Ping | Disconnect
