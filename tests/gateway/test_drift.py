"""Which clock a row is stored by."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.bus import Bus as WholeBus
from gateway.bus import Outcome
from gateway.clock import SECOND, ManualClock
from gateway.contracts import Driver, Receiver
from gateway.drift import clock_of, correct
from gateway.fields import ClockSettings, DeviceSettings
from gateway.image import Image
from gateway.link import LinkSupervisor
from gateway.model import AnyEvent, Device, Link, Mask, Scan, StatusCode, TagGroup
from tests.gateway.build import NOW, group, scan

GATEWAY = ClockSettings.model_validate({"trust": "gateway"})
WITHIN_5S = ClockSettings.model_validate({"tolerance": "5s"})
DOUBTED = "the device's clock is more than 5 s behind ours; our time is taken instead"
DOUBT = int(StatusCode.UNCERTAIN)
BAD = int(StatusCode.BAD_TIMEOUT)


def row(source: int | list[int], status: list[int] | None = None, columns: list[bool] | None = None) -> Scan:
    """Two values that reached us at NOW, measured `source` seconds after it by the device's clock."""
    offsets = np.array(source, np.int64) * SECOND
    made = scan(
        group("float64", "float64"),
        [1.0, 2.0],
        NOW,
        None if status is None else np.array(status, np.uint32),
        None if columns is None else np.array(columns, np.bool_),
    )
    made.source_time = NOW + int(offsets) if isinstance(source, int) else NOW + offsets
    return made


def device(**clock: object) -> Device:
    groups = {"fast": {"tags": {"t0": {"type": "float64"}}}}
    settings = DeviceSettings.model_validate({"link": "l", "groups": groups, "clock": clock})
    return Device("press", (group("float64"),), settings)


def test_nobody_looks_where_nothing_is_set() -> None:
    assert clock_of(device()) is None
    assert clock_of(device(trust="device")) is None
    assert clock_of(Device("press", ())) is None
    assert clock_of(device(tolerance="5s")) == WITHIN_5S
    assert clock_of(device(trust="gateway")) == GATEWAY


def test_a_clock_that_is_not_trusted_has_no_tolerance() -> None:
    with pytest.raises(ValidationError, match="needs no tolerance"):
        ClockSettings.model_validate({"trust": "gateway", "tolerance": "5s"})
    with pytest.raises(ValidationError):
        ClockSettings.model_validate({"tolerance": "0s"})


@pytest.mark.parametrize("source", [-3600, 0, [-3600, 7]])
def test_our_clock(source: int | list[int]) -> None:
    made = row(source, [0, BAD])
    assert correct(made, GATEWAY) == ""
    assert made.source_time == NOW
    assert made.status is not None
    assert made.status.tolist() == [0, BAD]


@pytest.mark.parametrize("source", [-5, 0, 5, [-5, 5]])
def test_within_the_tolerance_nothing_changes(source: int | list[int]) -> None:
    made = row(source)
    before = made.source_time
    assert correct(made, WITHIN_5S) == ""
    assert made.source_time is before
    assert made.status is None


@pytest.mark.parametrize(
    ("source", "words"),
    [(-6, "more than 5 s behind ours"), (3_660, "61 minutes ahead of ours"), (200_000, "2 days ahead")],
)
def test_a_row_beyond_it_gets_our_time_and_is_uncertain(source: int, words: str) -> None:
    made = row(source, [0, BAD])
    assert words in correct(made, WITHIN_5S)
    assert made.source_time == NOW
    assert made.status is not None
    assert made.status.tolist() == [DOUBT, BAD]


def test_with_a_time_each_only_the_columns_beyond_it_are_corrected() -> None:
    made = row([-4, 3600])
    assert "60 minutes ahead" in correct(made, WITHIN_5S)
    assert made.status is not None
    assert made.status.tolist() == [0, DOUBT]
    assert not isinstance(made.source_time, int)
    assert made.source_time.tolist() == [NOW - 4 * SECOND, NOW]


@pytest.mark.parametrize("source", [-3600, [-3600, 4], [4, -86_400]])
def test_a_value_that_is_dated_by_its_last_change_does_not_convict_the_clock(source: int | list[int]) -> None:
    made = row(source)
    made.held = True
    assert correct(made, WITHIN_5S) == ""
    assert made.status is None


