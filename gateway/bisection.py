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
    come before anything is accepted, and whatever else `write` raises. That there is too much at once is no word about
    the content: as long as nothing else is said, one piece is made ever smaller to find out how much may be sent.
    """
    queue: deque[tuple[Sequence[T], Exception]] = deque([(parts, reason)])
    refused: list[tuple[T, str]] = []
    misses, accepted = 0, False
    while queue:
        bad, reason = queue.popleft()
        pieces = _halves(bad, split)
        if not pieces:
            refused.append((bad[0], str(reason)))
        first: Exception | None = None
        for number, piece in enumerate(pieces):
            is_searching = misses == 0 and not accepted and _may_be_cut(piece, split)
            if number and _need_not_be_asked(first, reason, is_searching, _may_be_cut(piece, split)):
                queue.append((piece, first or reason))
                continue
            found = await fault(write, piece)
            first = first if number else found
            if found is None:
                accepted = True
            elif is_searching and isinstance(found, ChunkTooLarge):
                queue.appendleft((piece, found))
            else:
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


def _need_not_be_asked(first: Exception | None, reason: Exception, is_searching: bool, may_be_cut: bool) -> bool:
    """The other half was accepted, so the culprit is in this one; or it was still too large, and so is this one. But
    nothing is convicted without having been refused alone."""
    if first is None:
        return may_be_cut and isinstance(reason, ChunkRejected)
    return is_searching and isinstance(first, ChunkTooLarge)


def _may_be_cut(piece: Sequence[T], split: Callable[[T], Sequence[T]]) -> bool:
    return len(piece) > 1 or bool(split(piece[0]))


def _halves(parts: Sequence[T], split: Callable[[T], Sequence[T]]) -> list[Sequence[T]]:
    if len(parts) > 1:
        middle = len(parts) // 2
        return [parts[:middle], parts[middle:]]
    return [[piece] for piece in split(parts[0])]
