"""The only place that knows what time it is. Everyone else is given a clock, or the time itself."""

from __future__ import annotations

import time
from typing import Protocol

SECOND = 1_000_000_000
MILLISECOND = 1_000_000


class Clock(Protocol):
    """Both in integer nanoseconds: `now` is UTC since 1970, `monotonic` never goes back."""

    def now(self) -> int: ...

    def monotonic(self) -> int: ...


class SystemClock:
    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that stands still until it is told to go on. For tests and for replaying recordings."""

    def __init__(self, now: int = 1_700_000_000 * SECOND) -> None:
        self._now = now
        self._monotonic = 0

    def now(self) -> int:
        return self._now

    def monotonic(self) -> int:
        return self._monotonic

    def advance(self, nanoseconds: int) -> int:
        self._now += nanoseconds
        self._monotonic += nanoseconds
        return self._now
