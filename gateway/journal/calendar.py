"""What time it was when something came in, and how far that can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from gateway.clock import SECOND, Clock
from gateway.journal.dating import Offset, Offsets, Origin
from gateway.trust import Trust

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_STEP = SECOND // 2
_NEVER = "the clock cannot be right; what comes in is kept, and will be dated and sent when it is"
_JUMPED = "the clock cannot be right any more; what comes in is dated as if it had not jumped: set it right"


class Calendar:
    """Watches the clock. What has to be written down before anything that it dates is given out is in `found`, until
    somebody takes it out."""

    def __init__(self, clock: Clock, offsets: Offsets, wait: bool) -> None:
        self._clock = clock
        self._last = clock.monotonic()
        known = offsets.last(clock.boot)
        self._trust = Trust(None if known is None else known.nanoseconds, wait)
        self._noted = self._trust.offset
        self.found: list[Offset] = []
        if not self._look():
            _log.warning(self._wrong)

    @property
    def is_trusted(self) -> bool:
        return self._trust.is_trusted

    @property
    def began(self) -> int:
        """When this boot began, nanoseconds UTC, by the clock as it was last trusted."""
        return self._trust.offset or 0

    @property
    def _wrong(self) -> str:
        return _NEVER if self._trust.offset is None else _JUMPED

    def ran(self) -> int:
        """For how long, in nanoseconds, since this was last asked."""
        now = self._clock.monotonic()
        lasted, self._last = now - self._last, now
        return lasted

    def look(self) -> None:
        """At the clock, now."""
        before = self._trust.is_trusted
        if self._look() != before:
            _log.warning(self._wrong if before else "the clock is trusted; what came in before is dated by it")

    def _look(self) -> bool:
        """What is known of the clock is noted when it is first known, and when the clock was set."""
        monotonic = self._clock.monotonic()
        is_trusted = self._trust.look(self._clock.now(), monotonic, self._clock.is_synchronised)
        if is_trusted and (self._noted is None or abs(self.began - self._noted) > _STEP):
            self._noted = self.began
            self.found.append(Offset(self._clock.boot, monotonic, self.began))
        return is_trusted

    def stamp(self) -> Stamp:
        return Stamp(self, self._clock)


class Stamp:
    """Dates what was gathered since it was last used. Where the wall clock was set meanwhile, what came before is dated
    by the clock as it was."""

    def __init__(self, calendar: Calendar, clock: Clock) -> None:
        self._calendar = calendar
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._trusted = calendar.is_trusted

    def split(self, items: Sequence[_T], time: Callable[[_T], int]) -> Iterator[tuple[Origin, Sequence[_T]]]:
        """Runs of items with their origin. `time` says what wall time an item bears."""
        self._calendar.look()
        now, monotonic, boot = self._clock.now(), self._clock.monotonic(), self._clock.boot
        before, trusted = self._offset, self._trusted
        self._offset, self._trusted = now - monotonic, self._calendar.is_trusted
        step = self._offset - before
        if abs(step) > _STEP:
            then = now - step
            old = [item for item in items if abs(time(item) - then) < abs(time(item) - now)]
            if old:
                yield Origin(boot, then, monotonic, trusted), old
                items = [item for item in items if abs(time(item) - then) >= abs(time(item) - now)]
        if items:
            yield Origin(boot, now, monotonic, self._trusted), items
