"""The lines of the logs that the simulators and the cloud write, as types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias, TypeVar

import msgspec

Value: TypeAlias = bool | int | float

STATION, BOOSTER, WELL = "pump-station", "booster", "well"
"""The devices in config/demo that speak Modbus, OPC UA and CoAP: their logs do not say so."""

_MILLISECOND = 1_000_000
_CHANGED = "2.04"


class Telegram(Protocol):
    """What a machine said by itself. `time_ns` is when its values were measured, UTC, and no other telegram of this
    device has the same. `arrives` is whether the gateway must have it: None where nobody knows."""

    protocol: ClassVar[str]

    @property
    def device(self) -> str: ...
    @property
    def time_ns(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def values(self) -> Mapping[str, Value]: ...
    @property
    def arrives(self) -> bool | None: ...


class Message(msgspec.Struct, frozen=True):
    """From `simulators.mqtt`. `ts` is in milliseconds UTC. `reason` is 0 for one that the broker took, 16 for one that
    nobody had subscribed to, None where nobody knows."""

    protocol: ClassVar[str] = "mqtt"

    topic: str
    ts: int
    sequence: int
    reason: int | None
    values: dict[str, Value]

    @property
    def device(self) -> str:
        return self.topic.split("/")[1]

    @property
    def time_ns(self) -> int:
        return self.ts * _MILLISECOND

    @property
    def arrives(self) -> bool | None:
        return None if self.reason is None else self.reason == 0


class Update(msgspec.Struct, frozen=True):
    """From `simulators.opcua`. `ts` is in nanoseconds UTC. The demo's server stands still until the gateway has
    subscribed, so there is none that the gateway need not have."""

    protocol: ClassVar[str] = "opcua"
    device: ClassVar[str] = BOOSTER
    arrives: ClassVar[bool | None] = True

    ts: int
    sequence: int
    values: dict[str, Value]

    @property
    def time_ns(self) -> int:
        return self.ts


class Report(msgspec.Struct, frozen=True):
    """From `simulators.coap`. `ts` is in milliseconds UTC. `code` is what the gateway answered, None where it did
    not."""

    protocol: ClassVar[str] = "coap"
    device: ClassVar[str] = WELL

    ts: int
    sequence: int
    code: str | None
    values: dict[str, Value]

    @property
    def time_ns(self) -> int:
        return self.ts * _MILLISECOND

    @property
    def arrives(self) -> bool | None:
        return None if self.code is None else self.code == _CHANGED


class Reply(msgspec.Struct, frozen=True):
    """From `simulators.modbus`: the reply to a read of `table`, or else an accepted write, of `value` to `write`."""

    time_ns: int
    table: str = ""
    sequence: int | None = None
    values: dict[str, Value] = {}
    write: str = ""
    value: Value | None = None


class Row(msgspec.Struct, frozen=True):
    """A line that the cloud took, from `simulators.cloud`. Fields are pairs of type and value; times are nanoseconds
    UTC."""

    received_ns: int
    time: int
    measurement: str
    tags: dict[str, str]
    fields: dict[str, tuple[str, bool | int | float | str]]

    @property
    def identity(self) -> tuple[object, ...]:
        """By series and time, as InfluxDB knows it."""
        return self.measurement, *sorted(self.tags.items()), self.time


class Logs(msgspec.Struct, frozen=True):
    """What each of them has written."""

    modbus: list[Reply]
    mqtt: list[Message]
    opcua: list[Update]
    coap: list[Report]
    cloud: list[Row]

    @property
    def telegrams(self) -> Iterator[Telegram]:
        return chain(self.mqtt, self.opcua, self.coap)


_T = TypeVar("_T")


def load(folder: Path) -> Logs:
    return Logs(
        modbus=_lines(folder / "modbus.jsonl", Reply),
        mqtt=_lines(folder / "mqtt.jsonl", Message),
        opcua=_lines(folder / "opcua.jsonl", Update),
        coap=_lines(folder / "coap.jsonl", Report),
        cloud=_lines(folder / "cloud.jsonl", Row),
    )


def _lines(path: Path, type_: type[_T]) -> list[_T]:
    """A log begins with the process that writes it; without it there is nothing."""
    return msgspec.json.Decoder(type_).decode_lines(path.read_bytes()) if path.exists() else []
