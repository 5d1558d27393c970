"""Whose turn it is where live data and backlog both wait: live goes first, and the backlog has its share of the sink's
time, as a debt that live data runs up by going first.

The share adapts: a twentieth more with every live write that arrives fresh, half of it with every one that is late;
never below a fifth, so that no backlog starves, and never above four fifths. Pure; times in nanoseconds.
"""

from __future__ import annotations

from gateway.clock import SECOND

LEAST = 0.2
MOST = 0.8
FRESH = SECOND
"""Live data that is younger when it arrives is on time."""
_MOST_DEBT = SECOND // 2


class Share:
    def __init__(self) -> None:
        self.backlog = 0.5
        """The backlog's part of the time."""
        self._debt = 0.0

    @property
    def is_backlogs_turn(self) -> bool:
        return self._debt > 0

    def spend(self, duration: int, live: bool) -> None:
        """A write, while the other side waited too, took so long."""
        cost = duration * self.backlog / (1 - self.backlog) if live else -duration
        self._debt = min(max(self._debt + cost, -_MOST_DEBT), _MOST_DEBT)

    def arrived(self, age: int) -> None:
        """A live write brought what was at most so old."""
        self.backlog = min(self.backlog + 0.05, MOST) if age <= FRESH else max(self.backlog / 2, LEAST)
