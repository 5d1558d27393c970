"""Finds what a server refuses by sending ever smaller parts, breadth first, so that whatever is sound arrives early.

A refusal alone convicts nobody: a server that refuses everything has lost its mind or its configuration, and then all
is kept. Something else has to have been accepted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.errors import ChunkRejected, ChunkTooLarge, ServerFailed, SinkHeld

T = TypeVar("T")

_MISSES = 100
"""So many refusals and nothing accepted: it is not the content."""


async def deliver(
    parts: Sequence[T],
    write: Callable[[Sequence[T]], Awaitable[None]],
    split: Callable[[T], Sequence[T]],
    trusted: bool,
) -> list[tuple[T, str]]:
    """Writes all parts; returns those that the server refuses on their own, with its reasons.

    `split` cuts a part in two, or returns nothing if it cannot be cut. `trusted` says that this server has accepted
    something just before. Raises SinkHeld when it accepts nothing at all, and whatever else `write` raises.
    """
    queue = deque([parts])
    refused: list[tuple[T, str]] = []
    accepted = False
    misses = 0
    while queue:
        some = queue.popleft()
        try:
            await write(some)
            accepted = True
        except (ChunkRejected, ChunkTooLarge, ServerFailed) as error:
            misses += 1
            if misses > _MISSES and not accepted:
                raise SinkHeld(f"everything is refused: {error}") from error
            smaller = _halves(some, split)
            if smaller:
                queue.extend(smaller)
            else:
                refused.append((some[0], str(error)))
    if refused and not (trusted or accepted):
        raise SinkHeld(f"nothing is accepted: {refused[0][1]}")
    return refused


def _halves(parts: Sequence[T], split: Callable[[T], Sequence[T]]) -> list[Sequence[T]]:
    if len(parts) > 1:
        middle = len(parts) // 2
        return [parts[:middle], parts[middle:]]
    return [[piece] for piece in split(parts[0])]
