"""Plans how a group is read in few requests, and learns which addresses a device does not have. Pure: no I/O.

Tags that lie near each other share a block, gaps and all. A device that lacks one address of a block refuses the whole
(exception 2 or 3); the block is then halved until the culprits stand alone. They are left out, and never read across,
for an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from drivers.modbus import frame
from drivers.modbus.address import SPACE, Table
from gateway.clock import SECOND

RELEARN = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Extent:
    """Where one column lies: `count` addresses of `table` from `start` on. In the group's memory it stands at
    `offset`, two bytes a register and one byte a bit."""

    table: Table
    start: int
    count: int
    column: int
    offset: int = 0

    @property
    def stop(self) -> int:
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class Limits:
    """The most registers a request may take, and the widest gap it may bridge; 16 bits count as a register."""

    registers: int = 125
    gap: int = 8

    def count(self, table: Table) -> int:
        return self.registers * 16 if table.has_bits else self.registers

    def bridge(self, table: Table) -> int:
        return self.gap * 16 if table.has_bits else self.gap


Cut = tuple[Table, int]
"""No block lies on both sides of this address."""


class Block:
    """Neighbouring columns that are read with one request. `place` is where the answer goes in the group's memory."""

    __slots__ = ("columns", "count", "extents", "place", "request", "start", "stop", "table")

    def __init__(self, unit: int, extents: Sequence[Extent]) -> None:
        first = extents[0]
        self.extents = tuple(extents)
        self.columns = [extent.column for extent in extents]
        self.table = first.table
        self.start = first.start
        self.stop = max(extent.stop for extent in extents)
        self.count = self.stop - self.start
        self.place = slice(first.offset, first.offset + self.count * _width(self.table))
        self.request = frame.read(unit, self.table.function, self.start, self.count)

    def covers(self, table: Table, start: int, stop: int) -> bool:
        return self.table is table and self.start < stop and start < self.stop


class Plan:
    """How one group is read now. `blocks` is in the order of asking; `size` is that of the group's memory in bytes."""

    def __init__(self, unit: int, extents: Iterable[Extent], limits: Limits) -> None:
        self.extents, self.size = lay_out(extents, limits)
        self._unit = unit
        self._limits = limits
        self._forget()

    def _forget(self) -> None:
        self.bad: frozenset[Extent] = frozenset()
        self._cuts: set[Cut] = set()
        self._relearn: int | None = None
        self._draw()

    def _draw(self) -> None:
        good = [extent for extent in self.extents if extent not in self.bad]
        cuts = self._cuts | {(extent.table, extent.start) for extent in self.bad}
        self.blocks = [Block(self._unit, run) for run in merge(good, self._limits, cuts)]

    def refresh(self, now: int) -> None:
        """Before each scan, `now` being monotonic: what was learned an hour ago is tried anew."""
        if self._relearn is not None and now >= self._relearn:
            self._forget()

    def halve(self, block: Block) -> tuple[Block, Block] | None:
        """Two blocks for one, cut at the start of a tag; None where there is nothing left to cut."""
        middle = _middle(block)
        if middle == block.start:
            return None
        left = [extent for extent in block.extents if extent.start < middle]
        right = [extent for extent in block.extents if extent.start >= middle]
        return Block(self._unit, left), Block(self._unit, right)

    def learn(self, halved: Sequence[Block], refused: Iterable[Block], now: int) -> None:
        """After a scan: `halved` are the blocks that had to be, in that order; `refused` could not be any more.

        A halved block without a culprit inside it failed for a gap, or for its length: it stays in halves.
        """
        self.bad |= {extent for block in refused for extent in block.extents}
        for block in reversed(halved):
            if not self._explains(block):
                self._cuts.add((block.table, _middle(block)))
        if self._relearn is None:
            self._relearn = now + RELEARN
        self._draw()

    def _explains(self, block: Block) -> bool:
        if any(block.covers(extent.table, extent.start, extent.stop) for extent in self.bad):
            return True
        return any(block.table is table and block.start < at < block.stop for table, at in self._cuts)

    def postpone(self, silent: Collection[Block]) -> None:
        """Ask for these last from now on, so that they cannot keep the others waiting."""
        self.blocks.sort(key=lambda block: block in silent)


def _middle(block: Block) -> int:
    starts = sorted({extent.start for extent in block.extents})
    return starts[len(starts) // 2]


def merge(extents: Iterable[Extent], limits: Limits, cuts: Collection[Cut] = ()) -> Iterator[list[Extent]]:
    """Runs of extents, by address, that may share a request."""
    run: list[Extent] = []
    stop = 0
    for extent in sorted(extents, key=lambda extent: (extent.table, extent.start)):
        if run and not _joins(run[0], stop, extent, limits, cuts):
            yield run
            run = []
        stop = max(stop, extent.stop) if run else extent.stop
        run.append(extent)
    if run:
        yield run


def _joins(first: Extent, stop: int, extent: Extent, limits: Limits, cuts: Collection[Cut]) -> bool:
    table = extent.table
    if first.table is not table or extent.start - stop > limits.bridge(table):
        return False
    if max(stop, extent.stop) - first.start > limits.count(table):
        return False
    return not (cuts and any((table, at) in cuts for at in range(stop, extent.start + 1)))


def lay_out(extents: Iterable[Extent], limits: Limits) -> tuple[list[Extent], int]:
    """The extents in column order with their offsets, and the size of the memory they need.

    What could ever share a block stands in it as one stretch, so that no later plan moves anything.
    """
    placed: list[Extent] = []
    size = 0
    for run in merge(extents, Limits(SPACE, limits.gap)):
        width = _width(run[0].table)
        origin = run[0].start
        placed += [replace(extent, offset=size + width * (extent.start - origin)) for extent in run]
        size += width * (max(extent.stop for extent in run) - origin)
    return sorted(placed, key=lambda extent: extent.column), size


def _width(table: Table) -> int:
    return 1 if table.has_bits else 2
