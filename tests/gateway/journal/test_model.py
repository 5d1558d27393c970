"""The journal against a model of its promises, in any order of crash, restart, full disk, clock jump and all else.

What was acknowledged is read again until a sink is done with it, exactly, in order, and with its right time; nothing
else is; and every account adds up at every moment.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.clock import SECOND, ManualClock
from gateway.journal import journal as module
from gateway.journal.chunk import TELEMETRY, Stream
from gateway.journal.journal import Journal
from gateway.journal.keys import load
from gateway.journal.store import Store
from gateway.model import AlarmChanged, AlarmState, Priority, Scan, TagGroup
from gateway.site import JournalSettings
from tests.gateway.build import group

SINKS = ("cloud", "archive")
RIGHT = 1_700_000_000 * SECOND
YEAR = 365 * 86_400 * SECOND
SETTINGS = JournalSettings.model_validate({"commit_interval": "1ms", "segment_bytes": 1 << 20})
GROUPS = [
    TagGroup("press", priority.value, group("float64", "string").columns, None, SECOND, None, priority)
    for priority in Priority
]


class Disk:
    """Full, if it is told so."""

    def __init__(self) -> None:
        self.is_full = False
        self._commit = Store.commit

    def commit(self, store: Store, batch: Any) -> bool:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._commit(store, batch)


class Model(RuleBasedStateMachine):
    """`owed` are, for each sink and stream, the numbers that are acknowledged and not settled, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self.patch = pytest.MonkeyPatch()
        self.runner = asyncio.Runner()
        self.disk = Disk()
        disk = self.disk
        self.patch.setattr(Store, "commit", lambda store, batch: disk.commit(store, batch))
        self.patch.setattr(module, "_RETRY_SECONDS", 0.001)
        self.patch.setattr(module, "_TIDY_SECONDS", 3600.0)  # when it is told to
        self.clock = ManualClock(RIGHT)
        self.true_time = RIGHT
        self.number = 0
        self.lives = 0
        self.when: dict[int, int] = {}
        self.owed: dict[tuple[str, Stream], list[int]] = {(sink, stream): [] for sink in SINKS for stream in Stream}
        self.waiting: list[tuple[Stream, int]] = []

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(asyncio.wait_for(coroutine, 20))

    @initialize()
    def start(self) -> None:
        self.run(self._open())

    async def _open(self) -> None:
        self._pass(SECOND // 1000)
        place = self.folder / str(self.lives)
        place.mkdir(exist_ok=True)
        self.journal = Journal(place / "journal", load(place / "journal.key"), self.clock, SETTINGS)
        await self.journal.open(SINKS)
        self.running = asyncio.create_task(self.journal.run())

    async def _close(self) -> None:
        self.journal.stop()
        await self.running
        await self.journal.close()

    # What comes in

    @rule(stream=st.sampled_from(TELEMETRY), count=st.integers(1, 5))
    def append(self, stream: Stream, count: int) -> None:
        self.run(self._append(stream, count))

    async def _append(self, stream: Stream, count: int) -> None:
        of = GROUPS[stream - 1]
        for _ in range(count):
            self._pass(SECOND // 100)
            now = self.clock.now()
            values = (np.array([float(self.number)]), np.array([f"value {self.number}"], object))
            self._take(stream)
            self.journal.append(Scan(of, now, now, values))
        await self._settle_down()

    @rule()
    def record(self) -> None:
        self.run(self._record())

    async def _record(self) -> None:
        self._pass(SECOND // 100)
        number = str(self.number)
        self._take(Stream.EVENTS)
        state, before = AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL
        self.journal.record(AlarmChanged(self.clock.now(), number, "press/t0", state, before, "high"))
        await self._settle_down()

    def _take(self, stream: Stream) -> None:
        self.when[self.number] = self.true_time
        self.waiting.append((stream, self.number))
        self.number += 1

    async def _settle_down(self) -> None:
        """All that waits is acknowledged, unless the disk takes nothing."""
        if self.disk.is_full:
            return
        done = asyncio.Event()
        self.journal.follow(done.set)
        await done.wait()
        for stream, number in self.waiting:
            for sink in SINKS:
                self.owed[sink, stream].append(number)
        self.waiting = []

    # What goes out

    @rule(sink=st.sampled_from(SINKS), stream=st.sampled_from(Stream), most=st.integers(1, 40), settle=st.booleans())
    def read(self, sink: str, stream: Stream, most: int, settle: bool) -> None:
        self.run(self._read(sink, stream, most, settle))

    async def _read(self, sink: str, stream: Stream, most: int, settle: bool) -> None:
        work = self.journal.deliveries[sink, stream].next()
        if work is None:
            assert not self.owed[sink, stream], "acknowledged, and not there"
            return
        chunks = await self.journal.read(stream, *work, most)
        if not chunks:
            assert not self.journal.calendar.is_trusted, "held back for no reason"
            return
        seen: list[tuple[int, int]] = []
        for chunk in chunks:
            assert not chunk.broken
            for rows in chunk.rows:
                seen += [(int(v), t) for v, t in zip(rows.values[0][:, 0], rows.gateway_time.tolist(), strict=True)]
                assert [str(text) for text in rows.values[1][:, 0]] == [f"value {n:.0f}" for n in rows.values[0][:, 0]]
            seen += [(int(event.alarm), event.time) for event in chunk.events if isinstance(event, AlarmChanged)]
        numbers = [number for number, _ in seen]
        assert numbers == self.owed[sink, stream][: len(numbers)], "exactly, and in order"
        for number, time in seen:
            assert abs(time - self.when[number]) <= SECOND, "to within a second"
        if settle:
            self.journal.settle(sink, chunks)
            del self.owed[sink, stream][: len(numbers)]

    # What happens to it

    @rule()
    def tidy(self) -> None:
        self.run(self.journal.tidy())

    @rule(seconds=st.integers(1, 3600))
    def wait(self, seconds: int) -> None:
        self._pass(seconds * SECOND)

    @rule(where=st.sampled_from([-(RIGHT - 5 * SECOND), -3600 * SECOND, 3600 * SECOND, 10 * YEAR]))
    @precondition(lambda self: self.clock.now() == self.true_time)
    def jump(self, where: int) -> None:
        """1970 and ten years ahead are wrong. An hour is taken for a correction, which is right then, and lasts."""
        self._pass(SECOND // 1000)
        self.clock.step(where)
        if abs(where) == 3600 * SECOND:
            self.true_time += where
            self.run(self.journal.tidy())

    @rule()
    def set_right(self) -> None:
        self.clock.step(self.true_time - self.clock.now())
        self.run(self.journal.tidy())

    @rule()
    @precondition(lambda self: not self.disk.is_full and self.clock.now() == self.true_time)
    def restart(self) -> None:
        self.run(self._close())
        self.run(self._open())

    @rule()
    def crash(self) -> None:
        """What waits for the disk was not acknowledged, and is gone. What was settled may come again."""
        self.run(self._crash())
        self.disk.is_full = False
        self.waiting = []
        self.run(self._open())
        for place, numbers in self.owed.items():
            delivery = self.journal.deliveries[place]
            again = self.run(self._all(*place)) if delivery.next() else []
            assert numbers == again[len(again) - len(numbers) :], "acknowledged, and not there"
            self.owed[place] = again

    async def _crash(self) -> None:
        here, there = self.folder / str(self.lives), self.folder / str(self.lives + 1)
        await self.journal.own(shutil.copytree, here, there)
        self.lives += 1
        self.running.cancel()
        await asyncio.wait((self.running,))
        self.disk.is_full = False
        self.journal.store.close()

    async def _all(self, sink: str, stream: Stream) -> list[int]:
        """Everything that is pending, held back or not."""
        journal = self.journal
        numbers: list[int] = []
        start, stop = journal.deliveries[sink, stream].next() or (0, 0)
        while start < stop:
            chunks = await journal.read(stream, start, stop, 10**6)
            if not chunks:
                assert not journal.calendar.is_trusted
                break
            numbers += [int(v) for chunk in chunks for rows in chunk.rows for v in rows.values[0][:, 0]]
            numbers += [int(e.alarm) for chunk in chunks for e in chunk.events if isinstance(e, AlarmChanged)]
            start = chunks[-1].seq + 1
        rest = [number for number in self.owed[sink, stream] if number not in set(numbers)]
        return numbers + rest

    @rule()
    @precondition(lambda self: not self.disk.is_full)
    def fill_disk(self) -> None:
        self.disk.is_full = True

    @rule()
    @precondition(lambda self: self.disk.is_full)
    def make_room(self) -> None:
        self.disk.is_full = False
        self.run(self._settle_down())

    @rule()
    @precondition(lambda self: not self.disk.is_full)
    def rotate_keys(self) -> None:
        self.run(self.journal.rotation.run())

    @rule(stream=st.sampled_from(Stream))
    @precondition(lambda self: not self.disk.is_full)
    def rotate_segment(self, stream: Stream) -> None:
        self.run(self.journal.own(self.journal.store.roll, stream))

    def _pass(self, nanoseconds: int) -> None:
        self.clock.advance(nanoseconds)
        self.true_time += nanoseconds

    @invariant()
    def accounts_add_up(self) -> None:
        if not hasattr(self, "journal"):
            return
        for sink in SINKS:
            account = self.journal.statistics(sink)
            settled = account.delivered + account.pending + account.dead_letters + account.dropped
            assert account.ingested == settled
            assert account.dropped == 0

    def teardown(self) -> None:
        self.disk.is_full = False
        try:
            if hasattr(self, "journal") and not self.running.done():
                self.run(self._close())
        finally:
            self.runner.close()
            self.patch.undo()
            shutil.rmtree(self.folder)


TestModel = pytest.mark.slow(Model.TestCase)
TestModel.settings = settings(stateful_step_count=30, max_examples=max(10, settings().max_examples // 4), deadline=None)
