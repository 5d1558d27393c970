"""Files of JSON lines: `telemetry-2026-11-23.jsonl` and `events-2026-11-23.jsonl`, a file a day of UTC.

A line of telemetry is a row (one line for each source time where the values of a row have their own). Lines are on disk
before a write returns. After a crash some may come twice: site, cell, device, group and time tell which.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field

from gateway import contracts, fields, files
from gateway.clock import SECOND
from gateway.contracts import Ability, Repeats
from gateway.errors import ConnectionLost
from gateway.model import AnyEvent, Rows
from gateway.sinks._json import Message, event_messages, row_messages

_BLOCK = 64 * 1024


class Settings(fields.SinkSettings):
    """Where the files go."""

    sink: Literal["files"]
    directory: Path = Field(description="made when it is missing; nothing in it is ever deleted")


class Sink(contracts.Sink):
    """Holds nothing open between two writes, so that files may be moved away at any time."""

    ability = Ability(precision=1, repeats=Repeats.KEPT, typed=False)

    def __init__(self, settings: Settings, site: str, cell: str) -> None:
        self._directory = settings.directory
        self._hand = ThreadPoolExecutor(1, "files")  # one, so that a write given up for slowness is never overtaken
        self._place = {"site": site, "cell": cell}

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._do("telemetry", lambda: _lines(row_messages(rows, self._place)))

    async def report(self, events: Sequence[AnyEvent]) -> None:
        await self._do("events", lambda: _lines(event_messages(events, self._place)))

    async def close(self) -> None:
        self._hand.shutdown(wait=False)

    async def _do(self, kind: str, lines: Callable[[], Iterator[tuple[int, bytes]]]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._hand, self._keep, kind, lines)

    def _keep(self, kind: str, lines: Callable[[], Iterator[tuple[int, bytes]]]) -> None:
        days: dict[str, list[bytes]] = defaultdict(list)
        for time, line in lines():
            days[_day(time)].append(line)
        try:
            files.make(self._directory, mode=0o777)
            for day, parts in days.items():
                append(self._directory / f"{kind}-{day}.jsonl", b"".join(parts))
        except OSError as error:
            raise ConnectionLost(f"{self._directory} cannot be written: {error}") from error


def append(path: Path, lines: bytes) -> None:
    """Return when the lines are on disk. Raises OSError; what it leaves half written, the next call cuts off."""
    is_new = not path.exists()
    with path.open("a+b") as file:
        mend(file)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        files.sync(path.parent)


def mend(file: BinaryIO) -> None:
    """Cut off a last line that has no end: its write was never acknowledged, so it comes again."""
    size = end = file.seek(0, os.SEEK_END)
    newline = -1
    while end and newline < 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        end = start if newline < 0 else start + newline + 1
    if end < size:
        file.truncate(end)


def _lines(messages: Iterable[Message]) -> Iterator[tuple[int, bytes]]:
    """Each with its gateway time, or the event's."""
    return ((message.gateway_time, message.body + b"\n") for message in messages)


def _day(time: int) -> str:
    return datetime.fromtimestamp(time // SECOND, UTC).date().isoformat()
