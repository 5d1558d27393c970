"""What one row of the journal holds: scans of several groups, or events, packed together. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec

from gateway.journal import codec
from gateway.model import AlarmChanged, AnyEvent, CommandDone, DataLost, DeviceChanged, Priority, Rows, Scan, Schema

SCANS_PER_CHUNK = 16
"""More scans of a group side by side hardly compress better: 1.06 bytes a point at 4, 0.68 at 16."""

_SMALL = 4096
"""Runs of fewer points share a chunk, up to this many points."""

_VERSION = 1


class Stream(IntEnum):
    """What is stored, in the order in which it is sent: events, then telemetry by its priority."""

    EVENTS = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @staticmethod
    def of(priority: Priority) -> Stream:
        return _STREAMS[priority]


TELEMETRY = (Stream.HIGH, Stream.NORMAL, Stream.LOW)
_STREAMS = {Priority.HIGH: Stream.HIGH, Priority.NORMAL: Stream.NORMAL, Priority.LOW: Stream.LOW}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as a sink's forwarder sees it. `broken` says why it could not be read; it is then empty."""

    stream: Stream
    seq: int
    points: int
    rows: tuple[Rows, ...] = ()
    events: tuple[AnyEvent, ...] = ()
    broken: str = ""


class _Section(msgspec.Struct, frozen=True, array_like=True):
    schema: int
    rows: int
    size: int


class _Header(msgspec.Struct, frozen=True, array_like=True):
    version: int
    sections: list[_Section]


def by_stream(scans: Iterable[Scan]) -> dict[Stream, list[Scan]]:
    """Scans by the stream that their group's priority sends them to."""
    streams: defaultdict[Stream, list[Scan]] = defaultdict(list)
    for scan in scans:
        streams[Stream.of(scan.group.priority)].append(scan)
    return streams


def runs(scans: Iterable[Scan]) -> Iterator[list[list[Scan]]]:
    """Scans in any order, as the contents of chunks: each a list of runs, each run some scans of one group in order.

    A group's scans are cut into equal runs of at most SCANS_PER_CHUNK; small runs share a chunk.
    """
    by_group: defaultdict[int, list[Scan]] = defaultdict(list)
    for scan in scans:
        by_group[id(scan.group)].append(scan)
    shared: list[list[Scan]] = []
    size = 0
    for members in by_group.values():
        for run in _cut(members):
            points = sum(scan.points for scan in run)
            if points >= _SMALL:
                yield [run]
                continue
            shared.append(run)
            size += points
            if size >= _SMALL:
                yield shared
                shared, size = [], 0
    if shared:
        yield shared


def _cut(scans: list[Scan]) -> Iterator[list[Scan]]:
    pieces = -(-len(scans) // SCANS_PER_CHUNK)
    for piece in range(pieces):
        yield scans[piece * len(scans) // pieces : (piece + 1) * len(scans) // pieces]


def pack(content: Sequence[Sequence[Scan]], number: Callable[[Schema], int]) -> bytes:
    """Runs of scans as bytes; `number` gives a schema's number in the segment."""
    bodies = [codec.encode(run) for run in content]
    sections = [
        _Section(number(run[0].group.schema), len(run), len(body)) for run, body in zip(content, bodies, strict=True)
    ]
    header = msgspec.msgpack.encode(_Header(_VERSION, sections))
    return b"".join((len(header).to_bytes(4, "little"), header, *bodies))


def unpack(content: bytes, schema: Callable[[int], Schema]) -> tuple[Rows, ...]:
    """What `pack` was given, in columns. Raises CodecError for anything else."""
    view = memoryview(content)
    at = 4 + int.from_bytes(view[:4], "little")
    try:
        header = msgspec.msgpack.decode(view[4:at], type=_Header)
    except msgspec.MsgspecError as error:
        raise codec.CodecError(f"no header: {error}") from error
    if header.version != _VERSION:
        raise codec.CodecError(f"version {header.version}; this Edgeward reads {_VERSION}")
    rows = []
    for section in header.sections:
        rows.append(codec.decode(schema(section.schema), section.rows, view[at : at + section.size]))
        at += section.size
    return tuple(rows)


_EVENTS = tuple[DeviceChanged | AlarmChanged | CommandDone | DataLost, ...]


def pack_events(events: Sequence[AnyEvent]) -> bytes:
    return msgspec.json.encode(events)


def unpack_events(content: bytes) -> tuple[AnyEvent, ...]:
    """Raises CodecError."""
    try:
        return msgspec.json.decode(content, type=_EVENTS)
    except msgspec.MsgspecError as error:
        raise codec.CodecError(f"no events: {error}") from error
