"""What is said through the control door: one JSON object a line, a request and its reply.

A watch is answered by replies without end, until the caller says anything or hangs up. Light to import: the command
line shares these types, and it shall start fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from gateway import inquiry
from gateway.difference import Difference
from gateway.errors import ConfigError
from gateway.phrase import Failure as Failure
from gateway.phrase import Name, Reply, Request
from gateway.problems import Problem
from gateway.status import AlarmEntry, Status

MAX_REQUEST = 64 * 1024
"""Bytes in a line of a request."""

LEAST_INTERVAL = 0.1
"""Seconds between two replies to a watch."""

_MAX_PATH = 107  # sun_path has 108 bytes on Linux, and the last is a zero: unix(7)

Comment: TypeAlias = Annotated[str, msgspec.Meta(max_length=500)]
Value: TypeAlias = bool | int | float | str


class AskStatus(Request, frozen=True, tag="status"):
    pass


class AskTags(Request, frozen=True, tag="tags"):
    pass


class AskAlarms(Request, frozen=True, tag="alarms"):
    pass


class Read(Request, frozen=True, tag="read"):
    tag: Name


class Write(Request, frozen=True, tag="write"):
    tag: Name
    value: Value


class Acknowledge(Request, frozen=True, tag="ack"):
    alarm: Name
    comment: Comment = ""


class Reset(Request, frozen=True, tag="reset"):
    """A latched alarm, once its condition is over and it is acknowledged."""

    alarm: Name
    comment: Comment = ""


class Shelve(Request, frozen=True, tag="shelve"):
    """For `duration`, such as 90m or 8h; `comment` says why."""

    alarm: Name
    duration: Annotated[str, msgspec.Meta(max_length=20)]
    comment: Comment


class Unshelve(Request, frozen=True, tag="unshelve"):
    alarm: Name
    comment: Comment = ""


class Service(Request, frozen=True, tag="service"):
    """Take an alarm `out` of service, and say why, or put it back."""

    alarm: Name
    out: bool
    comment: Comment = ""


class Reload(Request, frozen=True, tag="reload"):
    """Read the configuration again."""


class Watch(Request, frozen=True, tag="watch"):
    """Every `interval` seconds what has changed of some tags, or of all where none is named."""

    tags: tuple[Name, ...] = ()
    interval: Annotated[float, msgspec.Meta(ge=LEAST_INTERVAL, le=3600)] = 1.0


AnyRequest: TypeAlias = (
    AskStatus
    | AskTags
    | AskAlarms
    | Read
    | Write
    | Acknowledge
    | Reset
    | Shelve
    | Unshelve
    | Service
    | Reload
    | Watch
    | inquiry.AnyQuestion
    | inquiry.AnyErrand
)


class StatusReply(Reply, frozen=True, tag="status"):
    status: Status


class TagReading(msgspec.Struct, frozen=True):
    """A tag's last value. `value` is None where there never was one, or where it is no number that JSON has. `quality`
    is good, uncertain or bad, and `status` the OPC UA status code. Times are nanoseconds UTC, 0 for never."""

    tag: str
    value: Value | None
    unit: str
    quality: str
    status: int
    stale: bool
    source_time: int
    gateway_time: int


class ReadingsReply(Reply, frozen=True, tag="readings"):
    readings: tuple[TagReading, ...]


class TagEntry(msgspec.Struct, frozen=True):
    tag: str
    type: str
    unit: str
    writable: bool
    description: str


class TagsReply(Reply, frozen=True, tag="tags"):
    tags: tuple[TagEntry, ...]


class AlarmsReply(Reply, frozen=True, tag="alarms"):
    """Every alarm there is, in the order of the rules."""

    alarms: tuple[AlarmEntry, ...]


class WriteReply(Reply, frozen=True, tag="write"):
    """How a write ended: `outcome` is done, refused, failed or expired, and `reason` says why it is not done."""

    tag: str
    value: Value
    outcome: str
    reason: str
    command: str


class AcknowledgeReply(Reply, frozen=True, tag="ack"):
    alarm: str
    state: str
    previous: str
    user: str


class AlarmReply(Reply, frozen=True, tag="alarm"):
    """What `user` did to an alarm, and how it stands now. `move` is reset, shelve, unshelve, remove or place."""

    alarm: AlarmEntry
    move: str
    user: str


class ReloadReply(Reply, frozen=True, tag="reload"):
    """Generation `number`, whose files have the hash `sha256`, is in force. It is the old one if there are `problems`:
    then nothing has changed. Else the differences are those to the generation before."""

    number: int
    sha256: str
    problems: tuple[Problem, ...] = ()
    links: Difference = Difference()
    sinks: Difference = Difference()
    rules: Difference = Difference()


AnyReply: TypeAlias = (
    StatusReply
    | ReadingsReply
    | TagsReply
    | AlarmsReply
    | WriteReply
    | AcknowledgeReply
    | AlarmReply
    | ReloadReply
    | inquiry.AnyAnswer
    | Failure
)


def path_in(data: Path) -> Path:
    """Where the door of a gateway with this data directory is. Raises ConfigError."""
    return fitting(data / "control.sock")


def fitting(path: Path) -> Path:
    """`path`, if a socket can have it. Raises ConfigError."""
    size = len(bytes(path))
    if size > _MAX_PATH:
        raise ConfigError(
            f"{path} is too long for a socket: {size} bytes, and {_MAX_PATH} at most; choose a shorter data directory"
        )
    return path
