"""When a message may be acknowledged. Pure.

A broker forgets what is acknowledged, so a message waits until everything that was made of it is on disk; and messages
are acknowledged in the order in which they came ([MQTT-4.6.0-2]), however their scans become durable. A message that
gave no scan is acknowledged too, at its turn: otherwise the broker would send it for ever.

An inbox is as long as the broker lets it become: packet identifiers have 16 bits, and at most the Receive Maximum of
messages can be waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Entry:
    """One message: its packet identifier, its QoS, and how many of its scans are not durable yet."""

    __slots__ = ("mid", "pending", "qos")

    def __init__(self, mid: int, qos: int, pending: int) -> None:
        self.mid = mid
        self.qos = qos
        self.pending = pending


class Inbox:
    """The messages of one session that wait for their acknowledgement, oldest first."""

    def __init__(self, acknowledge: Callable[[int, int], None]) -> None:
        """`acknowledge` is called with a packet identifier and its QoS, once for each message."""
        self._acknowledge = acknowledge
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, mid: int, qos: int, scans: int) -> Entry:
        """Note the next message, which gave that many scans. Call `done` with the entry for each of them."""
        entry = Entry(mid, qos, scans)
        self._entries.append(entry)
        self._release()
        return entry

    def done(self, entry: Entry) -> None:
        """One more scan of `entry` is durable."""
        entry.pending -= 1
        self._release()

    def _release(self) -> None:
        while self._entries and self._entries[0].pending == 0:
            entry = self._entries.popleft()
            self._acknowledge(entry.mid, entry.qos)
