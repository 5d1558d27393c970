"""Slots, what becomes of those that are over, and how long the silent are left alone."""

from __future__ import annotations

import pytest

from gateway.clock import MILLISECOND, SECOND
from gateway.schedule import Schedule, rest
from tests.gateway.build import group

FAST = group("bool", name="fast", interval=SECOND)
SLOW = group("bool", name="slow", interval=10 * SECOND)
RARE = group("bool", name="rare", interval=600 * SECOND)
PUSHED = group("bool", name="pushed", interval=None)


def test_each_group_comes_at_its_interval() -> None:
    schedule = Schedule((FAST, SLOW, PUSHED), 0, 0.0)
    read = []
    for _ in range(13):
        due, of = schedule.next()
        assert schedule.done(of, due + 5 * MILLISECOND) == 0
        read.append((due // SECOND, of.name))
    assert [due for due, name in read if name == "fast"] == list(range(11))
    assert [due for due, name in read if name == "slow"] == [0, 10]


def test_a_place_is_a_share_of_the_interval_but_nobody_waits_long_for_a_first_value() -> None:
    assert Schedule((FAST,), 0, 0.25).next()[0] == SECOND // 4
    assert Schedule((RARE,), 0, 0.5).next()[0] == 5 * SECOND


@pytest.mark.parametrize(("took", "lost", "due"), [(0.9, 0, 1), (1.0, 0, 1), (1.9, 0, 1), (2.0, 1, 2), (4.5, 3, 4)])
def test_of_slots_that_are_over_the_last_is_used(took: float, lost: int, due: int) -> None:
    schedule = Schedule((FAST,), 0, 0.0)
    assert schedule.done(FAST, int(took * SECOND)) == lost
    assert schedule.next() == (due * SECOND, FAST)


@pytest.mark.parametrize(("until", "due"), [(0.0, 0.25), (0.25, 0.25), (0.3, 1.25), (7.0, 7.25)])
def test_a_device_that_was_left_alone_keeps_its_phase(until: float, due: float) -> None:
    schedule = Schedule((FAST,), 0, 0.25)
    schedule.hold(int(until * SECOND))
    assert schedule.next()[0] == due * SECOND


def test_one_slow_read_is_a_hiccup_and_three_are_told_until_one_is_not() -> None:
    schedule = Schedule((FAST, SLOW), 0, 0.0)
    assert [schedule.pace(FAST, 2 * SECOND) for _ in range(2)] == ["", ""]
    said = schedule.pace(FAST, 2 * SECOND)
    assert said == "too slow: reading fast takes 2 s, its interval is 1 s"
    assert schedule.pace(SLOW, 2 * SECOND) == said
    assert schedule.pace(FAST, SECOND) == ""


def test_the_silent_get_a_hundredth_of_the_line() -> None:
    assert [rest(failures, SECOND) // SECOND for failures in (1, 2, 3, 4, 100)] == [1, 10, 100, 100, 100]
    assert rest(50, 60 * SECOND) == 300 * SECOND
