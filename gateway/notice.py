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
    began: int
    told: bool
    lasting: bool
    times: int = 0
    last: int = 0


class Notices:
    """Troubles by key. At most a thousand are told apart; what comes on top is counted with them, not told. One that
    comes back within a minute is told only if it stays, so that what flutters does not fill the log."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._open: dict[str, _Trouble] = {}
        self._over: dict[str, int] = {}
        self.total = 0

    def begin(self, key: str, text: str, now: int, lasting: bool = False) -> None:
        """It happened, at `now` (monotonic). A `lasting` trouble is over when somebody says so, any other also when it
        has not happened for a minute."""
        self.total += 1
        trouble = self._open.get(key)
        if trouble is None:
            if len(self._open) >= _MOST:
                return
            trouble = self._open[key] = _Trouble(text, now, False, lasting)
        trouble.times += 1
        trouble.last = now
        flutters = now - max(trouble.began, self._over.get(key, -_QUIET)) < _QUIET and key in self._over
        if not trouble.told and not flutters:
            trouble.told = True
            self._log.warning("%s: %s", key, text)

    def end(self, key: str, now: int) -> None:
        """It is over, if it had begun."""
        if not self._open or (trouble := self._open.pop(key, None)) is None:
            return
        if trouble.told:
            self._over[key] = now
            self._log.warning("%s: over, after %d times: %s", key, trouble.times, trouble.text)

    def expire(self, now: int) -> None:
        """What has not happened for a minute, and was not lasting, is over."""
        quiet = [key for key, trouble in self._open.items() if not trouble.lasting and now - trouble.last > _QUIET]
        for key in quiet:
            self.end(key, now)
        for key in [key for key, at in self._over.items() if now - at > _QUIET and key not in self._open]:
            del self._over[key]


class Throttle:
    """Tells of each key at most once in ten seconds, and how often it was silent. For what may chatter."""

    _PAUSE = 10 * SECOND

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: dict[str, int] = {}
        self._silent: dict[str, int] = {}

    def tell(self, key: str, text: str, now: int, level: int = logging.WARNING) -> None:
        """At `now` (monotonic). A key's first words always pass; keys must be bounded by the caller."""
        if now - self._told.get(key, -self._PAUSE) < self._PAUSE:
            self._silent[key] = self._silent.get(key, 0) + 1
            return
        self._told[key] = now
        silent = self._silent.pop(key, 0)
        self._log.log(level, "%s%s", text, f" (and {silent} more not told)" if silent else "")
