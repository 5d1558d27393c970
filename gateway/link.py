"""The one supervisor of links and devices. Retry, back-off, staleness, quarantine and counting happen here, so that a
driver has none of it. One sick device never delays another: each has its own task, schedule and back-off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gateway.backoff import Backoff
from gateway.bus import Bus, mark_unreal
from gateway.clock import SECOND, Clock
from gateway.contracts import Driver, Receiver
from gateway.drift import clock_of, correct
from gateway.errors import ConfigError, ConnectionLost, DeviceSilent, GatewayError, JournalFull, NotConnected
from gateway.fields import ClockSettings
from gateway.model import Device, DeviceChanged, DeviceState, Link, Mask, Quality, Scan, Tag, TagGroup, Value
from gateway.notice import Notices

_log = logging.getLogger(__name__)

_WATCH_SECONDS = 0.25
_CLOSE_SECONDS = 5.0
_READ_SECONDS = 60.0
_WRITE_SECONDS = 10.0
_QUARANTINE_AFTER = 5
_CONFIG_RETRY = 60 * SECOND
_NAMED = 5


@dataclass(slots=True)
class Health:
    """How one device is. Times are monotonic nanoseconds, except `since`, which is UTC."""

    device: Device
    state: DeviceState = DeviceState.CONNECTING
    reason: str = "not connected yet"
    since: int = 0
    scans: int = 0
    points: int = 0
    late: int = 0
    bad_scans: int = 0
    failures: int = 0
    fresh: dict[TagGroup, int] = field(default_factory=dict)
    newest: dict[TagGroup, int] = field(default_factory=dict)
    up: int = 0
    clock: ClockSettings | None = None
    bad: dict[TagGroup, Mask] = field(default_factory=dict)


class LinkSupervisor:
    """Keeps one link alive for ever: a session, a pause, the next session. It is the driver's `Receiver`."""

    def __init__(self, link: Link, make: Callable[[Link, Receiver], Driver], bus: Bus, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        self.online = False
        self.reason = "not connected yet"
        self.sessions = 0
        self.refused = 0
        self.notices = Notices(_log)
        now = clock.now()
        self.health = {device.id: Health(device, since=now, clock=clock_of(device)) for device in link.devices}
        self._make = make
        self._bus = bus
        self._backoff = Backoff()
        self._bug = ""
        self._driver: Driver | None = None
        self._is_up = asyncio.Event()
        self._writing = asyncio.Lock()

    # What the driver calls

    def publish(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        mark_unreal(scan)
        health = self.health[scan.group.device]
        if health.clock is not None:
            self._correct_time(scan, health.clock)
        health.scans += 1
        health.points += scan.points
        if self._is_news(scan, health):
            health.fresh[scan.group] = self.clock.monotonic()
            health.failures = 0
            self.notices.end(scan.group.id, self.clock.monotonic())
            if health.state is not DeviceState.ONLINE:
                self._assess(health)
        self._watch_quality(scan, health)
        self._bus.publish(scan, durable)

    def refuse(self, source: str, reason: str) -> None:
        self.refused += 1
        self.notices.begin(source, reason, self.clock.monotonic())

    def _correct_time(self, scan: Scan, clock: ClockSettings) -> None:
        key, now = f"{scan.group.id} clock", self.clock.monotonic()
        if doubt := correct(scan, clock):
            self.notices.begin(key, doubt, now)
        else:
            self.notices.end(key, now)

    def _watch_quality(self, scan: Scan, health: Health) -> None:
        """Bad values are values and flow on; that there are any is told once, and once when all are well again."""
        last = health.bad.get(scan.group)
        if scan.status is None and last is None:
            return
        width = len(scan.group.columns)
        bad = np.zeros(width, np.bool_) if scan.status is None else scan.status >> 30 >= Quality.BAD
        if scan.columns is not None:
            bad = np.where(scan.columns, bad, False if last is None else last)
        key = f"{scan.group.id} quality"
        if bad.any():
            health.bad[scan.group] = bad
            health.bad_scans += 1
            text = f"bad values of {_names(scan.group, bad)}"
            self.notices.begin(key, text, self.clock.monotonic(), lasting=True)
        else:
            health.bad.pop(scan.group, None)
            self.notices.end(key, self.clock.monotonic())

    @staticmethod
    def _is_news(scan: Scan, health: Health) -> bool:
        """A row that is bad throughout, or that a device sends again with the time of the last one, refreshes
        nothing."""
        if scan.status is not None and (scan.status >> 30 >= Quality.BAD).all():
            return False
        if not isinstance(scan.source_time, int) or scan.source_time == scan.gateway_time:
            return True
        last, health.newest[scan.group] = health.newest.get(scan.group), scan.source_time
        return last != scan.source_time

    # What the cell calls

    async def wait_up(self) -> None:
        """Until the link can be written to."""
        await self._is_up.wait()

    async def write(self, tag: Tag, value: Value) -> None:
        """One write at a time, in the order of asking. Raises NotConnected when nothing was sent, else CommandRefused,
        DeviceSilent or ConnectionLost, and then nobody knows whether the device has it."""
        async with self._writing:
            driver = self._driver
            if driver is None:
                raise NotConnected(f"link {self.link.id} is down: {self.reason}")
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await driver.write(tag, value)
            except TimeoutError:
                raise DeviceSilent(f"{tag.device} did not confirm within {_WRITE_SECONDS:g} s") from None

    async def run(self) -> None:
        """For ever: a session, a pause, the next session."""
        while True:
            began = self.clock.monotonic()
            pause = 0
            try:
                await self._session()
            except Exception as error:
                cause = _innermost(error)
                pause = _CONFIG_RETRY if isinstance(cause, ConfigError) else 0
                self._down(_words(cause))
                self._expose(cause)
            pause = max(pause, self._backoff.fail(self.clock.monotonic() - began))
            await asyncio.sleep(pause / SECOND)

    def _expose(self, cause: BaseException) -> None:
        """What no driver may raise is a bug: the traceback is shown once."""
        if isinstance(cause, GatewayError | OSError | TimeoutError) or repr(cause) == self._bug:
            return
        self._bug = repr(cause)
        _log.error("link %s: a bug in its driver", self.link.id, exc_info=cause)

    # A session

    async def _session(self) -> None:
        driver = self._make(self.link, self)
        self.sessions += 1
        try:
            async with asyncio.timeout(getattr(self.link.settings, "open_timeout", 10 * SECOND) / SECOND):
                await driver.open()
            self._up(driver)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(driver))
                tasks.create_task(self._watch())
                for number, device in enumerate(self.link.devices):
                    if any(group.interval for group in device.groups):
                        tasks.create_task(self._poll(driver, device, number))
        finally:
            self._driver = None
            self._is_up.clear()
            await self._close(driver)

    async def _receive(self, driver: Driver) -> None:
        await driver.run()
        raise ConnectionLost("the driver ended its session")

    async def _close(self, driver: Driver) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await driver.close()
        except Exception as error:
            _log.warning("link %s did not close cleanly: %s", self.link.id, _words(error))

    def _up(self, driver: Driver) -> None:
        self._driver = driver
        self._is_up.set()
        self.online = True
        self.reason = ""
        self.notices.end(f"link {self.link.id}", self.clock.monotonic())
        for health in self.health.values():
            health.failures = 0
            health.fresh.clear()
            health.up = self.clock.monotonic()
            self._turn(health, DeviceState.CONNECTING, "waiting for the first value")

    def _down(self, reason: str) -> None:
        self.online = False
        self.reason = reason
        self.notices.begin(f"link {self.link.id}", reason, self.clock.monotonic(), lasting=True)
        for health in self.health.values():
            self._turn(health, DeviceState.OFFLINE, reason)

    # Polling

    async def _poll(self, driver: Driver, device: Device, number: int) -> None:
        """One device's groups, each at its scan interval, one read at a time. Devices start spread over it."""
        health = self.health[device.id]
        backoff = Backoff()
        start = self.clock.monotonic()
        spread = len(self.link.devices)
        due = {g: start + g.interval * number // spread for g in device.groups if g.interval is not None}
        while True:
            group = min(due, key=lambda g: due[g])
            await asyncio.sleep((due[group] - self.clock.monotonic()) / SECOND)
            pause = await self._read(driver, group, health, backoff)
            now = self.clock.monotonic()
            due[group] = _next(due[group], group.interval or 0, now, health)
            if pause:
                due = {g: max(at, now + pause) for g, at in due.items()}

    async def _read(self, driver: Driver, group: TagGroup, health: Health, backoff: Backoff) -> int:
        """Returns how long the device should be left alone, in nanoseconds."""
        try:
            async with asyncio.timeout(_READ_SECONDS):
                scan = await driver.read(group)
        except DeviceSilent as error:
            return self._fail(health, str(error), backoff)
        except TimeoutError:
            raise ConnectionLost(f"reading {group.id} did not end within {_READ_SECONDS:g} s") from None
        backoff.reset()
        try:
            self.publish(scan)
        except JournalFull as error:
            self.refuse(group.id, str(error))
        return 0

    def _fail(self, health: Health, reason: str, backoff: Backoff) -> int:
        health.failures += 1
        if health.failures < _QUARANTINE_AFTER:
            self._turn(health, DeviceState.OFFLINE, reason)
        else:
            self._turn(health, DeviceState.QUARANTINED, f"{reason}; {health.failures} times in a row")
        return backoff.fail()

    # Freshness

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.notices.expire(self.clock.monotonic())
            for health in self.health.values():
                self._assess(health)

    def _assess(self, health: Health) -> None:
        """Online means that the values are fresh, whatever the socket says. A device that fails is judged by that."""
        if health.failures:
            return
        now = self.clock.monotonic()
        stale = [g for g in health.device.groups if now - health.fresh.get(g, -g.stale_after) > g.stale_after]
        if not stale:
            self._turn(health, DeviceState.ONLINE, "")
        elif health.state is not DeviceState.STALE and now - health.up > stale[0].stale_after:
            seconds = stale[0].stale_after / SECOND
            self._turn(health, DeviceState.STALE, f"no fresh value of {stale[0].name} for {seconds:g} s")

    def _turn(self, health: Health, state: DeviceState, reason: str) -> None:
        if state is health.state:
            if state is not DeviceState.QUARANTINED:
                health.reason = reason
            return
        health.state, health.reason, health.since = state, reason, self.clock.now()
        if state is not DeviceState.CONNECTING:
            self._bus.emit(DeviceChanged(self.clock.now(), health.device.id, self.link.id, state, reason))


def _next(due: int, interval: int, now: int, health: Health) -> int:
    """The next slot of a schedule that keeps its phase. Of slots that are over only the last is read, at once; the
    others are counted as late."""
    due += interval
    if due < now:
        lost = (now - due) // interval
        health.late += lost
        due += lost * interval
    return due


def _names(group: TagGroup, columns: Mask) -> str:
    """A few of them by name."""
    names = [group.columns[column].name for column in np.flatnonzero(columns)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
