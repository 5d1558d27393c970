"""A door into a cell that only writes down what comes through: the `Receiver` of the drivers' tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.clock import Clock, ManualClock
from gateway.errors import JournalFull
from gateway.model import Scan


class FakeReceiver:
    """Keeps every scan and refusal in order.

    `safe=True`: a scan is on disk as soon as it is published. `safe=False`: not before `release` says so.
    `full=True`: the journal takes nothing more.
    """

    def __init__(self, clock: Clock | None = None, *, safe: bool = True) -> None:
        self.clock: Clock = clock or ManualClock()
        self.safe = safe
        self.full = False
        self.scans: list[Scan] = []
        self.refused: list[tuple[str, str]] = []
        self.cautions: list[str] = []
        self.waiting: list[Callable[[], None]] = []
        self._news = asyncio.Event()

    def publish(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        if self.full:
            raise JournalFull("the test's journal takes nothing more")
        self.scans.append(scan)
        self._news.set()
        if durable is not None:
            self.waiting.append(durable)
        if self.safe:
            self.release()

    def refuse(self, source: str, reason: str) -> None:
        self.refused.append((source, reason))

    def caution(self, text: str) -> None:
        self.cautions.append(text)

    def release(self, count: int | None = None) -> None:
        """Let the oldest `count` waiting scans become durable, or all of them."""
        count = len(self.waiting) if count is None else count
        ready, self.waiting = self.waiting[:count], self.waiting[count:]
        for durable in ready:
            durable()

    async def wait_scans(self, count: int, seconds: float = 10.0) -> None:
        """Until `count` scans have come, or TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.scans) < count:
                self._news.clear()
                await self._news.wait()
