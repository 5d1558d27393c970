"""The only place that knows what time it is. Everyone else is given a clock, or the time itself."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Protocol

SECOND = 1_000_000_000
MILLISECOND = 1_000_000

_TIMEX_BYTES = 512  # more than struct timex has anywhere; with modes = 0 the kernel only tells
_TIME_ERROR = 5


class Clock(Protocol):
    """Both in integer nanoseconds: `now` is UTC since 1970, `monotonic` counts from the start of `boot`, and never goes
    back. `is_synchronised` says whether somebody (NTP, PTP) keeps `now` right."""

    @property
    def boot(self) -> str: ...

    @property
    def is_synchronised(self) -> bool: ...

    def now(self) -> int: ...

    def monotonic(self) -> int: ...


class SystemClock:
    def __init__(self) -> None:
        self.boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        self._libc = ctypes.CDLL(None, use_errno=True)

    @property
    def is_synchronised(self) -> bool:
        """As the kernel knows it: adjtimex(2), STA_UNSYNC."""
        state = ctypes.create_string_buffer(_TIMEX_BYTES)
        return bool(self._libc.adjtimex(state) not in (-1, _TIME_ERROR))

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that stands still until it is told to go on. For tests and for replaying recordings."""

    def __init__(self, now: int = 1_700_000_000 * SECOND) -> None:
        self._now = now
        self._monotonic = 0
        self.boot = "manual"
        self.is_synchronised = False

    def now(self) -> int:
        return self._now

    def monotonic(self) -> int:
        return self._monotonic

    def advance(self, nanoseconds: int) -> int:
        self._now += nanoseconds
        self._monotonic += nanoseconds
        return self._now

    def step(self, nanoseconds: int) -> None:
        """Somebody sets the wall clock; no time passes."""
        self._now += nanoseconds
