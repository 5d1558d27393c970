"""One device, judged by its values: since when, and why."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.clock import SECOND
from gateway.health import Health
from gateway.model import Device, DeviceState, StatusCode
from tests.gateway.build import NOW, group, scan

FAST = group("float64", "float64", name="fast")
LATE = 100 * SECOND


def device() -> Health:
    return Health(Device("press", (FAST,)))


def told(health: Health, now: int) -> bool:
    return health.turn(*health.assess(now), now)


def test_since_is_when_it_ceased_to_be_well_whatever_became_of_it_then() -> None:
    health = device()
    assert health.hear(scan(FAST, [1.0, 2.0]), 0)
    assert told(health, 1)
    assert [health.turn(*health.fail("no reply"), 10 + n) for n in range(5)] == [True, False, False, False, True]
    health.connect(20)
    assert not health.turn(DeviceState.CONNECTING, "waiting", 20)
    assert told(health, 20 + LATE)
    assert (health.state, health.since) == (DeviceState.STALE, 10)
    assert health.hear(scan(FAST, [1.0, 2.0]), LATE)
    assert told(health, 30 + LATE)
    assert (health.state, health.since) == (DeviceState.ONLINE, 30 + LATE)


def test_sessions_that_come_and_go_without_a_value_are_told_once() -> None:
    health = device()
    turns = [(DeviceState.OFFLINE, "refused"), (DeviceState.CONNECTING, "waiting")] * 3
    assert [health.turn(*turn, 0) for turn in turns] == [True, False, False, False, False, False]


def test_one_that_is_too_slow_is_online_and_not_well() -> None:
    health = device()
    health.hear(scan(FAST, [1.0, 2.0]), 0)
    told(health, 1)
    health.slow = "too slow"
    assert not told(health, 2)
    assert (health.state, health.reason, health.since) == (DeviceState.ONLINE, "too slow", 2)
    health.slow = ""
    told(health, 3)
    assert (health.reason, health.since) == ("", 3)


@pytest.mark.parametrize(
    ("status", "words"),
    [(StatusCode.BAD_DEVICE_FAILURE, "device failure"), (StatusCode.BAD, "bad"), (0x80FF_0000, "status 0x80FF0000")],
)
def test_rows_of_bad_values_go_stale_with_their_status(status: int, words: str) -> None:
    health = device()
    row = scan(FAST, [0.0, 0.0], status=np.full(2, status, np.uint32))
    assert not health.hear(row, LATE)
    why = f"no fresh value of fast for 3 s: all its values are bad: {words}"
    assert health.assess(LATE) == (DeviceState.STALE, why)
    row.status = np.array([status, 0], np.uint32)
    assert health.hear(row, LATE)


def test_a_clock_that_stands_still_is_named() -> None:
    health = device()
    row = scan(FAST, [1.0, 2.0])
    row.gateway_time = NOW + 7
    assert [health.hear(row, 0) for _ in range(2)] == [True, False]
    assert health.assess(LATE) == (DeviceState.STALE, "no fresh value of fast for 3 s: its time stands still")
    row.source_time = NOW + 1
    assert health.hear(row, LATE)
    assert health.assess(LATE) == (DeviceState.ONLINE, "")
