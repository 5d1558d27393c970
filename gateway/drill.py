"""An outage on purpose: some sinks are cut off in the running gateway, as if their far ends could not be reached, and
it is told how the gateway bears that, and how they catch up.

The cut ends by a timer of the gateway's own, and at once when nobody listens any more: whoever asked for it may die.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from gateway.backlog import size_of
from gateway.cell import Cell
from gateway.clock import SECOND
from gateway.errors import CommandRefused
from gateway.health import Health
from gateway.inquiry import DAY_S, Account, Drill, DrillReply, SampleReply
from gateway.journal.catalog import Head
from gateway.journal.chunk import TELEMETRY, Stream
from gateway.model import DeviceState
from gateway.phrase import Reply

_log = logging.getLogger(__name__)

_SAMPLE_S = 1.0
_GRACE_S = 1.0
"""So much later the timer ends what should have ended before."""
_LOOK_S = 0.05
_QUIET_S = 30.0
"""So long something live is waited for, where none comes in."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Drills:
    """Of one cell, one at a time."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._cut: tuple[str, ...] = ()
        self._reason = ""

    async def run(self, request: Drill, user: str) -> AsyncGenerator[Reply]:
        """A sample a second, through the outage and until everybody has caught up. Raises CommandRefused."""
        names = self._chosen(request.sinks)
        _log.warning("%s cuts off %s for %g s: a drill", user, ", ".join(names), request.seconds)
        self._cut = names
        self._hold(f"cut off by {user}, for a drill")
        timer = asyncio.get_running_loop().call_later(request.seconds + _GRACE_S, self._hold, "")
        watch = Watch(self._cell, names)
        try:
            async for sample in self._outage(watch, request.seconds):
                yield sample
            self._hold("")
            _log.warning("the drill's outage is over: %s may deliver again", ", ".join(names))
            async for sample in self._recovery(watch):
                yield sample
        finally:
            timer.cancel()
            self._hold("")
            self._cut = ()
        yield DrillReply(user)

    async def _outage(self, watch: Watch, seconds: float) -> AsyncGenerator[Reply]:
        yield await watch.sample()
        while (left := seconds - watch.at) > 0:
            await asyncio.sleep(min(left, _SAMPLE_S))
            self._hold(self._reason)  # a reload may have made them anew
            yield await watch.sample()

    async def _recovery(self, watch: Watch) -> AsyncGenerator[Reply]:
        watch.reconnect()
        while not watch.is_over:
            await watch.look(_SAMPLE_S)
            yield await watch.sample()

    def _hold(self, reason: str) -> None:
        self._reason = reason
        for name in self._cut:
            if name in self._cell.forwarders:
                self._cell.forwarders[name].cut = reason

    def _chosen(self, sinks: Sequence[str]) -> tuple[str, ...]:
        forwarders = self._cell.forwarders
        if self._cut:
            raise CommandRefused("a drill is under way already")
        names = tuple(dict.fromkeys(sinks)) or tuple(forwarders)
        if not names:
            raise CommandRefused("there are no sinks to cut off")
        for name in names:
            if name not in forwarders:
                raise CommandRefused(f"there is no sink {name}")
            if forwarders[name].retries and not forwarders[name].online:
                reason = forwarders[name].reason
                raise CommandRefused(f"sink {name} does not deliver as it is, so a drill would prove nothing: {reason}")
        return names


class Watch:
    """How a cell does, from now on; `reconnect` says that the links are back."""

    def __init__(self, cell: Cell, names: Sequence[str]) -> None:
        self._cell = cell
        self._names = names
        self._began = cell.clock.monotonic()
        self._online = {health.device.id for health in _healths(cell) if health.state is DeviceState.ONLINE}
        self._back: int | None = None
        self._came: int | None = None
        self._heads: dict[Stream, Head] = {}
        self._live: dict[str, float] = {}
        self._drained: dict[str, float] = {}

    @property
    def at(self) -> float:
        """Seconds since it began."""
        return self._since(self._began)

    def reconnect(self) -> None:
        self._back = self._cell.clock.monotonic()
        self._heads = {stream: self._head(stream) for stream in Stream}

    @property
    def is_over(self) -> bool:
        """Everybody has caught up, or nobody has for a day."""
        if self._back is None:
            return False
        waited = self._since(self._back)
        is_drained = all(name in self._drained for name in self._names)
        is_live = all(name in self._live for name in self._names)
        return waited > DAY_S or (is_drained and (is_live or waited > _QUIET_S))

    async def look(self, seconds: float) -> None:
        """For so long, or until it is over, often."""
        end = self.at + seconds
        while self.at < end and not self.is_over:
            await asyncio.sleep(_LOOK_S)
            self._note()

    def _note(self) -> None:
        assert self._back is not None
        now = self._cell.clock.monotonic()
        if self._came is None and any(self._head(stream) != self._heads[stream] for stream in TELEMETRY):
            self._came = now
        for name in self._names:
            if name not in self._drained and not self._behind(name):
                self._drained[name] = (now - self._back) / SECOND
            if name not in self._live and self._came is not None and self._has_live(name):
                self._live[name] = (now - self._came) / SECOND

    def _has_live(self, name: str) -> bool:
        """Of what came in since the link was back, something is not pending any more."""
        for stream in TELEMETRY:
            first, stop = self._heads[stream].seq, self._head(stream).seq
            pending = self._cell.journal.deliveries[name, stream].ranges.within(first, stop)
            if sum(end - start for start, end in pending) < stop - first:
                return True
        return False

    def _behind(self, name: str) -> int:
        count = 0
        for stream in Stream:
            until = self._heads.get(stream, self._head(stream)).seq
            pending = self._cell.journal.deliveries[name, stream].ranges.within(0, until)
            count += sum(end - start for start, end in pending)
        return count

    async def sample(self) -> SampleReply:
        cell = self._cell
        size = await asyncio.to_thread(size_of, cell.configuration.data / "journal")
        healths = [health for health in _healths(cell) if health.device.id in self._online]
        now = cell.clock.monotonic()
        ages = [(now - max(health.fresh.values())) / SECOND for health in healths if health.fresh]
        gone = self._online - {health.device.id for health in healths if health.state is DeviceState.ONLINE}
        return SampleReply(
            at=self.at,
            phase="outage" if self._back is None else "recovery",
            accounts=tuple(map(self._account, self._names)),
            points=sum(health.points for health in _healths(cell)),
            written=sum(self._head(stream).total for stream in TELEMETRY),
            waiting=cell.journal.waiting[0],
            lag_s=cell.lag,
            resident_bytes=_resident(),
            journal_bytes=size,
            failure=cell.journal.failing,
            fresh_s=max(ages, default=0.0),
            lost_devices=tuple(sorted(gone)),
        )

    def _account(self, name: str) -> Account:
        counts = self._cell.journal.statistics(name)
        forwarder = self._cell.forwarders.get(name)
        return Account(
            sink=name,
            online=forwarder is not None and forwarder.online,
            reason="it is not configured any more" if forwarder is None else forwarder.reason,
            ingested=counts.ingested,
            delivered=counts.delivered,
            pending=counts.pending,
            dead_letters=counts.dead_letters,
            dropped=counts.dropped,
            behind=self._behind(name),
            live_s=self._live.get(name),
            drained_s=self._drained.get(name),
        )

    def _head(self, stream: Stream) -> Head:
        return self._cell.journal.store.heads[stream]

    def _since(self, moment: int) -> float:
        return (self._cell.clock.monotonic() - moment) / SECOND


def _healths(cell: Cell) -> list[Health]:
    return [health for link in cell.links.values() for health in link.health.values()]


def _resident() -> int:
    """Bytes of memory that the process has: proc(5), statm."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
