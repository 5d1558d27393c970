"""What flows through a cell, and what it is about. Imports nothing of ours.

The unit of flow is the scan: one row of one tag group, in columns. There is never an object per value.
A group keeps its columns sorted by type, so that a row is a handful of typed vectors, its *planes*, and
whoever handles a row does so plane by plane.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Value: TypeAlias = bool | int | float | str
Plane: TypeAlias = npt.NDArray[np.generic]
Times: TypeAlias = npt.NDArray[np.int64]
Statuses: TypeAlias = npt.NDArray[np.uint32]
Mask: TypeAlias = npt.NDArray[np.bool_]


class ValueType(StrEnum):
    BOOL = "bool"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The numpy type of a plane; strings stand in a plane of objects."""
        return np.dtype(object) if self is ValueType.STRING else np.dtype(self.value)

    @property
    def is_float(self) -> bool:
        return self in (ValueType.FLOAT32, ValueType.FLOAT64)


class Quality(IntEnum):
    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class StatusCode(IntEnum):
    """OPC UA Part 4, 7.39: the top two bits are the severity. The codes that Edgeward itself gives."""

    GOOD = 0x0000_0000
    UNCERTAIN = 0x4000_0000
    BAD = 0x8000_0000
    BAD_DECODING_ERROR = 0x8007_0000
    BAD_TIMEOUT = 0x800A_0000
    BAD_NO_COMMUNICATION = 0x8031_0000
    BAD_WAITING_FOR_INITIAL_DATA = 0x8032_0000
    BAD_NODE_ID_UNKNOWN = 0x8034_0000
    BAD_OUT_OF_RANGE = 0x803C_0000
    BAD_TYPE_MISMATCH = 0x8074_0000
    BAD_CONFIGURATION_ERROR = 0x8089_0000
    BAD_NOT_CONNECTED = 0x808A_0000
    BAD_DEVICE_FAILURE = 0x808B_0000
    BAD_OUT_OF_SERVICE = 0x808D_0000
    BAD_NO_DATA = 0x809B_0000


def quality(status: int) -> Quality:
    """The severity of a status code; the reserved severity 3 reads as bad (OPC UA Part 4, 7.39)."""
    return Quality(min(status >> 30 & 0b11, Quality.BAD))


@dataclass(frozen=True, slots=True)
class Tag:
    """One measured or written value. `id` is `device/name`; `address` belongs to the driver."""

    id: str
    type: ValueType
    unit: str = ""
    range: tuple[float, float] | None = None
    deadband: float = 0.0
    writable: bool = False
    description: str = ""
    address: object = None

    @property
    def device(self) -> str:
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        return self.id.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Span:
    """Where one plane lies among a group's columns: `columns[start:stop]` are all of `type`."""

    type: ValueType
    start: int
    stop: int


class Column(msgspec.Struct, frozen=True):
    name: str
    type: ValueType
    unit: str = ""


class Schema(msgspec.Struct, frozen=True, dict=True):
    """How the rows of a group are to be read, stored beside them so that no backlog ever becomes unreadable."""

    device: str
    group: str
    columns: tuple[Column, ...]

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def decode(body: bytes) -> Schema:
        return msgspec.json.decode(body, type=Schema)

    @cached_property
    def digest(self) -> bytes:
        """The schema hash: the first 16 bytes of SHA-256 over the encoded schema."""
        return hashlib.sha256(self.encode()).digest()[:16]

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        return spans_of([column.type for column in self.columns])


def spans_of(types: Sequence[ValueType]) -> tuple[Span, ...]:
    """The runs of equal types, in order."""
    edges = [i for i in range(len(types)) if i == 0 or types[i] != types[i - 1]]
    return tuple(Span(types[start], start, stop) for start, stop in zip(edges, [*edges[1:], len(types)], strict=True))


