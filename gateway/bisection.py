"""Finds what a server refuses by sending ever smaller parts, breadth first, so that whatever is sound arrives early."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.errors import ChunkRejected, ChunkTooLarge, ServerFailed, SinkHeld

T = TypeVar("T")

_MISSES = 100
"""So many refusals and nothing accepted: it is not the content."""


class NothingTaken(SinkHeld):
    """The server refuses whatever it gets of this, in parts of every size."""


async def narrow(
    parts: Sequence[T],
    reason: Exception,
    write: Callable[[Sequence[T]], Awaitable[None]],
    split: Callable[[T], Sequence[T]],
) -> list[tuple[T, str]]:
    """`parts` together were refused for `reason`. Writes them in ever smaller pieces; returns those that the server
    refuses on their own, with its reasons.

    `split` cuts a part in two, or returns nothing if it cannot be cut. Raises NothingTaken when a hundred refusals
    come before anything is accepted, and whatever else `write` raises.
    """
    queue: deque[tuple[Sequence[T], Exception]] = deque([(parts, reason)])
    refused: list[tuple[T, str]] = []
    misses, accepted = 0, False
    while queue:
        bad, reason = queue.popleft()
        pieces = _halves(bad, split)
        if not pieces:
            refused.append((bad[0], str(reason)))
        found: Exception | None = reason
        for piece in pieces:
            if found is None and _must_be_in(piece, reason, split):
                queue.append((piece, reason))
                continue
            found = await fault(write, piece)
            if found is None:
                accepted = True
                continue
            queue.append((piece, found))
            misses += 1
            if misses > _MISSES and not accepted:
                raise NothingTaken(f"everything is refused: {found}") from found
    return refused


async def fault(write: Callable[[Sequence[T]], Awaitable[None]], piece: Sequence[T]) -> Exception | None:
    """Why the server refuses `piece`; None if it takes it."""
    try:
        await write(piece)
    except (ChunkRejected, ChunkTooLarge, ServerFailed) as error:
        return error
    return None


def _must_be_in(piece: Sequence[T], reason: Exception, split: Callable[[T], Sequence[T]]) -> bool:
    """The other half was accepted, so the culprit is in this one, and a request is saved. But nothing is convicted
    without having been refused alone."""
    return isinstance(reason, ChunkRejected) and (len(piece) > 1 or bool(split(piece[0])))


def _halves(parts: Sequence[T], split: Callable[[T], Sequence[T]]) -> list[Sequence[T]]:
    if len(parts) > 1:
        middle = len(parts) // 2
        return [parts[:middle], parts[middle:]]
    return [[piece] for piece in split(parts[0])]
