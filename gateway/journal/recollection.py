"""What is made of all events that are on disk, and is there again after a restart.

The events win. What a checkpoint in the catalogue holds was made of all events before a chunk, whose number stands with
it; so at the start the rest is made of the chunks from there on. A checkpoint is always written before the events that
it was made of go, and else now and then, to bound what a start has to read. So after a crash, whenever it comes, what
is there is what the events on disk make of it: it is never ahead of them, and never behind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from gateway.journal.chunk import Stream
from gateway.journal.keys import SealBroken
from gateway.model import AnyEvent

if TYPE_CHECKING:
    from gateway.journal.journal import Journal

_log = logging.getLogger(__name__)

_MOST_UNNOTED = 1000
"""So many chunks of events, about, a start has to read at most."""


class Memory(Protocol):
    """What is made of events. What an event makes of it depends on nothing else."""

    def follow(self, events: Iterable[AnyEvent]) -> None:
        """The next events on disk."""

    def pack(self) -> bytes: ...

    def unpack(self, content: bytes) -> None:
        """What `pack` gave. Raises ValueError for anything else."""


class Recollection:
    """Keeps `memory` in step with the events on disk."""

    def __init__(self, journal: Journal, memory: Memory) -> None:
        self._journal = journal
        self._memory = memory
        self._seq = 0
        self._noted = 0

    async def open(self) -> None:
        """When the store was opened, before anything is committed. Raises `FAILURES`."""
        store = self._journal.store
        try:
            noted = await self._journal.own(store.catalog.checkpoint)
            if noted is not None:
                self._memory.unpack(noted[1])
                self._seq = self._noted = noted[0]
        except (SealBroken, ValueError) as error:
            _log.error("the checkpoint of the alarms cannot be read, so only the events tell how they stand: %s", error)
        head = store.heads[Stream.EVENTS].seq
        missing = store.covered(Stream.EVENTS).within(self._seq, head)
        for start, stop in missing:
            await self._read(start, stop)
        self._seq = head

    async def _read(self, start: int, stop: int) -> None:
        while start < stop:
            chunks = await self._journal.peruse(self._journal.store.recall, start, stop)
            if not chunks:
                return
            for chunk in chunks:
                self._memory.follow(chunk.events)
            start = chunks[-1].seq + 1

    def follow(self, events: Iterable[AnyEvent]) -> None:
        """These were committed just now, and nothing since."""
        self._memory.follow(events)
        self._seq = self._journal.store.heads[Stream.EVENTS].seq

    async def tidy(self) -> None:
        """Raises `FAILURES`."""
        if self._seq - self._noted > _MOST_UNNOTED:
            await self.note()

    async def covers(self, stop: int) -> bool:
        """Whether a checkpoint on disk was made of all events before chunk `stop`. Raises `FAILURES`."""
        if self._noted < stop:
            await self.note()
        return self._noted >= stop

    async def note(self) -> None:
        """A checkpoint. Raises `FAILURES`."""
        if self._seq == self._noted:
            return
        seq, content = self._seq, self._memory.pack()
        await self._journal.own(self._journal.store.catalog.note_checkpoint, seq, content)
        self._noted = seq
