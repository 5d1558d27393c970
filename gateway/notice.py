"""Says a thing once when it starts and once when it is over, however often it happens in between."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.clock import SECOND

_MOST = 1000
_QUIET = 60 * SECOND


@dataclass(slots=True)
class _Trouble:
    text: str
    times: int
    last: int


class Notices:
    """Troubles by key. At most a thousand are told apart; what comes on top is counted with them, not told."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._open: dict[str, _Trouble] = {}
        self.total = 0

    def begin(self, key: str, text: str, now: int) -> None:
        """It happened, at `now` (monotonic)."""
        self.total += 1
        trouble = self._open.get(key)
        if trouble is not None:
            trouble.times += 1
            trouble.last = now
        elif len(self._open) < _MOST:
            self._open[key] = _Trouble(text, 1, now)
            self._log.warning("%s: %s", key, text)

    def end(self, key: str) -> None:
        """It is over, if it had begun."""
        if self._open and (trouble := self._open.pop(key, None)) is not None:
            self._log.warning("%s: over, after %d times: %s", key, trouble.times, trouble.text)

    def expire(self, now: int) -> None:
        """What has not happened for a minute is over."""
        for key in [key for key, trouble in self._open.items() if now - trouble.last > _QUIET]:
            self.end(key)
