"""The supervisor of links and devices, on virtual time, with drivers that fail in every way that the contract allows,
and in some that it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import pytest

from gateway.bus import Bus, Outcome
from gateway.clock import MILLISECOND, SECOND
from gateway.contracts import Driver, Receiver
from gateway.errors import ConfigError, ConnectionLost, DeviceSilent, JournalFull
from gateway.image import Image
from gateway.link import LinkSupervisor
from gateway.model import AnyEvent, Device, DeviceChanged, DeviceState, Link, Scan, StatusCode, Tag, TagGroup, Value
from tests.gateway.build import NOW, group, scan
from tests.virtual import LoopClock, run


class World:
    """What the fake drivers do, and what was seen."""

    def __init__(self) -> None:
        self.open: Callable[[], Awaitable[None]] = self._nothing
        self.read: Callable[[TagGroup], Awaitable[Scan]] = self._good
        self.write: Callable[[Tag, Value], Awaitable[None]] = self._written
        self.drivers: list[FakeDriver] = []
        self.opened_at: list[float] = []
        self.reads: list[tuple[float, str]] = []
        self.events: list[DeviceChanged] = []
        self.scans: list[Scan] = []
        self.full = False

    async def _nothing(self) -> None:
        return None

    async def _written(self, tag: Tag, value: Value) -> None:
        return None

    async def _good(self, of: TagGroup) -> Scan:
        return scan(of, [1.0], NOW + round(asyncio.get_running_loop().time() * SECOND))

    # The bus's journal and rules

    def append(self, row: Scan, durable: Callable[[], None] | None = None) -> None:
        if self.full:
            raise JournalFull("full")
        self.scans.append(row)

    def follow(self, durable: Callable[[], None]) -> None:
        raise AssertionError("no group here has a deadband")

    def record(self, event: AnyEvent) -> None:
        assert isinstance(event, DeviceChanged)
        self.events.append(event)

    def judge(self, row: Scan, now: int, monotonic: int) -> Sequence[Outcome]:
        return ()

    def states(self, device: str) -> list[DeviceState]:
        return [event.state for event in self.events if event.device == device]


class FakeDriver(Driver):
    def __init__(self, link: Link, receiver: Receiver, world: World) -> None:
        super().__init__(link, receiver)
        self.world = world
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.closed = 0
        world.drivers.append(self)

    async def open(self) -> None:
        self.world.opened_at.append(asyncio.get_running_loop().time())
        await self.world.open()

    async def run(self) -> None:
        raise ConnectionLost(await self.gone)

    async def read(self, group: TagGroup) -> Scan:
        self.world.reads.append((asyncio.get_running_loop().time(), group.device))
        return await self.world.read(group)

    async def write(self, tag: Tag, value: Value) -> None:
        await self.world.write(tag, value)

    async def close(self) -> None:
        self.closed += 1


def plant(*names: str, interval: int | None = 100 * MILLISECOND, link: str = "bus") -> Link:
    devices = [Device(name, (group("float64", device=name, interval=interval),)) for name in names]
    return Link(link, "fake", tuple(devices))


def supervised(
    world: World, link: Link, seconds: float, also: Callable[[LinkSupervisor], Awaitable[None]] | None = None
) -> LinkSupervisor:
    """The supervisor after that much virtual time; `also` runs beside it."""

    async def main() -> LinkSupervisor:
        clock = LoopClock()
        groups = [of for device in link.devices for of in device.groups]
        bus = Bus(clock, Image(groups), world, world)
        supervisor = LinkSupervisor(link, lambda link, receiver: FakeDriver(link, receiver, world), bus, clock)
        running = asyncio.create_task(supervisor.run())
        if also is not None:
            await also(supervisor)
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return supervisor

    return run(main)


def test_every_device_is_read_at_its_interval_with_phases_spread() -> None:
    world = World()
    supervised(world, plant("a", "b"), 10.01)
    a = [time for time, device in world.reads if device == "a"]
    b = [time for time, device in world.reads if device == "b"]
    assert len(a) == pytest.approx(100, abs=2)
    assert b[0] - a[0] == pytest.approx(0.05)
    assert world.states("a") == [DeviceState.ONLINE]


def test_a_sick_device_does_not_delay_its_neighbour() -> None:
    world = World()

    async def read(of: TagGroup) -> Scan:
        if of.device == "sick":
            await asyncio.sleep(1.0)
            raise DeviceSilent("no reply")
        return await world._good(of)

    world.read = read
    supervisor = supervised(world, plant("sick", "well"), 60)
    gaps = [
        later - earlier
        for (earlier, _), (later, _) in zip(
            [r for r in world.reads if r[1] == "well"], [r for r in world.reads if r[1] == "well"][1:], strict=False
        )
    ]
    assert max(gaps) < 0.11
    assert sum(device == "sick" for _, device in world.reads) < 30
    assert supervisor.health["sick"].state is DeviceState.QUARANTINED
    assert "no reply" in supervisor.health["sick"].reason
    assert world.states("well") == [DeviceState.ONLINE]


def test_devices_on_links_of_their_own_are_not_all_read_at_once() -> None:
    """A thousand of them would otherwise fill one moment of every second, and whatever else comes would wait."""
    firsts = []
    for number in range(20):
        world = World()
        supervised(world, plant("a", interval=SECOND, link=f"link-{number}"), 1.01)
        firsts.append(world.reads[0][0])
    assert max(firsts) > 0.8
    assert all(sum(n / 4 <= first < (n + 1) / 4 for first in firsts) >= 2 for n in range(4))


def test_a_silent_unit_takes_a_hundredth_of_the_line_that_it_shares() -> None:
    """One request at a time, as on a serial line: who waits for an answer that does not come holds up the others."""
    world = World()
    turn = asyncio.Lock()

    async def read(of: TagGroup) -> Scan:
        async with turn:
            await asyncio.sleep(1.0 if of.device == "gone" else 0.01)
        if of.device == "gone":
            raise DeviceSilent("no reply")
        return await world._good(of)

    world.read = read
    supervisor = supervised(world, plant("gone", "a", "b", interval=SECOND), 1000)
    assert supervisor.health["gone"].state is DeviceState.QUARANTINED
    assert sum(device == "gone" for _, device in world.reads) == pytest.approx(12, abs=2)
    for name in ("a", "b"):
        times = [(row.gateway_time - NOW) / SECOND for row in world.scans if row.group.device == name][100:]
        phase = sorted(time % 1 for time in times)[len(times) // 2]
        late = sum(time - phase - round(time - phase - 0.49) > 0.05 for time in times)
        assert len(times) >= 898
        assert late <= 0.011 * len(times)


def test_a_device_that_cannot_keep_up_is_named_while_that_lasts(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    took = 0.35

    async def slow(of: TagGroup) -> Scan:
        await asyncio.sleep(took)
        return await world._good(of)

    async def use(supervisor: LinkSupervisor) -> None:
        nonlocal took
        health = supervisor.health["a"]
        await asyncio.sleep(5)
        assert (health.state, health.reason) == (
            DeviceState.ONLINE,
            "too slow: reading fast takes 0.35 s, its interval is 0.1 s",
        )
        assert 0.9 < (health.since - NOW) / SECOND < 2
        took = 0.01
        await asyncio.sleep(5)
        assert (health.state, health.reason) == (DeviceState.ONLINE, "")

    world.read = slow
    with caplog.at_level(logging.WARNING):
        supervised(world, plant("a"), 0, use)
    assert len([r for r in caplog.records if "too slow" in r.getMessage()]) == 2


def test_a_device_of_which_everything_is_refused_goes_stale_with_the_reason() -> None:
    world = World()
    link = plant("a", interval=None)
    of = link.devices[0].groups[0]

    async def send(supervisor: LinkSupervisor) -> None:
        for _ in range(8):
            await asyncio.sleep(0.5)
            supervisor.refuse(of.id, "not JSON")
        assert supervisor.health["a"].reason == "no fresh value of fast for 3 s: not JSON"
        supervisor.publish(await world._good(of))
        assert supervisor.health["a"].is_well

    supervised(world, link, 0, send)


def test_a_link_that_comes_and_goes_is_told_once_and_its_reason_stays_in_sight() -> None:
    world = World()

    async def hang_up(supervisor: LinkSupervisor) -> None:
        for _ in range(5):
            sessions = len(world.drivers)
            while len(world.drivers) == sessions or not supervisor.online:
                await asyncio.sleep(0.1)
            reason = supervisor.health["a"].reason
            assert reason == "waiting for the first value" + ("; the link was down: kicked" if sessions else "")
            world.drivers[-1].gone.set_result("kicked")

    supervisor = supervised(world, plant("a", interval=None), 1, hang_up)
    assert world.states("a") == [DeviceState.OFFLINE]
    assert supervisor.health["a"].since == NOW


def test_a_quarantined_device_comes_back_by_itself() -> None:
    world = World()

    async def read(of: TagGroup) -> Scan:
        if asyncio.get_running_loop().time() < 100:
            raise DeviceSilent("no reply")
        return await world._good(of)

    world.read = read
    supervised(world, plant("a"), 200)
    assert world.states("a")[-1] is DeviceState.ONLINE
    assert DeviceState.QUARANTINED in world.states("a")


def test_a_failing_device_does_not_flutter_while_its_last_values_are_fresh() -> None:
    world = World()

    async def read(of: TagGroup) -> Scan:
        if asyncio.get_running_loop().time() > 1:
            raise DeviceSilent("no reply")
        return await world._good(of)

    world.read = read
    supervised(world, plant("a", interval=SECOND // 10), 3.5)
    assert world.states("a")[:2] == [DeviceState.ONLINE, DeviceState.OFFLINE]
    assert DeviceState.ONLINE not in world.states("a")[1:]


def test_the_values_of_an_old_session_are_not_those_of_the_new() -> None:
    world = World()
    link = plant("a", interval=None)

    async def use(supervisor: LinkSupervisor) -> None:
        await asyncio.sleep(0.01)
        supervisor.publish(await world._good(link.devices[0].groups[0]))
        world.drivers[-1].gone.set_result("reset")
        while len(world.drivers) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.6)
        assert supervisor.health["a"].state is DeviceState.CONNECTING

    supervised(world, link, 0, use)


def test_online_means_fresh_values_not_an_open_socket() -> None:
    world = World()
    link = plant("a", interval=None)

    async def send(supervisor: LinkSupervisor) -> None:
        await asyncio.sleep(0.1)
        supervisor.publish(await world._good(link.devices[0].groups[0]))
        assert supervisor.health["a"].state is DeviceState.ONLINE

    supervisor = supervised(world, link, 5, send)
    assert world.states("a") == [DeviceState.ONLINE, DeviceState.STALE]
    assert supervisor.online


@pytest.mark.parametrize("kind", ["zombie", "bad"])
def test_values_that_are_no_news_do_not_keep_a_device_online(kind: str) -> None:
    """A14: the last value sent again with the old time; or rows of bad values only."""
    import numpy as np

    world = World()
    link = plant("a", interval=None)
    of = link.devices[0].groups[0]

    async def send(supervisor: LinkSupervisor) -> None:
        await asyncio.sleep(0.1)
        row = scan(of, [1.0], NOW)
        row.gateway_time = NOW + 7
        supervisor.publish(row)
        for _ in range(20):
            await asyncio.sleep(0.5)
            again = scan(of, [1.0], NOW)
            again.gateway_time = supervisor.clock.now()
            if kind == "bad":
                again.source_time = again.gateway_time
                again.status = np.array([StatusCode.BAD], np.uint32)
            supervisor.publish(again)

    supervised(world, link, 0, send)
    assert world.states("a")[-1] is not DeviceState.ONLINE


def test_what_is_of_another_time_is_kept_and_not_judged() -> None:
    world = World()
    link = plant("a", interval=None)
    judged: list[Scan] = []
    world.judge = lambda row, now, monotonic: judged.append(row) or ()  # type: ignore[method-assign,func-returns-value]

    async def send(supervisor: LinkSupervisor) -> None:
        await asyncio.sleep(0.1)
        old = scan(link.devices[0].groups[0], [95.0])
        old.current = False
        supervisor.publish(old)

    supervisor = supervised(world, link, 0, send)
    assert (len(world.scans), len(judged)) == (1, 0)
    assert supervisor.health["a"].state is not DeviceState.ONLINE


def test_each_session_has_a_fresh_driver_and_every_driver_is_closed() -> None:
    world = World()

    async def hang_up(supervisor: LinkSupervisor) -> None:
        for _ in range(3):
            await asyncio.sleep(0.01)
            sessions = len(world.drivers)
            world.drivers[-1].gone.set_result("reset by peer")
            while len(world.drivers) == sessions:
                await asyncio.sleep(0.1)

    supervisor = supervised(world, plant("a"), 1, hang_up)
    assert len({id(driver) for driver in world.drivers}) == 4
    assert all(driver.closed == 1 for driver in world.drivers)
    assert supervisor.sessions == 4


def test_attempts_back_off_and_a_short_success_does_not_reset_them() -> None:
    """A2: a far end that accepts and hangs up at once."""
    world = World()

    async def hang_up(supervisor: LinkSupervisor) -> None:
        while asyncio.get_running_loop().time() < 1800:
            await asyncio.sleep(0.05)
            if world.drivers and not world.drivers[-1].gone.done():
                world.drivers[-1].gone.set_result("kicked")

    supervised(world, plant("a", interval=None), 0, hang_up)
    first, last = world.opened_at[:5], world.opened_at[-10:]
    assert len(world.opened_at) < 100
    assert (last[-1] - last[0]) / 9 > 5 * (first[-1] - first[0]) / 4


def test_connecting_is_bounded() -> None:
    world = World()

    async def black_hole() -> None:
        await asyncio.sleep(10**6)

    world.open = black_hole
    supervisor = supervised(world, plant("a"), 60)
    assert len(world.opened_at) > 2
    assert supervisor.reason == "no answer in time"
    assert all(driver.closed == 1 for driver in world.drivers)


def test_what_no_retry_can_help_is_tried_rarely() -> None:
    world = World()

    async def wrong() -> None:
        raise ConfigError("bad password")

    world.open = wrong
    supervised(world, plant("a"), 300)
    assert len(world.opened_at) <= 6


def test_a_failure_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    async def fail() -> None:
        if asyncio.get_running_loop().time() < 100:
            raise ConnectionLost("refused")

    world.open = fail
    with caplog.at_level(logging.WARNING):
        supervised(world, plant("a"), 400)
    assert len([r for r in caplog.records if "refused" in r.getMessage()]) == 2


def test_a_driver_with_a_bug_does_not_end_the_supervisor() -> None:
    world = World()
    world.read = lambda of: 1 / 0  # type: ignore[assignment,return-value]
    supervisor = supervised(world, plant("a"), 30)
    assert supervisor.sessions > 2
    assert "division" in supervisor.reason


def test_a_read_that_overruns_is_counted_and_not_made_up_for() -> None:
    world = World()

    async def slow(of: TagGroup) -> Scan:
        await asyncio.sleep(0.35)
        return await world._good(of)

    world.read = slow
    supervisor = supervised(world, plant("a"), 10)
    assert len(world.reads) == pytest.approx(10 / 0.35, abs=3)
    assert supervisor.health["a"].late > 50


def test_writes_never_overlap_and_fail_while_the_link_is_down() -> None:
    world = World()
    busy = 0

    async def write(tag: Tag, value: Value) -> None:
        nonlocal busy
        busy += 1
        assert busy == 1
        await asyncio.sleep(0.2)
        busy -= 1

    world.write = write

    async def use(supervisor: LinkSupervisor) -> None:
        tag = supervisor.link.devices[0].groups[0].columns[0]
        with pytest.raises(ConnectionLost):
            await supervisor.write(tag, 1.0)
        await asyncio.sleep(0.1)
        await asyncio.gather(*(supervisor.write(tag, 1.0) for _ in range(5)))

    supervised(world, plant("a"), 0, use)


def test_a_full_journal_is_told_and_polling_goes_on() -> None:
    world = World()
    world.full = True
    supervisor = supervised(world, plant("a"), 5)
    assert supervisor.sessions == 1
    assert supervisor.notices.total > 40


@pytest.mark.parametrize("turns", range(6))
def test_a_link_that_is_ended_ends_also_when_its_session_is_lost_in_that_moment(turns: int) -> None:
    """Ended so many turns of the loop after the connection was lost."""
    world = World()

    async def main() -> bool:
        clock = LoopClock()
        bus = Bus(clock, Image([group("float64", device="a")]), world, world)
        link = LinkSupervisor(plant("a"), lambda link, receiver: FakeDriver(link, receiver, world), bus, clock)
        running = asyncio.create_task(link.run())
        await asyncio.sleep(1)
        world.drivers[0].gone.set_result("unplugged")
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait((running,), timeout=60)
        return running.cancelled()

    assert run(main)
    assert [driver.closed for driver in world.drivers] == [1]


def test_a_lost_session_leaves_no_cancellation_for_a_later_timeout_to_find() -> None:
    """With Python 3.11.2, an `open` that timed out after it ended the link for good."""
    world = World()
    pending: list[int] = []

    async def open_() -> None:
        task = asyncio.current_task()
        assert task is not None
        pending.append(task.cancelling())
        if len(pending) > 1:
            await asyncio.sleep(1000)

    async def lose(supervisor: LinkSupervisor) -> None:
        await asyncio.sleep(1)
        world.drivers[0].gone.set_result("unplugged")

    world.open = open_
    supervisor = supervised(world, plant("a"), 60, lose)
    assert supervisor.sessions > 2
    assert supervisor.reason == "no answer in time"
    assert not any(pending)


def test_a_caution_is_told_once_and_stands_while_the_link_stands(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    async def caution(supervisor: LinkSupervisor) -> None:
        for text in ("renew it within 7 days", "renew it within 7 days", "renew it within a day"):
            await asyncio.sleep(3600)
            supervisor.caution(text)
            assert (supervisor.online, supervisor.reason, supervisor.cautioned) == (True, "", text)
        supervisor.caution("")

    with caplog.at_level(logging.WARNING):
        supervisor = supervised(world, plant("a", interval=60 * SECOND), 1, caution)
    assert supervisor.cautioned == ""
    assert [record.getMessage() for record in caplog.records if "caution" in record.getMessage()] == [
        "link bus caution: renew it within 7 days",
        "link bus caution: renew it within a day",
        "link bus caution: over, after 3 times: renew it within 7 days",
    ]
