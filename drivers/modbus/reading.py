"""One group, and one scan of it while it is under way."""

from __future__ import annotations

from collections import deque
from typing import cast

import numpy as np

from drivers.modbus import exception
from drivers.modbus.decode import Decoder
from drivers.modbus.frame import Request
from drivers.modbus.plan import Block, Extent, Limits, Plan
from drivers.modbus.settings import DeviceSettings, TagSettings
from drivers.modbus.transaction import Transaction
from gateway.clock import Clock
from gateway.errors import DeviceSilent
from gateway.model import Scan, StatusCode, Statuses, TagGroup

MOST_HALVINGS = 32
"""A scan: enough to corner four culprits in full blocks. What is left over is halved by the next scans."""


class Reading(Transaction):
    """One scan under way: each answer goes straight into the group's memory, each failure onto its columns."""

    def __init__(self, plan: Plan, memory: bytearray, clock: Clock) -> None:
        self.blocks = {block.request: block for block in plan.blocks}
        super().__init__(self.blocks)
        self.time = 0
        self.answers = 0
        self.speaks = False
        self.silent: list[Block] = []
        self.halved: list[Block] = []
        self.culprits: list[Block] = []
        self.faults: list[tuple[Block, StatusCode]] = []
        self._plan = plan
        self._memory = memory
        self._clock = clock

    def answered(self, request: Request, body: bytes) -> None:
        block = self.blocks[request]
        if block.table.has_bits:
            packed = np.frombuffer(body, np.uint8, offset=1)
            self._memory[block.place] = np.unpackbits(packed, count=block.count, bitorder="little").tobytes()
        else:
            self._memory[block.place] = body[1:]
        self.answers += 1
        self.speaks = True
        self.time = self._clock.now()

    def refused(self, request: Request, code: int) -> None:
        block = self.blocks[request]
        if code in exception.SILENCE:
            self._silence(block, exception.status(code))
            return
        self.speaks = True
        self.time = self._clock.now()
        if code not in exception.ADDRESSING or not self._halve(block):
            self._fault(block, exception.status(code))

    def missed(self, request: Request) -> None:
        self._silence(self.blocks[request], StatusCode.BAD_TIMEOUT)

    def _halve(self, block: Block) -> bool:
        """True if the two halves wait now in its place. They go first, so that a culprit is cornered soon."""
        if len(self.halved) == MOST_HALVINGS:
            return False
        halves = self._plan.halve(block)
        if halves is None:
            self.culprits.append(block)
            return False
        self.halved.append(block)
        self.blocks |= {half.request: half for half in halves}
        self.waiting.extendleft(half.request for half in reversed(halves))
        return True

    def _silence(self, block: Block, status: StatusCode) -> None:
        """One silent block costs one timeout. The second, or the first from a device that has said nothing yet, ends
        the scan, so that a dead device costs its link no more than that."""
        self.silent.append(block)
        self._fault(block, status)
        if self.speaks and len(self.silent) == 1:
            return
        unasked, self.waiting = self.waiting, deque()
        for request in unasked:
            self._fault(self.blocks[request], status)

    def _fault(self, block: Block, status: StatusCode) -> None:
        self._memory[block.place] = bytes(block.place.stop - block.place.start)
        self.faults.append((block, status))


class Reader:
    """Reads one group again and again: its plan, its memory and its decoder."""

    def __init__(self, settings: DeviceSettings, group: TagGroup, clock: Clock) -> None:
        limits = Limits(settings.max_registers, settings.max_gap)
        extents = [_extent(column, cast(TagSettings, tag.address)) for column, tag in enumerate(group.columns)]
        self.unit = settings.unit
        self.plan = Plan(settings.unit, extents, limits)
        self._group = group
        self._clock = clock
        self._memory = bytearray(self.plan.size)
        self._decoder = Decoder(group, self.plan.extents)

    def begin(self) -> Reading:
        self.plan.refresh(self._clock.monotonic())
        return Reading(self.plan, self._memory, self._clock)

    def finish(self, reading: Reading) -> Scan:
        """The scan. Raises DeviceSilent where nothing was heard from the device at all."""
        if reading.silent:
            self.plan.postpone(reading.silent)
        if reading.silent and not reading.speaks:
            behind = reading.faults[0][1] is not StatusCode.BAD_TIMEOUT
            words = "the gateway to it has no answer from it" if behind else reading.silence
            raise DeviceSilent(f"unit {self.unit}: {words}")
        if reading.answers and (reading.halved or reading.culprits):
            self.plan.learn(reading.halved, reading.culprits, self._clock.monotonic())
        planes, garbled = self._decoder.decode(self._memory)
        time = reading.time or self._clock.now()
        return Scan(self._group, time, time, planes, self._status(reading, garbled))

    def _status(self, reading: Reading, garbled: list[int]) -> Statuses | None:
        if not (reading.faults or garbled or self.plan.bad):
            return None
        status = np.zeros(len(self._group.columns), np.uint32)
        status[garbled] = StatusCode.BAD_DECODING_ERROR
        status[[extent.column for extent in self.plan.bad]] = StatusCode.BAD_NODE_ID_UNKNOWN
        for block, code in reading.faults:
            status[block.columns] = code
        return status


def _extent(column: int, settings: TagSettings) -> Extent:
    return Extent(settings.address.table, settings.address.start, settings.count, column)
