"""How long to wait before the next try: exponential, with full jitter, so that a thousand gateways do not come back in
the same second."""

from __future__ import annotations

import random

from gateway.clock import SECOND


class Backoff:
    """Grows with every failure up to `most`. A success counts only once it has lasted for `stable`: a far end that
    accepts and then hangs up must not reset it. Times in nanoseconds."""

    def __init__(
        self,
        least: int = SECOND // 2,
        most: int = 60 * SECOND,
        stable: int = 60 * SECOND,
        chance: random.Random | None = None,
    ) -> None:
        self._least = least
        self._most = most
        self._stable = stable
        self._chance = chance or random.Random()
        self.failures = 0

    def fail(self, lasted: int = 0) -> int:
        """The wait after a failure of something that had gone well for `lasted`."""
        if lasted >= self._stable:
            self.failures = 0
        self.failures += 1
        ceiling = min(self._most, self._least << min(self.failures, 32))
        return self._chance.randint(self._least // 2, ceiling)

    def reset(self) -> None:
        self.failures = 0
