"""Requests and responses, without what the message layer adds: types, message ids and tokens. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Address: TypeAlias = tuple[str, int]

DEFAULT_MAX_AGE = 60
"""Seconds that a response is fresh for unless it says so itself (RFC 7252, 5.10.5)."""


class Block(NamedTuple):
    """One block of a body (RFC 7959, 2.2): its number, whether more follow, and its size as an exponent."""

    number: int
    more: bool
    exponent: int

    @property
    def size(self) -> int:
        return 1 << (self.exponent + 4)

    @property
    def start(self) -> int:
        return self.number * self.size

    @property
    def is_valid(self) -> bool:
        """Exponent 7 is reserved over UDP."""
        return self.exponent < 7


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `host` is the name that the server is known by, where it is a name. `source`, `size` (the
    datagram's, in bytes) and `unknown` (a critical option that nobody here knows, or 0) are set on what came from
    outside."""

    code: int
    path: tuple[str, ...]
    payload: bytes = b""
    content_format: int | None = None
    observe: int | None = None
    block1: Block | None = None
    block2: Block | None = None
    tag: bytes = b""
    host: str = ""
    source: Address = ("", 0)
    size: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered. `max_age` in seconds, `size1` in bytes."""

    code: int
    payload: bytes = b""
    max_age: int | None = None
    observe: int | None = None
    block1: Block | None = None
    block2: Block | None = None
    etag: bytes = b""
    size1: int | None = None
