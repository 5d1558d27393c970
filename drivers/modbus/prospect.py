"""Which addresses a device has, found out with few requests, one at a time.

No device says how large its tables are, and a read that touches one missing address is refused as a whole. So single
addresses are tried where makers like to begin; from each that answers, blocks and then halves of blocks show how far
its neighbours reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import numpy as np

from drivers.modbus import exception, frame
from drivers.modbus.address import SPACE, Table
from drivers.modbus.client import Client
from drivers.modbus.frame import Request
from drivers.modbus.transaction import Transaction

BLOCK: Final = 125
MOST_BLOCKS: Final = 8
"""Of one range; what goes on behind them is met again by a later address."""
MOST_SILENCES: Final = 2

_ILLEGAL_FUNCTION: Final = 1
_POINTS: Final = (
    *(0, 1, 2, 4, 8, 16, 32, 64, 100, 200, 256, 300, 400, 500, 1_000, 2_000, 3_000, 4_000, 4_096, 5_000),
    *(10_000, 20_000, 30_000, 40_000, 40_001, 50_000),
)


class Answer(Enum):
    YES = auto()
    NO = auto()
    SILENCE = auto()
    NEVER = auto()


class Question(Transaction):
    """One request, and all that came back for it."""

    def __init__(self, request: Request) -> None:
        super().__init__([request])
        self.body: bytes | None = None
        self.exception: int | None = None

    @property
    def answer(self) -> Answer:
        if self.body is not None:
            return Answer.YES
        if self.exception is None or self.exception in exception.SILENCE:
            return Answer.SILENCE
        return Answer.NEVER if self.exception == _ILLEGAL_FUNCTION else Answer.NO

    def answered(self, request: Request, body: bytes) -> None:
        self.body = body

    def refused(self, request: Request, code: int) -> None:
        self.exception = code

    def missed(self, request: Request) -> None:
        """Neither a body nor an exception."""


@dataclass(slots=True)
class Claim:
    """What a table has: the ranges that answer, the values that were seen there, the largest block that was granted."""

    table: Table
    ranges: list[range] = field(default_factory=list)
    values: dict[int, int] = field(default_factory=dict)
    block: int = BLOCK
    is_complete: bool = True


class Prospector:
    """Looks through one table of one unit with `most` requests."""

    def __init__(self, client: Client, unit: int, table: Table, most: int) -> None:
        self.claim = Claim(table)
        self.left = most
        self._client = client
        self._unit = unit
        self._silences = 0
        self._is_there = True

    async def search(self) -> Claim:
        """Raises ConnectionLost."""
        floor = 0
        for point in _POINTS:
            if point < floor:
                continue
            if not await self._has(point, 1):
                floor = point + 1
                continue
            start = await self._first(floor, point)
            floor = await self._end(point)
            self._note(range(start, floor))
        self.claim.is_complete = self.left > 0 and self._silences < MOST_SILENCES
        return self.claim

    async def _first(self, floor: int, point: int) -> int:
        """The lowest address from which all up to `point` answer; as a rule `point` itself."""
        start = point
        if start == floor or not await self._has(start - 1, 1):
            return start
        for _ in range(MOST_BLOCKS):
            low = max(floor, start - self.claim.block)
            if low == start or not await self._has(low, start - low):
                break
            start = low
        low = max(floor, start - self.claim.block)
        while low < start:
            middle = (low + start) // 2
            if await self._has(middle, start - middle):
                start = middle
            else:
                low = middle + 1
        return start

    async def _end(self, start: int) -> int:
        """The address behind the last that answers."""
        stop = start + 1
        for _ in range(MOST_BLOCKS):
            whole = min(self.claim.block, SPACE - stop)
            count = await self._longest(stop, whole)
            stop += count
            if count == whole and whole:
                continue
            if not count or stop == SPACE or not await self._has(stop, 1):
                break
            self.claim.block = count  # not the range has ended, but what the device gives at once
            stop += 1
        return stop

    async def _longest(self, start: int, whole: int) -> int:
        """The longest block from `start` on that is granted, `whole` at most."""
        if whole <= 0 or await self._has(start, whole):
            return max(0, whole)
        low, high = 0, whole - 1
        while low < high:
            middle = (low + high + 1) // 2
            if await self._has(start, middle):
                low = middle
            else:
                high = middle - 1
        return low

    async def _has(self, start: int, count: int) -> bool:
        """Whether all of them answer. When nothing more may be asked, none does."""
        if self._is_over():
            return False
        self.left -= 1
        table = self.claim.table
        question = Question(frame.read(self._unit, table.function, start, count))
        await self._client.perform(question)
        if question.answer is Answer.SILENCE:
            self._silences += 1
        if question.answer is Answer.NEVER:
            self._is_there = False
        if question.body is not None:
            self.claim.values |= dict(enumerate(_values(table, question.body, count), start))
        return question.answer is Answer.YES

    def _is_over(self) -> bool:
        return self.left <= 0 or self._silences >= MOST_SILENCES or not self._is_there

    def _note(self, found: range) -> None:
        ranges = self.claim.ranges
        if ranges and ranges[-1].stop == found.start:
            found = range(ranges.pop().start, found.stop)
        ranges.append(found)


def _values(table: Table, body: bytes, count: int) -> list[int]:
    data = body[1:]
    if table.has_bits:
        bits: list[int] = np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little").tolist()
        return bits
    registers: list[int] = np.frombuffer(data, ">u2").tolist()
    return registers