class Priority(StrEnum):
    """How much a group's values matter when not all can be sent, or kept, at once."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, eq=False)
class TagGroup:
    """The tags of one device that are read together. `columns` are sorted by type; order is fixed for good.

    `interval` is the scan interval in nanoseconds for a group that is polled, None for one that is pushed to us.
    A value older than `stale_after` nanoseconds is stale. `settings` belongs to the driver. What has a higher
    `priority` is sent earlier and kept longer.
    """

    device: str
    name: str
    columns: tuple[Tag, ...]
    interval: int | None
    stale_after: int
    settings: object = None
    priority: Priority = Priority.NORMAL

    @staticmethod
    def sort(tags: Sequence[Tag]) -> tuple[Tag, ...]:
        """Tags in column order: by type, and within a type as they were given."""
        order = list(ValueType)
        return tuple(sorted(tags, key=lambda tag: order.index(tag.type)))

    @property
    def id(self) -> str:
        return f"{self.device}/{self.name}"

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        return spans_of([tag.type for tag in self.columns])

    @cached_property
    def index(self) -> dict[str, int]:
        """Tag id to column."""
        return {tag.id: i for i, tag in enumerate(self.columns)}

    @cached_property
    def schema(self) -> Schema:
        columns = tuple(Column(tag.name, tag.type, tag.unit) for tag in self.columns)
        return Schema(self.device, self.name, columns)

    def zeros(self) -> tuple[Plane, ...]:
        """Fresh planes, one a span, each of shape (span width,)."""
        return tuple(blank(span) for span in self.spans)


def blank(span: Span) -> Plane:
    width = span.stop - span.start
    return np.full(width, "", dtype=object) if span.type is ValueType.STRING else np.zeros(width, span.type.dtype)


class Scan:
    """One row of one tag group: what a device gave at one moment.

    - `source_time`: the device's time; one integer for the row, or one a column (shape (columns,)) where the
      protocol gives that. `gateway_time`: when it reached us. Nanoseconds UTC.
    - `values`: one vector a span of the group, always full width.
    - `status`: None when all are good, else a status code a column.
    - `columns`: None when all are there, else a mask of those that are; the others mean nothing.
    - `current`: False when the row was true at another time (a backlog, a retained message): kept, but not judged.
    - `known`: True when it only says that what was there before still holds: judged, but not kept again.
    - `held`: True when a value is dated by its last change, which may be long ago: that says nothing of the clock.
    """

    __slots__ = ("columns", "current", "gateway_time", "group", "held", "known", "source_time", "status", "values")

    def __init__(  # noqa: PLR0913 - a row has that many parts, and one is made every few microseconds
        self,
        group: TagGroup,
        source_time: int | Times,
        gateway_time: int,
        values: tuple[Plane, ...],
        status: Statuses | None = None,
        columns: Mask | None = None,
    ) -> None:
        self.group = group
        self.source_time = source_time
        self.gateway_time = gateway_time
        self.values = values
        self.status = status
        self.columns = columns
        self.current = True
        self.known = False
        self.held = False

    @property
    def points(self) -> int:
        """How many values the row holds, good or bad."""
        return len(self.group.columns) if self.columns is None else int(np.count_nonzero(self.columns))


@dataclass(frozen=True, slots=True)
class Rows:
    """Several scans of one schema, in columns: how scans travel from the journal to a sink.

    `source_time` has shape (rows,) or (rows, columns), `gateway_time` (rows,), a plane of `values` (rows, width),
    `status` and `present` (rows, columns) or None where all are good, or all are there.
    """

    schema: Schema
    source_time: Times
    gateway_time: Times
    values: tuple[Plane, ...]
    status: Statuses | None = None
    present: Mask | None = None

    @property
    def points(self) -> int:
        if self.present is not None:
            return int(np.count_nonzero(self.present))
        return len(self.gateway_time) * len(self.schema.columns)


@dataclass(frozen=True, slots=True)
class Reading:
    """The last value of one tag, as the image knows it. `value` is None where there never was one. It is `stale` once
    the monotonic clock is past `fresh_until`."""

    value: Value | None
    status: int
    source_time: int
    gateway_time: int
    stale: bool
    fresh_until: int = 0

    @property
    def usable(self) -> bool:
        """Good and fresh: fit to be judged."""
        return not self.stale and quality(self.status) is Quality.GOOD


class DeviceState(StrEnum):
    CONNECTING = "connecting"
    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    QUARANTINED = "quarantined"


class AlarmState(StrEnum):
    """ISA-18.2, 5.2: normal; unacknowledged; acknowledged; returned to normal but not yet acknowledged."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"


class Outcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"


class Event(msgspec.Struct, frozen=True, tag=True):
    """Something that happened, at `time` (nanoseconds UTC). Events are journaled before telemetry and sent first."""

    time: int


class DeviceChanged(Event, frozen=True):
    device: str
    link: str
    state: DeviceState
    reason: str = ""


class AlarmChanged(Event, frozen=True):
    """`tag` had `value` when `alarm` went from `previous` to `state`. `move` names what moved it; where a person did,
    `actor` is who, and `comment` why. What a person suppresses or resets leaves the state as it is.

    The rest is how the alarm stands now, so that the last event of an alarm tells all of it: whether it is `latched`,
    which it is from being raised until it is reset; until when it is shelved (nanoseconds UTC, 0 where it is not);
    whether it is out of service; and whether it is `suppressed`, by either: then nobody is to be told. `command` is the
    id of what was written when it was raised, and `revision` tells one wording of its rule from another."""

    alarm: str
    tag: str
    state: AlarmState
    previous: AlarmState
    priority: str
    value: Value | None = None
    message: str = ""
    actor: str = ""
    comment: str = ""
    move: str = ""
    latched: bool = False
    suppressed: bool = False
    shelved_until: int = 0
    out_of_service: bool = False
    command: str = ""
    revision: str = ""


class CommandDone(Event, frozen=True):
    """How a command ended. `origin` is `rule:NAME`, `user:NAME` or `sink:NAME`."""

    command: str
    tag: str
    value: Value
    origin: str
    outcome: Outcome
    reason: str = ""


class DataLost(Event, frozen=True):
    """A gap: `points` were given up by this gateway, and why: in words of which there are few, with no numbers in them.
    They were of one `stream`, and came in from `since` to `until` (nanoseconds UTC), where that is known."""

    points: int
    reason: str
    stream: str = ""
    since: int = 0
    until: int = 0


AnyEvent: TypeAlias = DeviceChanged | AlarmChanged | CommandDone | DataLost


@dataclass(frozen=True, slots=True)
class Command:
    """A wish to write `value` to `tag`. It is worth nothing after `expires` (nanoseconds, monotonic)."""

    id: str
    tag: str
    value: Value
    origin: str
    expires: int


@dataclass(frozen=True, slots=True)
class RuleFailed:
    """A bug: judging `rule` raised `error`. It is in quarantine, and its alarm stays as it is."""

    rule: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Order:
    """A wish from the far side of a sink to write `value` to `tag`, as it came.

    `id` is the sender's, another for each order. It was `issued` and is worth nothing after `expires` (nanoseconds UTC,
    None where the sender does not say); `who` is whom the sender names.
    """

    id: str
    tag: str
    value: Value
    issued: int
    expires: int | None = None
    who: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """What the configuration names and people watch. `settings` belongs to the driver."""

    id: str
    groups: tuple[TagGroup, ...]
    settings: object = None


@dataclass(frozen=True, slots=True)
class Link:
    """One connection: a Modbus TCP connection, a broker. `settings` belongs to the driver."""

    id: str
    driver: str
    devices: tuple[Device, ...] = field(default=())
    settings: object = None
    owner: str = ""
    """The site and cell that it belongs to, for far ends that want to tell their clients apart."""
