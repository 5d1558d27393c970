"""The rotation of the keys: a new one wraps everything that the one before did, while everything goes on.

What is wrapped anew is written before anything is forgotten: whenever a crash comes, what is on the ring opens all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.journal.keys import KeyRing, generate, save

if TYPE_CHECKING:
    from gateway.journal.journal import Journal

_log = logging.getLogger(__name__)


def _nobody(done: int, total: int) -> None:
    return None


class Rotation:
    """Of one journal's keys, one at a time: two would take each other's keys for those that nobody needs."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._turn = asyncio.Lock()

    @property
    def is_running(self) -> bool:
        return self._turn.locked()

    async def run(self, tell: Callable[[int, int], None] = _nobody) -> None:
        """A new key wraps everything, and what was before opens nothing any more. `tell` hears how many segments are
        done, of how many. Raises `FAILURES`: then the earlier keys are still needed, and `resume` ends it."""
        async with self._turn:
            await self._wrap(self._journal.keys.rotated(generate()), tell)

    async def resume(self) -> None:
        """Ends a rotation that a crash interrupted, or that the configuration asks for. Raises `FAILURES`."""
        journal = self._journal
        if not journal.keys.previous or self.is_running:
            return
        async with self._turn:
            if await journal.own(journal.store.is_settled, journal.keys):
                journal.keys = journal.keys.settled()
            else:
                await self._wrap(journal.keys, _nobody)

    async def _wrap(self, keys: KeyRing, tell: Callable[[int, int], None]) -> None:
        """Everything, with the current key of `keys`."""
        journal = self._journal
        await journal.own(save, keys)
        journal.keys = keys
        await journal.own(journal.store.adopt, keys)
        numbers = list(journal.store.closed)
        for done, number in enumerate(numbers):
            tell(done, len(numbers))
            await journal.peruse(journal.store.rewrap, number)
        tell(len(numbers), len(numbers))
        await journal.own(journal.store.finish, keys)
        journal.keys = keys.settled()
        await journal.own(save, journal.keys)
        _log.warning("the journal's keys are rotated: nothing needs an earlier key any more")
