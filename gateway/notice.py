"""Says a thing once when it starts and once when it is over, however often it happens in between."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.clock import SECOND

_MOST = 1000
_MOST_TEXTS = 8
_QUIET = 60 * SECOND


@dataclass(slots=True)
class _Trouble:
    """What is wrong under one key, as long as it is. `told` are the texts that were told."""

    began: int
    lasting: bool
    told: dict[str, None]
    times: int = 0
    last: int = 0


class Notices:
    """Troubles by key. At most a thousand are told apart, and eight texts of each; what comes on top is counted with
    them, not told. What comes back within a minute is told only if it stays, so that what flutters does not fill the
    log."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._open: dict[str, _Trouble] = {}
        self._over: dict[str, tuple[int, dict[str, None]]] = {}
        self.total = 0

    def begin(self, key: str, text: str, now: int, lasting: bool = False) -> None:
        """It happened, at `now` (monotonic). A `lasting` trouble is over when somebody says so, any other also when it
        has not happened for a minute."""
        self.total += 1
        trouble = self._open.get(key)
        if trouble is None:
            if len(self._open) >= _MOST:
                return
            trouble = self._open[key] = _Trouble(now, lasting, {})
        trouble.times += 1
        trouble.last = now
        if text not in trouble.told and len(trouble.told) < _MOST_TEXTS and not self._flutters(key, text, trouble, now):
            trouble.told[text] = None
            self._log.warning("%s: %s", key, text)

    def _flutters(self, key: str, text: str, trouble: _Trouble, now: int) -> bool:
        over, texts = self._over.get(key, (-_QUIET, {}))
        return text in texts and now - max(trouble.began, over) < _QUIET

    def end(self, key: str, now: int) -> None:
        """It is over, if it had begun."""
        if not self._open or (trouble := self._open.pop(key, None)) is None:
            return
        if trouble.told:
            self._over[key] = (now, self._over.get(key, (0, {}))[1] | trouble.told)
            first = next(iter(trouble.told))
            self._log.warning("%s: over, after %d times: %s", key, trouble.times, first)

    def expire(self, now: int) -> None:
        """What has not happened for a minute, and was not lasting, is over."""
        quiet = [key for key, trouble in self._open.items() if not trouble.lasting and now - trouble.last > _QUIET]
        for key in quiet:
            self.end(key, now)
        for key in [key for key, (at, _) in self._over.items() if now - at > _QUIET and key not in self._open]:
            del self._over[key]


class Throttle:
    """Tells everything until it chatters: of each key ten times at once, then once in ten seconds, and how often it
    was silent."""

    _BURST = 10
    _PAUSE = 10 * SECOND

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._due: dict[str, int] = {}
        self._silent: dict[str, int] = {}

    def tell(self, key: str, text: str, now: int, level: int = logging.WARNING) -> None:
        """At `now` (monotonic). Keys must be bounded by the caller."""
        due = max(self._due.get(key, now), now)
        if due - now >= self._BURST * self._PAUSE:
            self._silent[key] = self._silent.get(key, 0) + 1
            return
        self._due[key] = due + self._PAUSE
        silent = self._silent.pop(key, 0)
        self._log.log(level, "%s%s", text, f" (and {silent} more not told)" if silent else "")
