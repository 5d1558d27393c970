"""How a running cell is: its links, devices, sinks and alarms, taken at one moment.

Pure, and light to import: the command line reads these too, and it shall start fast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from gateway.clock import SECOND

if TYPE_CHECKING:
    from gateway.backlog import Backlog
    from gateway.cell import Cell
    from gateway.forwarder import Forwarder
    from gateway.health import Health
    from gateway.link import LinkSupervisor
    from rules.alarm import AlarmStatus

_WINDOW = 10 * SECOND
_UNDATED = "the clock cannot be right: what comes in is kept, and sent when it is"


class LinkStatus(msgspec.Struct, frozen=True):
    """`refused` counts what could not become a scan, and the times that the link went down. `reason` says why it is
    down, or what people should know of it while it stands."""

    id: str
    driver: str
    online: bool
    reason: str
    sessions: int
    refused: int


class DeviceStatus(msgspec.Struct, frozen=True):
    """`since` (nanoseconds UTC) is when it came into its state, `fresh_s` how old its freshest value is, and `rate` its
    points per second; both are None where nobody knows yet."""

    id: str
    link: str
    state: str
    reason: str
    since: int
    scans: int
    points: int
    late: int
    bad_scans: int
    fresh_s: float | None
    rate: float | None


class SinkStatus(msgspec.Struct, frozen=True):
    """Counts are points, and ingested = delivered + pending + dead_letters + dropped. `oldest_s` is the age of the
    oldest that is pending; None where nothing is, or where the disk did not say in time. `commands` says why what its
    far side orders is not heard; empty where it is, or where nothing may be ordered. `orders_refused` counts."""

    id: str
    online: bool
    reason: str
    ingested: int
    delivered: int
    pending: int
    dead_letters: int
    dropped: int
    retries: int
    oldest_s: float | None
    commands: str = ""
    orders_refused: int = 0


class AlarmEntry(msgspec.Struct, frozen=True):
    """`since` is nanoseconds UTC, and so is `shelved_until`, which is 0 where it is not. An alarm is `active` while its
    condition holds, acknowledged or not; `latched` until it is reset; and `suppressed` while it is shelved or out of
    service: then nobody is told. `actor` is who did something to it last, and `comment` why."""

    alarm: str
    tag: str
    state: str
    active: bool
    priority: str
    message: str
    value: bool | int | float | str | None
    since: int | None
    fault: str = ""
    """Why its rule is in quarantine, judged no more; mostly empty."""
    latched: bool = False
    suppressed: bool = False
    shelved_until: int = 0
    out_of_service: bool = False
    actor: str = ""
    comment: str = ""

    @property
    def is_at_rest(self) -> bool:
        """There is nothing that anybody has to see."""
        return self.state == "normal" and not (self.latched or self.suppressed or self.fault)


class GenerationStatus(msgspec.Struct, frozen=True):
    """The configuration that is in force: its number, the hash of its files, and when it was accepted (nanoseconds
    UTC). `refused` says why it is not what is on the disk, where that is so."""

    number: int
    sha256: str
    time: int
    refused: str


class Status(msgspec.Struct, frozen=True):
    """`time` and `started` are nanoseconds UTC. `failure` says what the journal suffers from, if anything, or that it
    waits for the clock to be right. `alarms` are those that are not normal, or are latched or suppressed, or whose rule
    is in quarantine."""

    site: str
    cell: str
    time: int
    started: int
    generation: GenerationStatus
    lag_s: float
    failure: str
    journal_bytes: int
    links: tuple[LinkStatus, ...]
    devices: tuple[DeviceStatus, ...]
    sinks: tuple[SinkStatus, ...]
    alarms: tuple[AlarmEntry, ...]

    @property
    def uptime_s(self) -> float:
        return (self.time - self.started) / SECOND


class Rates:
    """Points per second of every device, over the last ten seconds or as long as is known. `now` is monotonic."""

    def __init__(self, window: int = _WINDOW) -> None:
        self._window = window
        self._samples: deque[tuple[int, Mapping[str, int]]] = deque()

    def sample(self, points: Mapping[str, int], now: int) -> None:
        """Note the points that each device has given so far."""
        self._samples.append((now, points))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self._window:
            self._samples.popleft()

    def rate(self, device: str) -> float | None:
        """None before the second sample of the device, or where its link was made anew and counts from 0 again; and
        where it left and has come back, until it is in both samples."""
        if not self._samples:
            return None
        (began, before), (ended, after) = self._samples[0], self._samples[-1]
        if began == ended or device not in before or device not in after or after[device] < before[device]:
            return None
        return (after[device] - before[device]) * SECOND / (ended - began)


def collect(cell: Cell, backlog: Backlog, rates: Rates) -> Status:
    """The cell at this moment. Nothing is awaited in between, so the counts of a sink always add up."""
    alarms = [entry for entry in map(alarm, cell.engine.alarms()) if not entry.is_at_rest]
    return Status(
        site=cell.configuration.site,
        cell=cell.configuration.cell,
        time=cell.clock.now(),
        started=cell.started,
        generation=_generation(cell),
        lag_s=cell.lag,
        failure=cell.journal.failing or ("" if cell.journal.is_dated else _UNDATED),
        journal_bytes=backlog.bytes,
        links=tuple(_link(link) for link in cell.links.values()),
        devices=tuple(_device(link, health, rates) for link in cell.links.values() for health in link.health.values()),
        sinks=tuple(_sink(cell, forwarder, backlog) for forwarder in cell.forwarders.values()),
        alarms=tuple(alarms),
    )


def _generation(cell: Cell) -> GenerationStatus:
    generation = cell.generation
    return GenerationStatus(generation.number, generation.sha256, generation.time, cell.refused)


def points(cell: Cell) -> dict[str, int]:
    """What `Rates` wants to know."""
    return {health.device.id: health.points for link in cell.links.values() for health in link.health.values()}


def alarm(status: AlarmStatus) -> AlarmEntry:
    return AlarmEntry(
        alarm=status.alarm,
        tag=status.tag,
        state=status.state.value,
        active=status.active,
        priority=status.priority,
        message=status.message,
        value=status.value,
        since=status.since,
        latched=status.latched,
        suppressed=status.suppressed,
        shelved_until=status.shelved_until,
        out_of_service=status.out_of_service,
        actor=status.actor,
        comment=status.comment,
        fault=status.fault,
    )


def _link(link: LinkSupervisor) -> LinkStatus:
    return LinkStatus(
        id=link.link.id,
        driver=link.link.driver,
        online=link.online,
        reason=link.reason or link.cautioned,
        sessions=link.sessions,
        refused=link.refused,
    )


def _device(link: LinkSupervisor, health: Health, rates: Rates) -> DeviceStatus:
    freshest = max(health.fresh.values(), default=None)
    return DeviceStatus(
        id=health.device.id,
        link=link.link.id,
        state=health.state.value,
        reason=health.reason,
        since=health.since,
        scans=health.scans,
        points=health.points,
        late=health.late,
        bad_scans=health.bad_scans,
        fresh_s=None if freshest is None else (link.clock.monotonic() - freshest) / SECOND,
        rate=rates.rate(health.device.id),
    )


def _sink(cell: Cell, forwarder: Forwarder, backlog: Backlog) -> SinkStatus:
    counts = cell.journal.statistics(forwarder.name)
    oldest = backlog.oldest.get(forwarder.name) if counts.pending else None
    listener = cell.listeners[forwarder.name]
    return SinkStatus(
        id=forwarder.name,
        online=forwarder.online,
        reason=forwarder.reason,
        ingested=counts.ingested,
        delivered=counts.delivered,
        pending=counts.pending,
        dead_letters=counts.dead_letters,
        dropped=counts.dropped,
        retries=forwarder.retries,
        oldest_s=None if oldest is None else max(0.0, (cell.clock.now() - oldest) / SECOND),
        commands=listener.reason,
        orders_refused=listener.refused,
    )
