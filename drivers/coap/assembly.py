"""Bodies that arrive in blocks (RFC 7959, 2.5), put together again. Pure.

Neither the number of bodies under way nor the size of one is up to those who send them: of too many, the one that waits
longest for its next block is dropped, and its sender has to begin again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from drivers.coap.message import Block

MOST = 64


class Gap(ValueError):
    """This is not the block that was expected next: 4.08, and the sender begins again."""


class TooLarge(ValueError):
    """The body has become longer than a payload may be."""


class Assemblies:
    """The bodies under way, by what all blocks of one have in common."""

    def __init__(self, max_size: int, most: int = MOST) -> None:
        self._max_size = max_size
        self._most = most
        self._bodies: OrderedDict[Hashable, bytearray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bodies)

    def add(self, key: Hashable, block: Block, payload: bytes) -> bytes | None:
        """The whole body with its last block, None before. Raises Gap or TooLarge; then the body is forgotten."""
        body = self._bodies.pop(key, bytearray()) if block.number else bytearray()
        if block.start != len(body) or not block.is_valid or (block.more and len(payload) != block.size):
            self._bodies.pop(key, None)
            raise Gap("the block does not follow the one before")
        if len(body) + len(payload) > self._max_size:
            self._bodies.pop(key, None)
            raise TooLarge(f"the body has more than {self._max_size} bytes")
        body += payload
        if not block.more:
            self._bodies.pop(key, None)
            return bytes(body)
        self._bodies[key] = body
        self._bodies.move_to_end(key)
        if len(self._bodies) > self._most:
            self._bodies.popitem(last=False)
        return None
