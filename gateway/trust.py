"""Whether the wall clock may be believed. Pure.

A gateway that wakes up without a clock of its own believes that it is 1970, and a clock may jump. What comes in
meanwhile is kept with the monotonic time, and dated when the clock is right (`gateway/journal/dating.py`).
"""

from __future__ import annotations

from gateway.clock import SECOND

EARLIEST = 1_672_531_200 * SECOND
"""2023-01-01, years before this was written: no clock that shows less can be right."""

_YEAR = 365 * 24 * 3600 * SECOND


class Trust:
    """Believes a clock that shows no time before `EARLIEST` and that has not jumped forward by more than a year since
    it was last believed; and after such a jump again once somebody synchronises it. One that goes back by so much, to a
    time that can be, was wrong before: somebody set it. With `wait`, it is believed only after it was synchronised
    once.

    `offset` is the wall time less the monotonic time when the clock was last believed in this boot, None if never.
    """

    def __init__(self, offset: int | None = None, wait: bool = False) -> None:
        self.offset = offset
        self.is_trusted = False
        self._wait = wait and offset is None

    def look(self, now: int, monotonic: int, synchronised: bool) -> bool:
        """Whether the clock is trusted now."""
        offset = now - monotonic
        self._wait = self._wait and not synchronised
        jumped = self.offset is not None and offset - self.offset > _YEAR
        self.is_trusted = now >= EARLIEST and not self._wait and (not jumped or synchronised)
        if self.is_trusted:
            self.offset = offset
        return self.is_trusted
