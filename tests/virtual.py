"""An event loop whose time jumps: minutes of back-off and schedules pass in milliseconds, the same each run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gateway.clock import SECOND

_T = TypeVar("_T")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting it moves the time on, unless a file is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that nobody will do")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class LoopClock:
    """The loop's time as a clock."""

    def now(self) -> int:
        return 1_700_000_000 * SECOND + self.monotonic()

    def monotonic(self) -> int:
        return round(asyncio.get_running_loop().time() * SECOND)


def run(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
