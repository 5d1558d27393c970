"""Which requests came lately, and what they were answered (RFC 7252, 4.5). Pure.

A request is sent again, with the same message id, until it is answered: it must not become a second row. Known is a
whole datagram, not only its message id: a device that starts again, and counts its message ids from the same number,
says something new with them.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TypeAlias

from drivers.coap.message import Address

Key: TypeAlias = tuple[Address, int]

MOST = 65_536
LIFETIME_S = 247.0
"""EXCHANGE_LIFETIME: how long a message id stands for the same message (RFC 7252, 4.8.2)."""


class _Entry:
    __slots__ = ("digest", "noted", "reply")

    def __init__(self, digest: bytes, noted: float) -> None:
        self.digest = digest
        self.noted = noted
        self.reply = b""


class Recent:
    """The last `most` requests of the last `LIFETIME_S` seconds, by source and message id."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def is_repeat(self, key: Key, datagram: bytes, now: float) -> bool:
        """Note a request at `now` (monotonic seconds). True where the same one is noted already."""
        self._expire(now)
        digest = blake2b(datagram, digest_size=8).digest()
        known = self._entries.get(key)
        if known is not None and known.digest == digest:
            return True
        self._entries.pop(key, None)
        self._entries[key] = _Entry(digest, now)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return False

    def answer(self, key: Key, reply: bytes) -> None:
        """The request of `key` was answered with the datagram `reply`."""
        if (entry := self._entries.get(key)) is not None:
            entry.reply = reply

    def reply(self, key: Key) -> bytes:
        """What to send again, or nothing where there is no answer yet."""
        entry = self._entries.get(key)
        return b"" if entry is None else entry.reply

    def _expire(self, now: float) -> None:
        while self._entries and now - next(iter(self._entries.values())).noted > LIFETIME_S:
            self._entries.popitem(last=False)
