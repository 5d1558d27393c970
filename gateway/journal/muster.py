"""Who still has to get what, when a journal is opened: what the catalogue remembers, held against what is on disk."""

from __future__ import annotations

import logging

from gateway.journal.books import Loss, Standing
from gateway.journal.chunk import Stream
from gateway.journal.delivery import Delivery
from gateway.journal.ranges import OPEN_END, Ranges
from gateway.journal.store import Store

_log = logging.getLogger(__name__)

_GONE = "the file that it was in is gone, or damaged"


def muster(store: Store, sinks: set[str] | None, now: int) -> tuple[dict[tuple[str, Stream], Delivery], list[Loss]]:
    """For the owner: the deliveries as they stood, brought up to what is on disk now, and what they have lost by it.
    What comes from now on is for `sinks`; None leaves that as it was."""
    deliveries = {(s.sink, s.stream): Delivery(s, store.heads[s.stream]) for s in store.catalog.standings()}
    for sink in sinks or ():
        for stream in Stream:
            deliveries.setdefault((sink, stream), _begin(store, sink, stream))
    losses = [loss for delivery in deliveries.values() for loss in _settle_holes(store, delivery, now)]
    if sinks is not None:
        _assign(deliveries, sinks)
    return deliveries, losses


def _assign(deliveries: dict[tuple[str, Stream], Delivery], sinks: set[str]) -> None:
    """What is still to come is for `sinks`, and for no other."""
    for (sink, _), delivery in deliveries.items():
        if sink in sinks:
            delivery.rejoin()
        else:
            delivery.leave()
    for sink in {sink for sink, _ in deliveries} - sinks:
        _log.warning("sink %s is not configured any more; what it has pending is kept", sink)


def _begin(store: Store, sink: str, stream: Stream) -> Delivery:
    """A new sink gets what comes from now on. When nobody knows any more what it has had, it gets all that is there:
    twice is better than never."""
    first = store.first(stream) if store.is_rebuilt else None
    if first is None:
        return Delivery.begin(sink, stream, store.heads[stream])
    _log.error("the journal's catalogue is new: %s gets all of %s again", sink, stream.name.lower())
    return Delivery(Standing(sink, stream, ((first.seq, OPEN_END),), first.total), store.heads[stream])


def _settle_holes(store: Store, delivery: Delivery, now: int) -> list[Loss]:
    """What is pending is what is not accounted for. Chunks that are pending and not there any more, because their file
    was removed or is damaged, are dropped."""
    done = delivery.delivered + delivery.dead_letters + delivery.dropped
    delivery.pending = delivery.ingested - done
    head = delivery.head.seq
    wanted = Ranges(delivery.ranges.within(0, head))
    there = Ranges(part for start, stop in wanted for part in store.covered(delivery.stream).within(start, stop))
    if list(there) == list(wanted):
        return []
    lost = delivery.pending - store.points(delivery.stream, there)
    gone = Ranges(wanted)
    for start, stop in there:
        gone.remove(start, stop)
    for start, stop in gone:
        delivery.ranges.remove(start, stop)
    delivery.lose(lost)
    _log.error("sink %s has lost %d points: %s", delivery.sink, lost, _GONE)
    first, last = next(iter(gone))[0], list(gone)[-1][1]
    return [Loss(now, delivery.sink, delivery.stream, first, last, lost, 0, 0, _GONE)]
