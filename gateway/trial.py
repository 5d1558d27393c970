"""Tries a link without a cell: one session, every polled group read once, a while for what is pushed. Nothing is
written, nothing is kept, and nothing is acknowledged to a source, which so keeps what it would have kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Final

from gateway import plugins
from gateway.bus import mark_unreal
from gateway.clock import SECOND, Clock
from gateway.contracts import Driver
from gateway.drift import clock_of, correct
from gateway.errors import DeviceSilent
from gateway.model import Device, Link, Quality, Scan, StatusCode, Tag, TagGroup, Value, quality

OPEN_S: Final = 10.0
READ_S: Final = 60.0
CLOSE_S: Final = 5.0


@dataclass(slots=True)
class Answer:
    """What came of one tag, or did not. `took` is in nanoseconds, from asking on; None where nothing came."""

    tag: Tag
    group: TagGroup
    value: Value | None = None
    status: int = StatusCode.BAD_NO_COMMUNICATION
    reason: str = "no answer"
    took: int | None = None

    @property
    def is_well(self) -> bool:
        return quality(self.status) is Quality.GOOD and not self.reason


@dataclass(slots=True)
class Outcome:
    """How one link did: how long opening took, in nanoseconds, or why it did not open; and what people should know
    of it although it did."""

    link: Link
    took: int | None = None
    reason: str = ""
    caution: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)


class Trial:
    """One session of one link, and its driver's `Receiver`."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.clock = clock
        self.outcome = Outcome(link)
        for group in groups(link):
            self.outcome.answers |= {tag.id: Answer(tag, group) for tag in group.columns}
        self._module = plugins.load("driver", link.driver)
        self._link = _passing(self._module, link)
        self._clocks = {device.id: clock_of(device) for device in link.devices}
        self._refused: dict[str, str] = {}
        self._asked: dict[str, int] = {}
        self._missing = {tag.id for group in groups(link) if group.interval is None for tag in group.columns}
        self._complete = asyncio.Event()

    # What the driver calls

    def publish(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        """`durable` is never called: nothing is on disk."""
        mark_unreal(scan)
        clock = self._clocks[scan.group.device]
        doubt = correct(scan, clock) if clock is not None else ""
        doubt = doubt or self._refused.pop(scan.group.id, "")
        took = self.clock.monotonic() - self._asked[scan.group.id]
        for answer, value, status in self._columns(scan):
            answer.value = None if quality(status) is Quality.BAD else value
            answer.status, answer.took = status, took
            answer.reason = doubt if doubt and status else why(answer)
            self._missing.discard(answer.tag.id)
        if not self._missing:
            self._complete.set()

    def refuse(self, source: str, reason: str) -> None:
        """Why something of a group has not come, or will not be good when it comes."""
        source = source.removesuffix(" time")
        self._refused[source] = reason
        for answer in self.outcome.answers.values():
            if source == answer.group.id and answer.took is None:
                answer.reason = reason

    def caution(self, text: str) -> None:
        self.outcome.caution = text

    # What the caller calls

    async def run(self, wait: float) -> Outcome:
        """Everything, with `wait` seconds for what is pushed."""
        driver: Driver = self._module.Driver(self._link, self)
        began = self._ask()
        try:
            async with asyncio.timeout(getattr(self._link.settings, "open_timeout", OPEN_S * SECOND) / SECOND):
                await driver.open()
            self.outcome.took = self.clock.monotonic() - began
            await self._session(driver, wait)
        except* Exception as errors:
            self._blame(_words(errors))
        finally:
            await self._close(driver)
        return self.outcome

    # A session

    async def _session(self, driver: Driver, wait: float) -> None:
        self._ask()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(driver.run())
            async with asyncio.TaskGroup() as reads:
                for device in self._link.devices:
                    reads.create_task(self._read(driver, device))
                if self._missing:
                    reads.create_task(self._wait(wait))
            running.cancel()

    def _ask(self) -> int:
        """Whatever comes now is measured from here on."""
        now = self.clock.monotonic()
        self._asked = {group.id: now for group in groups(self._link)}
        return now

    async def _read(self, driver: Driver, device: Device) -> None:
        """A device's polled groups, one after the other. Each driver bounds its own waits."""
        for group in device.groups:
            if group.interval is None:
                continue
            self._asked[group.id] = self.clock.monotonic()
            try:
                async with asyncio.timeout(READ_S):
                    self.publish(await driver.read(group))
            except (DeviceSilent, TimeoutError) as error:
                self._excuse(group, str(error) or f"no answer within {READ_S:g} s")

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._complete.wait()
        except TimeoutError:
            for answer in self.outcome.answers.values():
                if answer.tag.id in self._missing and answer.reason == "no answer":
                    answer.reason = f"nothing came within {seconds:g} s"

    async def _close(self, driver: Driver) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await driver.close()
        except Exception as error:
            self.outcome.reason = self.outcome.reason or f"did not close cleanly: {_words(error)}"

    # What becomes of it

    def _columns(self, scan: Scan) -> Iterator[tuple[Answer, Value, int]]:
        values = [value for plane in scan.values for value in plane.tolist()]
        for column, tag in enumerate(scan.group.columns):
            if scan.columns is None or scan.columns[column]:
                status = 0 if scan.status is None else int(scan.status[column])
                yield self.outcome.answers[tag.id], values[column], status

    def _excuse(self, group: TagGroup, reason: str) -> None:
        for tag in group.columns:
            self.outcome.answers[tag.id].reason = reason

    def _blame(self, reason: str) -> None:
        """The link is gone, or was never there."""
        self.outcome.reason = reason
        for answer in self.outcome.answers.values():
            if answer.took is None:
                answer.reason = "the link did not open" if self.outcome.took is None else "the link was lost"


def groups(link: Link) -> Iterator[TagGroup]:
    return (group for device in link.devices for group in device.groups)


def why(answer: Answer) -> str:
    """What is wrong with a value; nothing where it is well."""
    if quality(answer.status) is not Quality.GOOD:
        return words(answer.status)
    value, limits = answer.value, answer.tag.range
    if limits is None or isinstance(value, str | bool | None) or limits[0] <= value <= limits[1]:
        return ""
    return f"outside its range, {limits[0]:g} to {limits[1]:g}: look at type, order and scale"


def words(status: int) -> str:
    """`bad: node id unknown`, or the number of a status that has no name here."""
    try:
        name = StatusCode(status & 0xFFFF_0000).name.lower().replace("_", " ")
    except ValueError:
        return f"status 0x{status:08X}"
    head, _, rest = name.partition(" ")
    return f"{head}: {rest}" if rest else head


async def try_all(links: Iterable[Link], clock: Clock, wait: float) -> list[Outcome]:
    """All links side by side: how one does costs no other anything."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(Trial(link, clock).run(wait)) for link in links]
    return [task.result() for task in running]


def _passing(module: ModuleType, link: Link) -> Link:
    """A driver whose sessions leave something behind says how not to."""
    probe: Callable[[Link], Link] | None = getattr(module, "probe", None)
    return link if probe is None else probe(link)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
