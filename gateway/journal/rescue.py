"""Reads a journal whose key is lost, with the private half of its recovery key: segments only, for nothing else was
sealed with that. Nothing but the files is needed, and no gateway may have them open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from gateway.journal import catalog, inspection
from gateway.journal.chunk import Chunk
from gateway.journal.dating import Guesses
from gateway.journal.inspection import Volume
from gateway.journal.keys import RecoveryKey
from gateway.journal.segment import Mark, Name, Segment


class Rescue:
    """The journal in `directory`."""

    def __init__(self, directory: Path, key: RecoveryKey) -> None:
        path = directory / "catalog.db"
        self._directory = directory
        self._key = key
        self._guesses = Guesses(catalog.offsets_of(path) if path.exists() else ())
        self.unreadable: list[str] = []
        """Files of which not even that can be told how much they hold."""

    def volumes(self) -> list[Volume]:
        names = [name for path in self._directory.iterdir() if (name := Name.of(path)) is not None]
        marks = [(name, self._mark(name)) for name in sorted(names, key=lambda name: name.number)]
        return [Volume(name, mark) for name, mark in marks if mark is not None]

    async def fetch(self, volume: Volume, start: int) -> Sequence[Chunk]:
        segment = Segment.read(volume.name, self._directory / str(volume.name), self._key)
        try:
            return inspection.read(segment, volume.mark, start, self._guesses)
        finally:
            segment.abandon()

    def _mark(self, name: Name) -> Mark | None:
        """What a crash left in a write-ahead log is brought in first."""
        path = self._directory / str(name)
        try:
            if path.with_name(f"{path.name}-wal").exists():
                return Segment.recover(path)
            segment = Segment.read(name, path, self._key)
            try:
                return segment.mark()
            finally:
                segment.abandon()
        except DatabaseError:
            self.unreadable.append(str(name))
            return None
