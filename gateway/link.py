"""The one supervisor of links and devices. Retry, back-off, staleness, quarantine and counting happen here, so that a
driver has none of it. One sick device never delays another: each has its own task, schedule and back-off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from zlib import crc32

from gateway.apart import apart
from gateway.backoff import Backoff
from gateway.bus import Bus, mark_unreal
from gateway.clock import SECOND, Clock
from gateway.contracts import Driver, Receiver
from gateway.drift import clock_of, correct
from gateway.errors import ConfigError, ConnectionLost, DeviceSilent, GatewayError, JournalFull, NotConnected, innermost
from gateway.fields import ClockSettings
from gateway.health import Health
from gateway.model import Device, DeviceChanged, DeviceState, Link, Scan, Tag, TagGroup, Value
from gateway.notice import Notices
from gateway.schedule import Schedule, rest

_log = logging.getLogger(__name__)

_WATCH_SECONDS = 0.25
_CLOSE_SECONDS = 5.0
_READ_SECONDS = 60.0
_WRITE_SECONDS = 10.0
_CONFIG_RETRY = 60 * SECOND


class LinkSupervisor:
    """Keeps one link alive for ever: a session, a pause, the next session. It is the driver's `Receiver`."""

    def __init__(self, link: Link, make: Callable[[Link, Receiver], Driver], bus: Bus, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        self.online = False
        self.reason = "not connected yet"
        self.cautioned = ""
        self.sessions = 0
        self.refused = 0
        self.notices = Notices(_log)
        now = clock.now()
        self.health = {device.id: Health(device, since=now, clock=clock_of(device)) for device in link.devices}
        self._owners = {group.id: self.health[group.device] for device in link.devices for group in device.groups}
        self._heard = 0
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
        if scan.known:
            health.fresh[scan.group] = self.clock.monotonic()
            self._bus.look(scan)
            return
        if health.clock is not None:
            self._correct_time(scan, health.clock)
        health.scans += 1
        health.points += scan.points
        if not scan.current:
            self._keep(scan, durable)
            return
        if health.hear(scan, self.clock.monotonic()):
            self.notices.end(scan.group.id, self.clock.monotonic())
            if health.state is not DeviceState.ONLINE:
                self._assess(health)
        self._watch_quality(scan, health)
        self._bus.publish(scan, durable)

    def _keep(self, scan: Scan, durable: Callable[[], None] | None) -> None:
        text = "values of another time are kept, but not judged. If its clock is wrong: clock: {trust: gateway}"
        self.notices.begin(f"{scan.group.id} age", text, self.clock.monotonic())
        self._owners[scan.group.id].trouble.setdefault(scan.group.id, text)
        self._bus.keep(scan, durable)

    def refuse(self, source: str, reason: str) -> None:
        self.refused += 1
        self.notices.begin(source, reason, self.clock.monotonic())
        if source in self._owners:
            self._owners[source].trouble[source] = reason

    def caution(self, text: str) -> None:
        key, now = f"link {self.link.id} caution", self.clock.monotonic()
        if text:
            self.notices.begin(key, text, now, lasting=True)
        else:
            self.notices.end(key, now)
        self.cautioned = text

    def _correct_time(self, scan: Scan, clock: ClockSettings) -> None:
        key, now = f"{scan.group.id} clock", self.clock.monotonic()
        if doubt := correct(scan, clock):
            self.notices.begin(key, doubt, now, lasting=True)
        else:
            self.notices.end(key, now)

    def _watch_quality(self, scan: Scan, health: Health) -> None:
        """Bad values are values and flow on; that there are any is told once, and once when all are well again."""
        if scan.status is None and scan.group not in health.bad:
            return
        key, now = f"{scan.group.id} quality", self.clock.monotonic()
        if text := health.weigh(scan):
            self.notices.begin(key, text, now, lasting=True)
        else:
            self.notices.end(key, now)

    # What the cell calls

    async def wait_up(self) -> None:
        """Until the link can be written to."""
        await self._is_up.wait()

    async def write(self, tag: Tag, value: Value) -> Value:
        """One write at a time, in the order of asking. Returns what the device has now. Raises NotConnected when
        nothing was sent, else CommandRefused, DeviceSilent or ConnectionLost: nobody knows then whether it has it."""
        async with self._writing:
            driver = self._driver
            if driver is None:
                raise NotConnected(f"link {self.link.id} is down: {self.reason}")
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    landed = await driver.write(tag, value)
            except TimeoutError:
                raise DeviceSilent(f"{tag.device} did not confirm within {_WRITE_SECONDS:g} s") from None
            return value if landed is None else landed

    async def run(self) -> None:
        """For ever: a session, a pause, the next session."""
        while True:
            began = self.clock.monotonic()
            pause = 0
            try:
                await self._session()
            except Exception as error:
                cause = innermost(error)
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
            await apart(self._converse(driver))
        finally:
            self._driver = None
            self._is_up.clear()
            await self._close(driver)

    async def _converse(self, driver: Driver) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive(driver))
            tasks.create_task(self._watch())
            for number, device in enumerate(self.link.devices):
                if any(group.interval for group in device.groups):
                    tasks.create_task(self._poll(driver, device, number))

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
        waiting = "waiting for the first value"
        if self.sessions > 1:
            waiting += f"; the link was down: {self.reason}"
        self._driver = driver
        self._is_up.set()
        self.online = True
        self.reason = ""
        self.notices.end(f"link {self.link.id}", self.clock.monotonic())
        for health in self.health.values():
            health.connect(self.clock.monotonic())
            self._turn(health, DeviceState.CONNECTING, waiting)

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
        place = (number + crc32(self.link.id.encode()) / 2**32) / len(self.link.devices)
        schedule = Schedule(device.groups, self.clock.monotonic(), place)
        while True:
            due, group = schedule.next()
            await asyncio.sleep((due - self.clock.monotonic()) / SECOND)
            began = self.clock.monotonic()
            pause = await self._read(driver, group, health, backoff)
            now = self.clock.monotonic()
            health.late += schedule.done(group, now)
            if pause:
                schedule.hold(now + pause)
            else:
                self._pace(health, schedule.pace(group, now - began))

    async def _read(self, driver: Driver, group: TagGroup, health: Health, backoff: Backoff) -> int:
        """Returns how long the device should be left alone, in nanoseconds."""
        began = self.clock.monotonic()
        try:
            async with asyncio.timeout(_READ_SECONDS):
                scan = await driver.read(group)
        except DeviceSilent as error:
            pause = backoff.fail()
            self._turn(health, *health.fail(str(error)))
            return max(pause, self._rest(health, began))
        except TimeoutError:
            raise ConnectionLost(f"reading {group.id} did not end within {_READ_SECONDS:g} s") from None
        backoff.reset()
        self._heard = self.clock.monotonic()
        try:
            self.publish(scan)
        except JournalFull as error:
            self.refuse(group.id, str(error))
        return 0

    def _rest(self, health: Health, began: int) -> int:
        """A device that shares its link is asked the less often, the longer nobody was heard while it was silent."""
        if len(self.link.devices) == 1:
            return 0
        return rest(health.failures, self.clock.monotonic() - max(began, self._heard))

    def _pace(self, health: Health, slow: str) -> None:
        key, now = f"{health.device.id} pace", self.clock.monotonic()
        if slow:
            self.notices.begin(key, slow, now, lasting=True)
        elif health.slow:
            self.notices.end(key, now)
        health.slow = slow

    # Freshness

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.notices.expire(self.clock.monotonic())
            for health in self.health.values():
                self._assess(health)

    def _assess(self, health: Health) -> None:
        self._turn(health, *health.assess(self.clock.monotonic()))

    def _turn(self, health: Health, state: DeviceState, reason: str) -> None:
        now = self.clock.now()
        if health.turn(state, reason, now):
            self._bus.emit(DeviceChanged(now, health.device.id, self.link.id, state, reason))


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