@pytest.mark.parametrize("source", [60, [-3600, 60]])
def test_unless_it_comes_from_the_future(source: int | list[int]) -> None:
    made = row(source)
    made.held = True
    assert "more than 5 s ahead" in correct(made, WITHIN_5S)
    assert made.status is not None
    assert made.status[1] == DOUBT


def test_what_is_not_there_has_no_time() -> None:
    assert correct(row([1, 3600], columns=[True, False]), WITHIN_5S) == ""
    assert "more than 5 s behind" in correct(row([-9, 3600], columns=[True, False]), WITHIN_5S)


@given(st.lists(st.integers(-10, 10), min_size=2, max_size=2), st.lists(st.booleans(), min_size=2, max_size=2))
def test_no_time_beyond_the_tolerance_is_left(source: list[int], columns: list[bool]) -> None:
    made = row(source, columns=columns)
    correct(made, WITHIN_5S)
    assert not isinstance(made.source_time, int)
    there: Mask = np.array(columns, np.bool_)
    assert (np.abs(made.source_time - NOW)[there] <= 5 * SECOND).all()
    status = np.zeros(2, np.uint32) if made.status is None else made.status
    doubted = [abs(each) > 5 and is_there for each, is_there in zip(source, columns, strict=True)]
    assert (status == DOUBT).tolist() == doubted


class Bus:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.scans: list[Scan] = []

    def publish(self, row: Scan, durable: object = None) -> None:
        self.scans.append(row)

    def emit(self, event: object) -> None:
        """Nobody listens."""


def supervised(clock: dict[str, object]) -> tuple[LinkSupervisor, Bus, TagGroup]:
    own = device(**clock)
    bus = Bus()
    link = Link("l", "d", (own,))
    made = LinkSupervisor(link, _none, bus, ManualClock(NOW))  # type: ignore[arg-type]
    return made, bus, own.groups[0]


def _none(link: Link, receiver: Receiver) -> Driver:
    raise AssertionError("no session is opened here")


async def test_the_supervisor_corrects_and_tells_once(caplog: pytest.LogCaptureFixture) -> None:
    supervisor, bus, of = supervised({"tolerance": "5s"})
    with caplog.at_level(logging.WARNING):
        for late in (60, 61, 119, 0, 0):
            made = scan(of, [1.0], NOW - late * SECOND)
            made.gateway_time = NOW
            supervisor.publish(made)
    assert [each.source_time for each in bus.scans] == [NOW] * 5
    assert [each.status is None for each in bus.scans] == [False] * 3 + [True] * 2
    told = [record.getMessage() for record in caplog.records if "clock" in record.getMessage()]
    assert told == [
        f"press/fast clock: {DOUBTED}",
        f"press/fast clock: over, after 3 times: {DOUBTED}",
    ]


async def test_a_device_without_the_setting_keeps_its_time() -> None:
    supervisor, bus, of = supervised({})
    made = scan(of, [1.0], NOW - 86_400 * SECOND)
    made.gateway_time = NOW
    supervisor.publish(made)
    assert bus.scans[0].source_time == NOW - 86_400 * SECOND


class Nobody:
    """Judges nothing and keeps nothing."""

    def judge(self, row: Scan, now: int, monotonic: int) -> Sequence[Outcome]:
        return ()

    def append(self, row: Scan, durable: Callable[[], None] | None = None) -> None: ...

    def follow(self, durable: Callable[[], None]) -> None: ...

    def record(self, event: AnyEvent) -> None: ...


@pytest.mark.parametrize(("late", "status"), [(0, 0), (60, DOUBT)])
async def test_a_value_that_is_confirmed_is_worth_what_it_was_worth(late: int, status: int) -> None:
    """However long ago that was; and its clock is no better for it."""
    own = device(tolerance="5s")
    (of,), clock = own.groups, ManualClock(NOW)
    image = Image(own.groups)
    made = LinkSupervisor(Link("l", "d", (own,)), _none, WholeBus(clock, image, Nobody(), Nobody()), clock)
    first = scan(of, [1.0], NOW - late * SECOND)
    first.gateway_time = NOW
    made.publish(first)
    again = scan(of, [1.0], NOW - late * SECOND)
    again.known, again.gateway_time = True, NOW + 3600 * SECOND
    made.publish(again)
    reading = image.read("press/t0", clock.monotonic())
    assert (reading.value, reading.status, reading.source_time) == (1.0, status, NOW)
