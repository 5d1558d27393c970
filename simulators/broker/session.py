"""What the broker remembers of one client (MQTT 5.0, 4.1): subscriptions, and messages on their way to it. Pure.

The bounds of a session: `MESSAGES` and `BYTES` of payload wait at most, what comes on top is dropped and counted; at
QoS 0 nothing waits for a client that is away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from simulators.broker.packet import Publish
from simulators.broker.topic import matches

MESSAGES = 100_000
BYTES = 64 << 20
FILTERS = 1_000
NO_LOCAL, RETAIN_AS_PUBLISHED = 4, 8  # subscription options, 3.8.3.1


class Session:
    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.expiry = 0
        self.filters: dict[str, int] = {}
        self.dropped = 0
        self._waiting: deque[Publish] = deque()
        self._bytes = 0
        self._unacknowledged: dict[int, Publish] = {}  # in the order of their first sending
        self._again: deque[int] = deque()  # of those, the ones to be sent again on this connection
        self._window = 0
        self._last_id = 0

    @property
    def online(self) -> bool:
        return self._window > 0

    def resume(self, window: int) -> None:
        """A connection has come that takes `window` messages at a time: what was not acknowledged goes first (4.4)."""
        self._window = window
        self._again = deque(self._unacknowledged)

    def suspend(self) -> None:
        self._window = 0

    def grant(self, message: Publish, publisher: Session | None) -> int | None:
        """The subscription options with the highest QoS that a message is due here under; None when it is not."""
        taken = [
            options
            for pattern, options in self.filters.items()
            if matches(pattern, message.topic) and not (options & NO_LOCAL and publisher is self)
        ]
        return max(taken, key=lambda options: options & 3, default=None)

    def offer(self, message: Publish, options: int) -> None:
        """Queue a message for this client, or drop and count it."""
        qos = min(message.qos, options & 3, 1)
        if not qos and not self.online:
            return
        if len(self._waiting) >= MESSAGES or self._bytes + len(message.payload) > BYTES:
            self.dropped += 1
            return
        self._bytes += len(message.payload)
        self._waiting.append(replace(message, qos=qos, retain=message.retain and bool(options & RETAIN_AS_PUBLISHED)))

    def due(self) -> Iterator[tuple[Publish, bool]]:
        """What may be sent now, in order, each with whether it is sent again; taking it counts as sending it.

        At most `window` messages at QoS 1 are under way at once (4.9). A message at QoS 0 keeps its place behind them.
        """
        while self._again and self._free:
            yield self._unacknowledged[self._again.popleft()], True
        while self._waiting and not self._again and (self._free or not self._waiting[0].qos):
            message = self._waiting.popleft()
            self._bytes -= len(message.payload)
            if message.qos:
                message = replace(message, packet_id=self._next_id())
                self._unacknowledged[message.packet_id] = message
            yield message, False

    def settle(self, packet_id: int) -> None:
        """The client has acknowledged. One that it has not been sent on this connection is nothing to it."""
        if packet_id in self._unacknowledged and packet_id not in self._again:
            del self._unacknowledged[packet_id]

    @property
    def _free(self) -> bool:
        return len(self._unacknowledged) - len(self._again) < self._window

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % 0xFFFF + 1
            if self._last_id not in self._unacknowledged:
                return self._last_id
