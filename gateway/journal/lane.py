"""What waits to be written to disk, and who waits to hear of it. Events have a lane of their own, so that an alarm
never stands behind a stuck load of telemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.clock import SECOND

_T = TypeVar("_T")


class Lane(Generic[_T]):
    """`points` and `bytes` are those of all that is not on disk yet, what is under way included."""

    def __init__(self, is_urgent: bool) -> None:
        self._is_urgent = is_urgent
        self._items: list[_T] = []
        self._durable: list[Callable[[], None]] = []
        self._urgent = asyncio.Event()
        self._under_way = 0, 0
        self.points = 0
        self.bytes = 0

    def put(self, item: _T, points: int, size: int, durable: Callable[[], None] | None = None) -> None:
        """`durable` is called once the item, and all before it, are on disk."""
        self._items.append(item)
        self.points += points
        self.bytes += size
        if durable is not None:
            self._durable.append(durable)
        if durable is not None or self._is_urgent:
            self._urgent.set()

    def follow(self, durable: Callable[[], None]) -> None:
        """Call `durable` once all that was put before is on disk."""
        self._durable.append(durable)
        self._urgent.set()

    def wake(self) -> None:
        self._urgent.set()

    async def wait_due(self, interval: int) -> None:
        """Until somebody waits for the disk, or `interval` (nanoseconds) is over."""
        try:
            async with asyncio.timeout(interval / SECOND):
                await self._urgent.wait()
        except TimeoutError:
            pass
        self._urgent.clear()

    def take(self) -> tuple[list[_T], list[Callable[[], None]]]:
        """What waits, and whom to call when it is on disk. Call `done` before more is taken."""
        taken = self._items, self._durable
        self._items, self._durable = [], []
        self._under_way = self.points, self.bytes
        return taken

    def done(self) -> None:
        """What was taken is on disk."""
        points, size = self._under_way
        self.points -= points
        self.bytes -= size

    @property
    def is_empty(self) -> bool:
        return not self._items and not self._durable
