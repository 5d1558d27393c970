"""Which of two notifications is the newer one, although the network may have swapped them (RFC 7641, 3.4). Pure."""

from __future__ import annotations

from typing import NamedTuple

_HALF = 1 << 23
_TRUST_S = 128.0
"""After so long the numbers may have gone round, and the order of arrival is trusted instead."""


class Mark(NamedTuple):
    """A notification's number (24 bits, going round), and when it arrived, in monotonic seconds."""

    number: int
    time: float

    def is_after(self, last: Mark) -> bool:
        forward = self.number - last.number
        return 0 < forward < _HALF or forward < -_HALF or self.time - last.time > _TRUST_S
