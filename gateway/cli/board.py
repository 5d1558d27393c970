"""A live table of tags: value, quality, age, and the way that each took lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from rich.live import Live
from rich.table import Table

from gateway.cli.table import console, table
from gateway.cli.words import ago, sparkline, value, verdict
from gateway.door import ReadingsReply, TagReading

_COLUMNS = ("TAG", "VALUE>", "UNIT", "QUALITY", "AGE>", "TREND")
_TREND = 24


class Board:
    def __init__(self) -> None:
        self._last: dict[str, TagReading] = {}
        self._trends: dict[str, deque[float]] = {}

    def take(self, readings: Iterable[TagReading]) -> None:
        for reading in readings:
            self._last[reading.tag] = reading
            if isinstance(reading.value, int | float) and reading.quality != "bad":
                self._trends.setdefault(reading.tag, deque(maxlen=_TREND)).append(float(reading.value))

    def table(self) -> Table:
        return table(_COLUMNS, [self._row(reading) for reading in list(self._last.values())])

    def _row(self, reading: TagReading) -> Sequence[str]:
        trend = sparkline(list(self._trends.get(reading.tag, ())))
        age = ago(reading.gateway_time)
        return reading.tag, value(reading.value), reading.unit, verdict(reading), age, trend


def show(replies: Iterable[ReadingsReply]) -> None:
    """Until the replies end. The ages go on between them, which is what the live view's own thread is for."""
    board = Board()
    with Live(console=console(), get_renderable=board.table, refresh_per_second=4):
        for reply in replies:
            board.take(reply.readings)
