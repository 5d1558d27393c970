"""What one sink still has to get of one stream, and what became of the rest. Pure bookkeeping, in points:
ingested = delivered + pending + dead letters + dropped, at every moment."""

from __future__ import annotations

from gateway.journal.books import Head, Standing
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.ranges import OPEN_END, Range, Ranges


class Delivery:
    def __init__(self, standing: Standing, head: Head) -> None:
        self.sink = standing.sink
        self.stream = standing.stream
        self.ranges = Ranges(standing.pending)
        self.head = head
        self.base = standing.base if self.is_open else head.total + standing.base
        self.delivered = standing.delivered
        self.dead_letters = standing.dead_letters
        self.dropped = standing.dropped
        self.pending = 0

    @classmethod
    def begin(cls, sink: str, stream: Stream, head: Head) -> Delivery:
        """A sink that is new starts with what comes from now on."""
        return cls(Standing(sink, stream, ((head.seq, OPEN_END),), head.total), head)

    @property
    def ingested(self) -> int:
        return self.head.total - self.base

    @property
    def is_open(self) -> bool:
        """Whether what is still to come is for this sink."""
        return self.ranges.first(self.head.seq, OPEN_END) is not None

    def advance(self, head: Head) -> None:
        """More was committed. To a sink that has left, that is nothing."""
        points = head.total - self.head.total
        if self.is_open:
            self.pending += points
        else:
            self.base += points
        self.head = head

    def leave(self) -> None:
        """The sink is not configured any more. What it has pending is kept; what comes from now on is not for it."""
        self.ranges.remove(self.head.seq, OPEN_END)

    def rejoin(self) -> None:
        """It is configured again, and does not get what came meanwhile."""
        if self.is_open:
            return
        done = self.delivered + self.dead_letters + self.dropped + self.pending
        self.base = self.head.total - done
        self.ranges.add(self.head.seq, OPEN_END)

    def next(self, start: int = 0, stop: int = OPEN_END) -> Range | None:
        """The first committed range that is pending in `[start, stop)`."""
        return self.ranges.first(start, min(stop, self.head.seq))

    def settle(self, chunk: Chunk, dead: int = 0) -> None:
        """`chunk` is done with: delivered, but for `dead` points that went to the dead letters."""
        if self._settle(chunk):
            self.delivered += chunk.points - dead
            self.dead_letters += dead

    def drop(self, chunk: Chunk) -> bool:
        """`chunk` is given up. False if it was not pending."""
        if not self._settle(chunk):
            return False
        self.dropped += chunk.points
        return True

    def redeem(self, points: int, delivered: bool) -> None:
        """A dead letter of so many points was delivered after all, or is dropped."""
        self.dead_letters -= points
        if delivered:
            self.delivered += points
        else:
            self.dropped += points

    def take(self, start: int, stop: int) -> Ranges:
        """Out of the ranges goes everything in `[start, stop)`. Its points are still to be accounted for: `lose`, or
        `give_back`."""
        part = Ranges(self.ranges.within(start, stop))
        self.ranges.remove(start, stop)
        return part

    def give_back(self, part: Ranges) -> None:
        """What was taken stays after all."""
        for start, stop in part:
            self.ranges.add(start, stop)

    def lose(self, points: int) -> None:
        self.pending -= points
        self.dropped += points

    def standing(self) -> Standing:
        # What the stream gets while a sink is away is nothing to it, so its base is then relative to the head.
        return Standing(
            self.sink,
            self.stream,
            tuple(self.ranges),
            self.base if self.is_open else -self.ingested,
            self.delivered,
            self.dead_letters,
            self.dropped,
        )

    def _settle(self, chunk: Chunk) -> bool:
        if self.ranges.first(chunk.seq, chunk.seq + 1) is None:
            return False
        self.ranges.remove(chunk.seq, chunk.seq + 1)
        self.pending -= chunk.points
        return True
