"""What only the disk can tell about a journal: how large it is, and how old the oldest is that a sink still has to get.

The age is read from the oldest pending chunk itself, so that it is right after a restart too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.journal.store import FAILURES

if TYPE_CHECKING:
    from gateway.cell import Cell
    from gateway.journal.chunk import Chunk
    from gateway.journal.journal import Journal

_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Bytes on disk; and for each sink when the oldest pending came in (nanoseconds UTC), where that is known."""

    bytes: int
    oldest: Mapping[str, int]


async def look(cell: Cell) -> Backlog:
    """Never longer than two seconds, whatever the disk does."""
    oldest: dict[str, int] = {}
    size = 0
    try:
        async with asyncio.timeout(_SECONDS):
            size = await asyncio.to_thread(size_of, cell.configuration.data / "journal")
            for sink in cell.forwarders:
                times = await _oldest(cell.journal, sink)
                if times or not cell.journal.failing:
                    oldest[sink] = min(times, default=cell.clock.now())
    except (TimeoutError, *FAILURES):
        pass  # a sick disk is told of by the journal; here it only means not to know
    return Backlog(size, oldest)


async def _oldest(journal: Journal, sink: str) -> list[int]:
    """When what leads each stream came in; nothing where all that is pending waits in memory, for this moment's
    commit."""
    times = []
    for (name, stream), delivery in journal.deliveries.items():
        pending = delivery.next() if name == sink else None
        if pending is not None:
            for chunk in await journal.read(stream, pending[0], pending[0] + 1, 1):
                times += began(chunk)
    return times


def began(chunk: Chunk) -> list[int]:
    """When each part of a chunk began. Empty where it could not be read."""
    return [int(rows.gateway_time[0]) for rows in chunk.rows] + [event.time for event in chunk.events]


def size_of(directory: Path) -> int:
    """Files may go while this looks."""
    total = 0
    for path in directory.iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
