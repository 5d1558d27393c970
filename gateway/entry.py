"""What a journal knows, as the entries of the replies that tell it. Pure, but for the sizes of files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from gateway.inquiry import DeliveryEntry, FaultEntry, LetterEntry, LossEntry, StreamEntry
from gateway.journal import inspection
from gateway.journal.books import DeadLetter, Loss
from gateway.journal.chunk import Stream
from gateway.journal.delivery import Delivery
from gateway.journal.inspection import Fault, Volume
from gateway.journal.store import Store


def streams(store: Store) -> tuple[StreamEntry, ...]:
    """For the owner."""
    found = inspection.volumes(store)
    growing = {segment.name.stream for segment in store.open_segments().values()}
    return tuple(_stream(store, stream, [v for v in found if v.name.stream is stream], growing) for stream in Stream)


def _stream(store: Store, stream: Stream, volumes: Sequence[Volume], growing: Collection[Stream]) -> StreamEntry:
    closed = [volume.mark for volume in volumes if volume.mark.boot]
    return StreamEntry(
        stream=stream.name.lower(),
        segments=len(volumes),
        open=stream in growing,
        bytes=sum(store.size_of(volume.name) for volume in volumes),
        points=sum(volume.points for volume in volumes),
        since=min((mark.since for mark in closed), default=0),
        until=max((mark.until for mark in closed), default=0),
    )


def delivery(
    delivery: Delivery, running: Collection[str] | None, oldest: Mapping[tuple[str, Stream], int]
) -> DeliveryEntry:
    return DeliveryEntry(
        sink=delivery.sink,
        stream=delivery.stream.name.lower(),
        configured=delivery.is_open if running is None else delivery.sink in running,
        ranges=len(list(delivery.ranges.within(0, delivery.head.seq))),
        pending=delivery.pending,
        oldest=oldest.get((delivery.sink, delivery.stream), 0),
        delivered=delivery.delivered,
        dead_letters=delivery.dead_letters,
        dropped=delivery.dropped,
    )


def loss(loss: Loss) -> LossEntry:
    stream = loss.stream.name.lower()
    return LossEntry(loss.time, loss.sink, stream, loss.points, loss.since, loss.until, loss.reason)


def fault(fault: Fault) -> FaultEntry:
    name = fault.volume.name
    return FaultEntry(
        segment=name.number,
        file=str(name),
        first=fault.first,
        stop=fault.stop,
        points=fault.points,
        since=fault.since,
        until=fault.until,
        reason=fault.reason,
    )


class _Held(msgspec.Struct):
    """What any letter may have."""

    type: str = ""
    device: str = ""
    tag: str = ""


def letter(letter: DeadLetter) -> LetterEntry:
    try:
        held = msgspec.json.decode(letter.content, type=_Held)
    except msgspec.MsgspecError:
        held = _Held("unreadable")
    return LetterEntry(
        id=letter.id,
        sink=letter.sink,
        stream=letter.stream.name.lower(),
        time=letter.time,
        points=letter.points,
        reason=letter.reason,
        kind=held.type,
        tag=f"{held.device}/{held.tag}" if held.device and held.tag else held.tag,
        content=letter.content.decode(errors="replace"),
    )
