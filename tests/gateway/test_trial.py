"""One session of a link without a cell, on virtual time, with a driver that does what a test wants."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest

import drivers
from gateway.clock import SECOND
from gateway.contracts import Driver, Receiver
from gateway.errors import ConfigError, ConnectionLost, DeviceSilent
from gateway.fields import DeviceSettings
from gateway.model import Device, Link, Scan, StatusCode, Tag, TagGroup, Value
from gateway.trial import Outcome, Trial, try_all, words
from tests.gateway.build import NOW, group, scan
from tests.virtual import LoopClock, run

Step = Callable[["Fake"], Awaitable[None]]


async def nothing(driver: Fake) -> None:
    return None


async def forever(driver: Fake) -> None:
    await asyncio.Event().wait()


class Fake(Driver):
    """Does what the test has set on the class."""

    opening: Step = nothing
    running: Step = forever
    closing: Step = nothing
    reading: Callable[[TagGroup], Awaitable[Scan]]

    async def open(self) -> None:
        await type(self).opening(self)

    async def run(self) -> None:
        await type(self).running(self)

    async def read(self, of: TagGroup) -> Scan:
        return await type(self).reading(of)

    async def write(self, tag: Tag, value: Value) -> None:
        raise AssertionError("a trial writes nothing")

    async def close(self) -> None:
        await type(self).closing(self)


async def good(of: TagGroup) -> Scan:
    await asyncio.sleep(0.25)
    return scan(of, [1.0] * len(of.columns))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    """A driver called `fake`, which polls well unless the test changes it."""

    class Mine(Fake):
        reading = staticmethod(good)

    module = types.ModuleType("drivers.fake")
    for name in ("LinkSettings", "DeviceSettings", "GroupSettings", "TagSettings", "check"):
        setattr(module, name, None)
    module.Driver = Mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "drivers.fake", module)
    monkeypatch.setattr("gateway.plugins.names", lambda kind: ["fake"])
    monkeypatch.setattr(drivers, "fake", module, raising=False)
    return Mine


POLLED = group("float64", "float64")
PUSHED = group("float64", device="pump", name="state", interval=None)


def link(*groups: TagGroup, **clock: object) -> Link:
    own = {each.device: DeviceSettings.model_validate(settings(clock)) for each in groups}
    devices = tuple(
        Device(name, tuple(g for g in groups if g.device == name), settings) for name, settings in own.items()
    )
    return Link("l", "fake", devices)


def settings(clock: dict[str, object]) -> dict[str, object]:
    return {"link": "l", "groups": {"g": {"tags": {"t": {"type": "bool"}}}}, "clock": clock}


def trial(of: Link, wait: float = 5.0) -> Outcome:
    async def main() -> Outcome:
        return await Trial(of, LoopClock()).run(wait)

    return run(main)


def reasons(outcome: Outcome) -> list[str]:
    return [answer.reason for answer in outcome.answers.values()]


def test_every_polled_group_is_read_once(fake: type[Fake]) -> None:
    outcome = trial(link(POLLED, group("float64", name="slow")))
    answers = list(outcome.answers.values())
    assert all(answer.is_well for answer in answers)
    assert [answer.took for answer in answers[:2]] == [SECOND // 4] * 2
    assert (outcome.took, outcome.reason) == (0, "")


def test_what_is_pushed_is_waited_for_and_never_acknowledged(fake: type[Fake]) -> None:
    async def publish(driver: Fake) -> None:
        await asyncio.sleep(1)
        driver.receiver.publish(scan(PUSHED, [7.0]), lambda: pytest.fail("acknowledged"))
        await asyncio.Event().wait()

    fake.running = publish
    (answer,) = trial(link(PUSHED)).answers.values()
    assert (answer.value, answer.is_well, answer.took) == (7.0, True, SECOND)


def test_the_wait_has_an_end(fake: type[Fake]) -> None:
    outcome = trial(link(PUSHED), wait=3)
    assert reasons(outcome) == ["nothing came within 3 s"]
    assert not next(iter(outcome.answers.values())).is_well


def test_a_reason_to_refuse_is_told(fake: type[Fake]) -> None:
    async def refuse(driver: Fake) -> None:
        driver.receiver.refuse("pump/state", "plant/pump: the payload is not JSON")
        await asyncio.Event().wait()

    fake.running = refuse
    assert reasons(trial(link(PUSHED), wait=1)) == ["plant/pump: the payload is not JSON"]


def test_a_caution_is_told_and_is_no_failure(fake: type[Fake]) -> None:
    async def caution(driver: Fake) -> None:
        driver.receiver.caution("renew it")
        driver.receiver.publish(scan(PUSHED, [1.0]))
        await asyncio.Event().wait()

    fake.running = caution
    outcome = trial(link(PUSHED))
    assert (outcome.caution, outcome.reason, reasons(outcome)) == ("renew it", "", [""])


def test_a_doubt_about_a_value_is_told(fake: type[Fake]) -> None:
    async def doubt(driver: Fake) -> None:
        driver.receiver.refuse("pump/state time", "no time at ts")
        driver.receiver.publish(scan(PUSHED, [1.0], status=np.array([StatusCode.UNCERTAIN], np.uint32)))
        await asyncio.Event().wait()

    fake.running = doubt
    assert reasons(trial(link(PUSHED))) == ["no time at ts"]


def test_a_bad_value_has_its_reason(fake: type[Fake]) -> None:
    async def read(of: TagGroup) -> Scan:
        return scan(of, [1.0, float("nan")], status=np.array([StatusCode.BAD_NODE_ID_UNKNOWN, 0], np.uint32))

    fake.reading = staticmethod(read)
    outcome = trial(link(POLLED))
    assert reasons(outcome) == ["bad: node id unknown", "bad: out of range"]
    assert [answer.value for answer in outcome.answers.values()] == [None, None]


def test_a_value_outside_its_range_is_not_well(fake: type[Fake]) -> None:
    of = TagGroup("press", "fast", (replace(POLLED.columns[0], range=(2.0, 3.0)),), SECOND, SECOND)
    assert reasons(trial(link(of))) == ["outside its range, 2 to 3: look at type, order and scale"]


def test_a_clock_that_is_off_is_told(fake: type[Fake]) -> None:
    async def late(driver: Fake) -> None:
        row = scan(PUSHED, [1.0], NOW - 3600 * SECOND)
        row.gateway_time = NOW
        driver.receiver.publish(row)
        await asyncio.Event().wait()

    fake.running = late
    assert reasons(trial(link(PUSHED))) == [""]
    (reason,) = reasons(trial(link(PUSHED, tolerance="5s")))
    assert reason == "the device's clock is 60 minutes behind ours; our time is taken instead"


def test_a_silent_device_costs_its_neighbours_nothing(fake: type[Fake]) -> None:
    async def read(of: TagGroup) -> Scan:
        if of.device == "press":
            raise DeviceSilent("unit 1: no answer in time")
        return await good(of)

    fake.reading = staticmethod(read)
    outcome = trial(link(group("float64"), group("float64", device="tank")))
    assert reasons(outcome) == ["unit 1: no answer in time", ""]
    assert outcome.reason == ""


async def refused(driver: Fake) -> None:
    raise ConfigError("look at username")


async def buggy(driver: Fake) -> None:
    raise ZeroDivisionError("oops")


async def lost(driver: Fake) -> None:
    await asyncio.sleep(0.1)
    raise ConnectionLost("the cable")


@pytest.mark.parametrize(
    ("opening", "reason"), [(refused, "look at username"), (buggy, "oops"), (forever, "no answer in time")]
)
def test_a_link_that_does_not_open(fake: type[Fake], opening: Step, reason: str) -> None:
    fake.opening = opening
    outcome = trial(link(POLLED))
    assert (outcome.took, outcome.reason) == (None, reason)
    assert reasons(outcome) == ["the link did not open"] * 2


def test_a_link_that_is_lost_while_it_is_tried(fake: type[Fake]) -> None:
    fake.running = lost
    outcome = trial(link(POLLED))
    assert (outcome.took, outcome.reason) == (0, "the cable")
    assert reasons(outcome) == ["the link was lost"] * 2


@pytest.mark.parametrize(("closing", "reason"), [(forever, "no answer in time"), (buggy, "oops")])
def test_a_driver_that_does_not_close(fake: type[Fake], closing: Step, reason: str) -> None:
    fake.closing = closing
    assert trial(link(POLLED)).reason == f"did not close cleanly: {reason}"


def test_one_bad_link_costs_the_others_nothing(fake: type[Fake]) -> None:
    async def open_(driver: Fake) -> None:
        if driver.link.id == "l":
            raise ConnectionLost("nobody there")

    fake.opening = open_
    other = Link("m", "fake", link(POLLED).devices)
    outcomes = run(lambda: try_all([link(POLLED), other], LoopClock(), 1.0))
    assert [outcome.reason for outcome in outcomes] == ["nobody there", ""]


def test_a_status_in_words() -> None:
    assert words(StatusCode.BAD_TIMEOUT) == "bad: timeout"
    assert words(StatusCode.UNCERTAIN) == "uncertain"
    assert words(0x8123_0000) == "status 0x81230000"


def test_a_trial_is_a_receiver() -> None:
    receiver: type[Receiver] = Trial
    assert receiver is Trial
