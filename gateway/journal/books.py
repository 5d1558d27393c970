"""What the journal keeps account of beside its chunks: where a stream stands, how far each sink is, what was lost and
what was refused, and the types of a sink's fields. Counts are points, times nanoseconds UTC. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.journal.chunk import Stream
from gateway.journal.ranges import Range
from gateway.model import ValueType


@dataclass(frozen=True, slots=True)
class Head:
    """Where a stream stands: the next chunk's number, and all points before it."""

    seq: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one sink is with one stream, as the catalogue remembers it. Counts are points; `base` is what the stream
    had already had when the sink came."""

    sink: str
    stream: Stream
    pending: tuple[Range, ...]
    base: int
    delivered: int = 0
    dead_letters: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """What one sink will not get: chunks `first` to `stop`, which came in from `since` to `until`, and why. A row of
    the drop ledger. Times are nanoseconds UTC, 0 where they are not known."""

    time: int
    sink: str
    stream: Stream
    first: int
    stop: int
    points: int
    since: int
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Content that a sink refused for good, and why: set aside, sealed like everything else. `id` is 0 until it is on
    disk."""

    sink: str
    time: int
    points: int
    reason: str
    content: bytes = field(repr=False)
    stream: Stream = Stream.NORMAL
    id: int = 0


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type that a sink's field was first sent with, and by which device. A field belongs to a tag group."""

    device: str
    group: str
    tag: str
    type: ValueType
