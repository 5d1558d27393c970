"""How many points a write should hold, so that it takes about 100 ms: an alarm never waits long behind one that is
under way, and a server that is fast gets enough at once.

Proportional: what a point costs is the slope through the last writes, each weighing a twentieth less than the one after
it; what a write costs whatever it holds, such as the way to a distant server and back, is none of the points' fault and
does not make writes smaller. A step at most halves the size, or adds a quarter to it. Pure; times in nanoseconds.
"""

from __future__ import annotations

import math

from gateway.clock import MILLISECOND

TARGET = 100 * MILLISECOND
LEAST = 100
MOST = 50_000
_FIRST = 5_000
_MEMORY = 0.95
_SPREAD = 0.1
_CHANGED = 3
"""A full write whose points cost so much more than those of the one before it, or less: the server is another, or the
way to it, and what was learned of the old one is forgotten."""


class Pace:
    def __init__(self) -> None:
        self._size = float(_FIRST)
        self._bound = float(MOST)
        self._smallest = math.inf
        self._each = 0.0
        self._forget()

    @property
    def size(self) -> int:
        """The points of the next write."""
        return max(1, int(min(self._size, self._bound)))

    def took(self, points: int, duration: int) -> None:
        """A write of `points` went well."""
        if 2 * points >= self._bound:
            self._bound = min(MOST, self._bound * 1.01 + 1)
        if 2 * points >= self.size:
            each = max(duration, 1) / points
            if not each / _CHANGED < self._each < each * _CHANGED:
                self._forget()
            self._each = each
        self._learn(points, duration)
        cost = self._cost(points, duration)
        if cost is not None:
            self._turn_to(TARGET / cost)

    def failed(self, duration: int) -> None:
        """A write came to nothing; where it took long, it may have been too much for the link."""
        if duration >= 10 * TARGET:
            self._turn_to(LEAST)

    def too_large(self, points: int) -> None:
        """The server refused so many at once: because there are so many, or because of one among them: see `judged`."""
        self._smallest = min(self._smallest, points)

    def judged(self, guilty: bool) -> None:
        """What was too large has been taken in parts, unless one value is `guilty` of it. The limit is remembered, and
        forgotten by a hundredth a write: one in seventy finds out whether it still holds."""
        if not guilty:
            self._bound = max(1.0, min(self._bound, self._smallest / 2))
        self._smallest = math.inf

    def _forget(self) -> None:
        self._weight = self._points = self._time = self._squares = self._products = 0.0

    def _learn(self, points: int, duration: int) -> None:
        self._weight = self._weight * _MEMORY + 1
        self._points = self._points * _MEMORY + points
        self._time = self._time * _MEMORY + duration
        self._squares = self._squares * _MEMORY + points * points
        self._products = self._products * _MEMORY + points * duration

    def _cost(self, points: int, duration: int) -> float | None:
        """Of one point. Writes of about one size do not tell it from what a write costs; then all is put down to the
        points of one that was not small, and smaller ones, which come of it, tell."""
        mean = self._points / self._weight
        variance = self._squares / self._weight - mean * mean
        slope = self._products / self._weight - mean * self._time / self._weight
        if slope > 0 and variance > (_SPREAD * self.size) ** 2:
            return slope / variance
        return max(duration, 1) / points if 2 * points >= self.size else None

    def _turn_to(self, size: float) -> None:
        self._size = min(max(size, self._size / 2, LEAST), self._size * 1.25, MOST)
