"""The lines of the logs that the simulators and the cloud write, as types."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

Value: TypeAlias = bool | int | float


class Message(msgspec.Struct, frozen=True):
    """An MQTT message, from `simulators.mqtt`. `ts` is in milliseconds UTC. `reason` is 0 for one that the broker took,
    16 for one that nobody had subscribed to, None where nobody knows."""

    topic: str
    ts: int
    sequence: int
    reason: int | None
    values: dict[str, Value]

    @property
    def device(self) -> str:
        return self.topic.split("/")[1]


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
    modbus: list[Reply]
    mqtt: list[Message]
    cloud: list[Row]


_T = TypeVar("_T")


def load(modbus: Path, mqtt: Path, cloud: Path) -> Logs:
    return Logs(_lines(modbus, Reply), _lines(mqtt, Message), _lines(cloud, Row))


def _lines(path: Path, type_: type[_T]) -> list[_T]:
    """A log begins with the process that writes it; without it there is nothing."""
    return msgspec.json.Decoder(type_).decode_lines(path.read_bytes()) if path.exists() else []
